"""What a person does to cells, by whatever button or key, in one step that can be taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_wbc.errors import WbcError
from napari_wbc.layers.field import FieldView
from napari_wbc.model.cell import Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session.order import Order
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Session
from napari_wbc.widgets.review.actions import ReviewActions

NAMES = EIGHT_CLASSES.names
SLIDE = Slide("s", tuple(FieldOfView(f"s/{i}.png", Path(f"s/{i}.png")) for i in range(2)))


def said(name, confidence):
    rest = (1 - confidence) / 7
    return Prediction(
        NAMES, tuple(confidence if n == name else rest for n in NAMES), 0.5, "model 1"
    )


CELLS = tuple(
    Cell(
        str(i),
        f"s/{i // 3}.png",
        Detection(BBox(20 * i, 0, 20 * i + 10, 20)),
        said(name, confidence),
    )
    for i, (name, confidence) in enumerate(
        [("basophil", 0.9), ("monocyte", 0.6), ("monocyte", 0.3), ("lymphocyte", 0.8)]
    )
)


@pytest.fixture
def session():
    made = Session()
    made.reader = "ada"
    made.open(SLIDE)
    made.commit(made.table.with_cells(CELLS), "analyze", "model")
    return made


@pytest.fixture
def queue(session):
    return ReviewQueue(session)


@pytest.fixture
def told():
    return []


@pytest.fixture
def actions(session, queue, told):
    view = FieldView(ViewerModel(), session)
    session.field_changed.connect(
        lambda _fov: view.show(session.field, np.zeros((200, 60, 3), np.uint8))
    )
    view.show(session.field, np.zeros((200, 60, 3), np.uint8))
    session.selection_changed.connect(view.select)
    return ReviewActions(session, view, queue, told.append)


def labels(session):
    return [cell.annotation and cell.annotation.label for cell in session.table.values()]


def test_without_a_selection_nothing_is_done_and_it_is_told(actions, session, told):
    table = session.table
    actions.label("basophil")
    actions.accept()
    actions.delete()
    assert session.table is table
    assert all("Select a cell" in text for text in told)
    for edit in (actions.split, actions.join):
        with pytest.raises(WbcError):
            edit()


def test_a_label_goes_to_all_selected_cells_of_all_fields_in_one_step(actions, session):
    session.select(["0", "3"])
    actions.label("eosinophil")
    assert labels(session) == ["eosinophil", None, None, "eosinophil"]
    annotation = session.table["3"].annotation
    assert annotation.annotator == "ada"
    assert annotation.when
    actions.undo()
    assert labels(session) == [None] * 4
    actions.redo()
    assert labels(session)[0] == "eosinophil"


def test_a_label_can_be_for_named_cells(actions, session):
    session.select(["0"])
    actions.label("eosinophil", ("1", "nobody"))
    assert labels(session) == [None, "eosinophil", None, None]


def test_an_unknown_label_is_refused(actions, session):
    session.select(["0"])
    with pytest.raises(WbcError, match="No label 'plasma cell'"):
        actions.label("plasma cell")


def test_the_queue_goes_on_after_a_label_and_after_accepting(actions, session, queue):
    queue.start(Order.LEAST_CERTAIN)
    assert queue.current == "2"
    with pytest.raises(WbcError, match="choose a class"):
        actions.accept()  # the model was not sure
    actions.label("lymphocyte")
    assert (queue.current, session.selection) == ("1", ("1",))
    actions.accept()
    assert labels(session) == [None, "monocyte", "lymphocyte", None]
    assert queue.current == "3"
    assert session.field.fov_id == "s/1.png"


def test_undo_in_another_field_shows_the_cell_again_and_keeps_the_other_labels(
    actions, session, queue
):
    queue.start(Order.LEAST_CERTAIN)
    for _ in range(2):
        actions.label("lymphocyte")
    assert session.field.fov_id == "s/1.png"
    actions.undo()
    assert (queue.current, session.field.fov_id) == ("1", "s/0.png")
    assert labels(session) == [None, None, "lymphocyte", None]
    actions.redo()
    assert labels(session) == [None, "lymphocyte", "lymphocyte", None]


def test_cells_are_deleted_and_brought_back(actions, session):
    session.select(["0", "3"])
    actions.delete()
    assert list(session.table) == ["1", "2"]
    actions.undo()
    assert set(session.table) == set("0123")


def test_a_cell_is_split_and_its_parts_joined(actions, session):
    session.select(["0"])
    actions.split()
    assert len(session.table) == 5
    assert len(session.selection) == 2
    actions.join()
    assert len(session.table) == 4
    (new,) = session.selection
    assert session.table[new].detection.bbox == CELLS[0].detection.bbox
    actions.undo()
    actions.undo()
    assert session.table["0"] == CELLS[0]


def test_a_class_is_shown_here_or_in_the_next_field(actions, session, told):
    actions.show_label("lymphocyte")
    assert (session.field.fov_id, session.selection) == ("s/1.png", ("3",))
    actions.show_label("platelet")
    assert told[-1] == "No cell is labelled platelet."


def test_going_to_a_cell_enlarges_it(actions, session):
    actions.go_to("3")
    assert (session.field.fov_id, session.selection) == ("s/1.png", ("3",))
    actions.go_to("nobody")
    assert session.selection == ("3",)


def doubtful(session, *names):
    """Make candidates of cells."""
    cells = []
    for name in names:
        cell = session.table[name]
        detection = replace(cell.detection, candidate=True)
        cells.append(replace(cell, detection=detection))
    session.commit(session.table.with_cells(cells), "analyze", "model")


def test_without_a_selected_candidate_none_is_accepted_and_it_is_told(actions, session, told):
    actions.accept_candidates()
    session.select(["0"])
    table = session.table
    actions.accept_candidates()
    assert session.table is table
    assert "Select a cell" in told[0]
    assert "No candidate" in told[1]


def test_selected_candidates_are_accepted_in_one_step_without_a_label(actions, session, told):
    doubtful(session, "0", "1")
    session.select(["0", "1", "2"])
    actions.accept_candidates()
    assert "2 candidates accepted" in told[-1]
    assert [session.table[name].label for name in ("0", "1")] == ["basophil", "monocyte"]
    assert labels(session) == [None] * 4
    actions.undo()
    assert [session.table[name].label for name in ("0", "1")] == ["candidate"] * 2


def test_accepting_the_label_of_candidates_gives_what_the_model_is_sure_of(actions, session, told):
    doubtful(session, "0", "2")
    session.select(["0", "2"])
    actions.accept()
    assert labels(session) == ["basophil", None, None, None]
    assert session.table["2"].candidate
    assert "1 unidentified" in told[-1]
