"""A whole slide as one picture."""

from __future__ import annotations

import numpy as np
import pytest
from tests.slides import synthetic_scene, write_pages

from napari_wbc.imaging.pyramid import overview as module
from napari_wbc.imaging.pyramid.overview import overview


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("strip", [16_000_000, 200_000])
def test_it_is_the_slide_shrunk(tmp_path, levels, strip, monkeypatch):
    monkeypatch.setattr(module, "_STRIP", strip)
    scene = synthetic_scene(1600, n_fields=3)
    path = write_pages(tmp_path / "slide.tif", scene, levels=levels)
    picture = overview(path, 200)
    expected = scene.region(0, 0, 1600, 1600).reshape(200, 8, 200, 8, 3).mean(axis=(1, 3))
    assert picture.shape == (200, 200, 3)
    assert np.abs(picture - expected).mean() < 1


def test_it_is_never_enlarged(tmp_path):
    scene = synthetic_scene(600, n_fields=3)
    path = write_pages(tmp_path / "slide.tif", scene, levels=2)
    assert np.array_equal(overview(path, 5000), scene.region(0, 0, 600, 600))
