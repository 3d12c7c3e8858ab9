"""Canvases: cells are where boxes and masks say, whatever was cut, scaled, flipped or turned."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.train.canvas import Canvas, CanvasMaker
from napari_wbc.train.fields import TrainingField

SIZE = 96
SEEDS = st.integers(0, 2**32 - 1)
GROUND, BLUE, RED = (240, 240, 240), (40, 40, 200), (200, 40, 40)
SQUARE = np.ones((5, 5), np.uint8)
TURN = np.arange(48) * (2 * np.pi / 48)


def disc(row, col, radius):
    return np.stack([row + radius * np.sin(TURN), col + radius * np.cos(TURN)], axis=-1)


def hook(row, col, side):
    """An outline that no flip and no turn leaves as it is."""
    return np.array([[0, 0], [0, 1], [0.3, 1], [0.3, 0.25], [0.75, 0.25], [0.75, 0]]) * side + [
        row,
        col,
    ]


def field(*cells, shape=(240, 300), source="lab", ground=GROUND):
    """Cells (outline, label), blue where the label is 1, else red."""
    image = np.full((*shape, 3), ground, np.uint8)
    for ring, label in cells:
        points = np.rint((ring[:, ::-1] - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(image, [points], BLUE if label == 1 else RED, shift=4)
    rings, labels = tuple(ring for ring, _ in cells), tuple(label for _, label in cells)
    return TrainingField(image, 1.0, shape, rings, labels, "train", source)


HOOKS = field((hook(90, 120, 70), 1), (hook(20, 20, 30), 2), (hook(150, 220, 60), 2))
DISCS = field((disc(120, 150, 40), 1), (disc(40, 60, 25), 2), (disc(190, 250, 35), 2))


def draw(fields, count=1, seed=0, **options):
    return list(CanvasMaker(fields, SIZE, **options).draw(count, np.random.default_rng(seed)))


def bounds(mask):
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return np.array([rows[0], cols[0], rows[-1] + 1, cols[-1] + 1])


def blue(canvas):
    return canvas.image[..., 2] - canvas.image[..., 0].astype(float) > 80


def red(canvas):
    return canvas.image[..., 0] - canvas.image[..., 2].astype(float) > 80


def test_no_canvases_are_drawn_where_none_are_asked_for():
    assert draw([HOOKS], 0) == []


@pytest.mark.parametrize("mosaic", [0, 1])
@pytest.mark.parametrize("shape", [(240, 300), (10, 500), (1, 1)])
def test_fields_without_cells_give_canvases_without_cells(mosaic, shape):
    (canvas,) = draw([field(shape=shape)], mosaic=mosaic)
    assert (canvas.image == GROUND).all()
    assert canvas.image.shape == (SIZE, SIZE, 3)
    assert canvas.boxes.shape == (0, 4)
    assert canvas.labels.shape == (0,)
    assert canvas.masks.shape == (0, SIZE, SIZE)


@given(SEEDS, st.sampled_from([0.0, 1.0]))
def test_a_canvas_is_what_the_network_takes(seed, mosaic):
    for canvas in draw([HOOKS, DISCS], 3, seed, mosaic=mosaic):
        n = len(canvas.labels)
        assert (canvas.image.dtype, canvas.image.shape) == (np.uint8, (SIZE, SIZE, 3))
        assert (canvas.boxes.dtype, canvas.boxes.shape) == (np.float32, (n, 4))
        assert (canvas.labels.dtype, canvas.masks.dtype) == (np.int64, np.uint8)
        assert canvas.masks.shape == (n, SIZE, SIZE)
        assert set(np.unique(canvas.masks)) <= {0, 1}
        assert (canvas.boxes >= 0).all()
        assert (canvas.boxes <= SIZE).all()
        assert (canvas.boxes[:, 2:] - canvas.boxes[:, :2] >= 5).all()


@given(SEEDS, st.sampled_from([0.0, 1.0]), st.sampled_from([HOOKS, DISCS]))
def test_a_box_is_the_bounds_of_its_mask(seed, mosaic, source):
    for canvas in draw([source], 3, seed, mosaic=mosaic):
        for box, mask in zip(canvas.boxes, canvas.masks, strict=True):
            assert np.abs(box - bounds(mask)).max() <= 1.5


@given(SEEDS, st.sampled_from([0.0, 1.0]), st.sampled_from([HOOKS, DISCS]))
def test_masks_cover_the_colour_of_their_cells_whatever_was_done(seed, mosaic, source):
    for canvas in draw([source], 3, seed, mosaic=mosaic):
        for label, mask in zip(canvas.labels, canvas.masks, strict=True):
            inner = cv2.erode(mask, SQUARE, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
            shown = blue(canvas) if label == 1 else red(canvas)
            assert shown[inner].all()


@given(SEEDS)
def test_of_one_cell_the_mask_is_all_its_colour(seed):
    for canvas in draw([field((hook(90, 120, 70), 1))], 3, seed, mosaic=0):
        if len(canvas.labels):
            (mask,) = canvas.masks
            assert not (blue(canvas) & (cv2.dilate(mask, SQUARE) == 0))[2:-2, 2:-2].any()
            inner = cv2.erode(mask, SQUARE, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
            assert blue(canvas)[inner].all()


@given(SEEDS)
def test_cells_of_which_less_than_a_quarter_shows_are_left_out(seed):
    side = 60
    lone = field((disc(120, 150, 40), 1))
    whole = np.pi / 4 * side**2
    for canvas in draw([lone], 5, seed, mosaic=0, stretch=0, smallest=side, largest=side):
        shown = blue(canvas).sum()
        if len(canvas.labels):
            assert canvas.masks.sum() >= 0.245 * whole  # a disc's polygon is a little smaller
        else:
            thin = shown and min(bounds(blue(canvas))[2:] - bounds(blue(canvas))[:2]) < 7
            assert shown <= 0.27 * whole or thin


def test_a_cell_is_both_shown_whole_and_left_out_sometimes():
    counts = [len(c.labels) for c in draw([field((disc(120, 150, 40), 1))], 60, mosaic=0)]
    assert {0, 1} == set(counts)


def test_cells_are_shown_from_the_smallest_to_the_largest_side():
    rings = field((disc(300, 300, 60), 1), shape=(600, 600))
    sides = [
        np.max(canvas.boxes[0, 2:] - canvas.boxes[0, :2])
        for canvas in draw([rings], 300, mosaic=0, smallest=20, largest=60, stretch=0)
        if len(canvas.labels) and (canvas.boxes[0] > 1).all() and (canvas.boxes[0] < SIZE - 1).all()
    ]
    assert 19 < min(sides) < 24
    assert 50 < max(sides) < 61


@pytest.mark.parametrize("shape", [(30, 40), (40, 400), (1, 50), (96, 96)])
def test_small_fields_are_enlarged_and_never_padded(shape):
    lone = field(
        (disc(shape[0] / 2, shape[1] / 2, max(0.4, min(shape) / 4)), 1),
        shape=shape,
        ground=(90, 200, 90),
    )
    for canvas in draw([lone], 20, mosaic=0.5):
        ground = ~blue(canvas) & (
            np.abs(canvas.image.astype(int) - (90, 200, 90)).max(axis=-1) > 120
        )
        assert not ground.any()


def test_an_aspect_is_changed_no_more_than_allowed():
    rings = field((disc(300, 300, 60), 1), shape=(600, 600))
    ratios = []
    for canvas in draw([rings], 200, mosaic=0, smallest=40, largest=60, stretch=0.3):
        if (
            len(canvas.labels)
            and (canvas.boxes[0] > 1).all()
            and (canvas.boxes[0] < SIZE - 1).all()
        ):
            height, width = canvas.boxes[0, 2:] - canvas.boxes[0, :2]
            ratios.append(max(height, width) / min(height, width))
    assert 1.2 < max(ratios) < 1.35


def test_sources_are_drawn_evenly_however_many_fields_they_have():
    few, many = (
        field(source="few", ground=(250, 250, 250)),
        field(source="many", ground=(150, 150, 150)),
    )
    canvases = draw([few, *[many] * 19], 400, mosaic=0)
    assert 0.4 < np.mean([canvas.image.mean() > 200 for canvas in canvases]) < 0.6


@pytest.mark.parametrize(("mosaic", "windows"), [(0, 1), (1, 4)])
def test_a_canvas_shows_one_window_or_four(mosaic, windows):
    grounds = [field(source=str(i), ground=(60 + 9 * i,) * 3) for i in range(20)]
    found = [len(np.unique(canvas.image)) for canvas in draw(grounds, 40, mosaic=mosaic)]
    assert max(found) == windows


def test_the_same_seed_draws_the_same_canvases():
    first, second, other = (draw([HOOKS, DISCS], 5, seed) for seed in (1, 1, 2))
    for a, b in zip(first, second, strict=True):
        assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in Canvas.__slots__)
    assert any(not np.array_equal(a.image, b.image) for a, b in zip(first, other, strict=True))


def test_the_fields_are_left_alone():
    image, rings = HOOKS.image.copy(), [ring.copy() for ring in HOOKS.outlines]
    draw([HOOKS], 20)
    assert np.array_equal(HOOKS.image, image)
    assert all(np.array_equal(a, b) for a, b in zip(HOOKS.outlines, rings, strict=True))
