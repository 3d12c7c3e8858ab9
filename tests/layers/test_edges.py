"""Outlines are seen at any zoom."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Shapes, Vectors

from napari_wbc.layers.cells import EDGE_WIDTH
from napari_wbc.layers.edges import VISIBLE, edge_width, keep_visible

SQUARE = np.array([(0, 0), (0, 9), (9, 9), (9, 0)])


@pytest.mark.parametrize("scale", [100, 1, 0.7, 0.3, 0.02, 1e-4])
def test_an_outline_is_never_too_thin_nor_far_too_wide(scale):
    width = edge_width(scale)
    assert width >= EDGE_WIDTH
    assert width * scale >= VISIBLE
    assert width == EDGE_WIDTH or width * scale < 2 * VISIBLE


def test_every_shape_becomes_wider_and_the_next_ones_too():
    layer = Shapes([SQUARE, SQUARE + 20], shape_type="polygon", edge_width=EDGE_WIDTH, scale=(2, 2))
    keep_visible(layer, 0.1)
    assert layer.edge_width == [12, 12]
    layer.add([SQUARE + 40], shape_type="polygon")
    assert layer.edge_width == [12, 12, 12]
    keep_visible(layer, 4)
    assert layer.edge_width == [EDGE_WIDTH] * 3


def test_dashes_become_wider():
    layer = Vectors(np.zeros((1, 2, 2)), edge_width=EDGE_WIDTH)
    keep_visible(layer, 0.2)
    assert layer.edge_width == 12
