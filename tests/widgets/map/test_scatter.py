"""Lassos: which points they enclose."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.widgets.map.scatter import enclosed

POINTS = st.tuples(st.floats(-9, 9), st.floats(-9, 9))


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


def test_where_a_lasso_crosses_itself_all_that_it_goes_round_is_inside():
    twice = [(0, 0), (9, 0), (9, 9), (0, 9), (0, 0), (5, 0), (5, 5), (0, 5)]
    places = np.array([[2.0, 2.0], [7.0, 7.0], [10.0, 2.0]])
    assert enclosed(places, twice).tolist() == [True, True, False]
