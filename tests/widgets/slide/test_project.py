"""The project of the slide, without a window."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from tests.session.test_autosave import cell, failing
from tests.session.test_session import SLIDE

from napari_wbc.errors import WbcError
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session import autosave, rescue
from napari_wbc.session.rescue import rescued_of
from napari_wbc.session.session import Loaded, Session
from napari_wbc.storage.workspace import create_workspace
from napari_wbc.widgets.qt.described import FIRST
from napari_wbc.widgets.slide import project
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


@pytest.mark.parametrize("answer", [True, False])
def test_changes_that_were_not_saved_are_offered(panel, qtbot, tmp_path, monkeypatch, answer):
    monkeypatch.setattr(rescue, "_folders", lambda: (tmp_path / "own",))
    monkeypatch.setattr(project, "confirmed", lambda *_question: answer)
    monkeypatch.setattr(autosave, "RETRY_S", 60)
    path = tmp_path / "p.wbc"
    session = Session()
    with closing(create_workspace(path, EIGHT_CLASSES)) as workspace:
        session.open(SLIDE, workspace)
        failing(workspace, "write", WbcError("the disk is full"), monkeypatch)
        session.commit(CellTable([cell(0)]), "draw")
        assert not session.close()
    with qtbot.waitSignal(panel.opened, timeout=10_000):
        panel.open_project(path)
    assert list(panel.session.table) == (["0"] if answer else [])
    assert rescued_of(path) is None
    qtbot.waitUntil(lambda: not panel.busy, timeout=10_000)


def test_a_project_that_lost_a_row_says_so(panel, qtbot, tmp_path):
    path = tmp_path / "p.wbc"
    session = Session()
    with closing(create_workspace(path, EIGHT_CLASSES)) as workspace:
        session.open(SLIDE, workspace)
        session.commit(CellTable([cell(0), cell(1)]), "draw")
        session.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("DELETE FROM cells WHERE cell_id = '1'")
        file.commit()
    said = []
    panel.warned.connect(said.append)
    with qtbot.waitSignal(panel.opened, timeout=10_000):
        panel.open_project(path)
    qtbot.waitUntil(lambda: any("1 of its cells" in text for text in said), timeout=10_000)
    qtbot.waitUntil(lambda: not panel.busy, timeout=10_000)
