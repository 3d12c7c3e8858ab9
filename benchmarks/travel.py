"""What travels: how well leukocytes are found, and classified, where training never was.

    python benchmarks/travel.py locate [--left-out LAB=FILE ...]
    python benchmarks/travel.py classify [--left-out LAB=FILE ...]

Each laboratory is searched with weights that were trained without it, as it is and changed: other
magnifications, mosaics, blur, JPEG, another white. ``python benchmarks/public_sets.py`` writes the
manifests ``fields_without_LAB.csv`` for such weights. Writes the tables to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

import travel_classify
from fields import (
    Image,
    Labelled,
    bccd,
    bionet,
    chula,
    lisc,
    pbc_neighbourhoods,
    pig,
    raabin,
    seg_wbc,
)
from napari_wbc.detect.base import Detector
from napari_wbc.detect.finders import DETECTORS, make_detector
from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, iou_matrix
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR, find_weights
from napari_wbc.weights.store import read_card
from public_sets import DATA, LABORATORIES
from record import RESULTS, record

LIMIT = 20
"""Fields of a set that are changed, evenly spaced."""
LARGE, LARGE_IMAGES = 8000, 1
"""Longer side of a large mosaic in pixels, at most, and how many are made of a set."""
BLUR, QUALITY = 1.5, 40
GAINS = (1.1, 1.0, 0.85)
"""Of red, green and blue, for another white."""
AS_IT_IS = "as it is"
NO_WEIGHTS = ("hsv",)
"""Cell finders that need none."""
SOURCES = {name: (name,) for name in LABORATORIES} | {"pbc": ("pbc", "txl_pbc")}
"""A laboratory's sources in the card of a detector."""

Variant = Callable[[Sequence[Labelled]], Iterator[tuple[int, Labelled]]]
"""Changed images, each with the number of fields it shows."""


@dataclass(frozen=True)
class Place:
    """A set of fields, and the laboratory that training leaves out for it, if it trains on any."""

    name: str
    read: Callable[[], Iterator[Labelled]]
    laboratory: str = ""


PLACES = (
    Place("BCCD", partial(bccd, "masks", "test"), "bccd"),
    Place("Chula", partial(chula, "test"), "chula"),
    Place("PBC neighbourhoods", partial(pbc_neighbourhoods, "val"), "pbc"),
    Place("Raabin", raabin, "raabin"),
    Place("Bio-net", partial(bionet, "test"), "bionet"),
    Place("LISC", lisc),
    Place("seg_wbc_dataset2", seg_wbc),
    Place("pig", pig),
)
AT_HOME = (
    Place("BCCD, at home", partial(bccd, "masks", "test")),
    Place("Chula, at home", partial(chula, "test")),
)


