"""How well cells of laboratories are classified that training never saw, at every size.

    python benchmarks/travel.py classify [--left-out LAB=FILE ...]

Cells have the boxes of their labels; those of LISC, which has points, the boxes that the default
cell finder draws around these, and a cell that it misses is classified wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

import fields
from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.detect.finders import make_detector
from napari_wbc.detect.hsv import one_cell_box
from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import read_image
from napari_wbc.measure.metrics import score
from napari_wbc.model.geometry import BBox
from napari_wbc.model.stain_alarm import FIRST, is_alarm
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import read_card
from public_sets import DATA, SETS, jhu_apl, table
from record import record

CACHE = Path(__file__).parents[1] / ".cache"
SIZES = (0.4, 0.7, 1.5, 2.5)
"""Of each image, beside its own."""
MOST = 800
"""Images of a set, evenly spaced where it has more."""
SIZED = 40
"""Cells of a set whose images are resized, evenly spaced."""
DRAWS = 500
"""Of cells, for the share that raises the alarm."""
FACTOR = 1.35
"""Side of the crop around a cell that is alone in its image, as a multiple of the cell's box."""
SOURCES = ("pbc", "chula", "bccd", "raabin", "bionet")
"""Laboratories that a classifier learns from, as its card names them."""

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Cells:
    """One image, with the boxes and true labels of its cells; a box is None where none was found."""

    image: Image
    boxes: Sequence[BBox | None]
    labels: Sequence[str]
    name: str = ""

    def of_classes(self, classes: Sequence[str]) -> Cells:
        """The same without cells of other classes."""
        kept = [i for i, label in enumerate(self.labels) if label in classes]
        return Cells(self.image, [self.boxes[i] for i in kept], [self.labels[i] for i in kept])

    def scaled(self, factor: float) -> Cells:
        """The same at another size."""
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(self.image, None, fx=factor, fy=factor, interpolation=way))
        return Cells(image, [enlarged(box, factor) for box in self.boxes], self.labels)


def enlarged(box: BBox | None, factor: float) -> BBox | None:
    """A box in an image of another size."""
    return None if box is None else BBox(*(edge * factor for edge in box.edges))


@dataclass(frozen=True)
class Place:
    """A set of labelled cells, and the laboratory that training leaves out for it, if any."""

    name: str
    read: Callable[[], Iterator[Cells]]
    laboratory: str = ""
    folder: str = ""


def of_rows(rows: Iterator[Mapping[str, Any]], split: str = "") -> Iterator[Cells]:
    """The cells of a set by image, of one split."""
    chosen = (row for row in rows if row["split"] == split or not split)
    images = [list(cells) for _path, cells in groupby(chosen, key=lambda row: row["path"])]
    for cells in images[:: math.ceil(len(images) / MOST)]:
        path = cells[0]["path"]
        image = read_image(path)
        boxes: list[BBox | None] = []
        labels: list[str] = []
        for row in cells:
            if row.get("top") in (None, ""):
                boxes.append(one_cell_box(image, FACTOR))
            else:
                boxes.append(BBox(*(float(row[e]) for e in ("top", "left", "bottom", "right"))))
            labels.append(row["label"])
        yield Cells(image, boxes, labels, Path(path).name)


def of_lisc() -> Iterator[Cells]:
    """LISC, with the boxes of the default cell finder around its points."""
    finder = make_detector(device="cpu")
    classes: dict[str, list[str]] = {}
    for row in table(DATA / "lisc" / "cells.csv"):
        classes.setdefault(row["image"], []).append(row["class"])
    for labelled in fields.lisc():
        found = [cell.bbox for cell in finder.detect(labelled.image)]
        boxes: list[BBox | None] = [None] * len(labelled.points)
        for point, box in fields.holding(labelled.points, found):
            boxes[point] = found[box]
        yield Cells(labelled.image, boxes, classes[labelled.name])


def of_pbc_native() -> Iterator[tuple[Cells, Cells]]:
    """Test cells of PBC as they are in the set, and the same at the source's own size."""
    large = {path.name: path for path in (DATA / "pbc_native" / "test").glob("*/*.jpg")}
    rows = (row for row in SETS["pbc"](CACHE) if row["path"].name in large)
    for small in of_rows(rows, "test"):
        image = read_image(large[small.name])
        yield small, Cells(image, [one_cell_box(image, FACTOR)], small.labels, small.name)


