"""Whether the heat is any good: where it lies, what it costs, and whether it is of the weights.

    python benchmarks/explanations.py [--cells 40]

On test cells that the shipped classifier gets right. PBC cells are outlined by the shipped
detector, BCCD cells by hand (masks of cell and nucleus). Grad-CAM's layers were chosen on
validation cells.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import ndimage

from crops import CACHE
from heat_quality import curves, randomized, rank_correlation, robustness
from napari_wbc.classify.crops import squares
from napari_wbc.classify.looks import looked_at
from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.detect.mask_rcnn import load_mask_rcnn
from napari_wbc.explain.attribution import METHODS, Attributor, Question
from napari_wbc.explain.canvas import inside, mask_of
from napari_wbc.imaging.read import read_image
from napari_wbc.model.geometry import BBox
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.storage.labelled_cells import read_training_set
from public_sets import DATA, MISPLACED_MASK, write_manifest
from record import RESULTS, record

mpl.use("Agg")

SETS = ("pbc", "bccd")
SLOW = {"integrated-gradients": 8, "occlusion": 8, "lime": 20}
"""One of so many cells is explained by a slow method."""
CELL, NUCLEUS = 60, 200
"""Levels of BCCD's masks above which a pixel is cell and nucleus."""
TIMED = 1000

Mask = npt.NDArray[np.bool_]


@dataclass
class Asked:
    """Cells that the classifier gets right."""

    labels: list[str]
    x: torch.Tensor
    target: torch.Tensor
    cells: list[Mask]
    nuclei: list[Mask | None]


def picked(name: str, a_class: int) -> list[LabelledCell]:
    """Test cells of a set, at random and as many of each class as there are up to a number."""
    known = read_training_set(write_manifest(CACHE / f"{name}.csv", (name,), CACHE))
    test = [cell for cell in known if cell.split == "test"]
    order = np.random.default_rng(0).permutation(len(test))
    chosen: dict[str, list[LabelledCell]] = {}
    for i in order:
        some = chosen.setdefault(test[i].label, [])
        if len(some) < a_class:
            some.append(test[i])
    return [cell for some in chosen.values() for cell in some]


