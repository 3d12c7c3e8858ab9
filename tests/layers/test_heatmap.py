"""Heat as a layer between image and cells."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_wbc.explain import canvas
from napari_wbc.layers.heatmap import HeatmapLayer, heat_colormap
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.heat import Heat

LAYER = "heatmap: Grad-CAM"


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((40, 60, 3), np.uint8), name="field", scale=(2, 2), translate=(5, 7))
    viewer.add_shapes(name="cells")
    return viewer


CELL = Cell("a", "f", Detection(BBox(3, 4, 11, 12)))


def heat(top=3, left=4, side=8):
    return Heat(CELL, top, left, side, np.eye(8, dtype=np.float32), "grad-cam", "monocyte")


def test_no_heat_no_layer(viewer):
    heatmap = HeatmapLayer(viewer)
    heatmap.show([], viewer.layers["field"])
    heatmap.clear()
    assert [layer.name for layer in viewer.layers] == ["field", "cells"]


def test_heat_lies_where_the_image_lies_and_below_the_cells(viewer):
    heatmap, active = HeatmapLayer(viewer), viewer.layers["cells"]
    viewer.layers.selection.active = active
    heatmap.show([heat(), heat(-4, 55)], viewer.layers["field"])
    assert [layer.name for layer in viewer.layers] == ["field", LAYER, "cells"]
    assert viewer.layers.selection.active is active
    layer = viewer.layers[LAYER]
    assert layer.data.shape == (40, 60)
    assert (tuple(layer.scale), tuple(layer.translate)) == ((2, 2), (5, 7))
    assert layer.data_to_world((3, 4)) == viewer.layers["field"].data_to_world((3, 4))
    assert layer.data[3, 4] == layer.data[0, 59] == 1
    np.testing.assert_array_equal(layer.contrast_limits, (0, 1))


def test_what_a_person_chose_for_the_layer_stays(viewer):
    heatmap = HeatmapLayer(viewer)
    heatmap.show([heat()], viewer.layers["field"])
    layer = viewer.layers[LAYER]
    layer.opacity, layer.blending, layer.colormap = 0.3, "additive", "magma"
    heatmap.show([heat(20, 20)], viewer.layers["field"])
    assert viewer.layers[LAYER] is layer
    assert (layer.opacity, layer.blending, layer.colormap.name) == (0.3, "additive", "magma")
    assert layer.data[20, 20] == 1
    assert layer.data[3, 4] == 0


def test_a_layer_that_was_taken_away_comes_back(viewer):
    heatmap = HeatmapLayer(viewer)
    heatmap.show([heat()], viewer.layers["field"])
    viewer.layers.remove(LAYER)
    heatmap.show([heat()], viewer.layers["field"])
    assert LAYER in viewer.layers
    heatmap.close()
    viewer.layers.remove(LAYER)


def test_a_large_field_has_lazy_levels(viewer, monkeypatch):
    monkeypatch.setattr(canvas, "LAZY_ABOVE", 1000)
    monkeypatch.setattr(canvas, "CHUNK", 16)
    heatmap = HeatmapLayer(viewer)
    heatmap.show([heat()], viewer.layers["field"])
    layer = viewer.layers[LAYER]
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(40, 60), (20, 30), (10, 15)]
    monkeypatch.setattr(canvas, "LAZY_ABOVE", 10**9)
    heatmap.show([heat()], viewer.layers["field"])
    assert isinstance(viewer.layers[LAYER], Image)
    assert not viewer.layers[LAYER].multiscale


def test_no_heat_is_transparent():
    colors = heat_colormap().map(np.array([0.0, 1.0]))
    assert colors[:, 3].tolist() == [0, 1]


def test_the_layer_names_its_methods_and_shows_what_the_colours_mean(viewer):
    heatmap = HeatmapLayer(viewer)
    heatmap.show([heat()], viewer.layers["field"])
    assert viewer.layers[LAYER].colorbar.visible
    other = Heat(CELL, 3, 4, 8, np.eye(8, dtype=np.float32), "lime", "monocyte")
    heatmap.show([heat(), other], viewer.layers["field"])
    assert "heatmap: Grad-CAM, LIME" in viewer.layers
    viewer.layers["heatmap: Grad-CAM, LIME"].name = "mine"
    heatmap.show([heat()], viewer.layers["field"])
    assert "mine" in viewer.layers
