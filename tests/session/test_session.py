"""The session: undo and redo lead back and forth through every table, and everybody hears it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.session.session import Session

SLIDE = Slide("s", tuple(FieldOfView(f"s/{i}.png", Path(f"s/{i}.png")) for i in range(3)))
CELLS = st.builds(
    lambda key, label: Cell(
        key, "s/0.png", Detection(BBox(0, 0, 9, 9)), annotation=Annotation(label)
    ),
    st.sampled_from("abcd"),
    st.sampled_from(["basophil", "monocyte", "lymphocyte"]),
)
TABLES = st.lists(CELLS, max_size=4).map(CellTable)


@pytest.fixture
def session():
    return Session()


def listen(session):
    heard = []
    session.changed.connect(lambda old, new: heard.append((old, new)))
    session.field_changed.connect(heard.append)
    session.slide_changed.connect(heard.append)
    return heard


def table(*labels):
    return CellTable(
        Cell(str(i), "s/0.png", Detection(BBox(0, 0, 9, 9)), annotation=Annotation(label))
        for i, label in enumerate(labels)
    )


def test_a_new_session_is_empty(session):
    assert (len(session.table), session.field, session.slide.fields) == (0, None, ())
    assert (session.undo(), session.redo(), session.undoable, session.redoable) == ("", "", "", "")


def test_a_commit_is_heard_once_and_can_be_taken_back(session):
    heard, old, new = listen(session), session.table, table("basophil")
    assert session.commit(new, "draw")
    assert session.table is new
    assert (session.undoable, session.redoable) == ("draw", "")
    assert session.undo() == "draw"
    assert session.table == old
    assert (session.undoable, session.redoable) == ("", "draw")
    assert session.redo() == "draw"
    assert heard == [(old, new), (new, old), (old, new)]


def test_a_commit_of_nothing_is_not_heard_and_not_undone(session):
    session.commit(table("basophil"), "draw")
    session.commit(table("monocyte"), "label")
    session.undo()
    heard, before = listen(session), session.table
    assert not session.commit(session.table, "nothing")
    assert not session.commit(table("basophil"), "an equal table")
    assert session.table is before
    assert (heard, session.undoable, session.redoable) == ([], "draw", "label")


def test_a_commit_after_undo_forgets_what_was_undone(session):
    for label in ("basophil", "monocyte"):
        session.commit(table(label), label)
    session.undo()
    session.commit(table("lymphocyte"), "lymphocyte")
    assert session.redo() == ""
    assert session.undo() == "lymphocyte"
    assert session.table == table("basophil")


@given(st.lists(TABLES, max_size=10), st.data())
def test_as_many_undos_as_commits_lead_back_and_as_many_redos_forth(tables, data):
    session = Session()
    first = session.table
    done = [t for i, t in enumerate(tables) if session.commit(t, f"step {i}")]
    last = session.table
    back = data.draw(st.integers(0, len(done)))
    for _ in range(back):
        assert session.undo()
    assert session.table == [first, *done][len(done) - back]
    while session.undo():
        pass
    assert session.table == first
    for expected in done:
        assert session.redo()
        assert session.table == expected
    assert session.table == last
    assert not session.redo()


@given(st.lists(st.one_of(TABLES, st.sampled_from(["undo", "redo"])), max_size=20))
def test_what_is_heard_leads_from_table_to_table(actions):
    session = Session()
    shown = [session.table]

    def follow(old, new):
        assert old is shown[-1]
        shown.append(new)

    session.changed.connect(follow)
    for action in actions:
        session.commit(action, "x") if isinstance(action, CellTable) else getattr(session, action)()
        assert session.table is shown[-1]


def test_opening_a_slide_shows_its_first_field_and_starts_empty(session):
    session.commit(table("basophil"), "draw")
    heard = listen(session)
    session.open(SLIDE)
    assert (session.slide, session.field) == (SLIDE, SLIDE.fields[0])
    assert (len(session.table), session.undoable, session.undo()) == (0, "", "")
    assert heard == [SLIDE, (table("basophil"), CellTable()), "s/0.png"]


def test_opening_a_slide_in_an_empty_session_changes_no_table(session):
    heard = listen(session)
    session.open(SLIDE)
    assert heard == [SLIDE, "s/0.png"]


def test_a_slide_without_fields_shows_none(session):
    session.open(SLIDE)
    session.open(Slide("empty", ()))
    assert session.field is None


def test_fields_are_shown_by_name_and_heard_once(session):
    session.open(SLIDE)
    heard = listen(session)
    for fov_id in ("s/2.png", "s/2.png", "s/1.png"):
        session.show_field(fov_id)
    assert heard == ["s/2.png", "s/1.png"]
    assert session.field == SLIDE.fields[1]


def test_a_field_of_another_slide_is_refused(session):
    session.open(SLIDE)
    with pytest.raises(WbcError, match="no field 'x'"):
        session.show_field("x")
    assert session.field == SLIDE.fields[0]


def test_without_a_project_nothing_is_saved():
    session = Session()
    found = Cell.new("a.png", Detection(BBox(0, 0, 9, 9)))
    session.commit(session.table.with_cells([found]), "analyze", "model")
    assert (session.saved.kind, session.worked_on) == ("not saved", False)
    session.commit(session.table.with_cells([found.annotated(Annotation("basophil"))]), "label")
    assert (session.saved.kind, session.worked_on) == ("not saved", True)


def test_a_cell_that_is_gone_is_not_selected_also_when_it_comes_back(session):
    session.commit(table("basophil", "monocyte"), "draw")
    session.select(["0", "1"])
    session.commit(session.table.without("0"), "delete")
    session.undo()
    assert session.selection == ("1",)


def test_a_selection_is_heard_once(session):
    heard = []
    session.selection_changed.connect(heard.append)
    for chosen in (["a", "b", "a"], ("a", "b"), []):
        session.select(chosen)
    assert heard == [("a", "b"), ()]
    assert session.selection == ()


def test_what_follows_of_a_step_is_taken_back_and_done_again_with_it(session):
    first, second = table("basophil"), table("basophil", "monocyte")
    session.commit(first, "draw")
    session.commit(second, "classify drawn cells", "model", follows=session.last_step)
    assert session.undoable == "draw"
    assert session.undo() == "draw"
    assert len(session.table) == 0
    assert session.redo() == "draw"
    assert session.table == second
    assert session.redoable == ""


def test_what_comes_after_another_step_is_taken_back_alone(session):
    session.commit(table("basophil"), "draw")
    drawn_in = session.last_step
    session.commit(table("monocyte"), "label")
    session.commit(
        table("monocyte", "eosinophil"), "classify drawn cells", "model", follows=drawn_in
    )
    assert session.undo() == "classify drawn cells"
    assert session.table == table("monocyte")
    assert session.undo() == "label"
    assert session.undo() == "draw"


def test_two_that_follow_of_a_step_are_taken_back_with_it(session):
    session.commit(table("basophil"), "draw")
    drawn_in = session.last_step
    for labels in (("basophil", "monocyte"), ("basophil", "eosinophil")):
        session.commit(table(*labels), "classify drawn cells", "model", follows=drawn_in)
    assert session.undo() == "draw"
    assert len(session.table) == 0
    assert session.redo() == "draw"
    assert session.table == table("basophil", "eosinophil")


def test_what_follows_of_nothing_is_a_step_of_its_own(session):
    session.commit(table("basophil"), "classify drawn cells", "model", follows=session.last_step)
    assert session.undoable == "classify drawn cells"
    assert session.undo() == "classify drawn cells"


def test_undo_and_redo_say_what_the_change_came_of(session):
    causes = []
    session.changed.connect(lambda _old, _new: causes.append(session.cause))
    session.commit(table("basophil"), "draw")
    session.undo()
    session.redo()
    assert causes == ["human", "undo", "redo"]


def test_a_slide_in_memory_goes_on_where_it_was_left(session):
    session.open(SLIDE)
    session.commit(table("basophil"), "draw")
    session.commit(table("monocyte"), "label")
    session.undo()
    other = Session()
    other.resume(session.in_memory())
    assert other.table == session.table
    assert (other.undoable, other.redoable) == ("draw", "label")
    assert other.redo() == "label"
    assert other.table == table("monocyte")


def test_where_nothing_would_be_lost_nothing_is_kept_in_memory(session):
    assert session.in_memory() is None
