"""The total of a differential is its denominator, and each label is counted in one row."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.model.cell import Cell, Detection, Prediction
from napari_wbc.model.differential import (
    Beside,
    Differential,
    Share,
    differential,
    leukocytes,
    row_counts,
)
from napari_wbc.model.geometry import BBox
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, TAXONOMIES

LABELS = (
    st.sampled_from([*EIGHT_CLASSES.labels, "band neutrophil", "blast", "mononuclear"]) | st.text()
)


def test_an_empty_differential_has_no_leukocytes():
    assert Differential("s", (), ()).total == 0


def test_what_stands_beside_is_not_in_the_total():
    shares = (
        Share("a", 3, 60, 1, 99),
        Share("b", 2, 40, 1, 99),
        Share("c", 0, math.nan, math.nan, math.nan),
    )
    assert Differential("s", shares, (Beside("platelet", 50),)).total == 5


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
