"""Kill an export of a training set again and again, and see that only whole rounds are there.

python -m tests.storage.kill --times 100
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.registry import FORMATS
from napari_wbc.storage.rounds import write_round_steps
from napari_wbc.storage.sets import newest_round, read_set

KINDS = tuple(FORMATS)
CELLS = 12


def fields(folder: Path) -> tuple[LabelledField, ...]:
    """Six fields of two cells each."""
    folder.mkdir(exist_ok=True)
    made = []
    for i in range(CELLS // 2):
        path = folder / f"f{i}.png"
        if not path.exists():
            Image.fromarray(np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8)).save(
                path
            )
        cells = tuple(
            Cell(
                f"{i}-{k}",
                f"s/f{i}.png",
                Detection(BBox(2, 3 + 20 * k, 12, 14 + 20 * k)),
                annotation=said,
            )
            for k, said in enumerate((Annotation("neutrophil"), Annotation("monocyte")))
        )
        made.append(
            LabelledField(
                path.name, path, 48, 64, "train", cells, "s", f"s/f{i}.png", sha256_of(path)
            )
        )
    return tuple(made)


def pixels(field: LabelledField) -> np.ndarray:
    """The image of a field."""
    return np.asarray(Image.open(field.path).convert("RGB"))


def export(folder: Path, kind: str) -> None:
    """Write round after round until killed."""
    some = fields(folder / "in")
    while True:
        run(
            write_round_steps(
                folder / "set",
                some,
                ("neutrophil", "monocyte"),
                written_as=kind,
                made={},
                pixels=pixels,
            )
        )


def killed(work: Callable[[], None], seconds: float) -> None:
    """Do something in a process of its own, and kill it."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def whole(folder: Path) -> int:
    """How many rounds there are; every one of them is read and counted."""
    rounds = sorted((folder / "set").glob("round-*"))
    for one in rounds:
        found = sum(len(field.cells) for field in read_set(one).fields)
        if found != CELLS:
            raise AssertionError(f"{one}: {found} cells of {CELLS}")
    return len(rounds)


def main() -> None:
    """Kill, look, and go on with the same set; another format each time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    counts = {"kills": 0, "rounds kept": 0, "broken rounds": 0, "left unfinished": 0}
    with TemporaryDirectory() as name:
        for i in range(arguments.times):
            folder = Path(name) / KINDS[i % len(KINDS)]
            folder.mkdir(exist_ok=True)
            before = whole(folder)
            killed(
                lambda folder=folder, i=i: export(folder, KINDS[i % len(KINDS)]),
                rng.random() * 0.15,
            )
            counts["kills"] += 1
            counts["left unfinished"] += (folder / "set" / ".part").exists()
            try:
                after = whole(folder)
            except Exception:
                counts["broken rounds"] += 1
                raise
            if after < before:
                raise AssertionError(f"{folder}: {before - after} rounds are gone")
            newest = newest_round(folder / "set")
            assert (newest is None) == (after == 0)
        counts["rounds kept"] = sum(
            whole(Path(name) / kind) for kind in KINDS if (Path(name) / kind).exists()
        )
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
