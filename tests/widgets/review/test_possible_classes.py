"""What may be said of a cell once 20 cells are reviewed at random."""

from __future__ import annotations

import pytest

from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.session.session import Session
from napari_wbc.widgets.review.possible import PossibleClasses

NAMES = ("neutrophil", "monocyte", "lymphocyte")


def cell(i, probabilities, field):
    return Cell(str(i), field, Detection(BBox(0, 0, 9, 9)), Prediction(NAMES, probabilities))


@pytest.fixture
def session():
    session = Session()
    cells = [cell(i, (0.7, 0.3, 0.0), "a") for i in range(20)]
    cells.append(cell(99, (0.6, 0.4, 0.0), "b"))
    session.commit(session.table.with_cells(cells), "analyze")
    return session


def review(session, n, label="monocyte"):
    cells = [session.table[str(i)].annotated(Annotation(label)) for i in range(n)]
    session.commit(session.table.with_cells(cells), "label")


def test_possible_classes_are_told_from_20_reviewed_cells_on(session):
    possible = PossibleClasses(session)
    asked = session.table["99"]
    review(session, 19)
    assert possible.text(asked) == ""
    review(session, 20)
    assert possible.text(asked) == "neutrophil or monocyte"
    session.undo()
    assert possible.text(asked) == ""


def test_of_a_reviewed_cell_nothing_is_told(session):
    review(session, 20)
    assert PossibleClasses(session).text(session.table["3"]) == ""
