"""How many cells a set shows, where several of its images are shots of one.

    python benchmarks/repeats.py

Two cells of one slide and class are one where the finer structure of the middle of either is found
in the other, brightness and contrast apart. A score on a test split rests on as many cells as this
table says, not on as many images.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from crops import CACHE, crops_of
from napari_wbc.classify.preset import Preset
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.storage.labelled_cells import read_training_set
from public_sets import DATA, write_manifest
from record import RESULTS, record

SETS = ("chula", "bccd")
SAME = 0.8
"""Correlation from which it is the same cell. Of Chula's basophils few pairs lie between 0.75 and 0.85; those
above were looked at and are shots of one cell, in other colours, those below are not."""
MIDDLE = 24
"""Pixels that are cut off on each side of a crop of 101 to have its middle."""
SHIFT = 10
"""Pixels by which the box of a second shot may lie elsewhere."""
FINE, COARSE = 1.2, 5.0
"""Deviations of the Gaussians between which structure is compared, in pixels: all cells are dark discs."""


def cells_of(name: str) -> pd.DataFrame:
    """Split, class and number of the cell of each image of a set, in the order of its crops."""
    manifest = write_manifest(CACHE / f"{name}.csv", (name,), CACHE)
    slides = [cell.path.stem.rpartition("_")[0] for cell in read_training_set(manifest)]
    data = crops_of(name, Preset())
    seen = [_structure(crop) for crop in data.crops]
    table = pd.DataFrame(
        {"split": data.splits, "class": np.array(EIGHT_CLASSES.names)[data.labels]}
    )
    table["slide"], table["cell"] = slides, np.arange(len(table))
    for _, some in table.groupby(["slide", "class", "split"]):
        rows = some.index.to_numpy()
        for i, a in enumerate(rows):
            for b in rows[:i]:
                if table.cell[a] != table.cell[b] and _alike(seen[a], seen[b]):
                    table.loc[table.cell == table.cell[a], "cell"] = table.cell[b]
    return table


def _structure(crop: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The finer structure of a crop, shape (height, width)."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    found: npt.NDArray[np.float32] = cv2.GaussianBlur(grey, (0, 0), FINE) - cv2.GaussianBlur(
        grey, (0, 0), COARSE
    )
    return found


def _alike(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
    """Whether the middle of either is found in the other."""
    small, large = slice(MIDDLE, -MIDDLE), slice(MIDDLE - SHIFT, SHIFT - MIDDLE)
    both = ((one[small, small], other[large, large]), (other[small, small], one[large, large]))
    return any(cv2.matchTemplate(x, m, cv2.TM_CCOEFF_NORMED).max() > SAME for m, x in both)


def told(name: str, folder: Path = RESULTS) -> str:
    """A sentence on the test split of a set, from the table."""
    rows = pd.DataFrame(json.loads((folder / "repeats.json").read_text(encoding="utf-8"))["table"])
    rows = rows[(rows["set"] == name) & (rows["split"] == "test")]
    by_class = ", ".join(
        f"{n} {c}" for c, n in zip(rows["class"], rows["different cells"], strict=True)
    )
    images, cells = rows["images"].sum(), rows["different cells"].sum()
    return (
        f"{name}: the {images} test images show about {cells} different cells ({by_class}); a class's recall "
        "rests on these."
    )


def main() -> None:
    """Write the table."""
    rows = []
    for name in SETS:
        for (split, label), some in cells_of(name).groupby(["split", "class"]):
            counts = some["cell"].value_counts()
            rows.append(
                {
                    "set": name,
                    "split": split,
                    "class": label,
                    "images": len(some),
                    "different cells": len(counts),
                    "most images of one": int(counts.max()),
                }
            )
    record(
        "repeats",
        "How many different cells the images show",
        pd.DataFrame(rows),
        data=[DATA / "chula_wbc", DATA / "bccd"],
        notes=[
            "Of one slide, class and split; the middle of one correlates with the other by more than 0.8."
        ],
    )


if __name__ == "__main__":
    main()
