"""Light and stain: what a field looks like under even white light."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from napari_wbc.imaging.stain import absorbance, even_light, eyepiece, transmitted, white_balanced
from napari_wbc.imaging.synthetic import synthetic_smear


def eyepiece_view(image):
    """The image as through an eyepiece: a round field with black around it."""
    height, width = image.shape[:2]
    inside = cv2.circle(
        np.zeros((height, width), np.uint8),
        (width // 2, height // 2),
        min(height, width) // 2,
        1,
        -1,
    )
    return np.where(inside[..., None] > 0, image, 12).astype(np.uint8), inside > 0


def test_an_empty_slide_is_white():
    assert white_balanced(np.full((20, 30, 3), 180, np.uint8)).min() > 250
    assert not eyepiece(absorbance(np.full((20, 30, 3), 180, np.uint8))).any()


def test_what_absorbs_nothing_lets_all_light_through():
    assert (transmitted(np.zeros((2, 3, 3), np.float32)) == 255).all()
    assert transmitted(np.full((1, 1, 3), 1.0, np.float32)).tolist() == [[[26, 26, 26]]]


def test_the_black_around_an_eyepiece_becomes_white_and_the_field_stays():
    image = synthetic_smear(3, shape=(400, 400), n_leukocytes=4).image
    seen, inside = eyepiece_view(image)
    balanced = white_balanced(seen)
    assert balanced[~inside].mean() > 245
    middle = (slice(120, 280), slice(120, 280))
    difference = balanced[middle].astype(int) - white_balanced(image)[middle].astype(int)
    assert np.abs(difference).mean() < 8


def test_a_dark_cell_at_the_border_is_no_eyepiece():
    image = np.full((300, 300, 3), 220, np.uint8)
    image[:20, 100:125] = 15  # less than 1 % of the image
    assert not eyepiece(absorbance(image)).any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (20, 30)])
def test_even_light_makes_an_empty_slide_white(shape):
    assert even_light(np.full((*shape, 3), (180, 160, 140), np.uint8)).min() >= 254


@pytest.mark.parametrize("seed", [0, 3])
def test_even_light_is_what_the_absorbance_lets_through(seed):
    image = synthetic_smear(seed, shape=(200, 330)).image
    expected = transmitted(absorbance(image)).astype(int)
    assert np.abs(even_light(image) - expected).max() <= 1


def test_even_light_leaves_the_black_around_an_eyepiece():
    seen, inside = eyepiece_view(synthetic_smear(3, shape=(400, 400), n_leukocytes=4).image)
    assert even_light(seen)[~inside].mean() < 30
