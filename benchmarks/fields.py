"""Labelled fields of every public set, and how well the detections on them fit.

Readers yield :class:`Labelled` fields; an :class:`Outcome` is what a detector made of one, and
:func:`summary` what it made of many. The folder is that of ``NAPARI_WBC_DATA``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from skimage.draw import polygon2mask

from napari_wbc.imaging.read import read_image
from napari_wbc.measure.average_precision import Truth, average_precision
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, iou_matrix
from public_sets import (
    BLOOD,
    DATA,
    MISPLACED_MASK,
    bccd_masks,
    bionet_boxes,
    bionet_split,
    cell_masks,
    table,
    txl_split,
    voc_boxes,
)

UNBOXED = {f"BloodImage_{number}" for number in ("00133", "00135", "00171", "00178", "00228")}
MATCH = 0.5
"""IoU from which a detection is that of a true cell."""
STRAY = 0.1
"""IoU below which a detection has nothing to do with a true cell."""
SLACK = 8.0
"""Pixels that a box is grown by on each side before it is asked whether it holds a point."""

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Point = tuple[float, float]
"""Row and column."""


@dataclass
class Labelled:
    """One field with the boxes of its cells, and their masks where the set has them.

    A set without boxes has one point in each cell instead; ``slack`` is :data:`SLACK` at the
    magnification of the field.
    """

    name: str
    image: Image
    truths: list[BBox]
    masks: list[Mask] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    slack: float = SLACK

    def matches(self, boxes: Sequence[BBox]) -> list[tuple[int, int]]:
        """Index of a true cell and of the box that finds it, each used once."""
        if self.points:
            return holding(self.points, boxes, self.slack)
        return [(i, j) for i, j, _ in pairs(self.truths, boxes)]

    def scaled(self, factor: float) -> Labelled:
        """The field at another magnification, without masks."""
        height, width = (max(1, round(n * factor)) for n in self.image.shape[:2])
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        image = cv2.resize(self.image, (width, height), interpolation=way)
        down, across = height / self.image.shape[0], width / self.image.shape[1]
        truths = [
            BBox(b.top * down, b.left * across, b.bottom * down, b.right * across)
            for b in self.truths
        ]
        points = [(row * down, col * across) for row, col in self.points]
        return Labelled(self.name, image, truths, points=points, slack=self.slack * factor)


def decoded(data: bytes, flag: int = cv2.IMREAD_COLOR) -> Image:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    return np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image


def yolo(labels: str, shape: tuple[int, ...], keep: str | None = None) -> list[BBox]:
    height, width = shape[:2]
    boxes = []
    for line in labels.splitlines():
        kind, *numbers = line.split()
        x, y, w, h = map(float, numbers[:4])
        if keep in (None, kind):
            box = BBox(
                (y - h / 2) * height, (x - w / 2) * width, (y + h / 2) * height, (x + w / 2) * width
            )
            boxes.append(box.clipped(height, width))
    return boxes


def box_of(mask: Mask) -> BBox:
    pixels = np.argwhere(mask)
    return BBox.around(np.stack([pixels.min(axis=0), pixels.max(axis=0) + 1]))


def bccd(truth: str, split: str | None = None) -> Iterator[Labelled]:
    folder = DATA / "bccd"
    for row in table(folder / "splits.csv"):
        name = Path(row["image"]).stem
        annotation = folder / "Annotations" / f"{name}.xml"
        if split not in (None, row["split"]):
            continue
        if truth == "boxes" and (name in UNBOXED or not annotation.is_file()):
            continue
        if truth == "masks" and name == MISPLACED_MASK:
            continue
        masks = bccd_masks(name) if truth == "masks" else []
        boxes = (
            [BBox(*edges) for edges in voc_boxes(annotation)]
            if truth == "boxes"
            else map(box_of, masks)
        )
        yield Labelled(name, read_image(folder / "JPEGImages" / f"{name}.jpg"), list(boxes), masks)


def boxed(folder: Path, names: Sequence[str], keep: str | None = None) -> Iterator[Labelled]:
    """Fields of a set with ``images/`` and YOLO ``labels/``."""
    for name in names:
        image = read_image(folder / "images" / name)
        labels = (folder / "labels" / name).with_suffix(".txt").read_text(encoding="utf-8")
        yield Labelled(name, image, yolo(labels, image.shape, keep))


def chula(split: str) -> Iterator[Labelled]:
    folder = DATA / "chula_wbc"
    names = [row["image"] for row in table(folder / "splits.csv") if row["split"] == split]
    return boxed(folder, names)


def raabin() -> Iterator[Labelled]:
    folder = DATA / "txl_pbc"
    names = [row["image"] for row in table(folder / "index.csv") if row["source"] == "raabin"]
    return boxed(folder, names, keep="0")


def pbc_neighbourhoods(split: str | None = None) -> Iterator[Labelled]:
    """The PBC part of TXL-PBC, without the image whose cell has no box."""
    folder = DATA / "txl_pbc"
    names = []
    for row in table(folder / "index.csv"):
        if row["source"] != "pbc" or row["n_wbc_boxes"] == "0":
            continue
        if split in (None, txl_split(row["overlap_group"])):
            names.append(row["image"])
    return boxed(folder, names, keep="0")


def bionet(split: str | None = None) -> Iterator[Labelled]:
    folder = DATA / "bionet"
    boxes = bionet_boxes()
    for row in table(folder / "scenes.csv"):
        if split in (None, bionet_split(row["scene"])):
            name = row["image"]
            truths = [BBox(*edges) for label, edges in boxes[name] if label == BLOOD[0]]
            yield Labelled(name, read_image(folder / "images" / name), truths)


def lisc() -> Iterator[Labelled]:
    """LISC, a point in each cell and no boxes; without three fields whose cell has no point."""
    folder = DATA / "lisc"
    points: dict[str, list[Point]] = {}
    for row in table(folder / "cells.csv"):
        if row["row"]:
            points.setdefault(row["image"], []).append((float(row["row"]), float(row["col"])))
    for name in sorted(points):
        yield Labelled(name, read_image(folder / "images" / name), [], points=points[name])


def pig() -> Iterator[Labelled]:
    folder = DATA / "pig_wbc"
    return boxed(folder, sorted(path.name for path in (folder / "images").iterdir()))


def seg_wbc() -> Iterator[Labelled]:
    with zipfile.ZipFile(DATA / "seg_wbc_dataset2" / "images_and_masks.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".bmp")):
            mask = decoded(archive.read(f"{Path(name).stem}.png"), cv2.IMREAD_GRAYSCALE) > 60
            masks = cell_masks(mask, np.empty((0, 2)))
            yield Labelled(name, decoded(archive.read(name)), [box_of(m) for m in masks], masks)


BCCD_MASKS, BCCD_BOXES, BCCD_ALL = "bccd, masks", "bccd, boxes", "bccd, boxes, all fields"
SETS: dict[str, Callable[[str], Iterator[Labelled]]] = {
    BCCD_MASKS: lambda split: bccd("masks", split),
    BCCD_BOXES: lambda split: bccd("boxes", split),
    BCCD_ALL: lambda _: bccd("boxes"),
    "chula": chula,
    "raabin": lambda _: raabin(),
    "seg_wbc_dataset2": lambda _: seg_wbc(),
    "pig": lambda _: pig(),
}


def read(name: str, split: str = "test", limit: int | None = None) -> list[Labelled]:
    """The first fields of a set."""
    return list(islice(SETS[name](split), limit))


def pairs(
    truths: Sequence[BBox], boxes: Sequence[BBox], at: float = MATCH
) -> list[tuple[int, int, float]]:
    """Index of a true cell, index of a box, and their IoU of ``at`` or more: best first, each used once."""
    overlaps, found = iou_matrix(truths, boxes), []
    while overlaps.size and (best := float(overlaps.max())) >= at:
        i, j = map(int, np.unravel_index(int(overlaps.argmax()), overlaps.shape))
        overlaps[i, :] = overlaps[:, j] = 0
        found.append((i, j, best))
    return found


def holding(
    points: Sequence[Point], boxes: Sequence[BBox], slack: float = SLACK
) -> list[tuple[int, int]]:
    """Index of a point, and of a box that holds it when grown by ``slack``: nearest centres first, each used once."""
    found: list[tuple[int, int]] = []
    if not points or not boxes:
        return found
    places = np.array(points)[:, None]
    edges = np.array([box.edges for box in boxes])
    top_left = edges[:, :2] - slack
    bottom_right = edges[:, 2:] + slack
    inside = ((places >= top_left) & (places <= bottom_right)).all(axis=-1)
    distances = np.linalg.norm(places - (top_left + bottom_right) / 2, axis=-1)
    distances[~inside] = np.inf
    while np.isfinite(distances.min()):
        i, j = map(int, np.unravel_index(int(distances.argmin()), distances.shape))
        distances[i, :] = distances[:, j] = np.inf
        found.append((i, j))
    return found


@dataclass
class Outcome:
    """What a detector made of one field: all that it saw, of which the surer ones are its cells."""

    field: Labelled
    seen: tuple[Detection, ...]
    score: float
    seconds: float

    @cached_property
    def cells(self) -> list[Detection]:
        """Detections that count."""
        return [cell for cell in self.seen if cell.score >= self.score]

    @cached_property
    def overlaps(self) -> npt.NDArray[np.float64]:
        """IoU of every true cell with every cell."""
        return iou_matrix(self.field.truths, [cell.bbox for cell in self.cells])

    @cached_property
    def best(self) -> list[float]:
        """Best overlap of each true cell, 0 for a miss."""
        return [float(row.max(initial=0)) for row in self.overlaps]

    @cached_property
    def matched(self) -> list[tuple[int, int, float]]:
        """Pairs of a true cell and a cell."""
        return pairs(self.field.truths, [cell.bbox for cell in self.cells])

    @property
    def stray(self) -> int:
        """Cells where there is no true cell."""
        return int((self.overlaps.max(axis=0, initial=0) < STRAY).sum())

    @property
    def mask_overlaps(self) -> list[float]:
        """IoU of each true mask with the outline matched to it, 0 for a miss."""
        found = [0.0] * len(self.field.masks)
        for i, j, _ in self.matched if self.field.masks else ():
            mask, outline = self.field.masks[i], self.cells[j].outline
            ring = self.cells[j].bbox.corners() if outline is None else outline.array()
            drawn = polygon2mask(mask.shape, ring - 0.5)
            found[i] = float((mask & drawn).sum() / (mask | drawn).sum())
        return found


def spread(best: npt.NDArray[np.float64]) -> dict[str, float]:
    return {
        "IoU mean": best.mean(),
        "IoU min": best.min(),
        "IoU max": best.max(),
        "IoU sd": best.std(ddof=1),
        "IoU median": float(np.median(best)),
    }


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The columns of the main table."""
    best = np.array([iou for outcome in outcomes for iou in outcome.best])
    masks = [iou for outcome in outcomes for iou in outcome.mask_overlaps]
    cells, fields = sum(len(outcome.cells) for outcome in outcomes), len(outcomes)
    matched = sum(len(outcome.matched) for outcome in outcomes)
    seen = [(Truth(o.field.image.shape[:2], tuple(o.field.truths)), o.seen) for o in outcomes]
    precision = average_precision(seen)
    return {
        "images": fields,
        "cells": len(best),
        **spread(best),
        "recall": matched / len(best),
        "precision": matched / cells if cells else np.nan,
        "AP50": precision.at_50,
        "mAP": precision.mean,
        "mask IoU": float(np.mean(masks)) if masks else np.nan,
        "false/field": (cells - matched) / fields,
        "stray/field": sum(outcome.stray for outcome in outcomes) / fields,
        "ms/field": 1000 * float(np.median([outcome.seconds for outcome in outcomes])),
    }


def largest_contour(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The published figure: the one contour of a field against its best box, fields with a box."""
    best = np.array([max(outcome.best) for outcome in outcomes if outcome.field.truths])
    return {"images": len(best), **spread(best)}


def agreement(split: str | None) -> str:
    """How far the two humans who labelled BCCD agree."""
    drawn = {f.name: f.truths for f in bccd("masks", split)}
    fields = [f for f in bccd("boxes", split) if f.name in drawn]
    found = [iou for f in fields for *_, iou in pairs(f.truths, drawn[f.name], STRAY)]
    return f"mean IoU {np.mean(found):.3f}, median {np.median(found):.3f} ({len(found)} cells)"
