"""Labelled cells of a new laboratory: 10, 25, 50, 100 of them, then its test cells.

    python benchmarks/classification.py few-shot

Starts from the run of benchmarks/laboratories.py without that laboratory and goes on with its
training cells beside the new ones, so that the old laboratories are not forgotten.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from crops import CACHE, joined
from laboratories import LABS, Run, five, scores_on, trained
from leaks import finding
from napari_wbc.measure.metrics import measure
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import FIVE_CLASSES
from napari_wbc.train.classifier import train_classifier
from napari_wbc.train.dataset import CropSet
from public_sets import DATA
from record import record
from repeats import told

SIZES = (0, 10, 25, 50, 100)
SEEDS = 2
NEW = ("chula", "bccd", "seg_wbc_dataset2")


def split_of(data: CropSet, n: int, seed: int) -> tuple[CropSet, CropSet]:
    """N labelled cells, as even over the classes as there are, and the cells to test on."""
    rng = np.random.default_rng(seed)
    has_test = (data.splits != "test").any()
    pool = np.flatnonzero(data.splits != "test") if has_test else np.arange(len(data.labels))
    queues = [
        list(rng.permutation(pool[data.labels[pool] == k])) for k in range(len(FIVE_CLASSES.names))
    ]
    chosen: list[int] = []
    while len(chosen) < min(n, len(pool)):
        for queue in queues:
            if queue and len(chosen) < n:
                chosen.append(queue.pop())
    picked = np.zeros(len(data.labels), bool)
    picked[chosen] = True
    return data.where(picked), data.where(data.splits == "test" if has_test else ~picked)


def shot(lab: str, n: int, seed: int) -> dict[str, object]:
    """Measures after n labelled cells."""
    old = tuple(name for name in LABS if name != lab)
    start = trained(Run(old, "recipe", 0))
    few, test = split_of(five(lab, "recipe"), n, seed)
    weights = start
    if n:
        folder = CACHE / "few_shot" / f"{lab}-{n}-{seed}"
        weights = folder / "cdnn.safetensors"
        if not weights.is_file():
            known = joined([five(name, "recipe") for name in old])
            kept = known.where((known.splits != "test") & (np.arange(len(known.labels)) % 3 == 0))
            both = [
                replace(few, splits=np.full(len(few.labels), split)) for split in ("train", "val")
            ]
            recipe = replace(
                Run(old, "recipe", seed).recipe,
                start=str(start),
                epochs=6,
                draws=1920,
                balance=0.0,
                learning_rate=1e-3,
                matrix_rate=0.01,
                ema=0.98,
            )
            run(train_classifier(joined([kept, *both]), FIVE_CLASSES, recipe, folder, device="cpu"))
    m = measure(test.labels, scores_on(weights, test).argmax(1), FIVE_CLASSES.names)
    home = five("pbc", "recipe")
    home = home.where(home.splits == "test")
    old_m = measure(home.labels, scores_on(weights, home).argmax(1), FIVE_CLASSES.names)
    return {
        "new laboratory": lab,
        "labelled cells": n,
        "test cells": m.n,
        "accuracy": m.accuracy,
        "balanced": m.balanced_accuracy,
        "PBC balanced": old_m.balanced_accuracy,
    }


def main() -> None:
    """Write the table."""
    rows = []
    for lab in NEW:
        for n in SIZES if lab != NEW[-1] else SIZES[:-1]:
            for seed in range(SEEDS if n else 1):
                rows.append(shot(lab, n, seed))
                print(rows[-1], flush=True)
    frame = pd.DataFrame(rows)
    keys = ["new laboratory", "labelled cells", "test cells"]
    grouped = frame.groupby(keys, sort=False)
    table = pd.DataFrame(
        {
            "balanced accuracy %": (100 * grouped["balanced"].mean()).round(1),
            "lowest": (100 * grouped["balanced"].min()).round(1),
            "highest": (100 * grouped["balanced"].max()).round(1),
            "accuracy %": (100 * grouped["accuracy"].mean()).round(1),
            "PBC balanced accuracy %": (100 * grouped["PBC balanced"].mean()).round(1),
            "draws": grouped.size(),
        }
    ).reset_index()
    record(
        "few_shot",
        "A few labelled cells of a new laboratory, five classes",
        table,
        data=[DATA / name for name in ("pbc", "chula_wbc", "bccd", "seg_wbc_dataset2")],
        leaks=[finding(name) for name in ("chula", "bccd")],
        notes=[
            told("chula"),
            "The labelled cells are drawn from train and val, evenly over classes; BCCD has one basophil. "
            "seg_wbc_dataset2 has no split: the cells that were not drawn are tested.",
            "PBC balanced accuracy: what the old laboratory keeps.",
        ],
    )
