"""A project whose cells are not those of its journal is told, whatever was taken out of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from tests.pipeline.projects import make_project, relabel

from napari_wbc.errors import WorkspaceError
from napari_wbc.model.cell import Annotation
from napari_wbc.model.progress import run
from napari_wbc.pipeline.project import project_analysis
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import check_journal_steps, open_workspace


@pytest.fixture
def project(tmp_path):
    """A slide that two readers labelled, and of which a cell was deleted and brought back."""
    path = make_project(tmp_path)
    relabel(path, "slide-1.png-0", "basophil")
    session = Session()
    with closing(open_workspace(path)) as workspace:
        (slide,) = workspace.slides()
        session.open(slide, workspace, reading="ben")
        said = [cell.annotated(Annotation("monocyte", "ben")) for cell in session.table.values()]
        session.commit(session.table.with_cells(said), "label")
        session.open(slide, workspace)
        session.commit(session.table.without(["slide-2.png-0", "slide-3.png-0"]), "delete")
        session.undo()
        session.commit(session.table.without(["slide-4.png-0"]), "delete")
        session.close()
    return path


def differing(path):
    with closing(open_workspace(path, read_only=True)) as workspace:
        return run(check_journal_steps(workspace))


def test_cells_are_those_of_the_journal(project):
    assert differing(project) == ()
    project_analysis(project)


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM annotations WHERE cell_id = 'slide-1.png-0' AND reading = ''"],
        ["DELETE FROM annotations WHERE cell_id = 'slide-1.png-0' AND reading = 'ben'"],
        ["DELETE FROM predictions WHERE cell_id = 'slide-1.png-0'"],
        [
            f"DELETE FROM {table} WHERE cell_id = 'slide-1.png-0'"
            for table in ("annotations", "predictions", "cells")
        ],
        ["DELETE FROM changes WHERE seq = 2", "DELETE FROM steps WHERE seq = 2"],
    ],
)
def test_rows_that_are_gone_are_told(project, statements):
    with closing(sqlite3.connect(project)) as file:
        for statement in statements:
            assert file.execute(statement).rowcount
        file.commit()
    assert differing(project) == ("slide-1.png-0",)
    with pytest.raises(WorkspaceError, match=r"slide\.wbc.*1 of its cells.*journal"):
        project_analysis(project)


def test_an_edit_meanwhile_is_no_fault(project):
    session = Session()
    with closing(open_workspace(project)) as workspace:
        steps = check_journal_steps(workspace)
        next(steps)
        session.open(workspace.slides()[0], workspace)
        session.commit(session.table.without(["slide-1.png-0"]), "delete")
        session.close()
        assert run(steps) == ()
