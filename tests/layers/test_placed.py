"""Image, cells, heat and preview lie in one place, whatever a person does to the image."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Shapes

from napari_wbc.detect.base import Located
from napari_wbc.layers.field import FieldView
from napari_wbc.layers.heatmap import HeatmapLayer
from napari_wbc.layers.placed import copy_transform, kind_of, marked, on_transform
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.heat import Heat
from napari_wbc.session.session import Session

CHANGES = {
    "scale": {"scale": (10, 10)},
    "anisotropic scale": {"scale": (2, 5)},
    "flip": {"scale": (-1, 1), "translate": (40, 0)},
    "translate": {"translate": (7, -9)},
    "rotate": {"rotate": 30},
    "shear": {"shear": [0.4]},
    "affine": {"affine": np.array([[0, -1, 40], [1, 0, 3], [0, 0, 1.0]])},
    "everything": {"scale": (2, 3), "rotate": -15, "shear": [0.2], "translate": (5, 6)},
}


@pytest.fixture
def shown():
    """A view of one field with a cell, a preview and heat."""
    viewer = ViewerModel()
    session = Session()
    view = FieldView(viewer, session)
    image = viewer.add_image(np.zeros((40, 60, 3), np.uint8), name="one", rgb=True)
    session.open(view.use_layer(image))
    view.show(session.field, view.read(session.field))
    cell = Cell.new("one", Detection(BBox(5, 10, 25, 30)))
    session.commit(session.table.with_cells([cell]), "fill")
    view.preview(Located((Detection(BBox(1, 1, 9, 9)),)))
    heat = HeatmapLayer(viewer)
    heat.show([Heat(cell, 5, 10, 20, np.eye(8, dtype=np.float32), "grad-cam", "monocyte")], image)
    return viewer, view, image, session


def same_place(viewer, image):
    over = [layer for layer in viewer.layers if layer is not image]
    assert len(over) == 4
    for layer in over:
        for point in ((0.0, 0.0), (13.5, 48.0)):
            np.testing.assert_allclose(
                layer.data_to_world(point), image.data_to_world(point), atol=1e-9
            )


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_all_layers_follow_the_image(shown, change):
    viewer, _view, image, session = shown
    table = session.table
    for part, value in change.items():
        setattr(image, part, value)
    same_place(viewer, image)
    assert session.table is table


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_image_that_is_placed_already_takes_new_layers_to_its_place(change):
    image = Image(np.zeros((40, 60, 3), np.uint8), rgb=True, **change)
    layer = Shapes(ndim=2)
    copy_transform(image, layer)
    np.testing.assert_allclose(layer.data_to_world((3, 4)), image.data_to_world((3, 4)), atol=1e-9)


def test_a_box_drawn_on_a_scaled_image_lies_where_it_was_drawn(shown):
    """In place of a tenth of it, as when only image and canvas are scaled."""
    viewer, _view, image, session = shown
    image.scale = (0.1, 0.1)
    cells = viewer.layers["cells"]
    cells.add(
        [cells.world_to_data(image.data_to_world(p)) for p in ((4, 4), (4, 34), (24, 34), (24, 4))]
    )
    drawn = list(session.table.values())[-1].detection.bbox
    assert (drawn.top, drawn.left, drawn.bottom, drawn.right) == pytest.approx(
        (4.5, 4.5, 24.5, 34.5)
    )


def test_a_layer_is_known_by_its_mark():
    layer = Shapes(ndim=2)
    assert kind_of(layer) == ""
    marked(layer, "cells")
    assert kind_of(layer) == "cells"
    marked(layer, "")
    assert kind_of(layer) == ""


def test_following_ends():
    layer, heard = Shapes(ndim=2), []
    end = on_transform(layer, heard.append)
    layer.scale = (2, 2)
    assert heard
    end()
    heard.clear()
    layer.rotate = 10
    assert heard == []
