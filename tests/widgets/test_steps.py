"""The pages of the workbench: what is on which, and what is seen in a small window."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_wbc.widgets.steps import TALLEST, StepTabs


@pytest.fixture
def steps(qtbot):
    steps = StepTabs()
    qtbot.addWidget(steps)
    return steps


def test_a_page_is_shown_for_what_is_on_it(steps):
    first, second, inner = QLabel("first"), QLabel("second"), StepTabs()
    steps.add_step("1", "", first)
    inner.add_step("a", "", QLabel("other"))
    inner.add_step("b", "", second)
    steps.addTab(inner, "2")
    steps.bring(second)
    assert (steps.currentIndex(), inner.currentIndex()) == (1, 1)
    steps.bring(first)
    assert steps.currentIndex() == 0


def test_a_tall_page_asks_for_no_more_than_a_small_screen_has(steps):
    tall = QLabel()
    tall.setMinimumHeight(2000)
    steps.add_step("1", "", tall)
    assert steps.sizeHint().height() == TALLEST


def test_at_1366_by_768_the_cell_and_all_classes_are_in_view(analyzed, qtbot):
    bench = analyzed
    window = bench.window()
    window.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    window.resize(1366, 768)
    window.show()
    bench.tabs.bring(bench.queue_panel)
    bench.queue_panel.start()
    qtbot.waitUntil(lambda: not bench.busy)
    qtbot.wait(200)
    page = bench.tabs.currentWidget()
    for push in bench.review.labels.values():
        assert push.visibleRegion().boundingRect().height() == push.height()
    assert bench.references.visibleRegion().boundingRect().height() >= 240
    assert page.horizontalScrollBar().maximum() == 0
    assert bench.counts.visibleRegion().boundingRect().height() >= 5 * 18


def test_buttons_that_can_do_nothing_yet_say_why(bench):
    assert not bench.analysis.run.isEnabled()
    assert "page Slide" in bench.analysis.run.toolTip()


def test_the_differential_says_how_many_cells_are_reviewed(analyzed):
    bench = analyzed
    n = len(bench.session.table)
    bench.actions.label("basophil", list(bench.session.table)[:1])
    assert f"1 of {n} cells reviewed" in bench.differential.summary.text()
    bench.session.undo()
    assert f"0 of {n} cells reviewed" in bench.differential.summary.text()


def test_no_white_line_shines_through_the_corners_of_tabs(steps):
    assert not steps.tabBar().drawBase()
