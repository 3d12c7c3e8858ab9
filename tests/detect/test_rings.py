"""Outlines of cells whose edge is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from napari_wbc.detect.nuclei import Pixels, StainedField
from napari_wbc.detect.rings import ANGLES, draw_rings, halves_joined, score_of
from napari_wbc.imaging.red_cells import RedCells
from napari_wbc.imaging.stain import Float64

RED = RedCells(0.3, (0.0, 0.05), np.array([0.27, 0.46]), np.eye(2) / 0.08, 20.0)
SHAPE = (100, 120)


def disc(row: int, col: int, radius: int) -> Pixels:
    mask = cv2.circle(np.zeros(SHAPE, np.uint8), (col, row), radius, 1, -1)
    return np.argwhere(mask).astype(np.int32)


def circle(row: float, col: float, radius: float) -> Float64:
    turn = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    return np.stack([row + radius * np.sin(turn), col + radius * np.cos(turn)], axis=-1)


def field(cell: Pixels, nucleus: Pixels) -> StainedField:
    total = np.zeros(SHAPE, np.float32)
    total[tuple(cell.T)] = 0.4
    total[tuple(nucleus.T)] = 1.2
    unlike = np.where(total > 0, 1, -1).astype(np.float32)
    return StainedField(total, total / 2, unlike, RED, 20.0, 0.01, 1.0)


@pytest.mark.parametrize("radius", [14, 20])
def test_an_outline_lies_on_the_edge_of_the_cell(radius: int) -> None:
    nucleus = disc(50, 60, 9)
    (ring,) = draw_rings(field(disc(50, 60, radius), nucleus), [nucleus], [0], 18.0)
    assert ring.shape == (ANGLES, 2)
    radii = np.hypot(*(ring - (50.5, 60.5)).T)
    np.testing.assert_allclose(radii, radius, atol=1.5)


def test_no_cells_have_no_outlines() -> None:
    nucleus = disc(50, 60, 9)
    assert draw_rings(field(nucleus, nucleus), [nucleus], [], 18.0).shape == (0, ANGLES, 2)


def test_two_halves_of_one_disc_are_joined_and_two_discs_are_not() -> None:
    whole = circle(50, 60, 20)
    nuclei = [disc(44, 60, 4), disc(56, 60, 4)]
    halves = np.stack([np.minimum(whole, (50, 200)), np.maximum(whole, (50, -200))])
    assert [len(n) for n in halves_joined(nuclei, [0, 1], halves, 100.0)] == [
        len(nuclei[0]) + len(nuclei[1])
    ]
    assert len(halves_joined(nuclei, [0, 1], halves, 30.0)) == 2
    apart = np.stack([circle(30, 30, 12), circle(70, 90, 12)])
    assert len(halves_joined(nuclei, [0, 1], apart, 100.0)) == 2


def test_scores_rise_with_the_size_of_the_nucleus_and_a_round_outline() -> None:
    large = disc(50, 60, 14)
    stain = field(large, large)
    scores = [score_of(stain, disc(50, 60, radius), circle(50, 60, 18)) for radius in (4, 8, 14)]
    assert scores == sorted(scores)
    assert all(0 <= score <= 1 for score in scores)
    long = circle(50, 60, 18) * (1, 0.3)
    assert score_of(stain, large, long) < scores[-1]
