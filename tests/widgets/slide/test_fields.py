"""The list of fields follows the session."""

from __future__ import annotations

import pytest
from tests.widgets.red_fields import cell

from napari_wbc.session.session import Session
from napari_wbc.widgets.slide.fields import DISAGREED, FieldList


@pytest.fixture
def session(slide):
    session = Session()
    session.open(slide)
    return session


@pytest.fixture
def fields(session, qtbot):
    fields = FieldList(session)
    qtbot.addWidget(fields)
    yield fields
    fields.release()


def test_step_shows_the_field_beside_and_stops_at_the_ends(session, fields, slide):
    fields.step(-1)
    assert session.field == slide.fields[0]
    fields.step(1)
    assert session.field == slide.fields[1]
    session.show_field(slide.fields[2].fov_id)
    assert fields.currentRow() == 2
    fields.step(1)
    assert session.field == slide.fields[2]


def test_number_of_cells_stands_beside_the_name(session, fields, slide):
    session.commit(session.table.with_cells([cell(slide.fields[1].fov_id)]), "draw 1 cell")
    assert [fields.item(i).text() for i in (0, 1)] == ["field-0.png", "field-1.png   (1)"]
    session.undo()
    assert fields.item(1).text() == "field-1.png"


def test_released_it_follows_no_more(session, fields, slide):
    fields.release()
    session.show_field(slide.fields[1].fov_id)
    assert fields.currentRow() == 0


def test_a_field_on_which_the_cell_finders_disagree_is_marked_and_says_how_far(
    session, fields, slide
):
    fields.flag({})
    assert fields.item(0).text() == "field-0.png"
    text = "cell finders disagree: 1 against 12"
    fields.flag({slide.fields[1].fov_id: text, "another": text})
    assert [DISAGREED in fields.item(i).text() for i in range(3)] == [False, True, False]
    assert [fields.item(i).toolTip() for i in range(3)] == ["", text, ""]
    session.commit(session.table.with_cells([cell(slide.fields[1].fov_id)]), "draw 1 cell")
    assert fields.item(1).text() == f"field-1.png   (1)   {DISAGREED}"
    fields.flag({})
    assert (fields.item(1).text(), fields.item(1).toolTip()) == ("field-1.png   (1)", "")
    fields.flag({slide.fields[1].fov_id: text})
    session.open(slide)
    assert fields.item(1).toolTip() == ""
