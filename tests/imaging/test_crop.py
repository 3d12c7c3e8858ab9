"""Crops: square, centred, and full of background where the field ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.imaging.crop import background, cut_crops, whole_image_box
from napari_wbc.model.geometry import BBox

FIELD = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def test_no_boxes_give_no_crops():
    crops = cut_crops(FIELD, [], size=32, factor=1.5)
    assert (crops.shape, crops.dtype) == ((0, 32, 32, 3), np.uint8)


def test_at_its_own_size_a_crop_is_the_field_itself():
    crop = cut_crops(FIELD, [BBox(20, 30, 36, 40)], size=32, factor=2)[0]
    np.testing.assert_array_equal(crop, FIELD[12:44, 19:51])


@given(st.integers(-80, 140), st.integers(-80, 140))
def test_outside_the_field_is_background(top, left):
    crop = cut_crops(FIELD, [BBox(top, left, top + 20, left + 20)], size=20, factor=1)[0]
    around = np.full((260, 290, 3), background(FIELD), np.uint8)
    around[100:160, 100:190] = FIELD
    np.testing.assert_array_equal(crop, around[top + 100 : top + 120, left + 100 : left + 120])


@pytest.mark.parametrize("side", [0.01, 3, 59.5, 1e9])
def test_any_box_gives_a_crop(side):
    box = BBox(30 - side / 2, 30 - side / 2, 30 + side / 2, 30 + side / 2)
    assert cut_crops(FIELD, [box], size=16, factor=1.5).shape == (1, 16, 16, 3)


def test_a_cell_fills_the_same_part_of_the_crop_whatever_the_magnification():
    small, large = np.full((80, 80, 3), 250, np.uint8), np.full((240, 240, 3), 250, np.uint8)
    small[30:50, 30:50] = large[90:150, 90:150] = 100
    crops = [
        cut_crops(small, [BBox(30, 30, 50, 50)], size=40, factor=1.5)[0],
        cut_crops(large, [BBox(90, 90, 150, 150)], size=40, factor=1.5)[0],
    ]
    dark = [(crop < 175).mean() for crop in crops]
    assert dark == pytest.approx([1 / 1.5**2] * 2, abs=0.05)


def test_the_background_is_the_bare_glass():
    image = np.full((300, 400, 3), (240, 235, 230), np.uint8)
    image[100:200, 100:200] = 20
    assert background(image) == (240, 235, 230)
    assert background(image[:1, :1]) == (240, 235, 230)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (41, 41)])
def test_the_box_of_a_whole_image_crops_its_largest_centred_square(shape):
    image = FIELD[: shape[0], : shape[1]]
    side = min(shape)
    crop = cut_crops(image, [whole_image_box(image, 1.5)], size=side, factor=1.5)[0]
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    np.testing.assert_array_equal(crop, image[top : top + side, left : left + side])
