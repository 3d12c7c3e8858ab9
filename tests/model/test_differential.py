"""The total of a differential is its denominator, and each label is counted in one row."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.differential import (
    Beside,
    Differential,
    Share,
    differential,
    leukocytes,
    row_counts,
)
from napari_wbc.model.geometry import BBox
from napari_wbc.model.policy import Policy
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, TAXONOMIES, UNIDENTIFIED

LABELS = (
    st.sampled_from([*EIGHT_CLASSES.labels, "band neutrophil", "blast", "mononuclear"]) | st.text()
)


def test_an_empty_differential_has_no_leukocytes():
    assert Differential("s", (), (), 0).total == 0


def test_what_stands_beside_is_not_in_the_total():
    shares = (
        Share("a", 3, 60, 1, 99),
        Share("b", 2, 40, 1, 99),
        Share("c", 0, math.nan, math.nan, math.nan),
    )
    assert Differential("s", shares, (Beside("platelet", 50),), 55).total == 5


def test_no_cells_have_all_rows_of_the_taxonomy():
    assert row_counts({}, EIGHT_CLASSES) == dict.fromkeys(EIGHT_CLASSES.labels, 0)
    assert leukocytes({}, EIGHT_CLASSES) == 0


@given(st.lists(LABELS), st.sampled_from(list(TAXONOMIES.values())))
def test_every_cell_is_in_one_row(labels, taxonomy):
    rows = row_counts(Counter(labels), taxonomy)
    assert sum(rows.values()) == len(labels)
    assert tuple(rows)[: len(taxonomy.labels)] == taxonomy.labels
    expected = Counter(taxonomy.class_of(label) or label for label in labels)
    assert {name: n for name, n in rows.items() if n} == expected


def test_a_covered_label_is_counted_as_its_class():
    rows = row_counts({"band neutrophil": 2, "neutrophil": 1, "blast": 4}, EIGHT_CLASSES)
    assert (rows["neutrophil"], rows["blast"], "band neutrophil" in rows) == (3, 4, False)
    assert leukocytes({"band neutrophil": 2, "blast": 4, "platelet": 3}, EIGHT_CLASSES) == 2


def test_candidates_stand_beside_the_differential_until_one_is_accepted():
    found = Prediction(("basophil",), (1.0,))
    cells = [
        Cell(name, "f", Detection(BBox(0, 0, 9, 9), candidate=name != "sure"), found)
        for name in ("sure", "a", "b")
    ]
    table = CellTable(cells)
    counted = differential("s", table, EIGHT_CLASSES)
    assert (counted.total, counted.beside[-1]) == (1, Beside("candidate", 2))
    counted = differential("s", table.with_cells([cells[1].accepted()]), EIGHT_CLASSES)
    assert (counted.total, counted.beside[-1]) == (2, Beside("candidate", 1))


def labelled(counts, annotated=True):
    cells = []
    for label, n in counts.items():
        for i in range(n):
            said = Annotation(label) if annotated else None
            guess = None if annotated else Prediction((label,), (1.0,))
            cells.append(Cell(f"{label} {i}", "f", Detection(BBox(0, 0, 9, 9)), guess, said))
    return CellTable(cells)


def test_rows_that_do_not_add_up_are_refused():
    with pytest.raises(WbcError, match="3 cells in its rows, but 4 were located"):
        Differential("s", (Share("a", 3, 100, 29, 100),), (), 4)


@given(st.lists(LABELS), st.booleans(), st.booleans())
def test_no_policy_loses_a_cell(labels, bands, unidentified):
    policy = Policy(bands_apart=bands, unidentified_counted=unidentified)
    taxonomy = policy.taxonomy_of(EIGHT_CLASSES)
    table = labelled(Counter(labels))
    counted = differential("s", table, taxonomy, policy)
    assert counted.located == len(table) == sum(row.count for row in counted.rows)
    assert counted.reviewed == sum(map(bool, labels))


def test_smudge_cells_and_erythroblasts_are_per_100_with_limits():
    cells = labelled({"neutrophil": 100, "erythroblast": 8, "Smudge cells": 8})
    counted = differential("s", cells, EIGHT_CLASSES)
    for name in ("erythroblast", "Smudge cells"):
        (row,) = [row for row in counted.beside if row.name == name]
        rate = row.per_100_wbc, row.low, row.high
        assert [round(number, 1) for number in rate] == [8.0, 3.4, 16.4]
    assert counted.erythroblasts == 8


@pytest.mark.parametrize(("leukocytes", "given"), [(19, False), (20, True)])
def test_nothing_is_per_100_of_a_few_leukocytes(leukocytes, given):
    counted = differential(
        "s", labelled({"neutrophil": leukocytes, "erythroblast": 1}), EIGHT_CLASSES
    )
    row = counted.beside[0]
    assert row.count == 1
    assert np.isfinite([row.per_100_wbc, row.low, row.high]).all() == given
    assert counted.too_few != given


def test_unidentified_cells_widen_the_worst_case_or_are_counted():
    table = labelled({"neutrophil": 60, "basophil": 0, "lymphocyte": 30, UNIDENTIFIED: 10})
    outside = differential("s", table, EIGHT_CLASSES)
    neutrophils = outside.shares[0]
    assert (outside.total, outside.unidentified) == (90, 10)
    assert neutrophils.worst_low < neutrophils.low < neutrophils.high < neutrophils.worst_high
    inside = differential("s", table, EIGHT_CLASSES, Policy(unidentified_counted=True))
    assert (inside.total, inside.unidentified) == (100, 10)
    assert inside.shares[-1].name == UNIDENTIFIED
    assert inside.shares[0].percent == 60
    assert inside.shares[0].worst_low == inside.shares[0].low


def test_rows_say_how_many_are_reviewed_audited_and_only_predicted():
    table = labelled({"monocyte": 5}, annotated=False)
    reviewed = [table[f"monocyte {i}"].annotated(Annotation("monocyte")) for i in range(3)]
    table = table.with_cells(reviewed)
    audited = ["monocyte 0", "monocyte 4", "gone"]
    counted = differential("s", table, EIGHT_CLASSES, audited=audited)
    (row,) = [row for row in counted.shares if row.name == "monocyte"]
    assert (row.count, row.reviewed, row.audited, row.predicted) == (5, 3, 1, 2)
