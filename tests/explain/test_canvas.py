"""Heat on the pixels of its field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from napari_wbc.explain import canvas
from napari_wbc.explain.canvas import colored, inside, levels_of, mask_of, overlay, painted, placed
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.heat import Heat

CELL = Cell("a", "f", Detection(BBox(3, 4, 11, 12)))


def heat(top=3, left=4, side=8, values=None, n=8):
    values = np.ones((n, n), np.float32) if values is None else values
    return Heat(CELL, top, left, side, values, "grad-cam", "monocyte")


def test_no_heat_is_black():
    assert not painted([], (5, 7)).any()
    (level,) = levels_of([], (5, 7))
    assert level.shape == (5, 7)


@given(
    st.lists(st.tuples(st.integers(-9, 19), st.integers(-9, 19), st.integers(2, 12)), max_size=4),
    st.integers(-3, 6),
)
def test_squares_are_cut_at_the_edges_and_the_hotter_wins(squares, corner):
    rng = np.random.default_rng(0)
    heats = [heat(*square, values=rng.random((8, 8), dtype=np.float32)) for square in squares]
    expected = np.zeros((60, 60), np.float32)
    for one in heats:
        part = expected[20 + one.top :, 20 + one.left :][: one.side, : one.side]
        np.maximum(part, placed(one), out=part)
    shown = painted(heats, (16, 12), top=corner, left=corner)
    np.testing.assert_array_equal(shown, expected[20 + corner :, 20 + corner :][:16, :12])


@pytest.mark.parametrize("side", [6, 12, 24, 31, 90])
@pytest.mark.parametrize(("row", "col"), [(2, 9), (6, 6), (10, 1)])
def test_the_hottest_pixel_stays_where_it_was(side, row, col):
    values = np.zeros((12, 12), np.float32)
    values[row - 1 : row + 2, col - 1 : col + 2] = 0.5
    values[row, col] = 1
    shown = placed(heat(side=side, values=values))
    at = np.argwhere(shown == shown.max()).mean(axis=0)
    assert (at + 0.5) * 12 / side == pytest.approx([row + 0.5, col + 0.5], abs=0.75)


def test_a_large_field_is_made_as_it_is_looked_at(monkeypatch):
    monkeypatch.setattr(canvas, "LAZY_ABOVE", 10_000)
    monkeypatch.setattr(canvas, "CHUNK", 64)
    rng = np.random.default_rng(0)
    heats = [
        heat(int(t), int(le), int(s), rng.random((8, 8), dtype=np.float32))
        for t, le, s in rng.integers((-10, -10, 5), (250, 200, 60), (30, 3))
    ]
    levels = levels_of(heats, (260, 210))
    assert [level.shape for level in levels] == [(260, 210), (130, 105), (65, 53), (33, 27)]
    np.testing.assert_array_equal(np.asarray(levels[0]), painted(heats, (260, 210)))
    np.testing.assert_array_equal(np.asarray(levels[2]), painted(heats, (65, 53), scale=4))
    seen = []
    monkeypatch.setattr(canvas, "painted", lambda *a, **k: seen.append(k) or painted(*a, **k))
    np.asarray(levels_of(heats, (260, 210))[0][70:100, 70:100])
    assert len(seen) == 1, "one chunk"


def test_masks_are_those_of_outlines():
    outline = Outline(((10.0, 12.0), (40.0, 8.0), (50.0, 30.0), (20.0, 44.0)))
    n, side, top, left = 60, 60, 3, 5
    found = mask_of(Detection(outline.bbox, outline), (top, left, side), n)
    expected = polygon2mask((n, n), outline.array() - (top, left) - 0.5)
    assert (found & expected).sum() / (found | expected).sum() > 0.95


def test_a_box_holds_an_ellipse():
    found = mask_of(Detection(BBox(10, 20, 50, 40)), (5, 5, 60), 60)
    assert found.sum() == pytest.approx(np.pi * 20 * 10, rel=0.05)
    rows, columns = np.nonzero(found)
    assert (rows.mean(), columns.mean()) == pytest.approx((24.5, 24.5), abs=0.5)


def test_without_heat_an_image_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    shown = overlay(image, np.zeros((9, 9), np.float32))
    np.testing.assert_array_equal(shown, image)
    hot = np.zeros((9, 9), np.float32)
    hot[4, 4] = 1
    changed = (overlay(image, hot) != image).any(axis=2)
    assert changed[4, 4]
    assert changed.sum() == 1


def test_colours_get_lighter_with_heat():
    colors = colored(np.linspace(0, 1, 50, dtype=np.float32)[None])[0].astype(int)
    assert (np.diff(colors @ (299, 587, 114)) >= -1500).all()
    assert colors[0].sum() < 10 < 500 < colors[-1].sum()


def test_heat_inside_a_mask():
    heat, mask = (
        np.array([[1.0, 3.0], [0.0, 4.0]], np.float32),
        np.array([[True, False], [True, True]]),
    )
    assert inside(heat, mask) == pytest.approx(5 / 8)
    assert np.isnan(inside(np.zeros((2, 2), np.float32), mask))
