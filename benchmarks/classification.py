"""How good the shipped classifier is on the test splits, and on a laboratory it never saw.

    python benchmarks/classification.py [--weights FILE]

Prints a table and writes it, with confusion matrices, to benchmarks/results/. Crops of PBC and
seg_wbc_dataset2 are located by the detector as `napari-wbc classify` does ("located") or cut
from true boxes ("boxes").
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.evaluate import evaluate_steps
from napari_wbc.train.metrics import Metrics
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import read_card
from public_sets import DATA, write_manifest
from record import RESULTS, record

mpl.use("agg")
import matplotlib.pyplot as plt

CACHE = Path(__file__).parents[1] / ".cache"
SETS = {
    "PBC test (located)": "pbc",
    "Chula test (boxes)": "chula",
    "BCCD test, fields with one cell (boxes)": "bccd",
    "seg_wbc_dataset2, never trained on (boxes)": "seg_wbc_dataset2",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="cdnn")
    arguments = parser.parse_args()
    card = read_card(find_weights(arguments.weights))
    found: dict[str, Metrics] = {}
    for title, name in SETS.items():
        manifest = write_manifest(CACHE / f"{name}.csv", (name,), CACHE)
        (found[title],) = run(evaluate_steps([manifest], weights=arguments.weights)).values()
    table = pd.DataFrame(
        [
            {
                "set": title,
                "cells": m.n,
                "accuracy %": round(100 * m.accuracy, 1),
                "balanced accuracy %": round(100 * m.balanced_accuracy, 1),
                "macro F1 %": round(100 * m.macro_f1, 1),
                **{f"recall {k} %": round(100 * v, 1) for k, v in m.recall.items()},
            }
            for title, m in found.items()
        ]
    )
    _matrices(found, RESULTS / "classification.png")
    record(
        "classification",
        f"Classification by {card.model_id}, {card.parameters:,} parameters",
        table,
        data=[DATA / name for name in ("pbc", "chula_wbc", "bccd", "seg_wbc_dataset2")],
        notes=[
            f"Trained on: {card.provenance.get('cells')}",
            "Accuracy counts every cell, also those below the confidence threshold.",
            "PBC has no slide or donor identifiers, so a donor may be on both sides: optimistic.",
            "BCCD's labels are noisy (see its README); its one-cell test fields hold no basophil.",
        ],
        extra={title: m.confusion for title, m in found.items()},
    )


def _matrices(found: dict[str, Metrics], path: Path) -> None:
    names = [EIGHT_CLASSES.shorts[name] for name in EIGHT_CLASSES.names]
    figure, axes = plt.subplots(2, 2, figsize=(11, 11), layout="constrained")
    for axis, (title, m) in zip(axes.flat, found.items(), strict=True):
        matrix = np.array(m.confusion)
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (i, j), n in np.ndenumerate(matrix):
            if n:
                axis.text(
                    j,
                    i,
                    n,
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if share[i, j] > 0.5 else "black",
                )
        axis.set(title=title, xlabel="predicted", ylabel="true")
        axis.set_xticks(range(len(names)), names)
        axis.set_yticks(range(len(names)), names)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
