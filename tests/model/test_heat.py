"""Heat says where it lies, and of which cell it still is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.heat import Heat

CELL = Cell.new("slide/f.png", Detection(BBox(0, 0, 9, 9))).predicted(Prediction(("a",), (1.0,)))


def heat(inside=math.nan):
    return Heat(CELL, 0, 0, 9, np.zeros((9, 9), np.float32), "lime", "a", inside=inside)


@pytest.mark.parametrize(("inside", "suspect"), [(0.49, True), (0.5, False), (math.nan, False)])
def test_heat_mostly_outside_its_cell_is_suspect(inside, suspect):
    assert heat(inside).suspect == suspect


def test_heat_is_of_its_cell_until_that_is_moved_or_predicted_anew():
    assert heat().is_of(CELL.annotated(Annotation("b")))
    assert not heat().is_of(CELL.moved(CELL.detection))
    assert not heat().is_of(CELL.predicted(Prediction(("a", "b"), (0.5, 0.5))))
    assert (heat().cell_id, heat().fov_id) == (CELL.cell_id, "slide/f.png")
