"""A whole slide as one small picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.imaging.pyramid.base import Pyramid, Region
from napari_wbc.imaging.pyramid.opening import open_pyramid
from napari_wbc.imaging.stain import resized

_STRIP = 16_000_000
"""Pixels of a level that are read at once."""


def overview(path: str | Path, longest: int) -> npt.NDArray[np.uint8]:
    """A slide as a whole, shrunk; it is never enlarged.

    Parameters
    ----------
    path : str or Path
    longest : int
        Longer side of the picture in pixels, 1 or more.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8

    Raises
    ------
    ReadError
        If the slide cannot be read.
    """
    with open_pyramid(path) as pyramid:
        return _shrunken(pyramid, longest)


def _shrunken(pyramid: Pyramid, longest: int) -> npt.NDArray[np.uint8]:
    first = pyramid.levels[0].shape
    share = min(1.0, longest / max(first))
    shape = max(1, round(first[0] * share)), max(1, round(first[1] * share))
    # The coarsest level that need not be enlarged.
    large = [n for n, level in enumerate(pyramid.levels) if max(level.shape) >= max(shape)]
    level = pyramid.levels[large[-1]]
    picture = np.empty((*shape, 3), np.uint8)
    # Rows of the picture whose source is read at once, so that memory stays flat.
    per_row = level.height / shape[0] * level.width
    step = max(1, math.floor(_STRIP / per_row))
    for top in range(0, shape[0], step):
        bottom = min(top + step, shape[0])
        low = top * level.height // shape[0]
        high = max(low + 1, bottom * level.height // shape[0])
        strip = pyramid.read(large[-1], Region(low, 0, high, level.width))
        picture[top:bottom] = resized(strip, (bottom - top, shape[1]))
    return picture
