"""The detectors that are measured side by side, and what a process needs for each of them."""

from __future__ import annotations

import dataclasses
import multiprocessing
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fields import BCCD_ALL, BCCD_BOXES, SETS, Image, Labelled, Outcome
from napari_wbc.detect.base import Detector
from napari_wbc.detect.hsv import HsvDetector, NucleusParameters
from napari_wbc.detect.mask_rcnn import load_mask_rcnn
from napari_wbc.model.cell import Detection

MASK_RCNN, NUCLEUS, YOUSSEF = "mask-rcnn", "hsv/nucleus", "hsv/youssef-2024"
STOCK = "torchvision maskrcnn_resnet50_fpn"
DETECTORS = (MASK_RCNN, NUCLEUS, YOUSSEF, STOCK)
LOWEST = 0.05
"""Score from which a detection counts for the average precision."""


class Stock:
    """Torchvision's Mask R-CNN at its default size, untrained.

    Chance would have it find a hundred things and draw all their masks: a threshold no score
    reaches spares it those, so that its time and memory are not overstated.
    """

    name = STOCK

    def __init__(self) -> None:
        import torch
        from torchvision.models.detection import maskrcnn_resnet50_fpn

        torch.manual_seed(0)
        self.network = maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, box_score_thresh=1.0
        ).eval()

    def detect(self, image: Image) -> tuple[Detection, ...]:
        """Nothing, after the work of searching; shape (height, width, 3)."""
        import torch

        with torch.inference_mode():
            self.network([torch.tensor(image).permute(2, 0, 1).float() / 255])
        return ()


@dataclass(frozen=True)
class Way:
    """A detector that tells all it sees, and the score from which that is a cell."""

    name: str
    detector: Detector
    score: float


def way(name: str, weights: str, device: str = "cpu") -> Way:
    """One of :data:`DETECTORS`."""
    if name == MASK_RCNN:
        detector = load_mask_rcnn(weights, device=device)
        lower = dataclasses.replace(detector, score=min(LOWEST, detector.score))
        return Way(name, lower, detector.score)
    if name == NUCLEUS:
        return Way(
            name, HsvDetector(parameters=NucleusParameters(score=LOWEST)), NucleusParameters().score
        )
    return Way(name, HsvDetector(name.partition("/")[2]) if name == YOUSSEF else Stock(), 0.0)


def run(fields: Iterable[Labelled], one: Way) -> list[Outcome]:
    outcomes = []
    for labelled in fields:
        start = time.perf_counter()
        seen = one.detector.detect(labelled.image)
        outcomes.append(Outcome(labelled, seen, one.score, time.perf_counter() - start))
    return outcomes


def median_ms(outcomes: Sequence[Outcome]) -> float:
    return 1000 * float(np.median([outcome.seconds for outcome in outcomes]))


def peak(name: str, weights: str) -> float:
    """Peak memory in MB of this process with one detector, or none, on a field of each laboratory."""
    import resource

    laboratories = [each for each in SETS if each not in (BCCD_BOXES, BCCD_ALL)]
    images = [next(SETS[each]("test")) for each in laboratories]
    if name:
        run(images, way(name, weights))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def memory(weights: str) -> pd.DataFrame:
    """Each detector in a process of its own; call it while this one is small, whose peak a child inherits."""
    lines = []
    for name in ("", *DETECTORS):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            most = pool.submit(peak, name, weights).result()
        lines.append(
            {"detector": name or "none: libraries and five fields", "peak MB": round(most)}
        )
    return pd.DataFrame(lines)
