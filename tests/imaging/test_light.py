"""Balance: lamp and vignetting go, red cells are measured, what is no film gives no numbers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from napari_wbc.errors import WbcError
from napari_wbc.imaging.light import balanced
from napari_wbc.imaging.stain import field_absorbance, transmitted
from napari_wbc.imaging.synthetic import synthetic_smear

SMEAR = synthetic_smear(3, shape=(400, 400), n_leukocytes=3).image


def under(lamp, vignette):
    rows, cols = np.mgrid[-1 : 1 : SMEAR.shape[0] * 1j, -1 : 1 : SMEAR.shape[1] * 1j]
    light = np.array(lamp) / 255 * (1 - vignette * (rows**2 + cols**2)[..., None] / 2)
    return np.rint(SMEAR * light).astype(np.uint8)


def eyepiece_view(image):
    height, width = image.shape[:2]
    inside = np.zeros((height, width), np.uint8)
    inside = cv2.circle(inside, (width // 2, height // 2), min(height, width) // 2, 1, -1) > 0
    return np.where(inside[..., None], image, 12).astype(np.uint8), inside


@pytest.mark.parametrize("shape", [(40, 60), (1, 1), (3, 200), (200, 3), (2, 2), (700, 900)])
@pytest.mark.parametrize("level", [0, 12, 190, 255])
def test_an_empty_field_is_white_and_has_no_red_cells(shape, level):
    result = balanced(np.full((*shape, 3), level, np.uint8))
    assert result.image.shape == (*shape, 3)
    assert result.image.min() >= 254
    assert np.isnan(result.red).all()
    assert result.red.shape == (3,)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (16, 16)])
def test_tiny_fields_have_no_red_cells(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    result = balanced(image)
    assert result.image.shape == image.shape
    assert np.isnan(result.red).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
    ],
    ids=["empty", "grey", "RGBA", "float"],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(WbcError, match="convert the image first"):
        balanced(image)


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_it_is_what_even_light_leaves_of_the_absorbance(seed):
    image = synthetic_smear(seed, shape=(240, 330), n_leukocytes=2).image
    expected = transmitted(field_absorbance(image)).astype(int)
    assert np.abs(balanced(image).image - expected).max() <= 1


@pytest.mark.parametrize("lamp", [(250, 215, 180), (150, 160, 170)], ids=["yellow", "dim"])
def test_lamp_and_vignetting_are_taken_off(lamp):
    changed, plain = balanced(under(lamp, 0.3)), balanced(SMEAR)
    assert np.abs(changed.image.astype(int) - plain.image).mean() < 2.5
    np.testing.assert_allclose(changed.red, plain.red, atol=0.008)


def test_red_cells_have_the_absorbance_they_are_drawn_with():
    image = np.full((400, 400, 3), 250, np.uint8)
    color = np.array((205, 185, 200))
    for row in range(30, 400, 60):
        for col in range(30, 400, 60):
            cv2.circle(image, (col, row), 18, color.tolist(), -1)
    np.testing.assert_allclose(balanced(image).red, np.log10(251 / (color + 1)), atol=0.01)


def test_a_large_field_shows_the_red_cells_of_a_small_one():
    large = cv2.resize(SMEAR, (1200, 1200), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(balanced(large).red, balanced(SMEAR).red, atol=0.01)


@pytest.mark.parametrize("scale", [1, 3])
def test_the_black_around_an_eyepiece_becomes_white(scale):
    image, inside = eyepiece_view(cv2.resize(SMEAR, None, fx=scale, fy=scale))
    result = balanced(image)
    assert (result.image[~inside] == 255).mean() > 0.99
    np.testing.assert_allclose(result.red, balanced(SMEAR).red, atol=0.02)


def test_the_image_is_not_changed():
    image, _ = eyepiece_view(SMEAR)
    before = image.copy()
    balanced(image)
    assert np.array_equal(image, before)


def test_an_image_may_be_read_only_and_a_view():
    turned = SMEAR[::-1, :, ::-1]
    expected = balanced(turned.copy())
    turned.flags.writeable = False
    result = balanced(turned)
    np.testing.assert_array_equal(result.image, expected.image)
    np.testing.assert_array_equal(result.red, expected.red)
