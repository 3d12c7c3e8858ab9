"""The alarm of a stain that the model does not know."""

from __future__ import annotations

import pytest

from napari_wbc.model.cell import Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.stain_alarm import FIRST, is_alarm, stain_alarm


def cells(*distances):
    for distance in distances:
        cell = Cell.new("1.png", Detection(BBox(0, 0, 9, 9)))
        yield cell.predicted(Prediction(("a", "b"), (0.9, 0.1), unlikeness=distance))


@pytest.mark.parametrize(
    ("unlikeness", "alarm"),
    [
        ([], False),
        ([9.0], False),
        ([0.7] * 30, False),
        ([0.9] * 2, True),
        ([0.5] * 20 + [9.0] * 10, False),
        ([0.5] * 10 + [1.1] * 20, True),
    ],
)
def test_most_cells_have_to_be_unlike(unlikeness, alarm):
    assert is_alarm(unlikeness) is alarm


def test_the_first_cells_decide_and_are_counted():
    assert f"first {FIRST} cells" in stain_alarm(cells(*[1.2] * 30, *[0.5] * 400))
    assert not stain_alarm(cells(*[0.5] * 30, *[1.2] * 400))


def test_cells_without_unlikeness_are_passed_over():
    located = Cell.new("1.png", Detection(BBox(0, 0, 9, 9)))
    assert not stain_alarm([located, *cells(None, None, 2.0)])
    assert "first 2 cells" in stain_alarm([located, *cells(None, 2.0, 2.0)])
