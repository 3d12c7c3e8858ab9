"""Weights by name or by path."""

from __future__ import annotations

import pytest

from napari_wbc.errors import WeightsError
from napari_wbc.weights import registry
from napari_wbc.weights.registry import find_weights, shipped_weights
from napari_wbc.weights.store import load_weights


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder in the place of the package's own."""
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(registry, "_DATA", tmp_path / "data")
    return tmp_path / "data"


def test_the_shipped_models_are_sound_and_keep_the_ids_that_results_name():
    ids = [load_weights(find_weights(name))[1].model_id for name in shipped_weights()]
    assert ids == [
        "blood_cells 2 (75295601)",
        "cdnn 4 (460bbf78)",
        "large 2 (a9f2e2bd)",
        "mask_rcnn 3 (c26ddf5a)",
    ]


@pytest.mark.parametrize("name", ["", "none", "none.safetensors", "../data"])
def test_without_weights_every_name_is_refused(shipped, name):
    assert shipped_weights() == ()
    with pytest.raises(WeightsError, match="one of: none"):
        find_weights(name)


def test_shipped_weights_go_by_name(shipped):
    for name in ("b", "a"):
        (shipped / f"{name}.safetensors").touch()
    (shipped / "a.json").touch()
    assert shipped_weights() == ("a", "b")
    assert find_weights("a") == shipped / "a.safetensors"
    with pytest.raises(WeightsError, match="one of: a, b"):
        find_weights("c")


def test_own_weights_go_by_path(shipped, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.touch()
    assert find_weights(path) == find_weights(str(path)) == path


@pytest.mark.parametrize("name", ["mine.pt", "mine.json", "folder.safetensors"])
def test_only_safetensors_files_are_weights(shipped, tmp_path, name):
    path = tmp_path / name
    path.mkdir() if name.startswith("folder") else path.touch()
    with pytest.raises(WeightsError):
        find_weights(path)


def test_an_exported_model_is_imported_first(tmp_path):
    path = tmp_path / "mine.wbcmodel"
    path.write_bytes(b"model")
    with pytest.raises(WeightsError, match="import this model first: napari-wbc models import"):
        find_weights(path)
