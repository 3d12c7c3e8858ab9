"""How well leukocytes are found: every detector, side by side, on every set with boxes or masks.

    python benchmarks/localization.py [--weights FILE]

Writes the tables to benchmarks/results/ with a histogram of the overlaps, and draws the worst cells
of Mask R-CNN to .cache/localization_worst.png, which shows images of patients and is never
committed. The images are those of the folder that ``NAPARI_WBC_DATA`` names (see there for
their sources and defects). With --set or --split, the main table is printed without
torchvision's slow network, and nothing recorded.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd

from detectors import (
    DETECTORS,
    LOWEST,
    MASK_RCNN,
    NUCLEUS,
    STOCK,
    YOUSSEF,
    Way,
    median_ms,
    memory,
    run,
    way,
)
from fields import (
    BCCD_ALL,
    BCCD_BOXES,
    BCCD_MASKS,
    SETS,
    Labelled,
    Outcome,
    agreement,
    largest_contour,
    read,
    summary,
)
from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import read_image
from napari_wbc.model.geometry import BBox
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import read_card
from public_sets import DATA
from public_sets import SETS as CELLS
from record import RESULTS, record

mpl.use("agg")
import matplotlib.pyplot as plt

CACHE = Path(__file__).parents[1] / ".cache"
FEW = 5
"""Fields of each set on which torchvision's own Mask R-CNN is timed."""
WORST, WORST_OF_A_SET = 24, 6
SIZES, SIZED_FIELDS = (25, 50, 100, 150, 200, 250), 30
PLOTTED = (BCCD_BOXES, BCCD_MASKS, "chula", "raabin")
CLASSED = {
    "chula": "Chula test",
    "bccd": "BCCD test, fields with one cell",
    "seg_wbc_dataset2": "seg_wbc_dataset2",
}


@dataclass
class Findings:
    """What is gathered set by set."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    best: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    few: dict[str, dict[str, list[Outcome]]] = field(default_factory=dict)
    worst: dict[str, tuple[float, str, Outcome, int]] = field(default_factory=dict)

    def add(self, name: str, fields: Sequence[Labelled], one: Way, cuda: Way | None) -> None:
        """One detector on one set."""
        outcomes = run(fields, one)
        line = {"set": name, "detector": one.name, **summary(outcomes)}
        self.lines.append(line)
        self.best[name, one.name] = [iou for outcome in outcomes for iou in outcome.best]
        if one.name == MASK_RCNN and name != BCCD_ALL:
            self._keep_worst(name, outcomes)
        if one.name == MASK_RCNN and cuda is not None:
            run(fields[:1], cuda)
            line["ms/field, cuda"] = median_ms(run(fields, cuda))
        if one.name == YOUSSEF and name == BCCD_ALL:
            title = f"{YOUSSEF}, largest contour"
            self.lines.append({"set": name, "detector": title, **largest_contour(outcomes)})

    def time(self, name: str, fields: Sequence[Labelled], ways: Sequence[Way]) -> None:
        """All detectors on the first fields of one set."""
        found = self.few[name] = {one.name: run(fields[:FEW], one) for one in ways}
        stock = {"images": len(found[STOCK]), "ms/field": median_ms(found[STOCK])}
        self.lines.append({"set": name, "detector": STOCK, **stock})

    def _keep_worst(self, name: str, outcomes: Sequence[Outcome]) -> None:
        """Remember the worst cells of a set, one of a field."""
        lows = [(min(o.best), name, o, int(np.argmin(o.best))) for o in outcomes if o.best]
        for low in sorted(lows, key=lambda low: low[0])[:WORST_OF_A_SET]:
            self.worst.setdefault(low[2].field.name, low)

    def table(self) -> pd.DataFrame:
        """The main table."""
        return pd.DataFrame(self.lines).astype({"images": int, "cells": "Int64"}).round(3)

    def speed(self) -> pd.DataFrame:
        """Milliseconds of all detectors on the same few fields."""
        groups = dict(self.few)
        groups["all"] = {d: [o for found in self.few.values() for o in found[d]] for d in DETECTORS}
        lines = []
        for name, found in groups.items():
            ms = {detector: median_ms(outcomes) for detector, outcomes in found.items()}
            line: dict[str, Any] = {"set": name, "fields": len(found[STOCK])}
            line |= {f"{detector}, ms": round(value, 1) for detector, value in ms.items()}
            line |= {
                f"stock / {d}": round(ms[STOCK] / ms[d], 1) for d in (MASK_RCNN, NUCLEUS, YOUSSEF)
            }
            lines.append(line)
        return pd.DataFrame(lines)


def sizes(one: Way, limit: int | None) -> pd.DataFrame:
    """One detector on fields whose cells are made small and large."""
    lines = []
    for name in (BCCD_MASKS, "chula"):
        fields = read(name, limit=min(limit or SIZED_FIELDS, SIZED_FIELDS))
        across = float(
            np.median([(box.height + box.width) / 2 for f in fields for box in f.truths])
        )
        for size in SIZES:
            found = summary(run((f.scaled(size / across) for f in fields), one))
            kept = {
                key: found[key] for key in ("images", "cells", "recall", "precision", "IoU mean")
            }
            lines.append({"set": name, "cell, px": size, "scale": size / across, **kept})
    return pd.DataFrame(lines).round(3)


def classification(ways: Sequence[Way], limit: int | None) -> pd.DataFrame:
    """Accuracy of the shipped classifier on true boxes, and on those found for the same cells."""
    from napari_wbc.classify.predict import load_classifier

    classifier = load_classifier(device="cpu")
    lines = []
    for name, title in CLASSED.items():
        right: dict[str, list[bool]] = {
            boxes: [] for boxes in ("true", *(one.name for one in ways))
        }
        total = 0
        for path, rows in islice(rows_of(name).items(), limit):
            truths = [
                BBox(*(float(row[e]) for e in ("top", "left", "bottom", "right"))) for row in rows
            ]
            here = Labelled(path.name, read_image(path), truths)
            for key, cells in {"true": dict(enumerate(truths)), **found_boxes(here, ways)}.items():
                guesses = classifier.classify(here.image, list(cells.values()))
                right[key] += [
                    p.cell_class == rows[i]["label"] for i, p in zip(cells, guesses, strict=True)
                ]
            total += len(truths)
        for key, hits in right.items():
            lines.append(
                {
                    "set": title,
                    "boxes": key,
                    "cells": total,
                    "found": len(hits),
                    "accuracy %": round(100 * sum(hits) / total, 1),
                    "accuracy of found %": round(100 * float(np.mean(hits)), 1) if hits else np.nan,
                }
            )
    return pd.DataFrame(lines)


def rows_of(name: str) -> dict[Path, list[dict[str, Any]]]:
    """Labelled cells of a set's test split, by image."""
    groups: dict[Path, list[dict[str, Any]]] = {}
    for row in CELLS[name](CACHE):
        if row["split"] == "test":
            groups.setdefault(row["path"], []).append(row)
    return groups


