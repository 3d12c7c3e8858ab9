"""What a recipe of a cell finder refuses."""

from __future__ import annotations

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.train.detector_recipe import DetectorRecipe


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "3-bit"},
        {"name": "a/b"},
        {"classes": ("red cell",)},
        {"classes": ()},
        {"batch_size": 0},
        {"draws": 1},
        {"canvas": 63},
        {"epochs": 0},
        {"patience": -1},
        {"learning_rate": -1.0},
        {"smallest": 0.0},
        {"smallest": 50.0, "largest": 40.0},
        {"seed": -1},
    ],
    ids=str,
)
def test_an_impossible_recipe_is_refused(options):
    with pytest.raises(WbcError):
        DetectorRecipe(**options)
