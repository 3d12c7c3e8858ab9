"""Every change is on the disk at once, and a restart goes on where one stopped."""

from __future__ import annotations

import random
import time

import pytest
from tests.session.test_session import SLIDE

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session import autosave
from napari_wbc.session.autosave import SaveState
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import create_workspace, open_workspace

LABELS = EIGHT_CLASSES.names


def cell(i, fov_id="s/0.png"):
    return Cell(str(i), fov_id, Detection(BBox(i, 0, i + 9, 9)))


@pytest.fixture
def workspace(tmp_path):
    made = create_workspace(tmp_path / "p.wbc", EIGHT_CLASSES)
    yield made
    made.close()


@pytest.fixture
def session(workspace):
    made = Session()
    made.reader = "me"
    made.open(SLIDE, workspace)
    yield made
    made.close()


def failing(workspace, method, error, monkeypatch):
    """Let a method of a project fail as long as the first of what comes back is true."""
    works, broken = getattr(workspace, method), [True]

    def full(*args):
        if broken[0]:
            raise error
        works(*args)

    monkeypatch.setattr(workspace, method, full)
    return broken


def wait_until_saved(session):
    deadline = time.monotonic() + 5
    while session.saved.kind != "saved" and time.monotonic() < deadline:
        time.sleep(0.01)


def reopened(session, path, **kwargs):
    session.close()
    workspace = open_workspace(path)
    session.open(SLIDE, workspace, **kwargs)
    return workspace


def edit(session, rng):
    """A random edit: draw, delete, move or label one or several cells."""
    table = session.table
    some = rng.sample(list(table.values()), min(len(table), rng.randint(1, 5)))
    kind = rng.choice(["draw", "delete", "move", "label", "label", "clear"])
    if kind == "draw" or not some:
        new = [
            Cell.new(rng.choice(SLIDE.fields).fov_id, Detection(BBox(0, 0, rng.randint(1, 99), 9)))
        ]
        return session.commit(table.with_cells(new), "draw")
    if kind == "delete":
        return session.commit(table.without(c.cell_id for c in some[:2]), "delete")
    if kind == "move":
        box = BBox(rng.random(), 0, 5 + rng.random(), 9)
        return session.commit(table.with_cells([some[0].moved(Detection(box, drawn=True))]), "move")
    said = None if kind == "clear" else Annotation(rng.choice(LABELS), "me", str(rng.random()))
    return session.commit(table.with_cells(c.annotated(said) for c in some), kind)


def test_an_empty_slide_is_saved(session):
    assert session.saved.kind == "saved"
    assert session.flush()


def test_a_thousand_random_edits_and_as_many_undos_lead_to_where_they_began(
    session, workspace, tmp_path
):
    rng = random.Random(7)
    session.commit(session.table.with_cells(cell(i) for i in range(30)), "analyze", "model")
    first, done = session.table, 0
    while done < 1000:
        done += edit(session, rng)
    last = session.table
    session.close()
    workspace.close()
    workspace = reopened(session, tmp_path / "p.wbc")
    assert session.table == last
    for _ in range(1000):
        assert session.undo()
    assert session.table == first
    session.flush()
    assert workspace.table("s") == first
    session.close()
    workspace.close()
    workspace = reopened(session, tmp_path / "p.wbc")
    for _ in range(1000):
        assert session.redo()
    assert session.table == last
    session.close()
    workspace.close()


def test_undo_and_redo_survive_a_restart(session, workspace, tmp_path):
    for label in ("basophil", "monocyte"):
        session.commit(CellTable([cell(0).annotated(Annotation(label))]), label)
    session.undo()
    session.close()
    workspace.close()
    again = reopened(session, tmp_path / "p.wbc")
    assert (session.undoable, session.redoable) == ("basophil", "monocyte")
    assert session.redo() == "monocyte"
    assert session.table["0"].label == "monocyte"
    assert [session.undo(), session.undo(), session.undo()] == ["monocyte", "basophil", ""]
    session.close()
    again.close()


def test_what_cannot_be_written_is_said_kept_and_tried_again(session, workspace, monkeypatch):
    monkeypatch.setattr(autosave, "RETRY_S", 0.05)
    broken = failing(workspace, "write", WbcError("the disk is full"), monkeypatch)
    session.commit(CellTable([cell(0)]), "draw")
    session.commit(CellTable([cell(0), cell(1)]), "draw")
    assert not session.flush()
    assert session.saved == autosave.SaveState("not saved", "the disk is full")
    broken[0] = False
    wait_until_saved(session)
    assert workspace.table("s") == session.table


