"""What is no leukocyte of the training laboratories: red cells, debris, platelets, pigs, blurred fields.

python benchmarks/classification.py unlike
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from napari_wbc.classify.preset import Preset
from napari_wbc.imaging.read import read_image
from napari_wbc.model.geometry import BBox
from napari_wbc.train.dataset import CropSet
from public_sets import DATA, table, voc_objects

Boxes = list[BBox]
"""Of one field."""


def _voc(kind: str, split: str) -> Iterator[tuple[Path, Boxes]]:
    root = DATA / "bccd"
    for row in table(root / "splits.csv"):
        if row["split"] == split:
            found = voc_objects(root / "Annotations" / f"{Path(row['image']).stem}.xml")
            boxes = [
                BBox(*box)
                for name, box in found
                if name == kind and box[2] > box[0] and box[3] > box[1]
            ]
            yield root / "JPEGImages" / row["image"], boxes


def red_cells(split: str) -> Iterator[tuple[Path, Boxes]]:
    """BCCD's red cells, four a field."""
    for path, boxes in _voc("RBC", split):
        yield path, boxes[:4]


def clumps(split: str) -> Iterator[tuple[Path, Boxes]]:
    """Squares around pairs of BCCD's red cells that touch, two a field."""
    whites = dict(_voc("WBC", split))
    for path, boxes in _voc("RBC", split):
        pairs = []
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                both = BBox(
                    min(a.top, b.top),
                    min(a.left, b.left),
                    max(a.bottom, b.bottom),
                    max(a.right, b.right),
                )
                close = (
                    both.height < 1.7 * a.height
                    and both.width < 1.7 * a.width
                    and both.area > 1.3 * a.area
                )
                if close and not any(_touch(both, w) for w in whites[path]):
                    pairs.append(both)
        yield path, pairs[:2]


def platelets(split: str) -> Iterator[tuple[Path, Boxes]]:
    """BCCD's platelets."""
    return _voc("Platelets", split)


def debris(split: str) -> Iterator[tuple[Path, Boxes]]:
    """Squares of a leukocyte's size at random places of Chula's fields, away from every labelled cell."""
    root, rng = DATA / "chula_wbc", np.random.default_rng(0)
    for row in table(root / "splits.csv"):
        if row["split"] != split:
            continue
        path = root / "images" / row["image"]
        lines = (root / "labels" / row["image"]).with_suffix(".txt").read_text().splitlines()
        whites = []
        for line in lines:
            x, y, w, h = (float(v) for v in line.split()[1:5])
            whites.append(BBox((y - h) * 600, (x - w) * 960, (y + h) * 600, (x + w) * 960))
        squares = [
            BBox(t, left, t + 95, left + 95) for t, left in rng.uniform((0, 0), (505, 865), (8, 2))
        ]
        yield path, [s for s in squares if not any(_touch(s, w) for w in whites)][:2]


def pigs(_split: str) -> Iterator[tuple[Path, Boxes]]:
    """Leukocytes of the warty pig."""
    root = DATA / "pig_wbc"
    for path in sorted((root / "images").iterdir()):
        height, width = cv2.imread(str(path)).shape[:2]
        boxes = []
        for line in (root / "labels" / path.name).with_suffix(".txt").read_text().splitlines():
            x, y, w, h = (float(v) for v in line.split()[1:5])
            boxes.append(
                BBox(
                    (y - h / 2) * height,
                    (x - w / 2) * width,
                    (y + h / 2) * height,
                    (x + w / 2) * width,
                )
            )
        yield path, boxes


def _touch(a: BBox, b: BBox) -> bool:
    return a.top < b.bottom and b.top < a.bottom and a.left < b.right and b.left < a.right


KINDS = {
    "red cells": red_cells,
    "red-cell clumps": clumps,
    "platelets": platelets,
    "debris and background": debris,
    "pig leukocytes": pigs,
}


def unlike_crops(kind: str, split: str, preset: Preset, room: float = 1.0) -> CropSet:
    """Crops of one of :data:`KINDS`."""
    crops, red = [], []
    for path, boxes in KINDS[kind](split):
        if boxes:
            cut, anchors = preset.cut(read_image(path), boxes, room=room)
            crops.append(cut)
            red.append(anchors)
    stacked = np.concatenate(crops)
    n = len(stacked)
    return CropSet(
        stacked,
        np.concatenate(red),
        np.zeros(n, np.int64),
        np.full(n, kind),
        np.full(n, split),
        f"{kind} {split}",
    )


def blurred(data: CropSet, sigma: float = 4.0) -> CropSet:
    """Crops out of focus: blurred so that nothing of a nucleus' texture is left."""
    crops = np.stack([cv2.GaussianBlur(crop, (0, 0), sigma) for crop in data.crops])
    return CropSet(
        crops, data.red, data.labels, data.sources, data.splits, f"{data.sha256} blurred {sigma}"
    )
