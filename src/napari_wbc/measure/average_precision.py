"""How well detections fit the cells of a field: COCO's average precision."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, Outline


@dataclass(frozen=True, slots=True)
class Truth:
    """The cells of one field, for :func:`average_precision`.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the field.
    outlines : tuple of Outline
        Of the same cells, or none; they are needed for the precision of outlines.
    """

    shape: tuple[int, int]
    boxes: tuple[BBox, ...]
    outlines: tuple[Outline, ...] = ()


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """COCO's average precision, each 0 to 1; NaN where there is no cell.

    Parameters
    ----------
    mean : float
        Over the IoU thresholds 0.5, 0.55, ... 0.95.
    at_50, at_75 : float
        At the IoU thresholds 0.5 and 0.75.
    """

    mean: float
    at_50: float
    at_75: float


def average_precision(
    fields: Iterable[tuple[Truth, Sequence[Detection]]], *, kind: Literal["bbox", "segm"] = "bbox"
) -> AveragePrecision:
    """COCO's average precision of the detections in fields (Lin et al. 2014), by faster-coco-eval.

    The kind ``bbox`` compares boxes, ``segm`` outlines.

    Examples
    --------
    >>> box = BBox(0, 0, 10, 10)
    >>> average_precision([(Truth((20, 20), (box,)), [Detection(box)])]).mean
    1.0
    """
    from faster_coco_eval import COCO, COCOeval_faster

    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    results: list[dict[str, object]] = []
    for i, (truth, detections) in enumerate(fields, start=1):
        images.append({"id": i, "height": truth.shape[0], "width": truth.shape[1]})
        shapes = truth.outlines if kind == "segm" else (None,) * len(truth.boxes)
        for box, outline in zip(truth.boxes, shapes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": 1,
                    "iscrowd": 0,
                    "area": box.area,
                    **_coco_shape(box, outline),
                }
            )
        for detection in detections:
            shape = _coco_shape(detection.bbox, detection.outline if kind == "segm" else None)
            results.append({"image_id": i, "category_id": 1, "score": detection.score, **shape})
    # faster-coco-eval cannot load an empty list of results, and has no precision without a cell.
    if not annotations:
        return AveragePrecision(math.nan, math.nan, math.nan)
    if not results:
        return AveragePrecision(0.0, 0.0, 0.0)
    truth_set = COCO(
        {
            "info": {},
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "cell"}],
        }
    )
    detection_set = truth_set.loadRes(results)
    evaluation = COCOeval_faster(truth_set, detection_set, kind, print_function=lambda *_: None)
    evaluation.run()
    # COCO gives -1 for what it cannot measure.
    return AveragePrecision(*np.maximum(evaluation.stats[:3], 0.0).tolist())


def _coco_shape(box: BBox, outline: Outline | None) -> dict[str, object]:
    """Box and outline under the names that COCO gives them."""
    shape: dict[str, object] = {"bbox": [box.left, box.top, box.width, box.height]}
    # COCO's polygons are x, y, x, y, ...
    if outline is not None:
        shape["segmentation"] = [outline.array()[:, ::-1].ravel().tolist()]
    return shape
