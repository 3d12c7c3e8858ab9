"""Outlines of masks: simple polygons where the mask is, inside its box, whatever the mask."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.detect.outlines import VERTICES, mask_outline, shown_part, traced
from napari_wbc.model.geometry import BBox

BOX = BBox(10, 20, 50, 100)
UNIT = BBox(0, 0, 28, 28)


def polygon(points):
    return shapely.Polygon(np.asarray(points, float))


def covered(mask):
    """The pixels above one half, as one shape."""
    return shapely.union_all([shapely.box(r, c, r + 1, c + 1) for r, c in np.argwhere(mask > 0.5)])


def iou(first, second):
    return first.intersection(second).area / first.union(second).area


def disc(radius, row=14.0, col=14.0, side=28):
    """Probabilities of a disc: one half on its edge, falling by one half a pixel."""
    rows, cols = np.mgrid[:side, :side] + 0.5
    away = np.hypot(rows - row, cols - col) - radius
    return np.clip(0.5 - away / 2, 0, 1).astype(np.float32)


@st.composite
def masks(draw):
    """Noise, islands, slivers and blobs that touch the edges."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(28, 28), (28, 28), (14, 40), (5, 3)]))
    mask = rng.random(shape).astype(np.float32)
    smooth = draw(st.sampled_from([0, 1, 3]))
    if smooth:
        mask = cv2.GaussianBlur(mask, (0, 0), smooth)
        mask = (mask - mask.min()) / np.ptp(mask)
    return np.clip(mask + np.float32(draw(st.floats(-0.6, 0.6))), 0, 1)


def check(outline, box):
    """What holds of every outline."""
    vertices = outline.array()
    assert len(vertices) == VERTICES
    assert polygon(vertices).is_valid
    assert polygon(vertices).area > 0
    edge = 1e-6
    assert (vertices >= np.array([box.top, box.left]) - edge).all()
    assert (vertices <= np.array([box.bottom, box.right]) + edge).all()


@pytest.mark.parametrize("level", [0, 0.2, 0.5])
def test_a_mask_that_is_nowhere_likely_gives_the_ellipse_in_its_box(level):
    outline = mask_outline(np.full((28, 28), level, np.float32), BOX)
    check(outline, BOX)
    ellipse = shapely.affinity.scale(shapely.Point(30, 60).buffer(1, quad_segs=64), 20, 40)
    assert iou(polygon(outline.vertices), ellipse) > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (2, 3), (9, 1), (3, 3)])
@pytest.mark.parametrize("level", [0, 1])
def test_small_masks_have_outlines(shape, level):
    check(mask_outline(np.full(shape, level, np.float32), BOX), BOX)


def test_a_full_mask_gives_nearly_its_box():
    outline = mask_outline(np.ones((28, 28), np.float32), BOX)
    check(outline, BOX)
    assert iou(polygon(outline.vertices), shapely.box(10, 20, 50, 100)) > 0.97


@pytest.mark.parametrize("at", [(0, 0), (0, 27), (27, 13), (14, 14)])
def test_a_single_pixel_has_an_outline_around_it(at):
    mask = np.zeros((28, 28), np.float32)
    mask[at] = 1
    outline = mask_outline(mask, UNIT)
    check(outline, UNIT)
    assert polygon(outline.vertices).contains(shapely.Point(at[0] + 0.5, at[1] + 0.5))
    assert polygon(outline.vertices).area < 4


@given(masks())
def test_every_mask_gives_a_simple_outline_inside_its_box(mask):
    check(mask_outline(mask, BOX), BOX)


@given(st.floats(4, 13), st.floats(-1, 1), st.floats(-1, 1))
def test_the_outline_of_a_disc_is_found_between_the_pixels(radius, down, right):
    row, col = 14 + down * (14 - radius), 14 + right * (14 - radius)
    outline = mask_outline(disc(radius, row, col), UNIT)
    truth = shapely.Point(row, col).buffer(radius, quad_segs=64)
    assert iou(polygon(outline.vertices), truth) > 0.94


