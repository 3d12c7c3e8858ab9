"""Magnification of a field: how wide its red cells are.

Invariant: the answer depends on what the pixels show and not on how large the image is: windows of
it are looked at, at several scales, until two of them agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from napari_wbc.imaging.red_cells import red_cells
from napari_wbc.imaging.stain import Rgb, field_absorbance, nucleus_map, rescaled

_SCALES = (0.5, 0.25, 1.0, 0.125, 2.0, 4.0, 0.0625, 0.03125)
"""At which a field is looked at, the likelier ones first."""
_NARROW = 8.0
"""Diameters below this, in pixels of a window, are too narrow to measure, ..."""
_CLEAR = 13.0
"""... those from this on can be believed without a second look, ..."""
_WIDE = 42.0
"""... and those above this are broken up by what is seen inside a red cell."""
_SAME = 1.25
"""Most that a diameter differs between two scales, as a factor, if it is that of red cells."""
_GRAIN = 8
"""No red cell is so many times narrower than what may be a clump of them; grain is."""
_WINDOW = 320
"""Side of a window in its own pixels."""
_MOST_WINDOWS = 4
"""Windows of a very large image."""


def red_cell_diameters(image: Rgb) -> tuple[float, ...]:
    """Typical diameter of the red cells of a field.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB of any size.

    Returns
    -------
    tuple of float
        In pixels of the image: one diameter; two, the larger first, where grain of the camera may
        have been taken for red cells, or cells that touch for one; none where no red cells are
        seen.

    Examples
    --------
    >>> red_cell_diameters(np.full((60, 80, 3), 230, np.uint8))
    ()
    """
    # Only red cells are as wide from near as from far: grain is as many pixels at any scale, and
    # cells that touch come apart.
    widths: dict[float, float] = {}
    for scale in _SCALES:
        # Hardly anything shows, or, enlarged, hardly anything but grain.
        if (scale < 0.5 or scale > 2) and max(image.shape[:2]) * min(scale, 1) < _WINDOW / 4:
            continue
        widths[scale] = _reading(image, scale)
        for far in (scale, scale / 2):
            first, second = widths.get(far, 0.0), widths.get(2 * far, 0.0)
            measured = first >= _NARROW and 0 < second < 1.5 * _WIDE
            if measured and 2 / _SAME < second / first < 2 * _SAME:
                diameter = second / (2 * far) if second <= _WIDE else first / far
                # Enlarged, grain grows as cells do: it confirms nothing that is wider from farther.
                wider = [0.0]
                if far >= 1:
                    wider += _believed(widths)
                widest = max(diameter, *wider)
                return (diameter,) if widest < _SAME * diameter else (widest, diameter)
    believed = _believed(widths)
    if not believed:
        return ()
    widest = max(believed)
    narrowest = min(diameter for diameter in believed if diameter * _GRAIN > widest)
    return tuple(dict.fromkeys((widest, narrowest)))


def _believed(widths: Mapping[float, float]) -> list[float]:
    """Diameters in pixels of the image, of widths by scale that can be believed alone."""
    return [width / scale for scale, width in widths.items() if _CLEAR <= width <= _WIDE]


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
