"""Whether prediction sets that a few reviewed cells calibrate hold in laboratories of any kind.

    python benchmarks/prediction_sets.py

The cells of each set are classified once by the default model. Then, 500 times, some are drawn at random
and reviewed, and the others' possible classes are compared with the truth.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_wbc.classify.predict import load_classifier
from napari_wbc.model.prediction_sets import lowest_of
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER
from public_sets import DATA
from record import record
from travel_classify import PLACES, Answers, answers_of

REVIEWED = (20, 50)
DRAWS = 500
SETS = ("PBC", "Chula", "BCCD", "LISC", "seg_wbc_dataset2", "jhu_apl")


def measured(answers: Answers) -> dict[str, object]:
    """Share of true classes inside, mean size and share of single classes, by cells that are reviewed."""
    chances = np.array(answers.chances)
    truth = np.array([answers.classes.index(label) for label in answers.truth])
    found = chances.any(axis=1)
    chances, truth = chances[found], truth[found]
    of_truth = chances[np.arange(len(truth)), truth]
    rng = np.random.default_rng(0)
    row: dict[str, object] = {"cells": len(truth)}
    confident = chances.max(axis=1)
    row["wrong, %"] = round(100 * float((chances.argmax(axis=1) != truth).mean()), 1)
    row["wrong by the model's own confidence, %"] = round(100 * float((1 - confident).mean()), 1)
    for n in REVIEWED:
        inside: list[float] = []
        sizes: list[float] = []
        single: list[float] = []
        for _ in range(DRAWS):
            chosen = rng.permutation(len(truth))
            lowest = lowest_of([(float(p), 1.0) for p in of_truth[chosen[:n]]])
            others = chosen[n:]
            size = set_sizes(chances[others], lowest)
            # The most probable class is possible even where none is probable enough.
            right = (of_truth[others] >= lowest) | (chances[others].argmax(axis=1) == truth[others])
            inside.append(float(right.mean()))
            sizes.append(float(size.mean()))
            single.append(float((size == 1).mean()))
        row[f"inside by {n} cells, %"] = round(100 * float(np.mean(inside)), 1)
        row[f"classes by {n}"] = round(float(np.mean(sizes)), 2)
        row[f"one class by {n}, %"] = round(100 * float(np.mean(single)), 1)
    return row


def set_sizes(chances: npt.NDArray[np.float64], lowest: float) -> npt.NDArray[np.int_]:
    """Possible classes of each cell."""
    return np.maximum((chances >= lowest).sum(axis=1), 1)


def main() -> None:
    classifier = load_classifier(DEFAULT_CLASSIFIER, device="cpu")
    rows = []
    used = [place for place in PLACES if place.name in SETS]
    for place in used:
        asked = (cells.of_classes(classifier.card.classes) for cells in place.read())
        answers = answers_of(classifier, (cells for cells in asked if cells.labels))
        rows.append({"set": place.name, **measured(answers)})
        print(rows[-1], flush=True)
    record(
        "prediction_sets",
        "Prediction sets that reviewed cells of the same slide calibrate",
        pd.DataFrame(rows),
        data=[DATA / place.folder for place in used],
        notes=[
            f"Model: {classifier.card.model_id}. {DRAWS} draws a row; each set counts as one slide.",
            "Inside: cells, not reviewed, whose true class is among the possible ones; wanted 95 % in the mean.",
            "Wrong by the model's own confidence: what it would be if the probabilities held.",
            "LISC, seg_wbc_dataset2 and jhu_apl are of laboratories that training never saw.",
        ],
    )


if __name__ == "__main__":
    main()
