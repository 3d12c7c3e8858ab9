"""A cell's label: a person's word before the model's, and neither overwrites the other."""

from __future__ import annotations

import dataclasses
import math

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import (
    BY_HAND,
    NOT_KNOWN,
    Annotation,
    Cell,
    Detection,
    LocatedBy,
    Prediction,
)
from napari_wbc.model.geometry import BBox
from napari_wbc.model.taxonomy import CANDIDATE, NOT_CLASSED, UNIDENTIFIED

BOX = BBox(0, 0, 10, 10)


@pytest.fixture
def cell():
    return Cell.new("slide/a.png", Detection(BOX))


@pytest.fixture
def prediction():
    return Prediction(("neutrophil", "basophil"), (0.3, 0.7), threshold=0.6, model_id="m 1")


def test_a_new_cell_is_unidentified(cell):
    assert (cell.label, cell.label_source) == (UNIDENTIFIED, "none")


def test_every_new_cell_has_an_id_of_its_own():
    assert len({Cell.new("a", Detection(BOX)).cell_id for _ in range(100)}) == 100


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan])
def test_a_score_is_from_0_to_1(score):
    with pytest.raises(WbcError, match="score"):
        Detection(BOX, score=score)


@pytest.mark.parametrize(
    ("names", "probabilities"),
    [((), ()), (("a",), (0.5, 0.5)), (("a", "b"), (1.2, 0)), (("a",), (math.nan,))],
)
def test_a_prediction_has_one_probability_a_class(names, probabilities):
    with pytest.raises(WbcError):
        Prediction(names, probabilities)


def test_a_prediction_names_the_most_probable_class(prediction):
    assert (prediction.cell_class, prediction.confidence, prediction.label) == (
        "basophil",
        0.7,
        "basophil",
    )


@pytest.mark.parametrize(("threshold", "label"), [(0.7, "basophil"), (0.71, UNIDENTIFIED)])
def test_below_the_threshold_the_label_is_unidentified(prediction, threshold, label):
    assert dataclasses.replace(prediction, threshold=threshold).label == label
    assert prediction.cell_class == "basophil"


def test_an_annotation_goes_before_a_prediction_and_leaves_it(cell, prediction):
    said = cell.predicted(prediction).annotated(
        Annotation(NOT_CLASSED, "me", "2026-01-01T00:00:00+00:00")
    )
    assert (said.label, said.label_source) == (NOT_CLASSED, "annotation")
    assert said.prediction == prediction
    assert (said.annotated(None).label, said.annotated(None).label_source) == (
        "basophil",
        "prediction",
    )


def test_a_moved_cell_keeps_id_and_annotation_only(cell, prediction):
    annotation = Annotation("basophil")
    moved = cell.predicted(prediction).annotated(annotation).moved(Detection(BBox(1, 1, 5, 5)))
    assert (moved.cell_id, moved.fov_id, moved.annotation) == (
        cell.cell_id,
        cell.fov_id,
        annotation,
    )
    assert moved.prediction is None
    assert moved.detection.bbox == BBox(1, 1, 5, 5)


@pytest.mark.parametrize(
    ("located_by", "drawn", "locator"),
    [
        (None, False, NOT_KNOWN),
        (None, True, BY_HAND),
        (LocatedBy("hsv/nucleus"), False, LocatedBy("hsv/nucleus")),
        (LocatedBy("hsv/nucleus"), True, LocatedBy("hsv/nucleus")),  # found, then moved by a person
    ],
)
def test_what_located_a_cell_is_said(located_by, drawn, locator):
    assert Detection(BOX, drawn=drawn, located_by=located_by).locator == locator


def test_a_cell_never_changes(cell):
    with pytest.raises(dataclasses.FrozenInstanceError):
        cell.fov_id = "b"


def test_a_candidate_is_neither_counted_nor_said_by_anybody(prediction):
    found = Cell.new("a", Detection(BOX, candidate=True))
    assert found.candidate
    assert (found.label, found.label_source) == (CANDIDATE, "none")
    assert (found.predicted(prediction).label, found.touched) == (CANDIDATE, False)


def test_a_person_confirms_a_candidate_by_a_label_a_move_or_accepting_it(prediction):
    found = Cell.new("a", Detection(BOX, score=0.4, candidate=True)).predicted(prediction)
    labelled = found.annotated(Annotation("neutrophil"))
    moved = found.moved(Detection(BOX, drawn=True, candidate=True))
    accepted = found.accepted()
    assert [cell.candidate for cell in (labelled, moved, accepted)] == [False] * 3
    assert [cell.label for cell in (labelled, moved, accepted)] == [
        "neutrophil",
        UNIDENTIFIED,
        "basophil",
    ]
    assert (accepted.annotation, accepted.prediction) == (None, prediction)
    assert accepted.detection == Detection(BOX, score=0.4, drawn=True)
    # A label that is taken back leaves what it was before.
    assert labelled.annotated(None).candidate


def test_what_is_no_candidate_is_accepted_as_it_is(cell):
    assert cell.accepted() is cell
    labelled = Cell.new("a", Detection(BOX, candidate=True)).annotated(Annotation("basophil"))
    assert labelled.accepted() is labelled
