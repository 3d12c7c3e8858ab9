"""The preset: the same numbers in training and inference, whatever the lamp."""

from __future__ import annotations

import pytest
import torch

from napari_wbc.classify.preset import Preset
from napari_wbc.errors import WbcError


@pytest.mark.parametrize("white_quantile", [0, 0.9])
def test_no_crops_stay_no_crops(white_quantile):
    assert Preset(white_quantile=white_quantile).prepare(torch.zeros(0, 3, 80, 80)).shape == (0, 3, 80, 80)


@pytest.mark.parametrize(
    "options", [{"size": 15}, {"factor": 0.9}, {"white_quantile": -0.1}, {"white_quantile": 1.1}]
)
def test_impossible_presets_are_refused(options):
    with pytest.raises(WbcError, match="impossible"):
        Preset(**options)


@pytest.mark.parametrize("level", [0.0, 1e-6, 0.5, 1.0])
@pytest.mark.parametrize("white_quantile", [0, 0.5, 0.9, 1])
def test_flat_and_black_crops_give_numbers(level, white_quantile):
    prepared = Preset(white_quantile=white_quantile).prepare(torch.full((2, 3, 80, 80), level))
    assert prepared.shape == (2, 3, 80, 80)
    assert prepared.isfinite().all()
    assert prepared.abs().max() < 3


def test_the_colour_and_strength_of_the_lamp_do_not_matter():
    torch.manual_seed(0)
    crops = torch.rand(4, 3, 80, 80)
    lamp = torch.tensor([0.9, 0.6, 0.4])[:, None, None]
    torch.testing.assert_close(Preset().prepare(crops * lamp), Preset().prepare(crops))


def test_bare_glass_is_near_two_without_a_quantile_only_if_it_is_white():
    grey = torch.full((1, 3, 80, 80), 0.7)
    assert Preset(white_quantile=0.9).prepare(grey).mean() == pytest.approx(1.6)
    assert Preset(white_quantile=0).prepare(grey).mean() == pytest.approx(0.4)


def test_each_crop_is_prepared_for_itself():
    torch.manual_seed(0)
    crops = torch.rand(5, 3, 64, 64)
    alone = torch.cat([Preset(size=64).prepare(crop[None]) for crop in crops])
    torch.testing.assert_close(Preset(size=64).prepare(crops), alone, rtol=0, atol=0)
