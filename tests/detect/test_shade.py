"""Glass is no leukocyte, whatever surrounds it."""

from __future__ import annotations

import numpy as np

from napari_wbc.detect.shade import is_stained

BOXES = np.array([(10.0, 10, 50, 50), (60, 10, 100, 50), (10, 60, 50, 100), (60, 60, 100, 100)])


def field(*shades):
    """Four squares of so many grey levels below white, on glass that red cells of 80 cover half."""
    work = np.full((110, 110, 3), 250, np.uint8)
    work[::2] -= 80
    for (top, left, bottom, right), shade in zip(BOXES.astype(int), shades, strict=True):
        work[top:bottom, left:right] = 250 - shade
    return work


def test_what_is_paler_than_red_cells_is_no_leukocyte():
    assert is_stained(field(0, 30, 100, 170), BOXES).tolist() == [False, False, True, True]


def test_a_coloured_cell_is_dark_in_the_channel_that_it_absorbs():
    work = field(0, 0, 0, 0)
    work[60:100, 60:100] = (250, 120, 250)
    assert is_stained(work, BOXES).tolist() == [False, False, False, True]


def test_a_cell_cut_by_the_edge_is_judged_by_what_shows():
    work = field(120, 0, 0, 0)
    assert is_stained(work[15:, 15:], BOXES[:1] - 15).tolist() == [True]


def test_a_dark_fold_does_not_make_a_cell_pale():
    work = np.full((400, 400, 3), 250, np.uint8)
    work[200:, 200:] = 10
    work[::3] = np.minimum(work[::3], 180)
    work[10:50, 10:50] = 110
    assert is_stained(work, BOXES[:1]).tolist() == [True]


def test_where_nothing_is_stained_or_nothing_was_found_there_is_nothing():
    white = np.full((40, 60, 3), 255, np.uint8)
    assert not is_stained(white, BOXES[:1]).any()
    assert is_stained(white, np.zeros((0, 4))).shape == (0,)
