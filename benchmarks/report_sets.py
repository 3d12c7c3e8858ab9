"""Whether the limits of a report hold the true percentages of real sets.

    python benchmarks/report_sets.py [--draws 200]

Located and classified by the shipped models: the fields of Chula's and BCCD's test parts, and of LISC,
a laboratory that training never saw. A located cell has the true label whose place lies in its box, or
is no leukocyte. The truth is the percentage among all labelled cells of the set, located or not.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

import napari_wbc
from napari_wbc.model.audit import Audit, audited, sample
from napari_wbc.model.cell import Annotation
from napari_wbc.model.differential import differential
from napari_wbc.model.policy import Policy
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED
from napari_wbc.pipeline.lab_report.pool import pooled
from public_sets import DATA, bccd, chula
from record import record

AUDIT = 50
Truth = dict[Path, list[tuple[str, float, float]]]


def truth(name: str) -> Truth:
    """Label, row and column of the cells of each image."""
    cells: Truth = {}
    if name == "lisc":
        with (DATA / "lisc" / "cells.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                # A cell whose place is not noted is true, and never located.
                place = row["class"], float(row["row"] or "nan"), float(row["col"] or "nan")
                cells.setdefault(DATA / "lisc" / "images" / row["image"], []).append(place)
        return cells
    with TemporaryDirectory() as cache:
        for row in {"chula": chula, "bccd": bccd}[name](Path(cache)):
            if row["split"] == "test":
                middle = (row["top"] + row["bottom"]) / 2, (row["left"] + row["right"]) / 2
                cells.setdefault(Path(row["path"]), []).append((row["label"], *middle))
    return cells


def labelled(table: CellTable, known: Truth) -> CellTable:
    """The cells as a person who is never wrong labels them."""
    by_field = {path.name: cells for path, cells in known.items()}
    said = []
    for cell in table.values():
        box = cell.detection.bbox
        inside = [
            label
            for label, row, column in by_field[Path(cell.fov_id).name]
            if box.top <= row <= box.bottom and box.left <= column <= box.right
        ]
        said.append(cell.annotated(Annotation(inside[0] if inside else NOT_CLASSED)))
    return CellTable(said)


def held(limits: dict[str, tuple[float, float]], true: dict[str, float]) -> list[bool]:
    """Of each class whether its limits hold the truth."""
    return [low <= true[name] <= high for name, (low, high) in limits.items()]


def measure(name: str, draws: int) -> dict[str, object]:
    """The row of one set."""
    known = truth(name)
    analysis, _ = pooled(napari_wbc.analyze(sorted(known)))
    table = analysis.slides[0].table
    answers = labelled(table, known)
    counts = Counter(label for cells in known.values() for label, _, _ in cells)
    total = sum(counts.values())
    true = {row: 100 * counts[row] / total for row in EIGHT_CLASSES.names}

    def limits(cells: CellTable) -> dict[str, tuple[float, float]]:
        shares = differential(name, cells, EIGHT_CLASSES).shares
        return {row.name: (row.low, row.high) for row in shares}

    within = 0
    for seed in range(draws):
        audit = Audit(AUDIT, seed)
        drawn = [cell_id for ids in sample(table, audit).values() for cell_id in ids]
        checked = table.with_cells([answers[cell_id] for cell_id in drawn])
        result = audited(checked, EIGHT_CLASSES, Policy(), audit)
        within += sum(held({key: each[1:] for key, each in result.shares.items()}, true))
    alone = held(limits(table), true)
    return {
        "set": name,
        "cells, true": total,
        "cells, located": len(table),
        "classes": len(alone),
        "would hold, not reviewed": sum(alone),
        f"hold, audit of {AUDIT}, mean of {draws}": round(within / draws, 2),
        "hold, all reviewed": sum(held(limits(answers), true)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200)
    draws = parser.parse_args().draws
    names = ("bccd", "chula", "lisc")
    rows = []
    for name in names:
        rows.append(measure(name, draws))
        print(rows[-1], flush=True)
    record(
        "report_sets",
        "Whether the limits of a report hold the truth of real sets",
        pd.DataFrame(rows),
        data=[DATA / {"chula": "chula_wbc"}.get(name, name) for name in names],
        notes=(
            "Classes whose 95 % limits hold the percentage among all labelled cells of the set.",
            "Not reviewed: limits of counting alone. A report does not print them, since they leave out the model's errors.",
            "BCCD and Chula trained the shipped models, with other fields. LISC did not.",
            "The cells located are nearly those of the truth, while the limits are of a sample from the blood, so this is an easy test; coverage.md has the hard one.",
        ),
    )


if __name__ == "__main__":
    main()
