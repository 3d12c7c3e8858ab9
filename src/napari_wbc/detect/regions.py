"""Cells of a mask in which each region has a number, as cellpose and others make it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from napari_wbc.detect.outlines import traced
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import Outline

LEAST_AREA = 16
"""Pixels below which a region is a speck."""


def detections_of(labels: npt.NDArray[Any]) -> tuple[Detection, ...]:
    """Each region of a mask as a detection with its outline.

    Parameters
    ----------
    labels : ndarray, shape (height, width), int
        0 where there is no region. Of a region in several parts, the first is taken.

    Examples
    --------
    >>> mask = np.zeros((40, 50), int)
    >>> mask[10:20, 30:40] = 7
    >>> len(detections_of(mask))
    1
    """
    found = []
    # scipy's stubs do not say that numbers without a region are None.
    places: list[Any] = list(find_objects(labels))
    for number, place in enumerate(places, start=1):
        if place is None:
            continue
        mask = np.pad((labels[place] == number).astype(np.uint8), 1)
        if mask.sum() < LEAST_AREA:
            continue
        corner = np.array([place[0].start, place[1].start]) - 1
        outline = Outline.from_array(traced(mask) + corner)
        found.append(Detection(outline.bbox, outline, drawn=True))
    return tuple(found)
