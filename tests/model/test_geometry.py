"""Boxes and outlines: what is refused, and overlap against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.geometry import BBox, Outline, iou_matrix

EDGE = st.integers(-50, 50)
SIDE = st.integers(1, 60)
BOXES = st.builds(
    lambda top, left, h, w: BBox(top, left, top + h, left + w), EDGE, EDGE, SIDE, SIDE
)


def pixels(box: BBox) -> set[tuple[int, int]]:
    return {(r, c) for r in range(box.top, box.bottom) for c in range(box.left, box.right)}


def test_no_boxes_have_no_overlaps():
    assert iou_matrix([], []).shape == (0, 0)
    assert iou_matrix([BBox(0, 0, 1, 1)], []).shape == (1, 0)
    assert iou_matrix(iter([]), iter([BBox(0, 0, 1, 1)])).shape == (0, 1)


@pytest.mark.parametrize(
    "edges",
    [
        (0, 0, 0, 5),
        (0, 0, 5, 0),
        (5, 0, 0, 5),
        (0, 5, 5, 0),
        (0, 0, math.nan, 1),
        (-math.inf, 0, 1, 1),
    ],
)
def test_an_empty_or_infinite_box_is_refused(edges):
    with pytest.raises(WbcError):
        BBox(*edges)


@given(BOXES, BOXES)
def test_overlap_is_that_of_the_pixels_covered(a, b):
    ours, theirs = pixels(a), pixels(b)
    expected = len(ours & theirs) / len(ours | theirs)
    assert a.iou(b) == pytest.approx(expected)
    assert b.iou(a) == a.iou(b)
    assert a.area == len(ours)


@given(BOXES)
def test_a_box_is_its_own_box(box):
    assert box.iou(box) == 1
    assert BBox.around(box.corners()) == box
    assert box.center == (box.top + box.height / 2, box.left + box.width / 2)


@given(st.lists(BOXES, max_size=6), st.lists(BOXES, max_size=6))
def test_the_matrix_is_every_pair(first, second):
    matrix = iou_matrix(first, second)
    assert matrix.shape == (len(first), len(second))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            assert matrix[i, j] == pytest.approx(a.iou(b))


@given(BOXES, SIDE, SIDE)
def test_clipping_keeps_the_pixels_inside_the_field(box, height, width):
    inside = {(r, c) for r, c in pixels(box) if 0 <= r < height and 0 <= c < width}
    if inside:
        assert pixels(box.clipped(height, width)) == inside
    else:
        with pytest.raises(WbcError):
            box.clipped(height, width)


def test_corners_go_clockwise_from_the_top_left():
    assert BBox(1, 2, 5, 9).corners().tolist() == [[1, 2], [1, 9], [5, 9], [5, 2]]


@pytest.mark.parametrize("points", [[], [1, 2], [[1, 2, 3]], [[[1, 2]]]])
def test_points_of_another_shape_are_refused(points):
    with pytest.raises(WbcError):
        BBox.around(points)
    with pytest.raises(WbcError):
        Outline.from_array(points)


@pytest.mark.parametrize(
    "points", [[(0, 0), (1, 1)], [(0, 0), (0, 1), (0, 2)], [(0, 0), (1, 1), (math.nan, 2)]]
)
def test_an_outline_needs_three_finite_vertices_and_an_area(points):
    with pytest.raises(WbcError):
        Outline.from_array(points)


@given(st.lists(st.tuples(EDGE, EDGE), min_size=3, max_size=20))
def test_an_outline_has_the_box_that_shapely_gives_it(points):
    left, top, right, bottom = shapely.Polygon([(col, row) for row, col in points]).bounds
    if top == bottom or left == right:
        return
    outline = Outline.from_array(points)
    assert outline.bbox == BBox(top, left, bottom, right)
    assert np.array_equal(outline.array(), np.array(points))


def test_outlines_are_equal_by_vertices_and_hashable():
    points = [(0, 0), (0, 4), (4, 0)]
    assert Outline.from_array(points) == Outline.from_array(np.array(points))
    assert len({Outline.from_array(points), Outline.from_array(points)}) == 1