def test_a_project_that_is_open_elsewhere_refuses_changes(session, tmp_path):
    session.commit(CellTable([cell(0)]), "draw")
    session.flush()
    other, refused = Session(), []
    other.refused.connect(refused.append)
    second = open_workspace(tmp_path / "p.wbc")
    other.open(SLIDE, second)
    assert other.table == session.table
    assert not other.commit(CellTable(), "delete")
    assert other.undo() == ""
    assert other.saved.kind == "read only"
    assert len(refused) == 2
    assert "another program" in refused[0]
    other.close()
    second.close()


def test_a_blind_reading_takes_labels_only_and_has_an_undo_of_its_own(session, workspace):
    session.commit(CellTable([cell(0)]), "draw")
    session.commit(
        session.table.with_cells([cell(0).annotated(Annotation("basophil", "me"))]), "label"
    )
    session.flush()
    refused = []
    session.refused.connect(refused.append)
    session.open(SLIDE, workspace, reading="second")
    assert (session.table["0"].annotation, session.undoable) == (None, "")
    assert not session.commit(CellTable(), "delete")
    assert "labels only" in refused[0]
    assert session.commit(
        session.table.with_cells([cell(0).annotated(Annotation("monocyte"))]), "label"
    )
    session.open(SLIDE, workspace)
    assert (session.table["0"].label, session.undoable) == ("basophil", "label")
    assert workspace.table("s", "second")["0"].label == "monocyte"


def test_what_a_person_took_out_is_known_even_after_a_restart(session, workspace, tmp_path):
    session.commit(CellTable([cell(0), cell(1), cell(2)]), "analyze", "model")
    session.commit(session.table.without("0"), "delete")
    session.commit(session.table.without("1"), "analyze", "model")
    session.commit(session.table.without("2"), "delete")
    session.undo()
    assert [c.cell_id for c in session.rejected()] == ["0"]
    session.close()
    workspace.close()
    again = reopened(session, tmp_path / "p.wbc")
    assert session.rejected() == (cell(0),)
    session.close()
    again.close()


def test_steps_that_were_written_are_not_written_again_when_a_note_cannot_be(
    session, workspace, monkeypatch
):
    monkeypatch.setattr(autosave, "RETRY_S", 0.02)
    broken = failing(workspace, "put", TypeError("no such luck"), monkeypatch)
    session.commit(CellTable([cell(0)]), "draw")
    session.note("place", {"at": 1})
    assert not session.flush()
    assert session.saved.why == "TypeError: no such luck"
    session.commit(CellTable([cell(0), cell(1)]), "draw")
    broken[0] = False
    wait_until_saved(session)
    assert workspace.table("s") == session.table
    assert workspace.get("place") == {"at": 1}


def test_closing_tries_once_more(session, workspace, monkeypatch):
    monkeypatch.setattr(autosave, "RETRY_S", 60)
    broken = failing(workspace, "write", WbcError("the disk is full"), monkeypatch)
    session.commit(CellTable([cell(0)]), "draw")
    assert not session.flush()
    broken[0] = False
    assert session.close()
    assert len(workspace.table("s")) == 1


def test_deleting_a_cell_keeps_what_a_second_reader_said_of_it(session, workspace):
    session.commit(CellTable([cell(0), cell(1)]), "analyze", "model")
    session.open(SLIDE, workspace, reading="ben")
    said = [c.annotated(Annotation("monocyte", "ben")) for c in session.table.values()]
    session.commit(session.table.with_cells(said), "label")
    session.open(SLIDE, workspace)
    assert session.annotated_elsewhere() == {"0", "1"}
    session.commit(session.table.without("0"), "delete")
    session.open(SLIDE, workspace, reading="ben")
    assert list(session.table) == ["1"]
    session.undo()  # of a label on a cell that is gone by now
    assert session.table["1"].annotation is None
    session.redo()
    session.open(SLIDE, workspace)
    session.undo()
    session.open(SLIDE, workspace, reading="ben")
    assert [c.label for c in session.table.values()] == ["monocyte", "monocyte"]


@pytest.mark.parametrize(
    ("why", "reason"), [("The disk is full.", "The disk is full"), ("", "the disk is slow")]
)
def test_what_is_not_saved_is_said_in_one_sentence(why, reason):
    assert SaveState("not saved", why).sentence == f"What you did is not saved: {reason}."
