"""Draw a contact sheet of the outlines that weak supervision makes of boxes.

    python docs/make_outline_sheet.py [--data MANIFEST.csv] [--out FILE.png]

Without ``--data`` the cells are those of a synthetic smear, whose true outlines are drawn too. A
sheet of real cells is to be looked at, and is not for the repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from shapely.geometry import Polygon

from napari_wbc.imaging.read import read_image
from napari_wbc.imaging.synthetic import synthetic_slide
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.train.fields import SEARCH, outline_in_box

mpl.use("agg")
import matplotlib.pyplot as plt

ROWS, COLS = 4, 6


@dataclass
class Shown:
    """One cell of the sheet."""

    image: npt.NDArray[np.uint8]
    box: BBox
    drawn: Outline
    true: Outline | None


def synthetic_cells() -> Iterator[Shown]:
    for field in synthetic_slide(7, 12, per_field=(2, 4)):
        found = SEARCH.detect(field.image)
        for cell in field.cells:
            yield Shown(field.image, cell.bbox, outline_in_box(cell.bbox, found), cell.outline)


def real_cells(manifest: Path) -> Iterator[Shown]:
    cells = [
        cell
        for cell in read_training_set(manifest)
        if cell.box is not None and cell.split == "train"
    ]
    for i in np.random.default_rng(0).permutation(len(cells)):
        cell = cells[i]
        image = read_image(cell.path)
        if cell.box is not None:
            drawn = outline_in_box(cell.box, SEARCH.detect(image))
            yield Shown(image, cell.box, drawn, cell.outline)


def draw(axis: plt.Axes, cell: Shown) -> None:
    rows, cols = cell.box.center
    half = 0.75 * max(cell.box.height, cell.box.width)
    axis.imshow(cell.image)
    axis.set(xlim=(cols - half, cols + half), ylim=(rows + half, rows - half))
    rings = [(cell.box.corners(), "blue"), (cell.drawn.array(), "lime")]
    if cell.true is not None:
        rings.append((cell.true.array(), "red"))
        ours, truth = Polygon(cell.drawn.vertices), Polygon(cell.true.vertices)
        axis.set_title(
            f"IoU {ours.intersection(truth).area / ours.union(truth).area:.2f}", fontsize=9
        )
    for ring, color in rings:
        axis.fill(*(ring - 0.5).T[::-1], fill=False, color=color, linewidth=1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="manifest of a detector's training set")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "images" / "outlines.png"
    )
    arguments = parser.parse_args()
    cells = real_cells(arguments.data) if arguments.data else synthetic_cells()
    figure, axes = plt.subplots(ROWS, COLS, figsize=(12, 8.4), layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, cell in zip(axes.flat, cells, strict=False):
        draw(axis, cell)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out, dpi=80)


if __name__ == "__main__":
    main()