def outlined(
    cells: list[LabelledCell],
) -> Iterator[tuple[LabelledCell, npt.NDArray[np.uint8], BBox, object]]:
    """Each cell with its image, its box, and its outline: by hand, or else by the shipped detector."""
    detector = load_mask_rcnn()
    for cell in cells:
        image = read_image(cell.path)
        if cell.source == "bccd":
            number = cell.path.stem.rsplit("_", 1)[1]
            mask = cv2.imread(
                str(DATA / "bccd" / "masks" / f"BloodImage_Mask_{number}.png"), cv2.IMREAD_GRAYSCALE
            )
            drawn = None if cell.path.stem == MISPLACED_MASK else piece_of(mask, cell.box)
            if drawn is not None:
                rows, columns = np.nonzero(drawn > CELL)
                box = BBox(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
                yield cell, image, box, drawn
            continue
        middle = np.array(image.shape[:2]) / 2
        near = sorted(
            detector.detect(image),
            key=lambda d: float(np.hypot(*(np.array(d.bbox.center) - middle))),
        )
        if near:
            yield cell, image, near[0].bbox, near[0]


def piece_of(mask: npt.NDArray[np.uint8], box: BBox) -> npt.NDArray[np.uint8] | None:
    """The piece of a mask that fills most of a box, all else 0; None where there is none."""
    pieces, _ = ndimage.label(mask > CELL)
    inner = pieces[int(max(box.top, 0)) : int(box.bottom), int(max(box.left, 0)) : int(box.right)]
    counts = np.bincount(inner.ravel())
    counts[0] = 0
    return np.where(pieces == counts.argmax(), mask, 0) if counts.any() else None


def masks_of(truth: object, square: tuple[int, int, int], n: int) -> tuple[Mask, Mask | None]:
    """Cell and nucleus in a square that is divided into n x n pixels."""
    if not isinstance(truth, np.ndarray):
        return mask_of(truth, square, n), None
    top, left, side = square
    padded = np.pad(truth, side)[top + side : top + 2 * side, left + side : left + 2 * side]
    cell, nucleus = (
        cv2.resize((padded > level).astype(np.float32), (n, n), interpolation=cv2.INTER_AREA) > 0.5
        for level in (CELL, NUCLEUS)
    )
    return cell, nucleus


def asked(name: str, classifier: Classifier, a_class: int) -> Asked:
    """Test cells of a set that the classifier gets right."""
    preset, classes = classifier.preset, classifier.card.classes
    labels, xs, targets, cells, nuclei = [], [], [], [], []
    for cell, image, box, truth in outlined(picked(name, a_class)):
        (said,) = classifier.classify(image, [box])
        if said.cell_class != cell.label:
            continue
        (x,) = classifier.prepared(image, [box])
        sides, corners = squares(
            np.array([(box.top, box.left, box.bottom, box.right)]), preset.factor, image.shape[:2]
        )
        square = (int(corners[0, 0]), int(corners[0, 1]), int(sides[0]))
        whole, nucleus = masks_of(truth, square, preset.size)
        labels.append(cell.label)
        xs.append(x)
        targets.append(classes.index(cell.label))
        cells.append(whole)
        nuclei.append(nucleus)
    return Asked(labels, torch.cat(xs).clone(), torch.tensor(targets), cells, nuclei)


def heat_of(
    attributor: Attributor, some: Asked, rows: list[int], question: Question
) -> tuple[torch.Tensor, float]:
    """Heat of some cells, and seconds a cell."""
    found, start = [], time.perf_counter()
    for at in range(0, len(rows), 32):
        x, target = some.x[rows[at : at + 32]], some.target[rows[at : at + 32]]
        found.append(attributor.heat(x, target, torch.full_like(target, -1), question))
    return torch.cat(found), (time.perf_counter() - start) / max(len(rows), 1)


def quality(
    name: str, some: Asked, attributor: Attributor
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """One row a method, and one a class and method."""
    rows, by_class = [], []
    once = Attributor(attributor.network, attributor.size, attributor.mode, attributor.layers)
    other = randomized(once)
    for method in METHODS:
        question = Question(method)
        chosen = list(range(0, len(some.labels), SLOW.get(method, 1)))
        heat, seconds = heat_of(attributor, some, chosen, question)
        values = heat.numpy()
        x, target = some.x[chosen], some.target[chosen]
        share = np.array([inside(v, some.cells[i]) for v, i in zip(values, chosen, strict=True)])
        nucleus = [
            inside(v, m)
            for v, i in zip(values, chosen, strict=True)
            if (m := some.nuclei[i]) is not None
        ]
        deletion, insertion = curves(attributor, x, target, heat)
        by_chance = curves(
            attributor,
            x,
            target,
            torch.rand(heat.shape, generator=torch.Generator().manual_seed(0)),
        )
        rho = rank_correlation(*(heat_of(one, some, chosen, question)[0] for one in (once, other)))
        few = slice(0, 12 if method in SLOW else 64)
        unfaithful, sensitive = (
            (np.array([np.nan]), np.array([np.nan]))
            if method in ("lime", "occlusion")
            else robustness(attributor, x[few], target[few], question)
        )
        rows.append(
            {
                "set": name,
                "method": method,
                "cells": len(chosen),
                "heat inside the cell": round(float(np.nanmean(share)), 3),
                "suspect %": round(100 * float(np.mean(~(share >= 0.5))), 1),
                "inside the nucleus": round(float(np.nanmean(nucleus)), 3) if nucleus else "",
                "deletion (chance)": f"{deletion.mean():.3f} ({by_chance[0].mean():.3f})",
                "insertion (chance)": f"{insertion.mean():.3f} ({by_chance[1].mean():.3f})",
                "infidelity": round(float(unfaithful.mean()), 4),
                "sensitivity": round(float(sensitive.mean()), 3),
                "rho with random weights": round(float(rho.mean()), 3),
                "ms a cell": round(1000 * seconds, 1),
            }
        )
        for label in sorted(set(some.labels)):
            mine = [k for k, i in enumerate(chosen) if some.labels[i] == label]
            if mine:
                by_class.append(
                    {"set": name, "class": label, "method": method, "cells": len(mine)}
                    | {"heat inside the cell": round(float(np.nanmean(share[mine])), 3)}
                )
        print(rows[-1], flush=True)
    return rows, by_class


def cost(classifier: Classifier, attributor: Attributor, some: Asked) -> dict[str, object]:
    """Seconds that 1,000 cells take to classify and to explain by Grad-CAM, in one run."""
    picks = [i % len(some.labels) for i in range(TIMED)]
    sure = classifier.preset.sure
    taken = {"classified": [], "explained": []}
    for _ in range(3):
        start = time.perf_counter()
        with torch.inference_mode():
            for at in range(0, TIMED, 32):
                looked_at(
                    classifier.network, some.x[picks[at : at + 32]], classifier.card.mode, sure
                )
        taken["classified"].append(time.perf_counter() - start)
        taken["explained"].append(heat_of(attributor, some, picks, Question())[1] * TIMED)
    classified, explained = (min(times) for times in taken.values())
    return {
        "cells": TIMED,
        "classified, s": round(classified, 2),
        "Grad-CAM, s": round(explained, 2),
        "times": round(explained / classified, 2),
        "threads": torch.get_num_threads(),
    }


def sheet(sets: dict[str, Asked], attributor: Attributor) -> None:
    """A picture: one cell a class and set, with the heat of each method."""
    import matplotlib.pyplot as plt

    from napari_wbc.explain.canvas import overlay

    shown = [
        (name, some, some.labels.index(label))
        for name, some in sets.items()
        for label in sorted(set(some.labels))
    ]
    figure, axes = plt.subplots(len(shown), len(METHODS) + 1, figsize=(9, 1.5 * len(shown)))
    for method, axis in zip(("crop", *METHODS), axes[0], strict=True):
        axis.set_title(method, fontsize=7)
    for (name, some, i), line in zip(shown, axes, strict=True):
        crop = np.clip(some.x[i].permute(1, 2, 0).numpy() * 0.25 + 0.6, 0, 1)
        crop = np.rint(crop * 255).astype(np.uint8)
        line[0].imshow(crop)
        line[0].set_ylabel(f"{some.labels[i]}\n{name}", fontsize=6)
        for axis, method in zip(line[1:], METHODS, strict=True):
            heat, _ = heat_of(attributor, some, [i], Question(method))
            axis.imshow(overlay(crop, heat[0].numpy()))
            axis.contour(some.cells[i], levels=[0.5], colors="white", linewidths=0.7)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
    figure.tight_layout(pad=0.3)
    figure.savefig(RESULTS / "explanations.png", dpi=110)


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=40, help="of each class, at most")
    arguments = parser.parse_args()
    classifier = load_classifier(device="cpu")
    preset = classifier.preset
    attributor = Attributor(classifier.network, preset.size, classifier.card.mode, sure=preset.sure)
    sets = {name: asked(name, classifier, arguments.cells) for name in SETS}
    rows: list[dict[str, object]] = []
    by_class: list[dict[str, object]] = []
    for name, some in sets.items():
        more, classes = quality(name, some, attributor)
        rows += more
        by_class += classes
    sheet(sets, attributor)
    table = pd.DataFrame(by_class).pivot_table(
        index=["set", "class"], columns="method", values="heat inside the cell", sort=False
    )
    record(
        "explanations",
        f"Explanations of {classifier.card.model_id}",
        pd.DataFrame(rows),
        tables={
            "Heat inside the cell, by class": table.reset_index(),
            "Cost of Grad-CAM beside classification": pd.DataFrame(
                [cost(classifier, attributor, sets["pbc"])]
            ),
        },
        data=[DATA / "pbc", DATA / "bccd"],
        notes=[
            f"Grad-CAM looks at {' and '.join(attributor.layers)}, multiplied.",
            "Only cells that are classified rightly. Share of the heat: mean over cells.",
            "Deletion: mean probability of the class as pixels are replaced by bare glass, the hottest first "
            "(lower is better); insertion: the other way (higher is better); in brackets in random order.",
            "rho: Spearman's correlation with the heat of the network with random weights, mean over cells, "
            "at one look each: a mean over all orientations is round, whatever the weights.",
            "All else as the program shows it: of cells that the network is not sure of, the mean over all "
            "orientations.",
            "Infidelity (normalised) and largest sensitivity: noise of 0.02 of a prepared crop's unit.",
        ],
    )


if __name__ == "__main__":
    main()
