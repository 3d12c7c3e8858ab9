"""The preset: the same numbers in training and inference, whatever lamp and stain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wbc.classify.preset import Preset, tensor_of
from napari_wbc.errors import WbcError
from napari_wbc.imaging.crop import cut_crops
from napari_wbc.imaging.light import balanced
from napari_wbc.imaging.synthetic import synthetic_smear

SMEAR = synthetic_smear(3, shape=(400, 500), n_leukocytes=4)
UNSEEN = torch.full((1, 3), torch.nan)


def seen(lamp=(255, 255, 255), vignette=0.0, stain=((1, 0, 0), (0, 1, 0), (0, 0, 1))):
    """The smear under another lamp, with other dyes: absorbances mixed (Beer-Lambert), darkened."""
    light = np.percentile(SMEAR.image.reshape(-1, 3), 97, axis=0) + 1
    density = -np.log((SMEAR.image + 1.0) / light) @ np.array(stain, float).T
    rows, cols = np.mgrid[-1 : 1 : SMEAR.image.shape[0] * 1j, -1 : 1 : SMEAR.image.shape[1] * 1j]
    light = np.array(lamp) * (1 - vignette * (rows**2 + cols**2)[..., None] / 2)
    return np.clip(np.rint(light * np.exp(-density)), 0, 255).astype(np.uint8)


def prepared(image, preset):
    field = preset.field(image)
    crops = cut_crops(
        field.image, [cell.bbox for cell in SMEAR.cells], size=preset.size, factor=preset.factor
    )
    red = torch.from_numpy(np.tile(field.red, (len(crops), 1)))
    return preset.prepare(tensor_of(crops, "cpu"), red)


@pytest.mark.parametrize("anchors", [1, 0.5, 0])
def test_no_crops_stay_no_crops(anchors):
    none = tensor_of(np.empty((0, 80, 80, 3), np.uint8), "cpu")
    assert Preset(anchors=anchors).prepare(none, torch.empty(0, 3)).shape == (0, 3, 80, 80)


@pytest.mark.parametrize("options", [{"size": 15}, {"factor": 0.9}, {"factor": float("nan")}])
def test_impossible_presets_are_refused(options):
    with pytest.raises(WbcError, match="impossible"):
        Preset(**options)


def test_without_anchors_a_field_stays_as_it_is():
    field = Preset(anchors=0).field(SMEAR.image)
    assert np.array_equal(field.image, SMEAR.image)
    assert np.isnan(field.red).all()


def test_with_anchors_a_field_is_balanced():
    field, expected = Preset().field(SMEAR.image), balanced(SMEAR.image)
    np.testing.assert_array_equal(field.image, expected.image)
    np.testing.assert_array_equal(field.red, expected.red)


@pytest.mark.parametrize("level", [0.0, 1e-6, 0.5, 1.0])
@pytest.mark.parametrize("anchors", [1, 0.5, 0])
def test_flat_and_black_crops_give_numbers(level, anchors):
    result = Preset(anchors=anchors).prepare(torch.full((2, 3, 80, 80), level), UNSEEN.repeat(2, 1))
    assert result.shape == (2, 3, 80, 80)
    assert result.isfinite().all()
    assert result.abs().max() < 3


@pytest.mark.parametrize("anchors", [1, 0.5, 0])
def test_bare_glass_is_at_one_point_six(anchors):
    glass = torch.ones(1, 3, 80, 80)
    assert Preset(anchors=anchors).prepare(glass, UNSEEN).mean() == pytest.approx(1.6, abs=1e-4)


@pytest.mark.parametrize("lamp", [(250, 215, 180), (170, 160, 150)], ids=["yellow", "dim"])
def test_lamp_and_vignetting_do_not_matter(lamp):
    preset = Preset(size=48)
    changed = prepared(seen(lamp, vignette=0.2), preset)
    assert (changed - prepared(SMEAR.image, preset)).abs().mean() < 0.02
    plain = Preset(size=48, anchors=0)
    assert (
        prepared(seen(lamp, vignette=0.2), plain) - prepared(SMEAR.image, plain)
    ).abs().mean() > 0.15


@pytest.mark.parametrize(
    "stain",
    [
        ((1.25, 0.1, 0), (0.05, 0.95, 0.1), (0, 0.1, 1.15)),
        ((0.8, 0.1, 0), (0.1, 0.9, 0.05), (0.1, 0.1, 1.1)),
    ],
    ids=["deep", "pale"],
)
def test_anchored_wholly_the_stain_does_not_matter(stain):
    preset = Preset(size=48, anchors=1)
    image = seen((240, 225, 210), vignette=0.1, stain=stain)
    same = (prepared(image, preset) - prepared(SMEAR.image, preset)).abs().mean()
    # The light alone is balanced: what the stain changes stays.
    plain = Preset(size=48, anchors=0)
    other = prepared(preset.field(image).image, plain)
    different = (other - prepared(preset.field(SMEAR.image).image, plain)).abs().mean()
    assert same < 0.03
    assert different > 3 * same


@pytest.mark.parametrize("anchors", [1, 0.5, 0])
def test_each_crop_is_prepared_for_itself(anchors):
    torch.manual_seed(0)
    crops, red = torch.rand(5, 3, 64, 64), torch.rand(5, 3) * 0.2
    red[2] = torch.nan
    preset = Preset(size=64, anchors=anchors)
    alone = torch.cat(
        [preset.prepare(crop[None], own[None]) for crop, own in zip(crops, red, strict=True)]
    )
    torch.testing.assert_close(preset.prepare(crops, red), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("step", [1, -1])
def test_pixels_become_numbers_from_zero_to_one(step):
    crops = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)[:, ::step]
    expected = np.moveaxis(crops, 3, 1) / 255
    np.testing.assert_allclose(tensor_of(crops, "cpu").numpy(), expected, rtol=1e-6)


def test_light_is_balanced_without_anchors_where_it_is_asked_for():
    image = np.full((40, 40, 3), (200, 180, 160), np.uint8)
    assert (Preset(anchors=0.0).field(image).image == image).all()
    white = Preset(anchors=0.0, white=True).field(image).image
    assert np.ptp(white.reshape(-1, 3).mean(axis=0)) < 2
