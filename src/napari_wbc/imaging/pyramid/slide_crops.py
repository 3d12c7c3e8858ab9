"""Square crops around cells of a whole slide, each read by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.imaging.crop import cut_crops
from napari_wbc.imaging.pyramid.base import Pyramid, Region
from napari_wbc.imaging.pyramid.opening import open_pyramid
from napari_wbc.model.geometry import BBox

_AROUND = 4
"""Crops across what is read around a cell: its bare glass gives the colour beyond the slide."""
_MOST = 4096
"""Pixels of the slide across that, for a box that a person drew far too large."""


def slide_crops(
    path: str | Path, boxes: Sequence[BBox], *, size: int, factor: float
) -> npt.NDArray[np.uint8]:
    """Crops as :func:`~napari_wbc.imaging.crop.cut_crops` makes them, of a slide.

    Parameters
    ----------
    path : str or Path
    boxes : sequence of BBox
        N boxes in pixels of the slide; the middle of each lies in it.
    size, factor
        As there.

    Returns
    -------
    ndarray, shape (N, size, size, 3), uint8

    Raises
    ------
    ReadError
        If the slide cannot be read.
    """
    crops = np.empty((len(boxes), size, size, 3), np.uint8)
    with open_pyramid(path) as pyramid:
        for crop, box in zip(crops, boxes, strict=True):
            reach = min(_AROUND * factor * max(box.height, box.width), _MOST) / 2
            part, here = around(pyramid, box, reach)
            crop[:] = cut_crops(part, [here], size=size, factor=factor)[0]
    return crops


def around(pyramid: Pyramid, box: BBox, reach: float) -> tuple[npt.NDArray[np.uint8], BBox]:
    """What lies around a box of a slide, and the box in pixels of that.

    Parameters
    ----------
    box : BBox
        In pixels of the slide, in which its middle lies.
    reach : float
        Pixels of the slide from the middle of the box to each side.

    Raises
    ------
    ReadError
        If the slide cannot be read there.
    """
    height, width = pyramid.levels[0].shape
    row, col = box.center
    region = Region(
        max(0, int(row - reach)),
        max(0, int(col - reach)),
        min(height, int(row + reach) + 1),
        min(width, int(col + reach) + 1),
    )
    corner = np.array([region.top, region.left] * 2)
    here = BBox(*(np.array(box.edges) - corner).tolist())
    return pyramid.read(0, region), here
