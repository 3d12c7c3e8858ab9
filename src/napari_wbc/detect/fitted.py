"""From a box that a person drew around a cell to the cell's outline."""

from __future__ import annotations

import numpy as np

from napari_wbc.detect.base import RgbImage
from napari_wbc.detect.hsv import HsvDetector, NucleusParameters
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, Outline

AROUND = 1.0
"""Of the box's sides, looked at on each side of it: glass and red cells give light and scale."""
LEAST_IOU = 0.5
"""Between the box and the outline's; below it, what was outlined is not what the box is around."""
_FINDER = HsvDetector("nucleus", NucleusParameters(score=0.0))
"""A person has said already that a cell is there, so its score does not count."""


def fitted(image: RgbImage, box: BBox) -> Detection | None:
    """Outline the cell inside a box that a person drew, by its colour.

    In boxes that were up to 12 % off on each side, it outlined 83 of 89 leukocytes of three public
    sets (BCCD, Raabin, pig), and the IoU with the true box rose from 0.78 to 0.87. Of 26 of Chula
    it outlined 19, whose IoU fell from 0.79 to 0.75.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB field; only the box and what lies around it are looked at.
    box : BBox
        In pixels of the field.

    Returns
    -------
    Detection or None
        Drawn, with an outline whose bounds are its box; None where no leukocyte is seen that fills
        the box.

    Examples
    --------
    >>> glass = np.full((60, 60, 3), 235, np.uint8)
    >>> fitted(glass, BBox(10, 10, 40, 40)) is None
    True
    """
    rows, cols = _around(box, image.shape)
    part = np.ascontiguousarray(image[rows, cols])
    if not part.size:
        return None
    best: Detection | None = None
    overlap = LEAST_IOU
    corner = np.array([rows.start, cols.start])
    for cell in _FINDER.detect(part):
        assert cell.outline is not None
        outline = Outline.from_array(cell.outline.array() + corner)
        iou = outline.bbox.iou(box)
        if iou >= overlap:
            overlap = iou
            best = Detection(outline.bbox, outline, drawn=True)
    return best


def _around(box: BBox, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of an image of a shape that :func:`fitted` looks at."""
    top, left, bottom, right = box.edges
    height, width = AROUND * box.height, AROUND * box.width
    rows = slice(max(0, int(top - height)), min(shape[0], int(np.ceil(bottom + height))))
    cols = slice(max(0, int(left - width)), min(shape[1], int(np.ceil(right + width))))
    return rows, cols
