"""Lassos, and how cells look on a map."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.widgets.map.kinds import COLOURINGS, beside, enclosed, kind_of, kinds

POINTS = st.tuples(st.floats(-9, 9), st.floats(-9, 9))
BARE = Cell("a", "s/1.png", Detection(BBox(0, 0, 5, 5)))


def test_nothing_encloses_nothing():
    assert enclosed(np.zeros((0, 2)), [(0, 0), (1, 0), (1, 1)]).shape == (0,)
    assert not enclosed(np.zeros((3, 2)), []).any()
    assert not enclosed(np.zeros((3, 2)), [(-1, -1), (1, 1)]).any()


@given(st.lists(POINTS, max_size=20), st.lists(POINTS, min_size=3, max_size=7))
def test_a_lasso_encloses_what_its_polygon_does(points, corners):
    lasso = shapely.Polygon(corners)
    if not lasso.is_valid:
        return
    for place, inside in zip(
        points, enclosed(np.array(points).reshape(-1, 2), corners), strict=True
    ):
        if lasso.boundary.distance(shapely.Point(place)) > 1e-6:
            assert inside == lasso.contains(shapely.Point(place))


def test_a_cell_that_is_nan_is_never_enclosed():
    assert not enclosed(np.array([[np.nan, np.nan]]), [(-9, -9), (9, -9), (9, 9), (-9, 9)]).any()


def test_keys_go_to_the_nearest_to_one_side():
    places = np.array([[0, 0], [2, 1], [5, 0], [-1, 0], [0, 3], [np.nan, np.nan]], float)
    assert [beside(places, 0, d) for d in ((1, 0), (-1, 0), (0, 1), (0, -1))] == [1, 3, 4, 0]


def test_kinds_of_a_cell():
    said = Prediction(
        EIGHT_CLASSES.names, tuple(float(n == "monocyte") for n in EIGHT_CLASSES.names)
    )
    cell = BARE.predicted(said).annotated(Annotation("basophil", "ada"))
    assert [kind_of(cell, by, EIGHT_CLASSES) for by in COLOURINGS] == [
        "basophil",
        "monocyte",
        "reviewed",
        "s/1.png",
    ]
    assert [kind_of(BARE, by, EIGHT_CLASSES) for by in COLOURINGS[1:3]] == [
        "no prediction",
        "to review",
    ]
    with pytest.raises(WbcError, match="tea"):
        kind_of(BARE, "tea", EIGHT_CLASSES)


def test_legends_tell_kinds_apart_without_colour():
    names = EIGHT_CLASSES.names
    legend = kinds(reversed(names), "label", EIGHT_CLASSES)
    assert [kind.name for kind in legend] == list(names)
    assert len({kind.mark for kind in legend}) == len(names)
    fields = kinds([f"{i}.png" for i in range(30)], "field", EIGHT_CLASSES)
    assert len({(kind.color, kind.mark) for kind in fields}) == 30
    assert kinds((), "label", EIGHT_CLASSES) == ()
