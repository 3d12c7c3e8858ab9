"""What a laboratory decides: bands, unidentified cells, correction, limits."""

from __future__ import annotations

import math

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.policy import Policy, is_band
from napari_wbc.model.taxonomy import EIGHT_CLASSES, TWO_CLASSES, CellClass, Place, Taxonomy

OWN = Taxonomy(
    "own",
    (
        CellClass("segmented neutrophil", "SEG", "1", "#56b4e9", covers=("neutrophil",)),
        CellClass("band neutrophil", "BND", "2", "#0072b2", covers=("stab",)),
        CellClass("lymphocyte", "LYM", "3", "#009e73"),
    ),
)


@pytest.mark.parametrize("level", [0, 1, -1, math.nan])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(WbcError, match="Confidence level"):
        Policy(level=level)


@pytest.mark.parametrize("rate", [-1, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(WbcError, match="cannot be corrected"):
        Policy(correct_from=rate)


def test_bands_are_counted_as_neutrophils_and_stay_known():
    merged = Policy().taxonomy_of(OWN)
    assert merged.names == ("neutrophil", "lymphocyte")
    for label in ("neutrophil", "segmented neutrophil", "band neutrophil", "stab"):
        assert merged.row_of(label) == "neutrophil"


@pytest.mark.parametrize("taxonomy", [EIGHT_CLASSES, TWO_CLASSES])
def test_classes_without_bands_stay_as_they_are(taxonomy):
    assert Policy().taxonomy_of(taxonomy) is taxonomy


def test_bands_apart_have_a_row_of_their_own():
    apart = Policy(bands_apart=True).taxonomy_of(EIGHT_CLASSES)
    assert apart.names[:2] == ("neutrophil", "band neutrophil")
    assert apart.row_of("segmented neutrophil") == "neutrophil"
    assert "band neutrophil" in apart.names_at(Place.LEUKOCYTE)
    assert Policy(bands_apart=True).taxonomy_of(OWN) == OWN


def test_a_short_form_that_is_taken_is_not_used_again():
    other = CellClass("other", "BND", "", "#000000")
    apart = Policy(bands_apart=True).taxonomy_of(
        Taxonomy("t", (CellClass("neutrophil", "N", "", "#111111", covers=("stab",)), other))
    )
    assert apart.shorts["band neutrophil"] == "bnd"
    assert apart.row_of("stab") == "band neutrophil"


def test_names_of_bands():
    assert [is_band(name) for name in ("Band_Neutrophils", "stab", "bandit")] == [True, True, False]
