"""How many cells may be of another class, as a report says it."""

from __future__ import annotations

from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.lab_report.doubtful import doubtful

NAMES = ("neutrophil", "monocyte")


def cell(i, probability, label=None):
    prediction = Prediction(NAMES, (probability, 1 - probability))
    detection = Detection(BBox(0, 0, 9, 9))
    # The first field is reviewed whole, the second not at all.
    field = "a" if label else "b"
    return Cell(str(i), field, detection, prediction, Annotation(label) if label else None)


def slide(reviewed):
    sure = [cell(i, 0.9, "neutrophil") for i in range(reviewed - 1)]
    # A neutrophil of which the model was not sure.
    unsure = [cell(reviewed, 0.4, "neutrophil")]
    others = [cell(100 + i, 0.95) for i in range(5)] + [cell(200 + i, 0.5) for i in range(3)]
    return CellTable([*sure, *unsure, *others])


def test_before_20_cells_are_reviewed_nothing_is_said():
    assert list(doubtful(slide(19), None)) == []


def test_cells_of_which_two_classes_are_possible_are_counted():
    (line,) = doubtful(slide(20), None)
    assert line == (
        "Of 8 cells that only the model labelled, 3 may be of another class too, by 20 cells "
        "reviewed at random (95 % prediction sets)."
    )


def test_where_every_cell_has_one_possible_class_nothing_is_said():
    sure = CellTable(cell for cell in slide(20).values() if cell.prediction.confidence > 0.6)
    more = [cell(300, 0.9, "neutrophil")]
    assert list(doubtful(sure.with_cells(more), None)) == []
