"""A field under even white light, with the colour of its red cells.

Red cells and nuclei are the two inner standards of a stained film: whatever stain, lamp and camera,
a classifier's preset brings both to the same colours (:mod:`napari_wbc.classify.anchors`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.imaging.stain import (
    absorbance,
    checked_rgb,
    even_light,
    eyepiece,
    nucleus_map,
    red_cells,
)

__all__ = ["BalancedField", "balanced"]

_LONGEST = 320
"""Red cells are measured on a field of at most so many pixels a side."""
_WHITE = np.full(3, 256, np.float32)
"""Even white light, in the unit of :func:`~napari_wbc.imaging.stain.illumination`."""


@dataclass(frozen=True, slots=True)
class BalancedField:
    """A field without its lamp.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB under even white light; bare glass is 255.
    red : ndarray, shape (3,), float32
        Absorbance (optical density) of a red cell in each channel; NaN where the field shows none.
    """

    image: npt.NDArray[np.uint8]
    red: npt.NDArray[np.float32]


def balanced(image: npt.NDArray[np.uint8]) -> BalancedField:
    """Take lamp and vignetting off a field and measure its red cells.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB.

    Raises
    ------
    WbcError
        If it is no such image.

    Examples
    --------
    >>> empty = balanced(np.full((40, 60, 3), (250, 220, 200), np.uint8))
    >>> bool(empty.image.min() >= 254), bool(np.isnan(empty.red).all())
    (True, True)
    """
    image = even_light(checked_rgb(image))
    small = max(1.0, max(image.shape[:2]) / _LONGEST)
    size = max(1, round(image.shape[1] / small)), max(1, round(image.shape[0] / small))
    seen = image if small == 1 else cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    density = absorbance(seen, _WHITE)
    black = eyepiece(density)
    density[black] = 0
    if black.any():
        full = cv2.resize(
            black.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST
        )
        image[full > 0] = 255
    found = red_cells(density, nucleus_map(density))
    share = np.array((*found.tint, 1 - found.tint.sum()))
    red = share * found.level if found.seen else np.full(3, np.nan)
    return BalancedField(image, red.astype(np.float32))
