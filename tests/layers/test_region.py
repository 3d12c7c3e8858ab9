"""A drawn region, as polygons of the film."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from napari.components import ViewerModel
from napari.layers import Image

from napari_wbc.layers.region import clear_region, draw_region, region_layer, region_of


@pytest.fixture
def viewer():
    return ViewerModel()


def test_nothing_drawn_is_no_region(viewer):
    assert region_of(viewer) is None
    draw_region(viewer, Image(np.zeros((40, 60, 3), np.uint8)))
    assert region_of(viewer) is None


def test_shapes_are_one_area_in_pixels_of_the_image(viewer):
    image = Image(np.zeros((40, 60, 3), np.uint8), scale=(0.5, 0.5))
    layer = draw_region(viewer, image)
    assert draw_region(viewer, image) is layer
    assert layer.mode == "add_rectangle"
    assert layer.scale.tolist() == [0.5, 0.5]
    layer.add_rectangles([[-0.5, 9.5], [-0.5, 29.5], [19.5, 29.5], [19.5, 9.5]])
    layer.add_polygons([[9.5, 19.5], [9.5, 39.5], [29.5, 39.5]])
    layer.add_lines([[0, 0], [39, 59]])
    area = region_of(viewer)
    box = shapely.box(10, 0, 30, 20)
    triangle = shapely.Polygon([(20, 10), (40, 10), (40, 30)])
    assert area.equals(box | triangle)
    clear_region(viewer)
    assert region_of(viewer) is None
    assert region_layer(viewer) is layer
