"""Absolute counts, the corrected WBC count and indices: worked figures, and what is not said."""

from __future__ import annotations

import math

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.blood_count import (
    WbcCount,
    absolute_counts,
    corrected_wbc,
    indices,
    is_corrected,
)
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.differential import differential
from napari_wbc.model.geometry import BBox
from napari_wbc.model.limits import share
from napari_wbc.model.policy import Policy
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, TWO_CLASSES

BOX = Detection(BBox(0, 0, 9, 9))


def table(**counts):
    cells = []
    for label, n in counts.items():
        name = label.replace("_", " ")
        cells += [Cell(f"{name} {i}", "f", BOX, annotation=Annotation(name)) for i in range(n)]
    return CellTable(cells)


def counted(**counts):
    return differential("s", table(**counts), EIGHT_CLASSES)


def figures(estimate, digits=2):
    return [round(number, digits) for number in estimate]


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e6])
def test_what_is_no_wbc_count_is_refused(value):
    with pytest.raises(WbcError, match="10\\^9 cells a litre"):
        WbcCount(value)


def test_eight_erythroblasts_beside_a_hundred_correct_the_count():
    eight = counted(neutrophil=60, lymphocyte=40, erythroblast=8)
    assert figures(corrected_wbc(WbcCount(17.4), eight, Policy())) == [16.11, 14.95, 16.83]


def test_a_count_that_the_analyser_corrected_is_never_corrected_again():
    eight = counted(neutrophil=100, erythroblast=8)
    wbc = WbcCount(17.4, corrected=True)
    assert corrected_wbc(wbc, eight, Policy()) == (17.4, 17.4, 17.4)
    assert absolute_counts(wbc, eight, Policy())["neutrophil"].value == 17.4


def test_the_correction_begins_where_the_policy_says():
    eight = counted(neutrophil=100, erythroblast=8)
    assert is_corrected(WbcCount(10), eight, Policy(correct_from=8))
    assert not is_corrected(WbcCount(10), eight, Policy(correct_from=8.5))
    assert not is_corrected(WbcCount(10), counted(), Policy())


def test_absolute_counts_are_exact_shares_of_all_nucleated_cells():
    slide = counted(neutrophil=60, lymphocyte=40, erythroblast=25)
    counts = absolute_counts(WbcCount(10), slide, Policy())
    assert counts["lymphocyte"] == share(40, 125).times(10)
    # The same value as a laboratory finds by correcting first.
    assert counts["lymphocyte"].value == pytest.approx(0.4 * 10 * 100 / 125)
    assert sum(each.value for each in counts.values()) == pytest.approx(8)


def test_of_no_leukocyte_there_is_no_absolute_count():
    counts = absolute_counts(WbcCount(10), counted(erythroblast=3), Policy())
    assert all(math.isnan(each.value) for each in counts.values())


def test_indices_of_bands_that_are_told():
    cells = table(neutrophil=50, band_neutrophil=10, metamyelocyte=5, lymphocyte=20, monocyte=15)
    slide = differential("s", cells, EIGHT_CLASSES)
    result = indices(cells, slide, EIGHT_CLASSES, Policy())
    assert result.immature == share(5, 100).times(100)
    assert figures(result.nlr)[0] == 3.0
    assert result.left_shift == share(15, 65).times(100)


def test_a_left_shift_needs_bands_and_a_ratio_its_classes():
    cells = table(neutrophil=5)
    result = indices(cells, differential("s", cells, EIGHT_CLASSES), EIGHT_CLASSES, Policy())
    assert result.left_shift is None
    assert math.isnan(result.nlr.value)
    pair = differential("s", cells, TWO_CLASSES)
    assert indices(cells, pair, TWO_CLASSES, Policy()).nlr is None
