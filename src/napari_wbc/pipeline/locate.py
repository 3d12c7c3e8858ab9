"""Cell finders by name, and what a person may set of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc.detect.base import Detector, Located
from napari_wbc.detect.finders import DEFAULT, make_detector
from napari_wbc.detect.fitted import AROUND, fitted
from napari_wbc.detect.hsv import HsvDetector
from napari_wbc.detect.mask_rcnn import MaskRcnnDetector
from napari_wbc.detect.pair import PairDetector
from napari_wbc.errors import ReadError, TorchMissing
from napari_wbc.imaging.pyramid.opening import is_whole_slide, open_pyramid
from napari_wbc.imaging.pyramid.slide_crops import around
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView
from napari_wbc.pipeline.analysis import ReadField

_LARGEST = 1024
"""Pixels of a whole slide across a drawn box that is fitted: no cell is larger."""


def detector_steps(
    name: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    device: str = "auto",
) -> Steps[Detector]:
    """:func:`make_detector`; if PyTorch cannot be loaded, the search by colour with a notice."""
    yield Progress("loading the cell finder", 0, 0)
    try:
        return make_detector(name, preset, parameters, device=device)
    except TorchMissing as error:
        note = f"{error} Until then cells are located by colour (hsv)."
        yield Progress("loading the cell finder", 0, 0, note)
        return HsvDetector()


def locate_steps(
    detector: Detector, image: npt.NDArray[np.uint8], progress: Progress
) -> Steps[Located]:
    """What a cell finder locates on a field.

    The image has shape (height, width, 3); ``progress`` is shown between parts of a large field.
    """
    if not isinstance(detector, (MaskRcnnDetector, PairDetector)):
        return Located(detector.detect(image))
    steps = detector.locate_steps(image)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            located: Located = end.value
            return located
        # Tiles of one field are no fields: the bar of the slide stands still, but can be cancelled.
        yield progress


def preview_steps(
    image: npt.NDArray[np.uint8], name: str, preset: str, parameters: Mapping[str, Any]
) -> Steps[Located]:
    """What a cell finder locates on one field."""
    detector = yield from detector_steps(name, preset, parameters)
    progress = Progress("locating", 0, 1)
    yield progress
    return (yield from locate_steps(detector, image, progress))


def fit_steps(
    cells: Sequence[Cell], field: FieldOfView, read: ReadField
) -> Steps[dict[str, Detection]]:
    """Outlines of cells of a field that a person drew as mere boxes, by id.

    Of a box in which no leukocyte is seen there is none; see :func:`~napari_wbc.detect.fitted`.
    """
    yield Progress("outlining", 0, len(cells))
    image = None
    try:
        # An open image is a field, also where it is one level of a whole slide.
        image = read(field)
    except ReadError:
        if not is_whole_slide(field.path):
            raise
    outlined: dict[str, Detection] = {}
    for done, cell in enumerate(cells, start=1):
        box = cell.detection.bbox
        detection = _fitted_on_film(field.path, box) if image is None else fitted(image, box)
        if detection is not None:
            outlined[cell.cell_id] = detection
        yield Progress("outlining", done, len(cells))
    return outlined


def _fitted_on_film(path: Path, box: BBox) -> Detection | None:
    """:func:`fitted` by what lies around a box of a whole slide."""
    side = max(box.height, box.width)
    if side > _LARGEST:
        return None
    with open_pyramid(path) as pyramid:
        image, here = around(pyramid, box, (0.5 + AROUND) * side)
    detection = fitted(image, here)
    if detection is None or detection.outline is None:
        return None
    corner = np.array(box.edges[:2]) - here.edges[:2]
    outline = Outline.from_array(detection.outline.array() + corner)
    return replace(detection, bbox=outline.bbox, outline=outline)
