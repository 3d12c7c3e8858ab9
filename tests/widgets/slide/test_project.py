"""The project of the slide, without a window."""

from __future__ import annotations

import pytest

from napari_wbc.session.session import Loaded, Session
from napari_wbc.widgets.qt.described import FIRST
from napari_wbc.widgets.slide.project import ProjectPanel


@pytest.fixture
def panel(qtbot):
    shown = ProjectPanel(Session())
    qtbot.addWidget(shown)
    yield shown
    shown.release()


def test_without_a_project_all_is_in_memory(panel):
    assert panel.path is None
    assert "in memory only" in panel.state.toolTip()


def test_a_blind_reading_needs_a_project(panel, qtbot):
    with qtbot.waitSignal(panel.warned) as signal:
        panel.reading.activated.emit(panel.reading.count() - 1)
    assert "needs a project" in signal.args[0]
    assert panel.reading.currentText() == FIRST


def test_going_back_from_the_first_project_leaves_no_slide(panel, qtbot):
    with qtbot.waitSignal(panel.opened) as signal:
        panel.go_back()
    assert isinstance(signal.args[0], Loaded)
    assert panel.session.slide.fields == ()
    assert panel.slides.isHidden()
