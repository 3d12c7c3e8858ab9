"""Prediction sets: how many true classes are outside, and which cells may tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_wbc.model.audit import Audit, sample
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.chance import chance
from napari_wbc.model.geometry import BBox
from napari_wbc.model.prediction_sets import (
    FEWEST,
    OUTSIDE,
    Calibration,
    calibrated,
    lowest_of,
)
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED, UNIDENTIFIED

NAMES = EIGHT_CLASSES.names
BOX = BBox(0, 0, 9, 9)


def slide(n, rng, *, sharpness=2.0, fields=5):
    """Cells of a model that is surer than it should be, and what they are."""
    logits = rng.normal(0, sharpness, (n, len(NAMES)))
    truth = np.array([rng.choice(len(NAMES), p=softmax(row)) for row in logits])
    cells = []
    for i, row in enumerate(logits):
        prediction = Prediction(NAMES, tuple(softmax(3 * row)))
        cells.append(
            Cell(f"{rng.integers(2**40)}-{i}", str(i % fields), Detection(BOX), prediction)
        )
    return cells, [NAMES[k] for k in truth]


def softmax(row):
    odds = np.exp(row - row.max())
    return odds / odds.sum()


def reviewed(cells, truth, which):
    return CellTable(
        cell.annotated(Annotation(label)) if i in which else cell
        for i, (cell, label) in enumerate(zip(cells, truth, strict=True))
    )


def outside(cells, truth, calibration, which):
    missed = [
        label not in calibration.possible(cell.prediction)
        for i, (cell, label) in enumerate(zip(cells, truth, strict=True))
        if i not in which
    ]
    return float(np.mean(missed))


@pytest.mark.parametrize("n", [20, 50])
def test_at_most_one_true_class_in_20_is_outside_in_the_mean_of_many_slides(n):
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        cells, truth = slide(300, rng)
        first = sorted(range(300), key=lambda i: chance(cells[i].cell_id))[:n]
        calibration = calibrated(reviewed(cells, truth, set(first)))
        assert calibration.cells == n
        shares.append(outside(cells, truth, calibration, set(first)))
    assert np.mean(shares) < OUTSIDE + 0.01
    # The model's own probabilities do not hold: without calibration many more are outside.
    naive = [1 - cell.prediction.confidence for cell in cells]
    assert np.mean(naive) < 0.2


@pytest.mark.parametrize("n", [25, 50])
def test_an_audit_tells_it_too(n):
    rng = np.random.default_rng(1)
    shares = []
    for seed in range(60):
        cells, truth = slide(300, rng)
        audit = Audit(n, seed)
        ids = {cell_id for drawn in sample(CellTable(cells), audit).values() for cell_id in drawn}
        which = {i for i, cell in enumerate(cells) if cell.cell_id in ids}
        table = reviewed(cells, truth, which)
        calibration = calibrated(table, audit)
        assert calibration.cells >= n
        shares.append(outside(cells, truth, calibration, which))
        # Not before all of it is reviewed.
        first = table[next(iter(ids))]
        assert calibrated(table.with_cells([first.annotated(None)]), audit) is None
    assert np.mean(shares) < OUTSIDE + 0.01


def test_cells_that_were_chosen_by_what_they_are_tell_nothing():
    rng = np.random.default_rng(2)
    cells, truth = slide(300, rng)
    hardest = sorted(range(300), key=lambda i: cells[i].prediction.confidence)[:100]
    assert calibrated(reviewed(cells, truth, set(hardest))) is None


def test_whole_first_fields_are_a_sample():
    rng = np.random.default_rng(3)
    cells, truth = slide(100, rng, fields=4)
    first = {i for i, cell in enumerate(cells) if cell.fov_id == "0"}
    assert calibrated(reviewed(cells, truth, first)).cells == len(first) == 25


@pytest.mark.parametrize("label", [NOT_CLASSED, UNIDENTIFIED])
def test_a_cell_of_no_class_is_passed_over(label):
    rng = np.random.default_rng(4)
    cells, truth = slide(FEWEST, rng)
    everything = set(range(FEWEST))
    assert calibrated(reviewed(cells, truth, everything)).cells == FEWEST
    truth[0] = label
    assert calibrated(reviewed(cells, truth, everything)) is None


def test_a_class_that_the_model_lacks_makes_all_classes_possible():
    rng = np.random.default_rng(5)
    cells, truth = slide(FEWEST, rng)
    truth[:2] = ["hairy cell"] * 2
    calibration = calibrated(reviewed(cells, truth, set(range(FEWEST))))
    assert calibration.lowest == 0
    assert set(calibration.possible(cells[0].prediction)) == set(NAMES)


def test_one_class_is_always_possible():
    prediction = Prediction(("a", "b"), (0.6, 0.4))
    assert Calibration(0.9, 20).possible(prediction) == ("a",)


def test_candidates_and_cells_without_a_prediction_are_left_out():
    rng = np.random.default_rng(6)
    cells, truth = slide(FEWEST, rng)
    table = reviewed(cells, truth, set(range(FEWEST)))
    more = [
        Cell("0", "0", Detection(BOX)),
        Cell("1", "0", replace(Detection(BOX), candidate=True), cells[0].prediction),
    ]
    assert calibrated(table.with_cells(more)) == calibrated(table)


def test_a_cell_that_stands_for_many_counts_for_many():
    rare = [(0.1, 10.0)]
    usual = [(0.9, 1.0)] * 39
    assert lowest_of(rare + usual) == 0.0
    assert lowest_of([(0.1, 1.0), *usual]) == 0.9
