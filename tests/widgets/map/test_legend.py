"""The legend: its texts, its lines, and what has no room."""

from __future__ import annotations

import pytest

from napari_wbc.widgets.map.kinds import Kind
from napari_wbc.widgets.map.legend import MAX_LINES, Legend


@pytest.fixture
def legend(qtbot):
    legend = Legend()
    qtbot.addWidget(legend)
    return legend


def kinds(n):
    return [Kind(f"kind {i}", "#ff0000", "circle") for i in range(n)]


def test_kinds_are_shown_with_their_counts(legend):
    legend.show_kinds(kinds(2), [1, 2000])
    assert legend.texts == ("kind 0 1", "kind 1 2,000")
    assert legend.accessibleName() == "Legend: kind 0 1, kind 1 2,000"


def test_no_kinds_take_no_room(legend):
    assert legend.heightForWidth(300) == 0
    legend.grab()


def test_it_is_as_high_as_its_lines_up_to_a_limit(legend):
    legend.show_kinds(kinds(3), [1, 2, 3])
    line = legend.heightForWidth(1000)
    assert legend.heightForWidth(1) == 3 * line
    legend.show_kinds(kinds(100), [1] * 100)
    assert legend.heightForWidth(1) == MAX_LINES * line


def test_what_has_no_room_is_counted(legend):
    legend.show_kinds(kinds(100), [1] * 100)
    legend.resize(300, legend.heightForWidth(300))
    assert legend._more(40) == "and 60 more"
    assert legend._more(100) == ""
    legend.grab()
