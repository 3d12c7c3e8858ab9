"""Zones over the image of their film, wherever it lies, and what is painted."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_wbc.imaging.pyramid.zones import Zones
from napari_wbc.layers.zones import clear_zones, show_zones, zones_layer, zones_of

ZONES = Zones(10, (38, 60), np.array([[0, 1, 2, 3, 2, 2]] * 4, np.uint8))


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.mark.parametrize("place", [{}, {"scale": (0.5, 0.25), "translate": (7, 9), "rotate": 30}])
def test_blocks_lie_on_the_pixels_that_they_are_of(viewer, place):
    image = Image(np.zeros((38, 60, 3), np.uint8), **place)
    assert zones_of(viewer) is None
    layer = show_zones(viewer, image, ZONES)
    for block, pixel in (((-0.5, -0.5), (-0.5, -0.5)), ((0.5, 2.5), (9.5, 29.5))):
        assert layer.data_to_world(block) == pytest.approx(image.data_to_world(pixel))


def test_what_is_painted_is_the_zone_of_a_block(viewer):
    image = Image(np.zeros((38, 60, 3), np.uint8))
    show_zones(viewer, image, ZONES)
    layer = show_zones(viewer, image, ZONES)
    assert [one.name for one in viewer.layers] == ["monolayer"]
    assert layer.selected_label == 2
    layer.paint((0, 0), 2)
    layer.paint((3, 5), 9)
    painted = zones_of(viewer)
    assert (painted.side, painted.shape) == (ZONES.side, ZONES.shape)
    assert painted.kinds[0, 0] == 2
    assert painted.kinds[3, 5] == 3
    assert not ZONES.kinds[0, 0]
    clear_zones(viewer)
    clear_zones(viewer)
    assert zones_layer(viewer) is None
