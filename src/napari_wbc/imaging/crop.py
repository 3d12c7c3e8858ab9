"""Square crops around boxes, cut once from the field.

Invariant: a crop is a square centred on its box, its side a stated factor of the box's longer
side, so that a cell fills the same part of every crop whatever the magnification.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.model.geometry import BBox


def background(image: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    """Colour of the bare glass of a field, 0 to 255: the 90th percentile of each channel."""
    # Some 128 rows and columns tell a percentile of the field.
    step = max(1, min(image.shape[:2]) // 128)
    red, green, blue = np.percentile(image[::step, ::step].reshape(-1, 3), 90, axis=0)
    return int(red), int(green), int(blue)


def whole_image_box(image: npt.NDArray[np.uint8], factor: float) -> BBox:
    """The box whose crop, as :func:`cut_crops` makes it, is the largest centred square."""
    height, width = image.shape[:2]
    half = min(height, width) / factor / 2
    return BBox(height / 2 - half, width / 2 - half, height / 2 + half, width / 2 + half)


def cut_crops(
    image: npt.NDArray[np.uint8], boxes: Sequence[BBox], *, size: int, factor: float
) -> npt.NDArray[np.uint8]:
    """Cut a square crop around each box.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
    boxes : sequence of BBox
        N boxes in pixels of the image; they may reach over its edge.
    size : int
        Side of the crops in pixels.
    factor : float
        Side of the square in the field, as a multiple of the box's longer side.

    Returns
    -------
    ndarray, shape (N, size, size, 3), uint8
        What lies outside the field has the colour of its background. The square is at most
        four times the field's longer side.
    """
    crops = np.empty((len(boxes), size, size, 3), dtype=np.uint8)
    if not boxes:
        return crops
    fill = background(image)
    for crop, box in zip(crops, boxes, strict=True):
        # The limit keeps a box that a person drew far too large from taking all memory.
        side = min(max(2, round(max(box.height, box.width) * factor)), 4 * max(image.shape[:2]))
        top = round(box.center[0] - side / 2)
        left = round(box.center[1] - side / 2)
        square = np.full((side, side, 3), fill, dtype=np.uint8)
        # Negative ends of a slice would count from the other side of the image.
        inside = image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
        row = max(-top, 0)
        col = max(-left, 0)
        square[row : row + inside.shape[0], col : col + inside.shape[1]] = inside
        interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        cv2.resize(square, (size, size), crop, interpolation=interpolation)
    return crops
