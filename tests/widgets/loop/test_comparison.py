"""Two models on the screen: the verdict in words, the numbers as measured, and a choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_wbc.measure.comparison import Answers, Comparison, measured
from napari_wbc.measure.comparison_plots import SIGNS, draw_pictures, table_rows
from napari_wbc.measure.verdict import Verdict
from napari_wbc.model.geometry import BBox
from napari_wbc.model.taxonomy import FIVE_CLASSES
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.widgets.loop import comparison as module
from napari_wbc.widgets.loop.comparison import ComparisonView


def compared(old_wrong=(), new_wrong=(), n=40, source="lab") -> Comparison:
    """A comparison in which the models are wrong about these cells."""
    truth = np.arange(n, dtype=np.int64) % 5
    names = FIVE_CLASSES.names

    def said(rows, name):
        guess = truth.copy()
        guess[list(rows)] = (guess[list(rows)] + 1) % 5
        chances = np.full((n, 5), 0.05)
        chances[np.arange(n), guess] = 0.8
        return Answers(name, chances, np.ones(n, bool))

    cells = tuple(
        LabelledCell(
            Path(f"{i}.png"), names[truth[i]], "test", source, BBox(0, 0, 9, 9), slide=f"s{i // 4}"
        )
        for i in range(n)
    )
    old, new = said(old_wrong, "one 1"), said(new_wrong, "two 2")
    slides = np.array([cell.slide for cell in cells])
    measures = measured(truth, old, new, names, sources=np.full(n, source), slides=slides)
    changed = len(set(old_wrong) ^ set(new_wrong))
    crops = np.full((changed, 24, 24, 3), 120, np.uint8)
    return Comparison(
        FIVE_CLASSES, truth, old, new, cells, measures, crops, (0.8, 0.7), ("Look <b>twice</b>.",)
    )


@pytest.fixture
def view(qtbot):
    view = ComparisonView()
    qtbot.addWidget(view)
    return view


def texts(table):
    return [
        tuple(table.item(i, j).text() for j in range(table.columnCount()))
        for i in range(table.rowCount())
    ]


def test_before_a_comparison_there_is_nothing_to_choose(view):
    assert view.value() is None
    assert view.verdict.text() == "No comparison yet"
    assert not view.adopt.isEnabled()
    assert not view.keep.isEnabled()


@pytest.mark.parametrize(
    ("old_wrong", "new_wrong", "verdict"),
    [
        (range(0, 40, 2), (), Verdict.ADOPT),
        ((), range(0, 40, 2), Verdict.KEEP),
        ((), (3,), Verdict.UNDECIDED),
    ],
)
def test_the_verdict_stands_in_words(view, old_wrong, new_wrong, verdict):
    shown = compared(old_wrong, new_wrong)
    view.show_comparison(shown)
    assert shown.measures.verdict is verdict
    assert view.verdict.text() == SIGNS[verdict][0]
    assert shown.measures.why in view.why.text()
    assert view.adopt.isEnabled()
    assert view.keep.isEnabled()


def test_numbers_are_those_that_were_measured(view):
    shown = compared((1, 2, 3), (4,))
    view.show_comparison(shown)
    assert texts(view.sources) == table_rows(shown)
    assert texts(view.sides)[0][0] == "accuracy"
    assert "• Look <b>twice</b>." in view.notes.text()


def test_changed_cells_are_in_two_tabs(view):
    view.show_comparison(compared((1, 2, 3), (3, 4)))
    assert [view.tabs.tabText(i) for i in range(view.tabs.count())] == [
        "Confusion",
        "Fixed (2)",
        "Broken (1)",
        "All measures",
    ]
    assert (view.fixed.count(), view.broken.count()) == (2, 1)
    assert view.fixed.item(0).text() == "EOS\nBAS 0.80 → EOS 0.80"
    assert "4.png" in view.broken.item(0).toolTip()


def test_another_comparison_takes_the_place_of_the_first(view):
    view.show_comparison(compared((1, 2, 3)))
    view.show_comparison(compared())
    assert (view.fixed.count(), view.broken.count(), view.tabs.tabText(1)) == (0, 0, "Fixed (0)")
    assert view.picture.pixmap().isNull()


def test_of_very_many_changed_cells_some_are_shown(view, monkeypatch):
    monkeypatch.setattr(module, "MAX_THUMBNAILS", 4)
    view.show_comparison(compared(range(9)))
    assert view.fixed.count() == 4
    assert view.tabs.tabText(1) == "Fixed (9)"


def test_the_picture_fits_its_room(view, qtbot):
    shown = compared((1, 2), (3,))
    view.resize(700, 700)
    view.show_comparison(shown, draw_pictures(shown)["confusion"])
    with qtbot.waitExposed(view):
        view.show()
    assert not view.picture.pixmap().isNull()
    assert view.picture.pixmap().width() <= view.picture.width() * view.devicePixelRatioF()


def test_the_choice_is_told(view, qtbot):
    view.show_comparison(compared((1, 2)))
    with qtbot.waitSignal(view.adopt_chosen):
        view.adopt.click()
    with qtbot.waitSignal(view.keep_chosen):
        view.keep.click()


def test_pictures_are_drawn_whatever_changed():
    for shown in (
        compared(),
        compared((1,)),
        compared(range(40), (), source="$lab$ $1"),
        compared((0,), n=1),
    ):
        pictures = draw_pictures(shown)
        assert list(pictures) == ["confusion", "difference", "calibration", "changed"]
        assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