PLACES = (
    Place("PBC", lambda: of_rows(SETS["pbc"](CACHE), "test"), "pbc", "pbc"),
    Place("Chula", lambda: of_rows(SETS["chula"](CACHE), "test"), "chula", "chula_wbc"),
    Place("BCCD", lambda: of_rows(SETS["bccd"](CACHE), "test"), "bccd", "bccd"),
    Place("Raabin", lambda: of_rows(SETS["raabin"](CACHE)), "raabin", "txl_pbc"),
    Place("Bio-net", lambda: of_rows(SETS["bionet"](CACHE), "test"), "bionet", "bionet"),
    Place(
        "seg_wbc_dataset2",
        lambda: of_rows(SETS["seg_wbc_dataset2"](CACHE)),
        folder="seg_wbc_dataset2",
    ),
    Place("LISC", of_lisc, folder="lisc"),
    Place("jhu_apl", lambda: of_rows(jhu_apl(CACHE)), folder="jhu_apl"),
)
AT_HOME = (
    *(replace(place, name=f"{place.name}, at home") for place in PLACES[:3]),
    # Raabin's cells are too few for three parts.
    Place("Raabin, validation", lambda: of_rows(SETS["raabin"](CACHE), "val"), "raabin", "txl_pbc"),
    replace(PLACES[4], name="Bio-net, at home"),
)


@dataclass
class Answers:
    """What a classifier says of the cells of a set."""

    classes: tuple[str, ...]
    threshold: float
    foreign_threshold: float
    truth: list[str] = field(default_factory=list)
    chances: list[npt.NDArray[np.float64]] = field(default_factory=list)
    unlikeness: list[float] = field(default_factory=list)

    def add(self, classifier: Classifier, cells: Cells) -> None:
        """Classify the cells of one image."""
        boxes = [box for box in cells.boxes if box is not None]
        predictions = iter(classifier.classify(cells.image, boxes))
        for box, label in zip(cells.boxes, cells.labels, strict=True):
            self.truth.append(label)
            if box is None:
                # Sure of no class: wrong, and not identified.
                self.chances.append(np.zeros(len(self.classes)))
                self.unlikeness.append(np.nan)
            else:
                prediction = next(predictions)
                self.chances.append(np.array(prediction.probabilities))
                self.unlikeness.append(
                    np.nan if prediction.unlikeness is None else prediction.unlikeness
                )

    @property
    def guesses(self) -> npt.NDArray[np.int_]:
        """Index of the likeliest class of each cell; -1 of a cell that was not found."""
        chances = np.array(self.chances)
        return np.where(chances.any(axis=1), chances.argmax(axis=1), -1)

    @property
    def alarms(self) -> float:
        """Share of draws of as many cells as the alarm asks, 0 to 1, that raise it."""
        rng = np.random.default_rng(0)
        unlikeness = np.array(self.unlikeness)
        drawn = rng.choice(unlikeness[np.isfinite(unlikeness)], (DRAWS, FIRST))
        return float(np.mean([is_alarm(row.tolist()) for row in drawn]))

    def columns(self) -> dict[str, Any]:
        """Its part of a row."""
        chances = np.array(self.chances)
        truth = np.array([self.classes.index(label) for label in self.truth])
        right = self.guesses == truth
        recalls = [float(right[truth == label].mean()) for label in np.unique(truth)]
        found = chances.any(axis=1)
        alarms = self.alarms
        # As an analysis does it: a slide that raises the alarm has the higher threshold.
        threshold = self.foreign_threshold if alarms > 0.5 else self.threshold
        sure = found & (chances.max(axis=1) >= threshold)
        error = score(truth[found], chances[found], self.classes).calibration_error
        return {
            "cells": len(truth),
            "balanced %": round(100 * float(np.mean(recalls)), 1),
            "accuracy %": round(100 * float(right.mean()), 1),
            "identified %": round(100 * float(sure.mean()), 1),
            "of these wrong %": round(100 * float((~right[sure]).mean()), 1)
            if sure.any()
            else np.nan,
            "calibration error": round(error, 3),
            "unlikeness above 1, %": round(100 * float((np.array(self.unlikeness) > 1).mean()), 1),
            "alarms %": round(100 * alarms, 1),
        }


def answers_of(classifier: Classifier, cells: Iterator[Cells] | Sequence[Cells]) -> Answers:
    """What a classifier says of all cells."""
    answers = Answers(classifier.card.classes, classifier.threshold, classifier.foreign_threshold)
    for cells_of_image in cells:
        answers.add(classifier, cells_of_image)
    return answers


