"""Trained in one laboratory, tested in another: five classes, the recipe against plain training.

    python benchmarks/classification.py laboratories

Runs are kept in .cache/laboratories and resumed. ``recipe``: CDNN with group normalisation,
balanced by anchors, the default augmentation. ``plain``: the same network with batch normalisation,
colours as they are, turned and scaled only. The rows between change one thing. Epoch and
temperature are chosen on the training laboratories' own validation cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from crops import CACHE, crops_of, joined, relabelled
from leaks import finding
from napari_wbc.classify.predict import load_classifier
from napari_wbc.classify.preset import Preset
from napari_wbc.measure.metrics import Metrics, measure
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import FIVE_CLASSES
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.classifier import train_classifier
from napari_wbc.train.dataset import CropSet
from napari_wbc.train.recipe import Recipe
from napari_wbc.train.scoring import scores_steps
from pictures import confusion_sheet
from public_sets import DATA
from record import RESULTS, record

GEOMETRY = Augmentation(zoom=0.2, mix=0, gamma=0, saturation=0, blur=0, noise=0)
BASE = Recipe(
    name="cdnn",
    epochs=5,
    draws=6400,
    balance=0.2,
    precision="bf16-mixed",
    preset=Preset(),
    ema=0.99,
)
VARIANTS = {
    "recipe": BASE,
    "batch norm": replace(BASE, architecture="cdnn_batch_norm"),
    "no anchors": replace(BASE, preset=Preset(anchors=0)),
    "plain": replace(
        BASE,
        architecture="cdnn_batch_norm",
        preset=Preset(anchors=0, sure=0),
        augmentation=GEOMETRY,
    ),
}
LABS = ("pbc", "chula", "bccd")
ALL = (*LABS, "seg_wbc_dataset2")


@dataclass(frozen=True)
class Run:
    """One training: on which laboratories, how, and with which seed."""

    train: tuple[str, ...]
    variant: str
    seed: int

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return (
            CACHE
            / "laboratories"
            / f"{'+'.join(self.train)}-{self.variant.replace(' ', '_')}-{self.seed}"
        )

    @property
    def recipe(self) -> Recipe:
        """Fewer crops where there is no PBC."""
        recipe = replace(VARIANTS[self.variant], seed=self.seed)
        return recipe if "pbc" in self.train else replace(recipe, epochs=4, draws=3200)


@lru_cache(maxsize=8)
def five(name: str, variant: str) -> CropSet:
    """Crops of a laboratory by five classes."""
    return relabelled(crops_of(name, VARIANTS[variant].preset), FIVE_CLASSES)


def trained(one: Run) -> Path:
    """Weights of a run, trained where they are not there yet."""
    weights = one.folder / "cdnn.safetensors"
    if not weights.is_file():
        data = joined([five(name, one.variant) for name in one.train])
        run(train_classifier(data, FIVE_CLASSES, one.recipe, one.folder, device="cpu"))
    return weights


def scores_on(weights: Path, data: CropSet, variant: str = "recipe") -> npt.NDArray[np.float32]:
    """Scores of weights on crops, shape (N, classes); the plain variant takes no second look."""
    classifier = load_classifier(weights, device="cpu")
    preset = replace(classifier.preset, sure=VARIANTS[variant].preset.sure)
    return run(scores_steps(classifier.network, data, preset, mode=classifier.card.mode))


def test_cells(name: str, variant: str) -> CropSet:
    """Test cells of a laboratory."""
    data = five(name, variant)
    return data.where(data.splits == "test")


def tested(one: Run) -> Iterator[tuple[str, Metrics]]:
    """Measures on the test cells of each laboratory."""
    weights = trained(one)
    for name in ALL:
        data = test_cells(name, one.variant)
        yield (
            name,
            measure(
                data.labels, scores_on(weights, data, one.variant).argmax(1), FIVE_CLASSES.names
            ),
        )


def plans(seeds: int) -> list[Run]:
    """One laboratory, then all but one, then what is between recipe and plain, with one seed."""
    left_out = [
        tuple(lab for lab in LABS if lab != left) for left in (*LABS[1:], "seg_wbc_dataset2")
    ]
    return [
        *(Run((lab,), v, s) for s in range(seeds) for lab in LABS for v in ("recipe", "plain")),
        *(Run(labs, "recipe", s) for s in range(seeds) for labs in left_out),
        *(Run(LABS[:1], v, 0) for v in ("batch norm", "no anchors")),
    ]


def main(seeds: int = 3) -> None:
    """Train what is missing, test, and write the table."""
    rows, sheet = [], {}
    for one in plans(seeds):
        for name, m in tested(one):
            row = {
                "trained on": " + ".join(one.train),
                "how": one.variant,
                "tested on": name,
                "seed": one.seed,
            }
            rows.append(
                {**row, "cells": m.n, "accuracy": m.accuracy, "balanced": m.balanced_accuracy}
            )
            if (
                one.variant == "recipe"
                and not one.seed
                and name not in one.train
                and len(one.train) > 1
            ):
                sheet[f"{name}, trained on {' + '.join(one.train)}"] = (m, FIVE_CLASSES)
            print(
                one.train,
                one.variant,
                one.seed,
                name,
                f"{100 * m.balanced_accuracy:.1f}",
                flush=True,
            )
    write(pd.DataFrame(rows), sheet)


def write(rows: pd.DataFrame, sheet: dict[str, tuple[Metrics, object]]) -> None:
    """Means over seeds with their range."""
    keys = ["trained on", "how", "tested on", "cells"]
    grouped = rows.groupby(keys, sort=False)["balanced"]
    table = pd.DataFrame(
        {
            "balanced accuracy %": (100 * grouped.mean()).round(1),
            "lowest": (100 * grouped.min()).round(1),
            "highest": (100 * grouped.max()).round(1),
            "accuracy %": (100 * rows.groupby(keys, sort=False)["accuracy"].mean()).round(1),
            "seeds": grouped.size(),
        }
    ).reset_index()
    inside = [
        name in on.split(" + ")
        for name, on in zip(table["tested on"], table["trained on"], strict=True)
    ]
    table.insert(3, "laboratory", np.where(inside, "same", "other"))
    confusion_sheet(RESULTS / "laboratories.png", sheet)
    record(
        "laboratories",
        "Across laboratories, five classes, test splits",
        table,
        data=[DATA / name for name in ("pbc", "chula_wbc", "bccd", "seg_wbc_dataset2")],
        leaks=[finding(name) for name in ("pbc", "chula", "bccd")],
        notes=[
            "recipe: CDNN, GroupNorm, anchors, default augmentation. plain: the same network with BatchNorm, "
            "colours as they are, turned and scaled only. batch norm, no anchors: the recipe but for that.",
            "5 epochs of 6,400 crops with PBC, 4 of 3,200 without it, at 72 pixels.",
            "The recipe (anchors, augmentation, Muon) was found on Chula's and BCCD's train and val cells; "
            "their test cells and seg_wbc_dataset2 were measured when it stood.",
            "BCCD's test cells hold no basophil, and one basophil is all there is to train on.",
        ],
    )
