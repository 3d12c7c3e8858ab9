"""Pictures and table of a comparison: from no changed cell to more than are shown."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_wbc.measure.comparison import Answers, Comparison, measured
from napari_wbc.measure.comparison_plots import (
    COLUMNS,
    MAX_SHOWN,
    draw_pictures,
    percent,
    side_rows,
    table_rows,
)
from napari_wbc.model.taxonomy import FIVE_CLASSES


def compared(changed, sources=("lab",), n=90):
    """The old model is wrong on the first cells, the new one is always right."""
    truth = np.arange(n) % 5
    old_labels = np.where(np.arange(n) < changed, (truth + 1) % 5, truth)
    old, new = (
        Answers(name, 0.05 + 0.75 * np.eye(5)[labels], np.ones(n, bool))
        for name, labels in (("old $1$", old_labels), ("new", truth))
    )
    measures = measured(
        truth,
        old,
        new,
        FIVE_CLASSES.names,
        sources=np.resize(np.array(sources), n),
        slides=np.full(n, ""),
    )
    crops = np.zeros((changed, 8, 8, 3), np.uint8)
    return Comparison(FIVE_CLASSES, truth, old, new, (), measures, crops)


@pytest.mark.parametrize("changed", [0, 1, MAX_SHOWN + 5])
def test_every_picture_is_a_png(changed):
    pictures = draw_pictures(compared(changed))
    assert list(pictures) == ["confusion", "difference", "calibration", "changed"]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


def test_the_mean_of_sources_is_the_last_row_where_there_are_several():
    (row,) = table_rows(compared(9))
    assert len(row) == len(COLUMNS)
    assert (row[0], row[1], row[3], row[6], row[7]) == ("lab", "90", "100.0 %", "9", "0")
    names = [row[0] for row in table_rows(compared(9, sources=("a", "b")))]
    assert names == ["a", "b", "mean of sources"]


def test_what_was_not_measured_is_a_dash():
    assert percent(math.nan) == "–"
    assert side_rows(compared(3))[-1] == ("heat inside the cell", "–", "–")
