"""The alarm of a stain that the model does not know."""

from __future__ import annotations

import pytest

from napari_wbc.model.cell import Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.stain_alarm import FIRST, doubt, is_alarm, stain_alarm


def cells(*distances, confidence=0.9):
    for distance in distances:
        cell = Cell.new("1.png", Detection(BBox(0, 0, 9, 9)))
        chances = (confidence, 1 - confidence)
        yield cell.predicted(Prediction(("a", "b"), chances, unlikeness=distance))


def test_doubt_is_unlikeness_and_what_confidence_lacks():
    assert doubt(Prediction(("a", "b"), (0.75, 0.25), unlikeness=0.5)) == 0.75
    assert doubt(Prediction(("a",), (1.0,))) is None


@pytest.mark.parametrize(
    ("doubts", "alarm"),
    [([], False), ([9.0], False), ([0.9] * 2, False), ([1.0] * 2, True), ([0.8] * 30, True)],
)
def test_few_cells_need_more_doubt(doubts, alarm):
    assert is_alarm(doubts) is alarm


def test_the_first_cells_decide_and_are_counted():
    assert f"first {FIRST} cells" in stain_alarm(cells(*[1.2] * 30, *[0.5] * 400))
    assert not stain_alarm(cells(*[0.5] * 30, *[1.2] * 400))


def test_cells_that_are_alike_and_unsure_raise_it_too():
    assert stain_alarm(cells(*[0.6] * 30, confidence=0.6))
    assert not stain_alarm(cells(*[0.6] * 30, confidence=0.99))


def test_cells_without_unlikeness_are_passed_over():
    located = Cell.new("1.png", Detection(BBox(0, 0, 9, 9)))
    assert not stain_alarm([located, *cells(None, None, 2.0)])
    assert "first 2 cells" in stain_alarm([located, *cells(None, 2.0, 2.0)])
