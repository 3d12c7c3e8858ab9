"""Train a classifier of two classes on drawn cells, and classify a cell with it.

    python examples/train_a_tiny_classifier.py

Takes seconds. It shows the steps and nothing more: a model of drawn cells is of no use on blood.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

import napari_wbc
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.pipeline.training import train_steps

CLASSES = ("eosinophil", "lymphocyte")
TAXONOMY = Taxonomy("tiny", tuple(c for c in EIGHT_CLASSES.classes if c.name in CLASSES))
CELLS = {"train": 12, "val": 6, "test": 1}


def draw_crop(cell_class: str, seed: int) -> Image.Image:
    """One drawn cell, with some of what lies around it."""
    field = synthetic_smear(seed, n_leukocytes=1, classes=[cell_class])
    box = field.cells[0].bbox
    margin = 15
    return Image.fromarray(field.image).crop(
        (box.left - margin, box.top - margin, box.right + margin, box.bottom + margin)
    )


def draw_training_set(folder: Path) -> Path:
    """Write `SPLIT/CLASS/image.png`, the layout that training reads."""
    seed = 0
    for split, number_of_cells in CELLS.items():
        for cell_class in CLASSES:
            place = folder / split / cell_class
            place.mkdir(parents=True)
            for _ in range(number_of_cells):
                # Each cell has a seed of its own, so no test cell is a training cell.
                draw_crop(cell_class, seed).save(place / f"{seed}.png")
                seed += 1
    return folder


def main() -> None:
    """Draw a training set, train on it, and classify the test cells."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = draw_training_set(folder / "set")
        steps = train_steps(
            [data],
            folder / "run",
            taxonomy=TAXONOMY,
            device="cpu",
            name="tiny",
            epochs=2,
            draws=48,
            batch_size=16,
        )
        # Long work is a generator that yields its progress; `run` goes through it.
        run(steps)
        weights = folder / "run" / "tiny.safetensors"
        folders = [data / "test" / cell_class for cell_class in CLASSES]
        test = napari_wbc.classify_images(folders, weights=weights, device="cpu")
        print(test.cells[["path", "prediction", "confidence"]].to_string(index=False))


if __name__ == "__main__":
    main()
