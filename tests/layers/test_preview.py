"""A preview: who found what, by colour and in words."""

from __future__ import annotations

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color

from napari_wbc.detect.base import FINDERS, Located
from napari_wbc.layers.preview import ALONE, BOTH, make_preview, preview_text, show_preview
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox

SHARED = Detection(BBox(0, 0, 10, 10))
NETWORK = Detection(BBox(20, 0, 30, 10))
COLOUR = Detection(BBox(40, 0, 50, 10), candidate=True)


def test_colours_tell_which_finder_found_a_cell():
    alone = {"Mask R-CNN": (NETWORK,), "colour": (COLOUR,)}
    located = Located((SHARED, NETWORK, COLOUR), alone=alone)
    layer = make_preview()
    show_preview(layer, located)
    names = [BOTH, ALONE["Mask R-CNN"], ALONE["colour"]]
    wanted = np.concatenate([transform_color(name) for name in names])
    np.testing.assert_allclose(layer.edge_color, wanted, atol=1e-6)
    tops = [float(points[:, 0].min()) + 0.5 for points in layer.data]
    assert tops == [0, 20, 40]
    assert preview_text(located) == (
        "Preview: 2 cells, 1 candidate (white: both finders; blue: Mask R-CNN alone, 1; "
        "orange: colour alone, 1)"
    )


def test_one_finder_is_compared_with_none():
    layer = make_preview()
    show_preview(layer, Located((SHARED,)))
    np.testing.assert_allclose(layer.edge_color, transform_color(BOTH))
    show_preview(layer, Located(()))
    assert layer.nshapes == 0
    assert preview_text(Located((SHARED,))) == "Preview: 1 cell"
    assert set(ALONE) == set(FINDERS)
