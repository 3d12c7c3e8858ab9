"""Width of red cells: the same at every size of a field, and alone or among others."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from napari_wbc.imaging import magnification
from napari_wbc.imaging.magnification import red_cell_diameters
from napari_wbc.imaging.synthetic import synthetic_smear

WIDTH = 67
"""Of the red cells of a smear at scale 1, in pixels."""


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (60, 80), (2000, 2000)])
def test_a_field_without_red_cells_has_no_diameter(shape):
    assert red_cell_diameters(np.full((*shape, 3), 230, np.uint8)) == ()


@pytest.mark.parametrize("size", [0.09, 0.3, 0.5, 1.0, 2.0, 4.0])
def test_red_cells_are_measured_at_every_size(size):
    shape = (1200, 1200) if size < 0.1 else (480, 640)
    smear = synthetic_smear(0, n_leukocytes=1, shape=shape).image
    field = cv2.resize(smear, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    assert red_cell_diameters(field)[0] / size == pytest.approx(WIDTH, rel=0.3)


def test_small_cells_that_touch_are_told_apart():
    smear = synthetic_smear(3, n_leukocytes=1, shape=(1800, 1800)).image
    small = cv2.resize(smear, None, fx=0.16, fy=0.16, interpolation=cv2.INTER_AREA)
    field = np.tile(small, (2, 2, 1))
    assert red_cell_diameters(field)[-1] / 0.16 == pytest.approx(WIDTH, rel=0.35)


def test_grain_is_not_taken_for_red_cells():
    smear = synthetic_smear(0, n_leukocytes=1).image
    grain = np.random.default_rng(0).normal(0, 25, smear.shape)
    noisy = np.clip(smear + grain, 0, 255).astype(np.uint8)
    assert red_cell_diameters(noisy)[0] == pytest.approx(WIDTH, rel=0.3)


def test_grain_that_was_enlarged_is_not_taken_for_red_cells_alone():
    smear = synthetic_smear(0, n_leukocytes=1).image
    grain = np.random.default_rng(0).normal(0, 25, smear.shape)
    noisy = np.clip(smear + grain, 0, 255).astype(np.uint8)
    enlarged = cv2.resize(noisy, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert red_cell_diameters(enlarged)[0] / 4 == pytest.approx(WIDTH, rel=0.3)


def test_what_is_too_narrow_beside_a_clump_is_grain(monkeypatch):
    # As one field of Raabin's was measured: no two scales agree.
    widths = {0.5: 60.4, 0.25: 24.0, 1.0: 61.0, 0.125: 16.0, 2.0: 50.2, 4.0: 26.0}
    monkeypatch.setattr(magnification, "_reading", lambda _image, scale: widths.get(scale, 0.0))
    assert red_cell_diameters(np.full((575, 575, 3), 230, np.uint8)) == (96.0,)


def test_a_large_mosaic_measures_as_its_fields():
    smear = synthetic_smear(0, n_leukocytes=1, scale=0.5).image
    mosaic = np.tile(smear, (8, 6, 1))
    assert red_cell_diameters(mosaic)[0] == pytest.approx(red_cell_diameters(smear)[0], rel=0.25)


def test_the_field_is_left_alone():
    smear = synthetic_smear(0).image
    before = smear.copy()
    red_cell_diameters(smear)
    assert (smear == before).all()