def mosaic(fields: Sequence[Labelled], across: int) -> Labelled:
    """Fields beside each other, row by row, with their true cells where they then lie.

    Smaller fields are brought to the size of the largest by repeating their edges.
    """
    height = max(one.image.shape[0] for one in fields)
    width = max(one.image.shape[1] for one in fields)
    image = np.empty((height * ceil(len(fields) / across), width * across, 3), np.uint8)
    truths: list[BBox] = []
    points: list[tuple[float, float]] = []
    for place, one in enumerate(fields):
        top = height * (place // across)
        left = width * (place % across)
        below = height - one.image.shape[0]
        beside = width - one.image.shape[1]
        image[top : top + height, left : left + width] = cv2.copyMakeBorder(
            one.image, 0, below, 0, beside, cv2.BORDER_REPLICATE
        )
        truths += [
            BBox(b.top + top, b.left + left, b.bottom + top, b.right + left) for b in one.truths
        ]
        points += [(row + top, col + left) for row, col in one.points]
    return Labelled("mosaic", image, truths, points=points, slack=fields[0].slack)


def two_by_two(fields: Sequence[Labelled]) -> Iterator[tuple[int, Labelled]]:
    """Four fields an image; the last is filled with the first fields."""
    for start in range(0, len(fields), 4):
        yield 4, mosaic([fields[i % len(fields)] for i in range(start, start + 4)], 2)


def large(fields: Sequence[Labelled]) -> Iterator[tuple[int, Labelled]]:
    """As many fields an image as fit, over and over."""
    across = max(1, LARGE // max(fields[0].image.shape[:2]))
    size = across * across
    for start in range(0, LARGE_IMAGES * size, size):
        chosen = [fields[i % len(fields)] for i in range(start, start + size)]
        yield size, mosaic(chosen, across)


def scaled(factor: float) -> Variant:
    """Fields at another magnification."""

    def variant(fields: Sequence[Labelled]) -> Iterator[tuple[int, Labelled]]:
        for one in fields:
            yield 1, one.scaled(factor)

    return variant


def repainted(paint: Callable[[Image], Image]) -> Variant:
    """Fields with the same cells in other pixels."""

    def variant(fields: Sequence[Labelled]) -> Iterator[tuple[int, Labelled]]:
        for one in fields:
            yield 1, replace(one, image=paint(one.image))

    return variant


def blurred(image: Image) -> Image:
    return cv2.GaussianBlur(image, (0, 0), BLUR)


def compressed(image: Image) -> Image:
    # The order of the channels matters: JPEG keeps less of the colours than of the light.
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def tinted(image: Image) -> Image:
    return np.rint(image * np.array(GAINS)).clip(0, 255).astype(np.uint8)


VARIANTS: dict[str, Variant] = {
    "x0.5": scaled(0.5),
    "x0.75": scaled(0.75),
    "x1.5": scaled(1.5),
    "x2": scaled(2.0),
    "2 x 2 mosaic": two_by_two,
    "mosaic 8,000 px": large,
    "blur": repainted(blurred),
    "JPEG 40": repainted(compressed),
    "white balance": repainted(tinted),
}


@dataclass
class Tally:
    """What a detector made of the images so far: numbers only."""

    fields: int = 0
    cells: int = 0
    found: int = 0
    found_or_shown: int = 0
    counted: int = 0
    candidates: int = 0
    best: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def add(
        self, labelled: Labelled, seen: Sequence[Detection], seconds: float, fields: int = 1
    ) -> None:
        """Count one image, which shows so many fields."""
        counted = [one.bbox for one in seen if not one.candidate]
        candidates = [one.bbox for one in seen if one.candidate]
        self.fields += fields
        self.cells += len(labelled.points or labelled.truths)
        self.found += len(labelled.matches(counted))
        self.found_or_shown += len(labelled.matches(counted + candidates))
        self.counted += len(counted)
        self.candidates += len(candidates)
        overlaps = iou_matrix(labelled.truths, counted)
        self.best += [float(row.max(initial=0)) for row in overlaps]
        self.milliseconds.append(1000 * seconds / fields)

    @property
    def recall(self) -> float:
        """Part of the true cells that were found."""
        return self.found / self.cells if self.cells else np.nan

    def columns(self) -> dict[str, Any]:
        """Its part of a row."""
        shown = self.found_or_shown / self.cells if self.cells else np.nan
        return {
            "fields": self.fields,
            "cells": self.cells,
            "recall": round(self.recall, 3),
            "IoU mean": round(float(np.mean(self.best)), 3) if self.best else np.nan,
            "false cells a field": round((self.counted - self.found) / self.fields, 2),
            "candidates a field": round(self.candidates / self.fields, 2),
            "recall with candidates": round(shown, 3),
            "ms/field": round(float(np.median(self.milliseconds)), 1),
        }


def evenly(total: int, limit: int) -> set[int]:
    """Indices of so many fields, evenly spaced from the first to the last."""
    return set(np.linspace(0, total - 1, min(limit, total)).round().astype(int).tolist())


def timed(detector: Detector, image: Image) -> tuple[tuple[Detection, ...], float]:
    """What a detector sees, and its seconds."""
    start = time.perf_counter()
    seen = detector.detect(image)
    return seen, time.perf_counter() - start


@dataclass
class Visit:
    """One place, searched by several detectors: a tally by detector and variant.

    ``same`` are those of the fields as they are which the variants change.
    """

    place: Place
    weights: Mapping[str, str]
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    same: dict[str, Tally] = field(default_factory=dict)

    def search(
        self, detectors: Mapping[str, Detector], variants: Sequence[str], limit: int | None
    ) -> None:
        """Search the fields as they are, all or ``limit`` of them, and then what becomes of some."""
        chosen = evenly(sum(1 for _ in self.place.read()), limit or LIMIT)
        some: list[Labelled] = []
        for index, labelled in enumerate(self.place.read()):
            if index in chosen:
                some.append(replace(labelled, masks=[]))
            elif limit:
                continue
            for name, detector in detectors.items():
                seen, seconds = timed(detector, labelled.image)
                self._tally(name, AS_IT_IS).add(labelled, seen, seconds)
                if index in chosen:
                    self.same.setdefault(name, Tally()).add(labelled, seen, seconds)
        self._say(detectors, AS_IT_IS)
        for variant in variants:
            for fields, labelled in VARIANTS[variant](some):
                for name, detector in detectors.items():
                    seen, seconds = timed(detector, labelled.image)
                    self._tally(name, variant).add(labelled, seen, seconds, fields)
            self._say(detectors, variant)

    def _tally(self, detector: str, variant: str) -> Tally:
        return self.tallies.setdefault((detector, variant), Tally())

    def _say(self, detectors: Mapping[str, Detector], variant: str) -> None:
        for name in detectors:
            tally = self.tallies[name, variant]
            text = f"{self.place.name}, {name}, {variant}: {tally.fields} fields"
            print(f"{text}, recall {tally.recall:.3f}", file=sys.stderr, flush=True)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of the main table, detector by detector."""
        for detector, weights in self.weights.items():
            for (name, variant), tally in self.tallies.items():
                if name == detector:
                    yield {
                        "set": self.place.name,
                        "weights": weights,
                        "detector": name,
                        "variant": variant,
                        **tally.columns(),
                    }

    def worst_variants(self) -> Iterator[dict[str, Any]]:
        """For each detector the variant that costs it most recall."""
        for detector, before in self.same.items():
            recalls = {v: t.recall for (d, v), t in self.tallies.items() if d == detector}
            del recalls[AS_IT_IS]
            if recalls:
                worst = min(recalls, key=lambda variant: recalls[variant])
                yield {
                    "set": self.place.name,
                    "detector": detector,
                    "worst variant": worst,
                    "recall": round(recalls[worst], 3),
                    "recall as it is, same fields": round(before.recall, 3),
                    "drop in points": round(100 * (before.recall - recalls[worst]), 1),
                }


@dataclass(frozen=True)
class Plan:
    """Which weights search which place."""

    detectors: Sequence[str]
    weights: str
    left_out: Mapping[str, str]

    def visit(self, place: Place, variants: Sequence[str], limit: int | None) -> Visit:
        """Search one place."""
        weights = self.left_out.get(place.laboratory, self.weights)
        # At home it is the weights that are looked at, so what has none is not.
        names = [n for n in self.detectors if place not in AT_HOME or n not in NO_WEIGHTS]
        detectors = {n: make_detector(n, None if n in NO_WEIGHTS else weights) for n in names}
        titles = {n: "none" if n in NO_WEIGHTS else self._title(place, weights) for n in names}
        found = Visit(place, titles)
        if detectors:
            found.search(detectors, variants, limit)
        return found

    def _title(self, place: Place, weights: str) -> str:
        """Name of the weights, and what is to be known where no others leave the laboratory out."""
        name = Path(weights).stem
        if not place.laboratory or place.laboratory in self.left_out:
            return name
        saw = "trained on it" if trained_on(weights, place.laboratory) else "not trained on it"
        return f"{name} (none without it given, {saw})"

    def check(self) -> None:
        """Refuse weights that saw the laboratory they are to leave out."""
        find_weights(self.weights)
        for laboratory, weights in self.left_out.items():
            if trained_on(weights, laboratory):
                raise WbcError(f"{weights} was trained on {laboratory}, which it is to leave out.")


def trained_on(weights: str, laboratory: str) -> bool:
    """Whether a detector's card names a laboratory among its data."""
    return travel_classify.names_source(weights, "data", SOURCES[laboratory])


def worst_two(visits: Sequence[Visit], detector: str) -> str:
    """Mean recall of the two laboratories where a detector is worst, in words."""
    recalls = {v.place.name: v.tallies[detector, AS_IT_IS].recall for v in visits}
    worst = sorted(recalls, key=lambda name: recalls[name])[:2]
    mean = np.mean([recalls[name] for name in worst])
    return f"{detector} {mean:.3f} ({', '.join(f'{n} {recalls[n]:.3f}' for n in worst)})"


def notes(plan: Plan, limit: int | None) -> list[str]:
    import torch

    cards = []
    for name in dict.fromkeys((plan.weights, *plan.left_out.values())):
        card = read_card(find_weights(name))
        cards.append(f"{Path(name).stem} is {card.model_id}, score {card.threshold:g} or more")
    spread_over = f"{limit or LIMIT} fields of a set, evenly spaced in its order"
    whole = f"{AS_IT_IS}: the same fields" if limit else f"{AS_IT_IS}: all fields of a set"
    return [
        "Laboratories stand in the order of recall as it is of the first detector, worst first. BCCD (boxes of "
        "its masks), Chula and Bio-net: their test splits. PBC neighbourhoods: the val side of the PBC part of "
        "TXL-PBC, without the one image whose cell has no box. Raabin, seg_wbc_dataset2 and pig: all fields. LISC: "
        "all but three, which show a cell without a point.",
        "Weights: of training without the laboratory, where such are given; otherwise the column says whether "
        "the card of the weights names the laboratory. LISC, seg_wbc_dataset2 and pig are in no training. "
        "At home: weights that were trained on the laboratory's other fields, for comparison.",
        f"Weights by name: {'; '.join(cards)}.",
        "Recall: part of the true cells that a detection finds at IoU 0.5, each detection for one cell, best "
        "overlaps first. LISC has a point in each cell and no box: there a detection finds a cell when its box, "
        "grown by 8 px of the field as it is, holds the point, each for one point, nearest centres first.",
        "IoU mean: best overlap of each true cell with a detection, 0 for a miss.",
        "False cells: detections that find no true cell of their own, so also the second one of a cell.",
        "Candidates: detections that are shown but not counted until a person accepts them. They are in no "
        "other column but recall with candidates.",
        f"{whole}. Variants: {spread_over}; the drop is against the same fields as they are.",
        "x0.5 to x2: the field resized. 2 x 2 mosaic: four fields beside each other in one image; their light and "
        "stain may differ, which costs recall too. Mosaic 8,000 px: "
        f"{LARGE_IMAGES} images of a set, as many fields each as fit, over and over. Fields, false cells, candidates "
        "and milliseconds are those of the fields in a mosaic, not of mosaics; a cell counts each time it is shown.",
        f"Blur: Gaussian, sigma {BLUR:g} px. JPEG 40: encoded at quality {QUALITY}. White balance: red, green and blue "
        f"times {GAINS[0]:g}, {GAINS[1]:g} and {GAINS[2]:g}.",
        f"Times: medians, searching alone, reading not counted; PyTorch on {torch.get_num_threads()} threads, "
        f"OpenCV on {cv2.getNumThreads()}.",
    ]


def left_out(text: str) -> tuple[str, str]:
    """LAB=FILE, parted."""
    laboratory, _, weights = text.partition("=")
    if laboratory not in LABORATORIES or not weights:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not LAB=FILE, LAB of {', '.join(LABORATORIES)}"
        )
    return laboratory, weights


def add_weights(parser: argparse.ArgumentParser, default: str, laboratories: Iterable[str]) -> None:
    """Add what both tables take: weights, those without a laboratory, and where to write."""
    parser.add_argument("--weights", default=default, help="a name or a file")
    parser.add_argument(
        "--left-out",
        nargs="+",
        action="extend",
        type=left_out,
        default=[],
        metavar="LAB=FILE",
        help=f"weights trained without a laboratory: {', '.join(laboratories)}",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = parser.add_subparsers(dest="table", required=True)
    locate = tables.add_parser("locate", help="find leukocytes")
    add_weights(locate, DEFAULT_DETECTOR, LABORATORIES)
    locate.add_argument("--detector", nargs="+", choices=DETECTORS, default=DETECTORS)
    locate.add_argument("--limit", type=int, help="so many fields a set, also as they are")
    locate.add_argument(
        "--variants", nargs="*", choices=VARIANTS, default=tuple(VARIANTS), help="only these"
    )
    classify = tables.add_parser("classify", help="classify cells")
    add_weights(classify, DEFAULT_CLASSIFIER, travel_classify.SOURCES)
    classify.add_argument("--no-sizes", action="store_true", help="only images as they are")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    if not DATA.is_dir():
        raise SystemExit(f"There is no folder {DATA}; let NAPARI_WBC_DATA name that of the images.")
    if chosen.table == "classify":
        without = dict(chosen.left_out)
        travel_classify.main(chosen.weights, without, folder=chosen.out, sizes=not chosen.no_sizes)
        return
    plan = Plan(chosen.detector, chosen.weights, dict(chosen.left_out))
    plan.check()
    visits = [plan.visit(place, chosen.variants, chosen.limit) for place in PLACES]
    first = chosen.detector[0]
    visits.sort(key=lambda visit: visit.tallies[first, AS_IT_IS].recall)
    home = [plan.visit(place, (), chosen.limit) for place in AT_HOME]
    rows = [row for visit in (*visits, *home) for row in visit.rows()]
    drops = [row for visit in visits for row in visit.worst_variants()]
    worst = "; ".join(worst_two(visits, detector) for detector in chosen.detector)
    record(
        "travel_locate",
        "Leukocytes found in laboratories that training left out",
        pd.DataFrame(rows),
        data=[
            DATA / name
            for name in (
                "bccd",
                "chula_wbc",
                "txl_pbc",
                "bionet",
                "lisc",
                "seg_wbc_dataset2",
                "pig_wbc",
            )
        ],
        notes=[
            f"Mean recall of the worst two laboratories, as it is: {worst}.",
            *notes(plan, chosen.limit),
        ],
        tables={"The worst variant of each set": pd.DataFrame(drops)} if drops else {},
        folder=chosen.out,
    )


if __name__ == "__main__":
    try:
        main()
    except WbcError as error:
        raise SystemExit(str(error)) from error
