"""Tags over the image, in a window that is shown."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QRectF

from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.widgets.qt.layout import on_color


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def tags(bench, slide, qtbot, wait):
    """Tags of a field of 48 x 64 pixels with a cell in the middle and one at each edge."""
    bench.open_slide(slide)
    wait(bench)
    qtbot.waitUntil(lambda: bench.tags is not None)
    fov = slide.fields[0].fov_id
    places = ((20, 28), (0, 0), (0, 54), (38, 0), (38, 54), (0, 28))
    cells = [Cell.new(fov, Detection(BBox(r, c, r + 10, c + 10))) for r, c in places]
    bench.session.commit(bench.session.table.with_cells(cells), "draw")
    bench.viewer.reset_view()
    qtbot.wait(50)
    return bench.tags


def image_on_canvas(tags):
    layer = tags._view.binding.layer
    corners = np.array([[0, 0], [48, 64]]) - 0.5
    (top, left), (bottom, right) = tags._on_canvas(layer, tags._view.viewer, corners)
    return QRectF(left, top, right - left, bottom - top)


def test_every_cell_has_a_tag_inside_the_image(tags):
    placed = tags.tags()
    assert len(placed) == 6
    image = image_on_canvas(tags).adjusted(-1, -1, 1, 1)
    for cell, area in placed:
        assert image.contains(area), cell.detection.bbox
        assert QRectF(tags.rect()).contains(area)


def test_tags_stay_on_the_canvas_and_go_with_what_is_off_it(tags):
    camera = tags._view.viewer.scene.camera
    camera.zoom *= 3
    placed = tags.tags()
    assert 1 <= len(placed) < 6
    assert all(QRectF(tags.rect()).contains(area) for _cell, area in placed)


def test_cells_too_small_to_be_told_apart_have_none(tags):
    tags._view.viewer.scene.camera.zoom = 1.0
    assert tags.tags() == []


def test_a_tag_has_the_colour_of_its_label(tags, qtbot):
    session = tags._session
    cell, area = next(tag for tag in tags.tags() if tag[0].detection.bbox.top == 20)
    session.select([cell.cell_id])
    for label in ("monocyte", "lymphocyte"):
        session.commit(session.table.with_cells([cell.annotated(Annotation(label))]), "label")
        shot = tags.grab().toImage()
        inside = shot.pixelColor(int(area.left()) + 4, int(area.center().y()))
        assert inside.name() == session.taxonomy.colors[label]


def test_tags_go_with_the_cells_layer_and_with_the_workbench(tags, bench):
    layer = tags._view.binding.layer
    layer.visible = False
    assert tags.tags() == []
    layer.visible = True
    assert len(tags.tags()) == 6
    bench.release()
    assert not tags.isVisible()


@pytest.mark.parametrize("color", ["#f5e53b", "#277257", "#ffffff", "#955986", "#d59100"])
def test_letters_can_be_read_on_any_colour(color):
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722]
    ink = 0.0 if on_color(color) == "black" else 1.0
    assert (max(light, ink) + 0.05) / (min(light, ink) + 0.05) >= 4.5
