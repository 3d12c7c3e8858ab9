"""Validation of a cell finder: average precision by source, and the score threshold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_wbc.detect.mask_rcnn import LEUKOCYTE, THRESHOLD, MaskRcnnDetector
from napari_wbc.measure.average_precision import Truth, average_precision
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, iou_matrix
from napari_wbc.model.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_wbc.train.fields import TrainingField

T = TypeVar("T")
ByClass = Mapping[str, tuple[Detection, ...]]
"""What was found in a field, by class."""


def boxes_of(field: TrainingField, classes: Sequence[str], name: str) -> tuple[BBox, ...]:
    """Boxes of the cells of one class of a field, in pixels of its file."""
    # Label 0 is the background.
    wanted = classes.index(name) + 1
    boxes: list[BBox] = []
    for outline, label in zip(field.outlines, field.labels, strict=True):
        if label == wanted:
            boxes.append(BBox.around(outline / field.scale))
    return tuple(boxes)


def leukocyte_boxes(field: TrainingField, classes: Sequence[str]) -> tuple[BBox, ...]:
    """Boxes of the leukocytes of a field, in pixels of its file."""
    return boxes_of(field, classes, LEUKOCYTE)


def validate_steps(
    detector: MaskRcnnDetector, val: Sequence[TrainingField], *, done: int, total: int
) -> Steps[tuple[dict[str, float], list[ByClass]]]:
    """Find cells on validation fields and measure the average precision of leukocytes.

    Progress reports ``done`` and ``total`` unchanged: of training, of which validation is a part.

    Returns
    -------
    scores : dict
        Average precision, 0 to 1: ``val_ap_SOURCE`` over the IoUs 0.5 to 0.95, ``val_ap50_SOURCE``
        at 0.5, and ``val_ap``, the mean of the sources, which chooses the epoch.
    detections : list of dict
        Of each field, what was found by class, the surest first.
    """
    progress = Progress("validating", done, total)
    detections: list[ByClass] = []
    for field in val:
        looking = detector.look_steps(field.image, field.scale, field.shape)
        detections.append((yield from _reported_as(progress, looking)))
        yield progress
    scores: dict[str, float] = {}
    means: list[float] = []
    by_source: defaultdict[str, list[tuple[Truth, tuple[Detection, ...]]]] = defaultdict(list)
    for field, by_class in zip(val, detections, strict=True):
        truth = Truth(field.shape, leukocyte_boxes(field, detector.classes))
        by_source[field.source].append((truth, by_class[LEUKOCYTE]))
    for source, pairs in sorted(by_source.items()):
        # A source without a leukocyte has no precision, and must not turn the mean into NaN.
        if any(truth.boxes for truth, _ in pairs):
            ap = average_precision(pairs)
            scores |= {f"val_ap_{source}": ap.mean, f"val_ap50_{source}": ap.at_50}
            means.append(ap.mean)
    return {**scores, "val_ap": float(np.mean(means))}, detections


def _reported_as(progress: Progress, steps: Steps[T]) -> Steps[T]:
    """Run steps, and report each as ``progress``: their own count would make the bar jump."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        yield progress


def score_threshold(
    val: Sequence[TrainingField], detections: Sequence[ByClass], classes: Sequence[str], name: str
) -> float:
    """The score from which detections of a class count.

    It is the lowest whose F1 on validation fields, at IoU 0.5, is within 0.01 of the best: a false
    cell is dismissed by one key, and a missed one is not seen at all. Where 0.5 is as good as that
    lowest, and where no cell of the class was found, it is 0.5.

    It is 0.08 to 0.999, in even steps of its logit. ``detections`` are what was found in each
    field; ``classes`` are those of the cell finder, and ``name`` is one of them.
    """
    scores: list[float] = []
    hits: list[bool] = []
    cells = 0
    for field, by_class in zip(val, detections, strict=True):
        truth = boxes_of(field, classes, name)
        cells += len(truth)
        scores += [detection.score for detection in by_class[name]]
        hits += _matched(by_class[name], truth)
    # A sure network's scores crowd near 1, where steps of the score itself would be too coarse.
    grid = 1 / (1 + np.exp(-np.arange(-2.5, 7.1, 0.25)))
    kept = np.array(scores)[:, None] >= grid
    right = (kept & np.array(hits, bool)[:, None]).sum(axis=0)
    f1 = 2 * right / np.maximum(kept.sum(axis=0) + cells, 1)
    good = f1 >= f1.max() - 0.01
    lowest = int(np.argmax(good))
    # A few clean fields leave a wide range, of which the bottom would be a guess.
    middle = int(np.argmin(np.abs(grid - THRESHOLD)))
    if not f1.max() or (lowest < middle and f1[lowest] <= f1[middle]):
        return THRESHOLD
    return float(grid[lowest])


def _matched(detections: Sequence[Detection], truth: Sequence[BBox]) -> list[bool]:
    """Which detections overlap a cell at IoU 0.5; each cell counts for one of them."""
    matched: list[bool] = []
    taken: set[int] = set()
    for overlaps in iou_matrix([detection.bbox for detection in detections], truth):
        free = [i for i in np.argsort(-overlaps).tolist() if overlaps[i] >= 0.5 and i not in taken]
        taken.update(free[:1])
        matched.append(bool(free))
    return matched
