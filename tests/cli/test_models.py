"""`napari-wbc models`: from a file that was sent to the model in use, and back."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from napari_wbc.cli.models import models_app
from napari_wbc.cli.options import detector_in_use, in_use
from napari_wbc.errors import WeightsError
from napari_wbc.weights.library import Library
from napari_wbc.weights.store import load_weights, save_weights


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_WBC_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "200")
    return Library()


@pytest.fixture
def call(library):
    """Run a command; return what it prints."""

    def command(*arguments):
        result = CliRunner().invoke(models_app, [str(one) for one in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return command


@pytest.fixture
def child(library, weights):
    """Two models, the one made from the other."""
    parent = library.add(weights)
    tensors, card = load_weights(weights)
    known = {"parent": {"model_id": card.model_id, "sha256": card.sha256}}
    path = library.folder / "child.safetensors"
    metrics = {"lab val": {"n": 8, "accuracy": 0.875}}
    changed = {name: tensor + 1 for name, tensor in tensors.items()}
    save_weights(path, changed, replace(card, name="[b]child", provenance=known, metrics=metrics))
    return parent, library.find("child")


def lines(text, name):
    return [line for line in text.splitlines() if f"{name} " in line]


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_an_empty_library_lists_the_shipped_models(call, library, arguments):
    shown = call(*arguments)
    assert "yes" in lines(shown, "large")[0]
    assert "detector" in lines(shown, "blood_cells")[0]
    assert not library.folder.exists()
    assert "large" not in call("history")


def test_the_tree_and_what_is_in_use(call, child):
    call("adopt", "child", "--why", "better [on] basophils")
    shown = call("list")
    assert "yes" not in lines(shown, "large")[0]
    row = lines(shown, "  child")[0]
    for text in ("yes", "8", "87.5 %", "[b]child 1"):
        assert text in row
    assert "better [on] basophils" in call("history")


def test_roll_back(call, child, library):
    call("adopt", "tiny")
    call("adopt", "child")
    assert call("rollback") == "tiny is the classifier in use again.\n"
    assert call("rollback") == "large is the classifier in use again.\n"
    with pytest.raises(WeightsError, match="No classifier was adopted"):
        call("rollback")
    with pytest.raises(WeightsError, match="Unknown kind"):
        call("rollback", "--kind", "painter")


def test_a_file_is_adopted_at_once(call, library, weights, tmp_path):
    shutil.copy(weights, tmp_path / "mine.safetensors")
    assert call("adopt", tmp_path / "mine.safetensors") == "mine is the classifier in use.\n"
    assert library.adopted("classifier").path == library.folder / "mine.safetensors"


def test_commands_take_the_weights_in_use(child, call, capsys):
    assert in_use(None) == "large"
    assert in_use("tiny") == "tiny"
    assert not capsys.readouterr().err
    call("adopt", "child")
    assert in_use(None) == str(child[1].path)
    assert "Classifier in use: [b]child 1" in capsys.readouterr().err
    assert detector_in_use("mask-rcnn") == "mask_rcnn"
    assert detector_in_use("mask-rcnn", "blood_cells") == "blood_cells"
    assert detector_in_use("hsv") is None


def test_damaged_and_missing_models_are_told(call, child, library):
    call("adopt", "child")
    child[1].path.write_bytes(b"?")
    shown = call("list")
    assert "damaged" in lines(shown, "child")[0]
    assert "stands in" in shown


def test_a_model_goes_from_one_library_to_another(call, child, library, tmp_path, monkeypatch):
    out = tmp_path / "sent.wbcmodel"
    assert str(out) in call("export", "child", "--out", out)
    monkeypatch.setenv("NAPARI_WBC_MODELS", str(tmp_path / "others"))
    assert "use it: --weights sent" in call("import", out)
    assert "[b]child" in call("card", "sent")
    assert "tiny" in call("import", child[0].path)
    with pytest.raises(WeightsError, match=r"none\.wbcmodel"):
        call("import", tmp_path / "none.wbcmodel")


def test_remove(call, child, library):
    with pytest.raises(WeightsError, match="child descend"):
        call("remove", "tiny")
    assert str(library.folder / "removed" / "tiny.safetensors") in call("remove", "tiny", "--force")
    assert "tiny" not in call("list").replace("tiny 1", "")
    shutil.rmtree(library.folder / "removed")
    with pytest.raises(WeightsError, match="no model 'tiny'"):
        call("remove", "tiny")


def test_commands_tell_that_the_adopted_model_is_missing(child, call, capsys):
    call("adopt", "child")
    child[1].path.unlink()
    assert in_use(None) == "large"
    assert "was adopted but is missing" in capsys.readouterr().err
