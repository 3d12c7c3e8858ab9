"""From a drawn box to the outline of the cell in it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wbc.detect.fitted import fitted
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.geometry import BBox

SMEAR = synthetic_smear(3)


def off(box: BBox, share: float) -> BBox:
    """A box that a hasty hand drew."""
    down, right = share * box.height, share * box.width
    return BBox(box.top + down, box.left - right, box.bottom + down, box.right - right)


def test_a_box_becomes_the_outline_of_its_cell():
    for cell in SMEAR.cells:
        box = off(cell.bbox, 0.1)
        detection = fitted(SMEAR.image, box)
        assert detection is not None
        assert detection.drawn
        assert detection.outline.bbox == detection.bbox
        assert detection.bbox.iou(cell.bbox) > max(0.75, box.iou(cell.bbox))


def test_where_no_cell_is_seen_the_box_stays():
    box = SMEAR.cells[0].bbox
    glass = np.full((300, 300, 3), 235, np.uint8)
    assert fitted(glass, BBox(100, 100, 160, 160)) is None
    around = BBox(
        box.top - 3 * box.height,
        box.left - 3 * box.width,
        box.bottom + 3 * box.height,
        box.right + 3 * box.width,
    )
    assert fitted(SMEAR.image, around) is None, "it is around more than the cell"


@pytest.mark.parametrize("box", [(-50, -50, -10, -10), (0, 0, 2, 2), (290, 290, 400, 400)])
def test_a_box_at_the_edge_or_outside_is_no_error(box):
    assert fitted(np.full((300, 300, 3), 235, np.uint8), BBox(*box)) is None
