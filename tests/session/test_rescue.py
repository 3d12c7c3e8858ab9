"""What could not be saved when a project was closed is there when it is opened again."""

from __future__ import annotations

from contextlib import closing

import pytest
from tests.session.test_autosave import cell, failing
from tests.session.test_session import SLIDE

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session import autosave, rescue
from napari_wbc.session.rescue import put_back, rescued_of, set_aside
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import check_journal, create_workspace, open_workspace


@pytest.fixture
def path(tmp_path, monkeypatch):
    folders = (tmp_path / "own", tmp_path / "other")
    monkeypatch.setattr(rescue, "_folders", lambda: folders)
    monkeypatch.setattr(autosave, "RETRY_S", 60)
    return tmp_path / "p.wbc"


def closed_on_a_full_disk(path, monkeypatch):
    """Draw two cells, then on a full disk label one, delete the other and draw a third."""
    session = Session()
    with closing(create_workspace(path, EIGHT_CLASSES)) as workspace:
        session.open(SLIDE, workspace)
        session.commit(CellTable([cell(0), cell(1)]), "draw")
        assert session.flush()
        failing(workspace, "write", WbcError("the disk is full"), monkeypatch)
        labelled = session.table["0"].annotated(Annotation("monocyte", "me", "now"))
        session.commit(session.table.with_cells([labelled]), "label")
        session.commit(session.table.without(["1"]), "delete")
        session.commit(session.table.with_cells([cell(2)]), "draw")
        assert not session.close()
    return session


def test_without_a_failure_nothing_waits(path):
    session = Session()
    with closing(create_workspace(path, EIGHT_CLASSES)) as workspace:
        session.open(SLIDE, workspace)
        session.commit(CellTable([cell(0)]), "draw")
        assert session.close()
    assert session.rescued is None
    assert rescued_of(path) is None


def test_what_was_not_saved_is_put_back_with_its_undo(path, monkeypatch):
    session = closed_on_a_full_disk(path, monkeypatch)
    waiting = rescued_of(path)
    assert waiting.file == session.rescued
    assert (waiting.slide, len(waiting.steps)) == (SLIDE.name, 3)
    with closing(open_workspace(path)) as workspace:
        assert len(workspace.table(SLIDE.name)) == 2
        put_back(workspace, waiting)
        assert workspace.table(SLIDE.name) == session.table
        check_journal(workspace)
        again = Session()
        again.open(SLIDE, workspace)
        assert [again.undo(), again.undo(), again.undo()] == ["draw", "delete", "label"]
        assert set(again.table) == {"0", "1"}
        again.close()
    assert rescued_of(path) is None


def test_a_project_that_went_on_is_not_overwritten(path, monkeypatch):
    closed_on_a_full_disk(path, monkeypatch)
    other = Session()
    with closing(open_workspace(path)) as workspace:
        other.open(SLIDE, workspace)
        other.commit(other.table.with_cells([cell(7)]), "draw")
        other.close()
        before = workspace.table(SLIDE.name)
        waiting = rescued_of(path)
        with pytest.raises(WbcError, match="was changed since"):
            put_back(workspace, waiting)
        assert workspace.table(SLIDE.name) == before
    kept = set_aside(waiting)
    assert kept.exists()
    assert rescued_of(path) is None


def test_another_folder_is_taken_where_the_first_is_full_too(path, monkeypatch, tmp_path):
    (tmp_path / "own").write_text("a file, so that no folder can be made here")
    session = closed_on_a_full_disk(path, monkeypatch)
    assert session.rescued.parent.name == "other"
    assert rescued_of(path).file == session.rescued


@pytest.mark.parametrize("text", ["", "[]", '{"steps": 1}', '{"slide": "s", "steps": []}'])
def test_a_damaged_file_of_steps_is_passed_over(path, monkeypatch, text):
    session = closed_on_a_full_disk(path, monkeypatch)
    session.rescued.write_text(text)
    assert rescued_of(path) is None