@pytest.mark.parametrize(("row", "col"), [(0, 14), (28, 14), (14, 0), (14, 28), (0, 0), (28, 28)])
def test_a_mask_at_the_edge_is_outlined_up_to_it(row, col):
    mask = disc(12, row, col)
    outline = mask_outline(mask, UNIT)
    check(outline, UNIT)
    assert iou(polygon(outline.vertices), covered(mask)) > 0.9


def test_of_several_parts_the_largest_is_outlined():
    large, small = disc(7, 9, 9), disc(4, 23, 23)
    outline = mask_outline(np.maximum(large, small), UNIT)
    assert iou(polygon(outline.vertices), shapely.Point(9, 9).buffer(7)) > 0.9
    assert outline.bbox.bottom < 18


def test_the_outline_stands_where_its_box_stands():
    small = mask_outline(disc(10), UNIT).array()
    large = mask_outline(disc(10), BBox(100, 200, 156, 284)).array()
    np.testing.assert_allclose(large, small * [2, 3] + [100, 200], atol=1e-9)


def test_the_mask_is_left_alone():
    mask = np.maximum(disc(7, 9, 9), disc(4, 23, 23))
    before = mask.copy()
    mask_outline(mask, UNIT)
    assert (mask == before).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_the_smallest_masks_are_traced(shape):
    mask = np.pad(np.ones(shape, np.uint8), 1)
    points = traced(mask)
    assert 16 <= len(points) <= 64
    assert np.abs(points.min(axis=0) - 1).max() <= 0.5
    assert np.abs(points.max(axis=0) - [1 + n for n in shape]).max() <= 0.5


@given(st.floats(2, 60), st.floats(0.5, 1), st.floats(0, 180))
def test_the_trace_of_an_ellipse_is_simple_and_on_its_edge(radius, ratio, angle):
    mask = np.zeros((140, 140), np.uint8)
    size = (2 * radius, 2 * radius * ratio)
    cv2.ellipse(mask, ((70, 70), size, angle), 1, -1)
    points = traced(mask)
    assert 16 <= len(points) <= 64
    assert polygon(points).is_valid
    inside = np.argwhere(mask)
    assert (points >= inside.min(axis=0)).all()
    assert (points <= inside.max(axis=0) + 1).all()
    lost = (
        np.sqrt(len(inside)) * 3 + 2
    )  # the trace runs a quarter of a pixel inside the pixels' edges
    assert abs(polygon(points).area - len(inside)) < lost


def test_a_trace_goes_once_around():
    mask = np.pad(np.ones((20, 40), np.uint8), 5)
    points = traced(mask)
    steps = np.hypot(*np.diff(points, axis=0, append=points[:1]).T)
    assert steps.max() < 3 * steps.min()


def test_a_mask_inside_the_field_is_shown_as_it_is():
    mask = disc(9)
    box = np.array([3.0, 4, 31, 32])
    part, shown = shown_part(mask, box, (40, 40))
    assert (part == mask).all()
    assert (shown == box).all()


@pytest.mark.parametrize("box", [(-14, 5, 14, 33), (26, 5, 54, 33), (5, -14, 33, 14)])
def test_of_a_mask_over_the_edge_the_half_in_the_field_is_shown(box):
    field = shapely.box(0, 0, 40, 40)
    middle = np.reshape(box, (2, 2)).mean(axis=0)
    part, shown = shown_part(disc(10), np.array(box, float), (40, 40))
    outline = mask_outline(part, BBox(*shown))
    half = shapely.Point(middle).buffer(10).intersection(field)
    assert iou(polygon(outline.vertices), half) > 0.9


def test_of_a_mask_beyond_the_edge_nothing_is_shown():
    _, (top, _, bottom, _) = shown_part(disc(10), np.array([-30.0, 0, -2, 28]), (40, 40))
    assert top == bottom
