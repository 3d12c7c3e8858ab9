"""A field under even white light, with the colour of its red cells.

Red cells and nuclei are the two inner standards of a stained film: whatever stain, lamp and camera,
a classifier's preset brings both to the same colours (:mod:`napari_wbc.classify.stain_anchors`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.imaging.red_cells import red_cells
from napari_wbc.imaging.stain import absorbance, checked_rgb, even_light, eyepiece, nucleus_map

_MAX_SIDE = 320
"""Longer side, in pixels, of the image that red cells are measured on: colour needs no more."""
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

    Raises
    ------
    WbcError
        If it is no uint8 RGB image of shape (height, width, 3).

    Examples
    --------
    >>> empty = balanced(np.full((40, 60, 3), (250, 220, 200), np.uint8))
    >>> bool(empty.image.min() >= 254), bool(np.isnan(empty.red).all())
    (True, True)
    """
    image = even_light(checked_rgb(image))
    reduction = max(1.0, max(image.shape[:2]) / _MAX_SIDE)
    width = max(1, round(image.shape[1] / reduction))
    height = max(1, round(image.shape[0] / reduction))
    # Nearest pixels keep colours as they are; averages would mix the rims of red cells with slide.
    small = image
    if reduction != 1:
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)
    density = absorbance(small, _WHITE)
    black = eyepiece(density)
    density[black] = 0
    # Black becomes glass, which is what crops also show beyond the edge of a field.
    if black.any():
        mask = black.astype(np.uint8)
        full = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        image[full > 0] = 255
    cells = red_cells(density, nucleus_map(density))
    # The shares of the three channels add up to 1.
    share = np.array((*cells.tint, 1 - cells.tint.sum()))
    red = share * cells.level if cells.seen else np.full(3, np.nan)
    return BalancedField(image, red.astype(np.float32))
