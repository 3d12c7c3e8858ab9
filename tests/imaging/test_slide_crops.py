"""Crops of a whole slide are those of its image."""

from __future__ import annotations

import numpy as np
from tests.slides import synthetic_scene, write_pages

from napari_wbc.imaging.crop import cut_crops
from napari_wbc.imaging.pyramid.slide_crops import slide_crops
from napari_wbc.model.geometry import BBox


def test_crops_are_those_of_the_whole_image(tmp_path):
    scene = synthetic_scene(1200, n_fields=4, per_field=(2, 3))
    path = write_pages(tmp_path / "slide.tif", scene, levels=1)
    boxes = scene.cells()
    inside = [box for box in boxes if min(box.top, box.left) > 30 and max(box.edges) < 1170]
    assert len(inside) > 5
    expected = cut_crops(scene.region(0, 0, 1200, 1200), inside, size=72, factor=1.5)
    assert np.array_equal(slide_crops(path, inside, size=72, factor=1.5), expected)


def test_none_at_an_edge_or_far_too_large(tmp_path):
    scene = synthetic_scene(600, n_fields=2)
    path = write_pages(tmp_path / "slide.tif", scene, levels=1)
    assert slide_crops(path, [], size=72, factor=1.5).shape == (0, 72, 72, 3)
    boxes = [BBox(-20, -20, 30, 30), BBox(0, 0, 600, 600), BBox(580, 590, 640, 640)]
    crops = slide_crops(path, boxes[:2], size=72, factor=1.5)
    assert crops.shape == (2, 72, 72, 3)
    assert crops.std() > 5
