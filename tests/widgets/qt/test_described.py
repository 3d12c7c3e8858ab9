"""A cell in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.failure import Failure
from napari_wbc.model.geometry import BBox
from napari_wbc.model.heat import Heat
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.described import described, failed_text

FIELD = FieldOfView("s/<b>.png", Path("<b>.png"))


def session():
    session = Session()
    session.open(Slide("s", (FIELD,)))
    return session


def predicted(unlikeness=None):
    names = EIGHT_CLASSES.names
    shares = tuple(float(name == "monocyte") for name in names)
    prediction = Prediction(names, shares, unlikeness=unlikeness)
    return Cell.new(FIELD.fov_id, Detection(BBox(1, 1, 9, 9))).predicted(prediction)


def test_names_of_files_are_no_markup():
    assert "field: &lt;b&gt;.png" in described(predicted(), session())


def test_a_prediction_and_an_annotation_are_told_apart():
    cell = predicted()
    assert "said by the model" in described(cell, session())
    text = described(cell.annotated(Annotation("basophil", "Ada")), session())
    assert "basophil<br>said by Ada<br>model: monocyte 100%" in text


def test_a_cell_unlike_the_training_data_is_named_so():
    assert "unlike" in described(predicted(1.5), session())
    assert "unlike" not in described(predicted(0.5), session())


def test_failures_are_counted_by_file():
    path = Path("a.png")
    failures = (Failure(path, "empty"), Failure(path, "again"), Failure(Path("b.png"), "also"))
    assert failed_text(failures, "file") == "; 2 files failed: empty"
    assert failed_text(()) == ""


def test_a_candidate_is_said_to_be_one():
    found = Cell.new(FIELD.fov_id, Detection(BBox(1, 1, 9, 9), candidate=True))
    assert "candidate<br>the cell finders disagree" in described(found, session())


def test_heat_names_its_method_and_its_class():
    cell = predicted()
    heat = Heat(cell, 0, 0, 9, np.ones((4, 4), np.float32), "lime", "monocyte")
    assert "heat: LIME, for monocyte" in described(cell, session(), heat)
