"""Magnification of a field: how wide its red cells are.

Invariant: the answer depends on what the pixels show and not on how large the image is: windows of
it are looked at, near its full resolution, until red cells are as wide as they can be measured.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_wbc.imaging.red_cells import red_cells
from napari_wbc.imaging.stain import Rgb, field_absorbance, nucleus_map, rescaled

_NARROW = 13.0
"""Diameters below this, in pixels of a window, are too narrow to measure ..."""
_WIDE = 42.0
"""... and those above it are broken up by what is seen inside a red cell."""
_WINDOW = 320
"""Side of a window in its own pixels."""
_MOST_WINDOWS = 4
"""Windows of a very large image."""
_GROWTH = 1.35
"""Seen twice as close, a red cell is at least so many times as wide; noise is not."""
_CLOSEST = 2.0
"""Most that a field is enlarged to measure its red cells."""


def red_cell_diameters(image: Rgb) -> tuple[float, ...]:
    """Typical diameter of the red cells of a field.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB of any size.

    Returns
    -------
    tuple of float
        In pixels of the image: one diameter; two, the likelier first, where grain of the camera may
        have been taken for red cells; none where no red cells are seen.

    Examples
    --------
    >>> red_cell_diameters(np.full((60, 80, 3), 230, np.uint8))
    ()
    """
    scale = 0.5
    width = _reading(image, scale)
    # Coarser, while red cells are too wide or none is seen.
    while (width > _WIDE or not width) and max(image.shape[:2]) * scale > _WINDOW / 4:
        scale /= 2
        width = _reading(image, scale)
    coarse = 0.0
    while 0 < width < _NARROW and scale < _CLOSEST:
        closer = _reading(image, 2 * scale)
        if closer < _GROWTH * width and not coarse:
            # What is as narrow at twice the size may be grain, which is gone from farther away.
            coarse = 2 * _reading(image, scale / 2) / scale
        scale *= 2
        width = closer
    fine = width / scale
    return tuple(diameter for diameter in (fine, coarse) if diameter)


def _reading(image: Rgb, scale: float) -> float:
    """Diameter of red cells at a scale, in pixels at that scale: the median of the windows."""
    diameters: list[float] = []
    for window in _windows(image, round(_WINDOW / scale)):
        density = np.clip(field_absorbance(rescaled(window, scale)), -0.02, 2)
        diameter = red_cells(density, nucleus_map(density)).diameter
        if diameter:
            diameters.append(diameter)
    return float(np.median(diameters)) if diameters else 0.0


def _windows(image: Rgb, side: int) -> Iterator[Rgb]:
    """The image itself if it is hardly larger than a window, else windows along its diagonal."""
    longest = max(image.shape[:2])
    if longest <= 1.25 * side:
        yield image
        return
    count = min(_MOST_WINDOWS, round(longest / side) + 1)
    # Not in the very corners, where an eyepiece is black.
    for share in (np.arange(count) + 0.5) / count:
        top, left = (round(share * max(length - side, 0)) for length in image.shape[:2])
        yield image[top : top + side, left : left + side]