def found_boxes(labelled: Labelled, ways: Sequence[Way]) -> dict[str, dict[int, BBox]]:
    """By detector: index of a true cell to the box found for it."""
    outcomes = {one.name: run([labelled], one)[0] for one in ways}
    return {name: {i: o.cells[j].bbox for i, j, _ in o.matched} for name, o in outcomes.items()}


def histogram(findings: Findings, path: Path) -> None:
    rows = (MASK_RCNN, NUCLEUS, YOUSSEF)
    figure, axes = plt.subplots(3, len(PLOTTED), figsize=(13, 7), sharex=True, layout="constrained")
    for line, detector, color in zip(axes, rows, ("C0", "C2", "C1"), strict=True):
        for axis, name in zip(line, PLOTTED, strict=True):
            best = findings.best[name, detector]
            axis.hist(best, bins=np.linspace(0, 1, 21), color=color)
            axis.axvline(np.mean(best), color="black", linewidth=1, linestyle="--")
            axis.set_title(f"{detector}, {name}: mean {np.mean(best):.2f}", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("best IoU of a true cell")
    for axis in axes[:, 0]:
        axis.set_ylabel("cells")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def contact_sheet(findings: Findings, path: Path) -> None:
    """Draw the worst cells: truth in blue, detections in green."""
    worst = sorted(findings.worst.values(), key=lambda low: low[0])[:WORST]
    figure, axes = plt.subplots(4, 6, figsize=(18, 13), layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (iou, name, outcome, i) in zip(axes.flat, worst, strict=False):
        (height, width), cell = outcome.field.image.shape[:2], outcome.field.truths[i]
        axis.imshow(outcome.field.image, extent=(0, width, height, 0))
        for box in outcome.field.truths:
            axis.fill(*box.corners().T[::-1], fill=False, color="blue", linewidth=1.5)
        for found in outcome.cells:
            ring = found.bbox.corners() if found.outline is None else found.outline.array()
            axis.fill(*ring.T[::-1], fill=False, color="lime", linewidth=1.5)
        row, col = cell.center
        reach = 1.6 * max(cell.height, cell.width)
        axis.set(xlim=(col - reach, col + reach), ylim=(row + reach, row - reach))
        axis.set_title(f"{iou:.2f} {name}", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=70)
    plt.close(figure)


NOTES = [
    "IoU: best overlap of each true cell with a detection, 0 for a miss. Recall and precision: at IoU 0.5. "
    f"AP50 and mAP (at IoU 0.5 to 0.95): COCO's, of all detections with a score of {LOWEST} or more; "
    f"{YOUSSEF} has no threshold.",
    "Mask IoU: of each true mask with the outline of the detection matched to its box, 0 for a miss.",
    "False: detections matched to no true cell at IoU 0.5; stray: those that overlap none at IoU 0.1.",
    f"{MASK_RCNN} was trained on the training fields of BCCD (masks), Chula, Bio-net and both parts of TXL-PBC "
    "(boxes, outlines drawn by weak supervision; Raabin is one of the parts) and on PBC's training images; its "
    "epoch and its score thresholds were chosen on their validation splits. seg_wbc_dataset2 and pig were never "
    "trained on, but were looked at while earlier versions were improved. See travel_locate for laboratories "
    "that were left out.",
    f"BCCD and Chula: test fields, save the rows of all fields. Parameters of {NUCLEUS} were chosen on their "
    "training fields and on the PBC part of TXL-PBC.",
    f"Not untouched by {NUCLEUS}: the share of a nucleus' size that is left out around it when red cells are "
    "measured was set with scores of part of Raabin and seg_wbc_dataset2 in view, and the scale of fields "
    "without red cells was mended after two missed cells of seg_wbc_dataset2 were seen: its rows there are "
    "optimistic.",
    "BCCD masks: components above 60; 00177 (misplaced mask) left out; one component with several annotated "
    "boxes is parted between their centres. BCCD boxes: five fields without their box left out.",
    f"The rows of all BCCD fields include training fields of {MASK_RCNN} and {NUCLEUS}; for {YOUSSEF}, "
    "which is not tuned, 'largest contour' compares the one contour of a field with its best box.",
    "Chula, Raabin: some leukocytes are not boxed and count as stray. Pig blood is a stress test.",
    f"{STOCK}: fields resized to 800 to 1333 pixels, its default; pretrained weights cannot be had "
    "offline, so it is untrained and there for its time and memory only. Its threshold is set so that it "
    "finds nothing and draws no mask: both figures, and the ratios to it, are lower bounds. Its times are "
    f"medians of the first {FEW} fields of a set; the table of speeds has all detectors on these fields, and "
    "in its last row on those of all sets.",
    "Memory: greatest resident size of a process that reads one field of each laboratory and searches them; "
    "the first row is what libraries and fields alone need.",
    f"Sizes: the first {SIZED_FIELDS} test fields, all of a set resized by one factor; the median of the "
    "true cells' mean of height and width is as said. Enlarging adds no detail.",
    "Classification: boxes found for a cell at IoU 0.5. A cell that was not found counts as wrong, save in "
    "the last column. Every prediction counts, also below the confidence threshold.",
]


def notes(weights: str, one: Way) -> list[str]:
    import torch

    card = read_card(find_weights(weights))
    return [
        f"{MASK_RCNN}: {card.model_id}, {card.architecture}, {card.parameters:,} parameters; a cell has a "
        f"score of {one.score:g} or more.",
        *NOTES,
        f"Times: medians, searching alone, reading not counted; PyTorch on {torch.get_num_threads()} CPU "
        f"threads, OpenCV on {cv2.getNumThreads()}.",
        f"Human against human, BCCD's boxes against its masks' boxes of the same cells: {agreement('test')} "
        f"on test fields, {agreement(None)} on all. A parted component was parted by these boxes' centres.",
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mask_rcnn", help="of Mask R-CNN: a name or a file")
    sheet = CACHE / "localization_worst.png"
    parser.add_argument(
        "--contact-sheet", type=Path, default=sheet, metavar="FILE.png", help="worst cells"
    )
    parser.add_argument("--set", nargs="+", choices=SETS, help="only these sets; writes no results")
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test"), help="writes no results"
    )
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    if not DATA.is_dir():
        raise SystemExit(f"There is no folder {DATA}; let NAPARI_WBC_DATA name that of the images.")
    find_weights(chosen.weights)
    whole = not chosen.set and chosen.split == "test"
    tables = {"Memory": memory(chosen.weights)} if whole else {}
    import torch  # after the measurement of memory: a child inherits this process' peak

    ways = [way(name, chosen.weights) for name in DETECTORS if whole or name != STOCK]
    cuda = way(MASK_RCNN, chosen.weights, "cuda") if torch.cuda.is_available() else None
    findings = Findings()
    for name in chosen.set or SETS:
        fields = read(name, chosen.split, chosen.limit)
        for one in ways[:3]:
            findings.add(name, fields, one, cuda)
        if whole:
            findings.time(name, fields, ways)
    contact_sheet(findings, chosen.contact_sheet)
    if not whole:
        print(findings.table().to_string(index=False))
        return
    tables = {"Speed": findings.speed(), **tables}
    tables["Sizes"] = sizes(ways[0], chosen.limit)
    tables["Classification by CDNN"] = classification(ways[:2], chosen.limit)
    folder = CACHE / "limited" if chosen.limit else RESULTS
    histogram(findings, folder / "localization.png")
    record(
        "localization",
        "Localization by every detector",
        findings.table(),
        data=[
            DATA / name for name in ("bccd", "chula_wbc", "txl_pbc", "seg_wbc_dataset2", "pig_wbc")
        ],
        notes=notes(chosen.weights, ways[0]),
        tables=tables,
        folder=folder,
    )


if __name__ == "__main__":
    try:
        main()
    except WbcError as error:
        raise SystemExit(str(error)) from error
