from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from npe2 import PluginManager, PluginManifest
from PIL import Image
from tests.slides import synthetic_scene, write_ome, write_pages, write_zarr

import napari_wbc
from napari_wbc.contrib.reader import get_reader
from napari_wbc.errors import WbcError
from napari_wbc.imaging.pyramid import opening
from napari_wbc.imaging.read import open_slide
from napari_wbc.layers.slide_layer import FIELDS_KEY, LEFT_OUT_KEY, PROJECT_KEY, content_of
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.storage.workspace import create_workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "slide"
    path.mkdir()
    for i in range(3):
        Image.fromarray(np.full((20, 24, 3), 50 * (i + 1), np.uint8)).save(path / f"{i}.png")
    (path / "notes.txt").write_text("stained on Monday")
    return path


def read(path):
    reader = get_reader(path)
    assert reader is not None
    (layer,) = reader(path)
    return layer


@pytest.mark.parametrize("as_list", [False, True])
def test_folder_is_one_slide(folder, as_list):
    data, meta, kind = read([str(folder)] if as_list else str(folder))
    assert kind == "image"
    assert data.shape == (20, 24, 3)
    assert data.max() == 50
    assert meta["name"] == "slide"
    assert [Path(path).name for path in meta["metadata"][FIELDS_KEY]] == ["0.png", "1.png", "2.png"]


def test_files_that_are_left_out_are_named(folder):
    (folder / "a.nd2").write_bytes(b"no image that we read")
    data, meta, _kind = read(str(folder))
    assert meta["metadata"][LEFT_OUT_KEY] == ["a.nd2"]
    layer = ImageLayer(data, **meta)
    assert content_of(layer).slide.left_out == ("a.nd2",)


def test_what_is_no_slide_is_left_to_others(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no image")
    for path in (folder / "0.png", tmp_path / "empty", tmp_path / "notes", tmp_path / "missing"):
        assert get_reader(str(path)) is None
    assert get_reader([]) is None
    assert get_reader([str(folder), str(folder)]) is None


def test_broken_first_image(folder):
    (folder / "0.png").write_bytes(b"no image")
    data, meta, _ = read(str(folder))
    assert data.max() == 100
    assert len(meta["metadata"][FIELDS_KEY]) == 3


def test_only_broken_images(folder):
    for path in folder.glob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(WbcError, match=r"0\.png"):
        read(str(folder))


def test_napari_finds_the_reader(folder):
    PluginManager.instance().discover()
    viewer = ViewerModel()
    (layer,) = viewer.open(str(folder), plugin="napari-wbc")
    assert layer.rgb
    assert layer.name == "slide"
    assert Path(layer.metadata[FIELDS_KEY][0]).name == "0.png"


def test_a_project_is_the_slide_it_keeps(folder, tmp_path):
    path = tmp_path / "p.wbc"
    made = create_workspace(path, EIGHT_CLASSES)
    made.put_slide(open_slide(folder))
    made.close()
    _data, meta, _kind = read(str(path))
    assert meta["name"] == "slide"
    assert meta["metadata"][PROJECT_KEY] == str(path)
    assert len(meta["metadata"][FIELDS_KEY]) == 3


def test_a_project_without_slides_or_that_is_none_is_an_error(tmp_path):
    create_workspace(tmp_path / "p.wbc", EIGHT_CLASSES).close()
    (tmp_path / "q.wbc").write_bytes(b"nothing")
    for name, message in (("p.wbc", "no slide"), ("q.wbc", "no project")):
        with pytest.raises(WbcError, match=message):
            read(str(tmp_path / name))


def test_the_command_palette_offers_no_command_that_needs_a_path():
    manifest = PluginManifest.from_file(Path(napari_wbc.__file__).parent / "napari.yaml")
    shown = {
        command.id for command in manifest.contributions.commands if command.enablement != "False"
    }
    readers = {reader.command for reader in manifest.contributions.readers}
    assert readers
    assert readers.isdisjoint(shown)


def test_a_zarr_that_is_no_film_is_left_to_other_plugins(tmp_path):
    folder = tmp_path / "film.zarr"
    folder.mkdir()
    (folder / "zarr.json").write_text("{}")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "a.png")
    assert get_reader(str(folder)) is None


@pytest.mark.parametrize("write", [write_pages, write_ome, write_zarr])
def test_a_scanned_film_is_an_image_of_several_levels(tmp_path, monkeypatch, write):
    if write is write_zarr:
        pytest.importorskip("zarr")
    monkeypatch.setattr(opening, "MAX_PIXELS", 200_000)
    name = "film.zarr" if write is write_zarr else "film.tif"
    path = write(tmp_path / name, synthetic_scene(600, n_fields=2), levels=2)
    data, meta, _kind = read(str(path))
    assert [level.shape for level in data] == [(600, 600, 3), (300, 300, 3)]
    assert meta["multiscale"]
    layer = ImageLayer(data, **meta)
    # As in the shell, so that a project of either opens in the other.
    assert content_of(layer).slide == open_slide(path)


def test_another_tiff_is_a_slide_of_one_field(tmp_path):
    path = tmp_path / "field.tif"
    Image.fromarray(np.full((20, 24, 3), 90, np.uint8)).save(path)
    data, meta, _kind = read(str(path))
    assert data.shape == (20, 24, 3)
    assert content_of(ImageLayer(data, **meta)).slide == open_slide(path)


def test_a_damaged_film_is_one_clear_error(tmp_path):
    (tmp_path / "bad.svs").write_bytes(b"no slide")
    with pytest.raises(WbcError, match=r"bad\.svs"):
        read(str(tmp_path / "bad.svs"))
