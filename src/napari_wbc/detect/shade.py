"""How dark a cell is beside what else is stained, which is mostly red cells.

A network that learnt from stains of all kinds may see a cell where glass is enclosed by red cells.
No stain leaves a leukocyte paler than red cells, so that is told by its shade alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_wbc.detect.base import RgbImage

_PALEST = 0.75
"""Shade of a leukocyte at least, as a share of that of the paler red cells. In validation it was
1.3 and more of the median, and that of glass 0.5 and less."""


def is_stained(work: RgbImage, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which boxes hold something as dark as a leukocyte may be.

    Parameters
    ----------
    work : ndarray, shape (height, width, 3), uint8
        Under even white light, so that glass is white.
    boxes : ndarray, shape (N, 4)
        (top, left, bottom, right) in pixels of it.

    Returns
    -------
    ndarray, shape (N,), bool
        False for all where nothing is stained.
    """
    # Of the channels, the one that the stain absorbs most.
    depth = 255 - work.min(axis=2)
    sample = depth[::4, ::4]
    cells = sample[sample > 0.25 * np.percentile(sample, 99)]
    stained = np.zeros(len(boxes), bool)
    if not len(cells):
        return stained
    # Of the paler third, so that a fold or a drop of stain is not the standard.
    palest = _PALEST * float(np.percentile(cells, 30))
    for i, (top, left, bottom, right) in enumerate(np.clip(boxes, 0, None)):
        # The middle half, since the corners of a box show what is beside the cell.
        down = (bottom - top) / 4
        across = (right - left) / 4
        rows = slice(int(top + down), int(np.ceil(bottom - down)))
        cols = slice(int(left + across), int(np.ceil(right - across)))
        middle = depth[rows, cols]
        stained[i] = middle.size and np.percentile(middle, 80) >= palest
    return stained
