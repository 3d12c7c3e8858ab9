"""The shipped weights on the test splits, on a laboratory they never saw, and on what is no cell of theirs.

python benchmarks/classification.py shipped
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from crops import CACHE, crops_of
from leaks import finding
from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.measure.metrics import Scores, auc
from napari_wbc.measure.plots import write_evaluation
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import FIVE_CLASSES
from napari_wbc.pipeline.evaluate import Evaluation, evaluate_steps
from napari_wbc.train.dataset import CropSet
from napari_wbc.weights.registry import find_weights
from pictures import confusion_sheet
from public_sets import DATA, write_manifest
from record import RESULTS, record
from repeats import told
from unlike_cells import KINDS, blurred, unlike_crops

SETS = {
    "PBC test (located), eight classes": ("pbc", None),
    "Chula test (boxes), eight classes": ("chula", None),
    "BCCD test, one cell a field (boxes), eight classes": ("bccd", None),
    "seg_wbc_dataset2, never trained on, eight classes": ("seg_wbc_dataset2", None),
    "seg_wbc_dataset2, never trained on, five classes": ("seg_wbc_dataset2", FIVE_CLASSES),
}


def main(weights: str = "cdnn") -> None:
    """Write the tables and pictures."""
    classifier = load_classifier(weights, device="cpu")
    found: dict[str, Evaluation] = {}
    for title, (name, taxonomy) in SETS.items():
        manifest = write_manifest(CACHE / f"{name}.csv", (name,), CACHE)
        found[title] = run(
            evaluate_steps([manifest], weights=weights, taxonomy=taxonomy, device="cpu")
        )
    measured = {title: next(iter(e.scores.values())) for title, e in found.items()}
    rows = [
        {"set": title, **_row(measured[title]), **_identified(e, classifier.threshold)}
        for title, e in found.items()
    ]
    card = classifier.card
    curves = CACHE / card.name / "curves.png"  # of `make classifier`
    if curves.is_file():
        (RESULTS / "classification").mkdir(exist_ok=True)
        shutil.copy(curves, RESULTS / "classification" / "curves.png")
    confusion_sheet(
        RESULTS / "classification.png", {t: (m, found[t].taxonomy) for t, m in measured.items()}
    )
    for title, (name, taxonomy) in SETS.items():
        if taxonomy is None:
            e = found[title]
            write_evaluation(
                RESULTS / "classification" / name, e.truth, e.probabilities, e.sources, e.classes
            )
    record(
        "classification",
        f"Classification by {card.model_id}, {card.parameters:,} parameters",
        pd.DataFrame(rows),
        tables={
            "Classes": _classes(measured),
            "Cost, two CPU threads": _cost(classifier, find_weights(weights)),
            "Cells unlike the training data": _unlike(classifier),
        },
        data=[DATA / name for name in ("pbc", "chula_wbc", "bccd", "seg_wbc_dataset2", "pig_wbc")],
        leaks=[finding(name) for name in ("pbc", "chula", "bccd")],
        notes=[
            told("chula"),
            f"Trained on: {card.provenance.get('cells')}",
            "Accuracy counts every cell, also those below the confidence threshold "
            f"of {card.threshold}; identified: above it.",
            "PBC has no slide or donor identifiers, so a donor may be on both sides: optimistic.",
            "BCCD's labels are noisy (see its README); its one-cell test fields hold no basophil.",
            "Calibration error: 15 bins of equal width; on so few cells a perfectly calibrated model shows "
            "about the value beside it (mean of 200 simulations).",
            "Five classes: what the model gives to other classes is dropped and the rest renormalised.",
        ],
        extra={title: m.confusion for title, m in measured.items()},
    )


def _row(m: Scores) -> dict[str, object]:
    shares = {
        "accuracy %": m.accuracy,
        "balanced accuracy %": m.balanced_accuracy,
        "macro F1 %": m.macro_f1,
        "ROC AUC %": m.macro_auc,
        "calibration error": m.calibration_error,
    }
    return {
        "cells": m.n,
        **{
            k: round(v * (1 if "error" in k else 100), 3 if "error" in k else 1)
            for k, v in shares.items()
        },
    }


def _identified(e: Evaluation, threshold: float) -> dict[str, object]:
    sure = e.probabilities.max(1) >= threshold
    right = e.predicted == e.truth
    return {
        "error by chance": round(_chance_error(e.probabilities), 3),
        "identified %": round(100 * sure.mean(), 1),
        "of these wrong %": round(100 * (~right[sure]).mean(), 1),
    }


def _chance_error(probabilities: npt.NDArray[np.float64]) -> float:
    """Calibration error that truly calibrated probabilities would show on as many cells."""
    rng, confidence = np.random.default_rng(0), probabilities.max(1)
    bins = np.minimum((confidence * 15).astype(int), 14)
    errors = []
    for _ in range(200):
        gap = (rng.random(len(confidence)) < confidence) - confidence
        errors.append(np.abs(np.bincount(bins, gap, 15)).sum() / len(confidence))
    return float(np.mean(errors))


def _classes(measured: dict[str, Scores]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "set": title,
                "class": name,
                "cells": m.support[name],
                **{
                    k: round(100 * values[name], 1) if name in values else None
                    for k, values in (
                        ("precision %", m.precision),
                        ("recall %", m.recall),
                        ("F1 %", m.f1),
                        ("ROC AUC %", m.auc),
                    )
                },
            }
            for title, m in measured.items()
            for name in m.support
        ]
    )


def _cost(classifier: Classifier, path: Path) -> pd.DataFrame:
    torch.set_num_threads(2)
    size = classifier.preset.size
    times = {}
    for batch in (1, 256):
        crops = np.full((batch, size, size, 3), 200, np.uint8)
        red = np.full((batch, 3), 0.1, np.float32)
        classifier.predict(crops, red)
        spans = []
        for _ in range(30 if batch == 1 else 5):
            start = time.perf_counter()
            classifier.predict(crops, red)
            spans.append(time.perf_counter() - start)
        times[batch] = round(1000 * float(np.median(spans)) / batch, 2)
    return pd.DataFrame(
        [
            {
                "parameters": classifier.card.parameters,
                "MB": round(path.stat().st_size / 1e6, 2),
                "ms a cell, batch 1": times[1],
                "ms a cell, batch 256": times[256],
            }
        ]
    )


def _unlike(classifier: Classifier) -> pd.DataFrame:
    preset = classifier.preset
    tests = [crops_of(name, preset) for name in ("pbc", "chula", "bccd")]
    own = {t.sources[0]: t.where(t.splits == "test") for t in tests}
    inside = np.concatenate([_unlikeness(classifier, data) for data in own.values()])
    others = {kind: unlike_crops(kind, "test", preset) for kind in KINDS}
    others |= {f"blurred {source}": blurred(data) for source, data in own.items()}
    rows = [
        {
            "cells": "test cells of PBC, Chula and BCCD",
            "n": len(inside),
            "called unlike %": _share(inside),
        }
    ]
    for kind, data in others.items():
        outside = _unlikeness(classifier, data)
        rows.append(
            {
                "cells": kind,
                "n": len(outside),
                "called unlike %": _share(outside),
                "AUC": round(auc(inside, outside), 3),
            }
        )
    everything = np.concatenate([_unlikeness(classifier, data) for data in others.values()])
    rows.append(
        {
            "cells": "all of these",
            "n": len(everything),
            "called unlike %": _share(everything),
            "AUC": round(auc(inside, everything), 3),
        }
    )
    return pd.DataFrame(rows)


def _share(unlikeness: npt.NDArray[np.float64]) -> float:
    return round(100 * float((unlikeness > 1).mean()), 1)


def _unlikeness(classifier: Classifier, data: CropSet) -> npt.NDArray[np.float64]:
    crops = data.centers(classifier.preset.size)
    return np.array([p.unlikeness for p in classifier.predict(crops, data.red)])