def names_source(weights: str, entry: str, sources: Sequence[str]) -> bool:
    """Whether an entry of the provenance in a card, such as ``bccd train cells: 180``, names a source."""
    counts = read_card(find_weights(weights)).provenance.get(entry, {})
    return any(key.split()[0] in sources for key in counts)


def trained_on(weights: str, laboratory: str) -> bool:
    """Whether a classifier's card names a laboratory among its data."""
    return names_source(weights, "cells", [laboratory])


def main(weights: str, left_out: Mapping[str, str], *, folder: Path, sizes: bool = True) -> None:
    """Write the table of laboratories, and that of sizes."""
    for laboratory, file in left_out.items():
        if laboratory not in SOURCES:
            raise WbcError(
                f"No classifier learns from {laboratory}; leave out {', '.join(SOURCES)}."
            )
        if trained_on(file, laboratory):
            raise WbcError(f"{file} was trained on {laboratory}, which it is to leave out.")
    seen: list[dict[str, Any]] = []
    unseen: list[dict[str, Any]] = []
    sized: list[dict[str, Any]] = []
    for place in (*PLACES, *AT_HOME):
        chosen = weights if place in AT_HOME else left_out.get(place.laboratory, weights)
        classifier = load_classifier(chosen, device="cpu")
        # Weights that never saw a class are not asked for it.
        asked = (cells.of_classes(classifier.card.classes) for cells in place.read())
        cells = [cells_of_image for cells_of_image in asked if cells_of_image.labels]
        answers = answers_of(classifier, cells)
        title = Path(chosen).stem
        saw = bool(place.laboratory) and trained_on(chosen, place.laboratory)
        if place.laboratory and place not in AT_HOME and place.laboratory not in left_out:
            told = "trained on it" if saw else "not trained on it"
            title += f" (none without it given, {told})"
        row = {"set": place.name, "weights": title, **answers.columns()}
        (seen if saw else unseen).append(row)
        print(row, flush=True)
        if sizes and place not in AT_HOME:
            some = cells[:: max(1, len(cells) // SIZED)]
            own = answers_of(classifier, some).guesses
            line: dict[str, Any] = {"set": place.name, "cells": len(own)}
            for size in SIZES:
                resized = (cells_of_image.scaled(size) for cells_of_image in some)
                same = answers_of(classifier, resized).guesses == own
                line[f"same at x{size:g}, %"] = round(100 * float(same.mean()), 1)
            sized.append(line)
            print(line, flush=True)
    if sizes:
        classifier = load_classifier(weights, device="cpu")
        small, large = zip(*of_pbc_native(), strict=True)
        before = answers_of(classifier, small)
        after = answers_of(classifier, large)
        same = float((before.guesses == after.guesses).mean())
        line = {"set": "PBC, the source's images", "cells": len(small)}
        sized.append(line | {"same at x2.65, %": round(100 * same, 1)})
        print(line, same, after.columns(), flush=True)
    unseen.sort(key=lambda row: row["balanced %"])
    mean = np.mean([row["balanced %"] for row in unseen[:2]])
    record(
        "travel_classify",
        "Cells classified in laboratories that training left out",
        pd.DataFrame([*unseen, *seen]),
        tables={"The same answer at another size": pd.DataFrame(sized)} if sized else {},
        data=[DATA / place.folder for place in PLACES],
        notes=[
            f"Mean balanced accuracy of the worst two: {mean:.1f} %.",
            "Worst first; below, laboratories that the weights were trained on. Balanced: mean recall of the "
            "classes that occur. Identified: confidence above the threshold of the model's card, or above that of "
            "foreign stains where the set raises the alarm. Alarms: share of 500 draws of 30 cells that raise it.",
            "LISC: boxes of the default cell finder around its points; a cell that it misses is wrong. jhu_apl: "
            "single cells of leukaemia patients; bands count as neutrophils, variant lymphocytes as lymphocytes; "
            "blasts, plasma cells, smudge cells and artefacts are left out.",
            "Raabin, Bio-net: labels read for this project (benchmarks/labels).",
            f"At most {MOST} images of a set, evenly spaced.",
            f"Sizes: {SIZED} images of a set, evenly spaced, resized; the share of cells with the same answer.",
        ],
        folder=folder,
    )
