"""What red cells and platelets cost: the blood-cell detector beside the leukocyte detector.

    python benchmarks/blood_cells.py

Bio-net's test fields, the held-out fields of TXL-PBC's two parts, by which the epoch was chosen, and
BCCD's test fields, whose boxes of red cells and platelets are incomplete.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from fields import pairs
from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES, LEUKOCYTE, MaskRcnnDetector, load_mask_rcnn
from napari_wbc.imaging.read import read_image
from napari_wbc.measure.average_precision import Truth, average_precision
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, Outline, iou_matrix
from public_sets import DATA, bccd_blood_fields, blood_fields
from record import record

SPLITS = {"bionet": "test", "txl_pbc": "val", "raabin": "val", "bccd": "test"}
Found = Mapping[str, tuple[Detection, ...]]


def truths() -> dict[str, dict[str, dict[str, list[BBox]]]]:
    """Source to field to class to boxes."""
    fields: dict[str, dict[str, dict[str, list[BBox]]]] = {source: {} for source in SPLITS}
    for row in (*blood_fields(DATA), *bccd_blood_fields(DATA)):
        if row["split"] == SPLITS[row["source"]]:
            classes = fields[row["source"]].setdefault(str(row["path"]), defaultdict(list))
            classes[row["label"]].append(_box(row))
    return fields


def _box(row: Mapping[str, object]) -> BBox:
    if row.get("outline"):
        vertices = [vertex.split(",") for vertex in str(row["outline"]).split()]
        return Outline.from_array(np.array(vertices, float)).bbox
    return BBox(*(float(str(row[edge])) for edge in ("top", "left", "bottom", "right")))


def survey(detector: MaskRcnnDetector, paths: list[str]) -> Iterator[tuple[tuple[int, int], Found]]:
    for path in paths:
        image = read_image(path)
        yield image.shape[:2], detector.survey(image)


def line(
    name: str,
    boxes: list[list[BBox]],
    shapes: list[tuple[int, int]],
    found: list[tuple[Detection, ...]],
) -> dict[str, object]:
    best: list[float] = []
    right = 0
    for true, cells in zip(boxes, found, strict=True):
        seen = [cell.bbox for cell in cells]
        best += iou_matrix(true, seen).max(axis=1, initial=0).tolist()
        right += len(pairs(true, seen))
    matched = [
        (Truth(shape, tuple(true)), cells)
        for shape, true, cells in zip(shapes, boxes, found, strict=True)
    ]
    counted, true = np.array([len(cells) for cells in found]), np.array([len(b) for b in boxes])
    return {
        "class": name,
        "cells": len(best),
        "found": int(counted.sum()),
        "IoU mean": round(float(np.mean(best)), 3),
        "recall": round(right / max(len(best), 1), 3),
        "precision": round(right / max(int(counted.sum()), 1), 3),
        "AP50": round(average_precision(matched).at_50, 3),
        "mean difference of counts a field": round(float(np.abs(counted - true).mean()), 2),
    }


def main() -> None:
    lines = []
    fields = truths()
    for weights in ("mask_rcnn", "blood_cells"):
        detector = load_mask_rcnn(weights, device="cpu")
        for source, known in fields.items():
            shapes, found = zip(*survey(detector, list(known)), strict=True)
            for name in detector.classes:
                boxes = [classes[name] for classes in known.values()]
                row = line(name, boxes, list(shapes), [one[name] for one in found])
                about = {
                    "set": f"{source} {SPLITS[source]}",
                    "weights": weights,
                    "fields": len(known),
                }
                lines.append({**about, **row})
    record(
        "blood_cells",
        "Leukocytes, red cells and platelets",
        pd.DataFrame(lines),
        data=[DATA / "bionet", DATA / "txl_pbc", DATA / "bccd"],
        notes=[
            f"Classes of blood_cells: {', '.join(BLOOD_CLASSES)}; {LEUKOCYTE}s have BCCD's mask boxes.",
            "IoU: best overlap of a boxed cell with a detection of its class, or 0; recall and precision: "
            "at 0.5, each detection for one cell.",
            "BCCD boxes few of its red cells and platelets in many fields (see its README): AP50 and "
            "the difference of counts are then too low and too high.",
            "TXL-PBC's boxes are semi-automatic; these fields chose the epoch of both weights.",
        ],
    )


if __name__ == "__main__":
    main()
