"""Pasted cells: outlines say where they are, and decoys have none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from napari_wbc.train.fields import TrainingField
from napari_wbc.train.paste import Paster

TURN = np.arange(48) * (2 * np.pi / 48)
GROUND, CELL = 240, 60


def field(*discs):
    image = np.full((200, 200, 3), GROUND, np.uint8)
    rings = []
    for row, col, radius in discs:
        cv2.circle(image, (col, row), radius, (CELL,) * 3, -1, cv2.LINE_AA)
        rings.append(np.stack([row + radius * np.sin(TURN), col + radius * np.cos(TURN)], axis=-1))
    return TrainingField(image, 1.0, (200, 200), tuple(rings), (1,) * len(rings), "train", "lab")


def blank(side=160):
    return np.full((side, side, 3), GROUND, np.uint8)


def test_fields_without_cells_give_none():
    image, pasted = Paster([field()], 3.0).paste(blank(), [], 40.0, np.random.default_rng(0))
    assert pasted == []
    assert (image == GROUND).all()


def test_no_fields_are_needed_where_nothing_is_pasted():
    image, pasted = Paster([field()], 0.0).paste(blank(20), [], 40.0, np.random.default_rng(0))
    assert (pasted, (image == GROUND).all()) == ([], True)


@pytest.mark.parametrize("seed", range(12))
def test_pasted_cells_lie_where_their_outlines_say(seed):
    paster = Paster([field((60, 70, 30), (140, 130, 24))], 3.0)
    before = blank()
    image, pasted = paster.paste(before, [], 40.0, np.random.default_rng(seed))
    assert (before == GROUND).all()
    shown = np.zeros(image.shape[:2], np.uint8)
    for ring in pasted:
        points = np.rint((ring[:, ::-1] - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(shown, [points], 1, shift=4)
        assert 40 * 0.6 < np.ptp(ring, axis=0).max() < 40 * 1.6
    dark = image[..., 0] < 150
    inner = cv2.erode(shown, np.ones((9, 9), np.uint8)) > 0
    outer = cv2.dilate(shown, np.ones((9, 9), np.uint8)) > 0
    # Where two cells touch, the soft edge of one lies on the other.
    assert dark[inner].mean() > 0.95
    assert not dark[~outer].any()


def test_a_seed_pastes_the_same():
    paster = Paster([field((60, 70, 30))], 3.0)
    first = paster.paste(blank(), [], 40.0, np.random.default_rng(4))
    again = paster.paste(blank(), [], 40.0, np.random.default_rng(4))
    assert (first[0] == again[0]).all()
    assert len(first[1]) == len(again[1])


def test_cells_that_are_there_are_not_covered():
    paster = Paster([field((60, 70, 30))], 6.0)
    here = np.stack([80 + 30 * np.sin(TURN), 80 + 30 * np.cos(TURN)], axis=-1)
    for seed in range(8):
        _, pasted = paster.paste(blank(), [here], 40.0, np.random.default_rng(seed))
        for ring in pasted:
            middle = (ring.min(axis=0) + ring.max(axis=0)) / 2
            assert np.hypot(*(middle - 80)) > 0.8 * 30
