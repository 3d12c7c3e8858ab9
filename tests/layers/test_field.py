from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from npe2 import PluginManager
from PIL import Image as PillowImage

from napari_wbc.detect.base import Located
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.read import open_slide, read_image
from napari_wbc.layers.field import FieldView
from napari_wbc.layers.slide_layer import FIELDS_KEY, slide_layer
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.session.session import Session

TRIANGLE = Outline(((10, 10), (30, 10), (30, 40)))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def view(viewer: ViewerModel) -> FieldView:
    session = Session()
    session.reader = "ada"
    return FieldView(viewer, session)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three fields, of one brightness each; the last is larger."""
    slide = tmp_path / "slide"
    slide.mkdir()
    for i, shape in enumerate([(40, 60), (40, 60), (50, 50)]):
        PillowImage.fromarray(np.full((*shape, 3), 50 * (i + 1), np.uint8)).save(slide / f"{i}.png")
    return slide


def show(view: FieldView) -> None:
    field = view.session.field
    assert field is not None
    view.show(field, view.read(field))


def fill(view: FieldView, *boxes: BBox) -> list[Cell]:
    assert view.session.field is not None
    cells = [Cell.new(view.session.field.fov_id, Detection(box)) for box in boxes]
    view.session.commit(view.session.table.with_cells(cells), "fill")
    return cells


def test_making_a_view_changes_nothing(viewer, view):
    assert len(viewer.layers) == 0
    view.pull()
    view.settle()
    view.preview(None)
    assert view.selected() == ()
    assert len(viewer.layers) == 0


def test_folder_layer_is_a_slide_of_its_files(viewer, view, folder):
    data, meta, kind = slide_layer("slide", sorted(folder.iterdir()))
    assert kind == "image"
    layer = viewer.add_image(data, **meta)
    view.session.open(view.use_layer(layer))
    slide = view.session.slide
    assert [field.fov_id for field in slide.fields] == ["slide/0.png", "slide/1.png", "slide/2.png"]
    view.session.show_field("slide/1.png")
    show(view)
    assert view.image_layer is layer
    assert layer.data.max() == 100
    assert [layer.name for layer in viewer.layers] == ["slide", "cells"]


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((40, 60), 200, np.uint8),
        np.full((40, 60), 4000, np.uint16),
        np.full((40, 60), 0.5),
        np.full((40, 60, 3), 200, np.uint8),
        np.full((40, 60, 4), 200, np.uint8),
    ],
    ids=["grey", "16-bit", "float", "RGB", "RGBA"],
)
def test_image_layer_is_a_slide_of_one_field_and_stays_as_it_is(viewer, view, pixels):
    layer = viewer.add_image(pixels, name="one")
    view.session.open(view.use_layer(layer))
    (field,) = view.session.slide.fields
    assert field.fov_id == "one"
    read = view.read(field)
    assert read.shape == (40, 60, 3)
    assert read.dtype == np.uint8
    show(view)
    assert layer.data is pixels
    assert [layer.name for layer in viewer.layers] == ["one", "cells"]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_photo_opened_by_napari_is_turned_as_its_file_says(viewer, view, tmp_path, mode):
    PluginManager.instance().discover()
    path = tmp_path / "photo.png"
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:10, :20] = 200
    exif = PillowImage.Exif()
    exif[274] = 6
    PillowImage.fromarray(pixels).convert(mode).save(path, exif=exif)
    (layer,) = viewer.open(str(path), plugin="napari")
    # Opened again it is not turned again.
    for _ in range(2):
        view.session.open(view.use_layer(layer))
        show(view)
        assert layer.data.shape[:2] == (60, 40)
        assert layer.data[:20, 30:].min() == layer.data.max() == 200
        (field,) = view.session.slide.fields
        np.testing.assert_array_equal(view.read(field), read_image(path))


def test_a_layer_is_scaled_as_the_slide_that_its_file_is_of(viewer, view, tmp_path):
    PluginManager.instance().discover()
    for name, level in (("a.tif", 900), ("b.tif", 4000)):
        tifffile.imwrite(tmp_path / name, np.full((40, 60), level, np.uint16))
    (layer,) = viewer.open(str(tmp_path / "a.tif"), plugin="napari")
    view.session.open(view.use_layer(layer))
    (field,) = view.session.slide.fields
    assert view.read(field).max() == round(900 / 4095 * 255)
    np.testing.assert_array_equal(view.read(field), read_image(tmp_path / "a.tif"))


@pytest.mark.parametrize(
    "add",
    [
        lambda viewer: viewer.add_image(np.zeros((4, 20, 30))),
        lambda viewer: viewer.add_image(np.zeros((4, 20, 30, 3), np.uint8), rgb=True),
        lambda viewer: viewer.add_image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True),
        lambda viewer: viewer.add_image(np.full((40, 60), 7.0)),
    ],
    ids=["stack", "RGB stack", "pyramid", "no brightness"],
)
def test_what_is_not_one_field_is_refused_and_nothing_changes(viewer, view, add):
    layer = add(viewer)
    with pytest.raises(WbcError, match=layer.name):
        view.session.open(view.use_layer(layer))
    assert view.session.slide.fields == ()
    assert view.image_layer is None


def test_fields_share_one_image_layer_and_the_view_follows_their_size(viewer, view, folder):
    view.use_files()
    view.session.open(open_slide(folder))
    for i, center in enumerate([(19.5, 29.5), (19.5, 29.5), (24.5, 24.5)]):
        view.session.show_field(f"slide/{i}.png")
        show(view)
        assert viewer.layers["slide"].data.max() == 50 * (i + 1)
        assert viewer.scene.camera.center[-2:] == pytest.approx(center)
    assert len(viewer.layers) == 2


def test_folder_does_not_overwrite_the_image_of_the_user(viewer, view, folder):
    pixels = np.full((20, 30), 200, np.uint8)
    layer = viewer.add_image(pixels, name="one")
    view.session.open(view.use_layer(layer))
    show(view)
    view.use_files()
    view.session.open(open_slide(folder))
    show(view)
    assert layer.data is pixels
    assert [layer.name for layer in viewer.layers] == ["one", "slide", "cells"]
    assert viewer.layers.selection.active is viewer.layers["cells"]


def test_unreadable_field_shows_nothing(viewer, view, folder):
    view.use_files()
    view.session.open(open_slide(folder))
    show(view)
    (folder / "1.png").write_bytes(b"no image")
    view.session.show_field("slide/1.png")
    field = view.session.field
    with pytest.raises(ReadError):
        view.read(field)
    view.blank(field)
    assert viewer.layers["slide"].data.max() == 0


def test_cells_follow_the_place_of_the_image(viewer, view):
    image = viewer.add_image(
        np.zeros((20, 30), np.uint8), name="one", scale=(0.5, 0.5), translate=(7, 9)
    )
    view.session.open(view.use_layer(image))
    show(view)
    cells = viewer.layers["cells"]
    assert tuple(cells.scale) == (0.5, 0.5)
    assert tuple(cells.translate) == (7, 9)
    other = viewer.add_image(np.zeros((20, 30), np.uint8), name="two", scale=(2, 2))
    view.session.open(view.use_layer(other))
    show(view)
    assert tuple(cells.scale) == (2, 2)
    assert list(viewer.layers) == [image, other, cells]


def test_removed_layers_come_back_with_the_next_field(viewer, view, folder):
    view.use_files()
    view.session.open(open_slide(folder))
    show(view)
    (cell,) = fill(view, BBox(5, 5, 15, 15))
    viewer.layers["cells"].features.loc[0, "label"] = "basophil"
    viewer.layers.remove("cells")
    assert view.session.table[cell.cell_id].label == "basophil"
    viewer.layers.remove("slide")
    view.session.show_field("slide/1.png")
    show(view)
    view.session.show_field("slide/0.png")
    show(view)
    assert [layer.name for layer in viewer.layers] == ["slide", "dark outlines", "cells"]
    assert viewer.layers["cells"].features["cell_id"].tolist() == [cell.cell_id]
    # Those of the cells and of the lines behind, and none of the layers that were removed.
    assert len(view.session.changed) == 3


def test_removed_image_comes_back_below_the_cells(viewer, view, folder):
    view.use_files()
    view.session.open(open_slide(folder))
    show(view)
    viewer.layers.remove("slide")
    view.session.show_field("slide/1.png")
    show(view)
    assert [layer.name for layer in viewer.layers] == ["slide", "cells"]


def test_select_and_center(viewer, view):
    image = viewer.add_image(np.zeros((200, 300), np.uint8), name="one", scale=(0.5, 0.5))
    view.session.open(view.use_layer(image))
    show(view)
    first, second, _ = fill(view, BBox(10, 10, 20, 20), BBox(90, 110, 110, 130), BBox(0, 0, 9, 9))
    viewer.layers.selection.active = image
    view.select([second.cell_id])
    assert view.selected() == (second.cell_id,)
    assert viewer.layers.selection.active is viewer.layers["cells"]
    assert viewer.scene.camera.center[-2:] == pytest.approx((49.75, 59.75))
    view.select([first.cell_id, second.cell_id], center=False)
    assert set(view.selected()) == {first.cell_id, second.cell_id}
    assert viewer.scene.camera.center[-2:] == pytest.approx((49.75, 59.75))
    view.select(["nobody"])
    assert view.selected() == ()


def test_preview_is_above_the_cells_and_no_cell(viewer, view):
    view.session.open(
        view.use_layer(viewer.add_image(np.zeros((60, 60), np.uint8), name="one", scale=(2, 2)))
    )
    show(view)
    view.preview(Located((Detection(TRIANGLE.bbox, TRIANGLE), Detection(BBox(1, 1, 9, 9)))))
    preview = viewer.layers["preview"]
    assert isinstance(preview, Shapes)
    assert viewer.layers.selection.active is viewer.layers["cells"]
    np.testing.assert_allclose(preview.data[0], TRIANGLE.array() - 0.5)
    assert tuple(preview.scale) == (2, 2)
    view.preview(Located((Detection(BBox(1, 1, 9, 9)),)))
    assert len(preview.data) == 1
    view.preview(Located(()))
    assert len(preview.data) == 0
    assert len(view.session.table) == 0
    view.preview(None)
    assert [layer.name for layer in viewer.layers] == ["one", "cells"]
    view.preview(Located(()))
    viewer.layers.remove("preview")
    view.preview(None)
    assert "preview" not in viewer.layers


def test_close_takes_the_last_edits_in_and_lets_go(viewer, view, folder):
    view.use_files()
    view.session.open(open_slide(folder))
    show(view)
    (cell,) = fill(view, BBox(5, 5, 15, 15))
    view.preview(Located(()))
    viewer.layers["cells"].features.loc[0, "label"] = "basophil"
    view.close()
    assert view.session.table[cell.cell_id].label == "basophil"
    assert [layer.name for layer in viewer.layers] == ["slide", "dark outlines", "cells"]
    assert len(view.session.changed) == len(view.session.field_changed) == 0
    viewer.layers.clear()


def test_slide_layer_shows_the_first_field_that_can_be_read(folder):
    (folder / "0.png").write_bytes(b"")
    paths = sorted(folder.iterdir())
    data, meta, _ = slide_layer("slide", paths)
    assert data.max() == 100
    assert meta["metadata"][FIELDS_KEY] == [str(path) for path in paths]
    assert isinstance(Image(data, **meta), Image)


@pytest.mark.parametrize("empty", [True, False])
def test_slide_layer_without_a_readable_field(folder, empty):
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(WbcError):
        slide_layer("slide", [] if empty else sorted(folder.iterdir()))


def test_outlines_are_seen_however_small_the_field_is_shown(viewer, view, folder):
    view.use_files()
    view.session.open(open_slide(folder))
    show(view)
    fill(view, BBox(5, 5, 15, 15))
    cells = viewer.layers["cells"]
    viewer.scene.camera.zoom = 0.1
    assert set(cells.edge_width) == {24}
    fill(view, BBox(25, 5, 35, 15))
    assert set(cells.edge_width) == {24}
    viewer.scene.camera.zoom = 2
    assert set(cells.edge_width) == {3}
    view.close()
    viewer.scene.camera.zoom = 0.1
    assert set(cells.edge_width) == {3}
