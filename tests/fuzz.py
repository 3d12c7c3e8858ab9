"""Mutants of files, read as a stranger's would be: what they do that no file should do.

    python -m tests.fuzz coco voc --times 200 --seed 0

Each target is a small valid file and its reader. A worker reads mutants of it, each a few random
changes that depend on the seed alone, and prints a line of JSON for each fault: what is not one
clear :class:`WbcError`, takes more than :data:`LIMIT_S` or :data:`LIMIT_BYTES`, or writes anything.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tests.storage.formats.sets import HEIGHT, WIDTH, label_studio, labelme

from napari_wbc.classify.preset import Preset
from napari_wbc.errors import WbcError
from napari_wbc.files.guard import image_size
from napari_wbc.files.unpack import unpacked
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import run
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.step import Step, now
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.pipeline.lab_report.reference import (
    FINDINGS,
    INTERVALS,
    read_findings,
    read_intervals,
)
from napari_wbc.storage.formats.image_folder import write_crops, write_table
from napari_wbc.storage.formats.manifest import write_manifest_steps
from napari_wbc.storage.formats.registry import CROPS, FORMATS
from napari_wbc.storage.formats.taxonomy import read_taxonomy, write_taxonomy
from napari_wbc.storage.sets import read_set
from napari_wbc.storage.workspace import create_workspace, open_workspace
from napari_wbc.train.recipe import Recipe, planned, read_config
from napari_wbc.weights.adopted import Adoption, append_adoption, read_history

LIMIT_S = 5
LIMIT_BYTES = 2_000_000_000
MAX_MESSAGE = 2000
"""Characters of a message that a person may still read."""
FAULTS = ("uncaught", "hang", "memory", "killed", "written", "long message")
ODD = (
    *(b"-1", b"0", b"1e999", b"NaN", b"99999999999999999999", b"1e-300", b"-0.0", b"2147483648"),
    *(b"null", b'""', b"[]", b"{}", b"true", b'"\\u0000"', b"../../x", b"/etc/passwd", b"\x1b[2J"),
    *(b"\xff\xfe", b"\x00", b"\xe2\x80\xae", b"=1+1", b"[" * 3000, b"9" * 5000, b"x" * 100_000),
)


@dataclass(frozen=True)
class Target:
    """A file, relative to the folder that ``make`` fills, and what reads the folder."""

    file: str
    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    text: bool = True


def _image(path: Path, **options: Any) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)


def _tiff(path: Path, **options: Any) -> None:
    import tifffile

    pixels = np.random.default_rng(0).integers(0, 4000, (HEIGHT, WIDTH, 3), np.uint16)
    tifffile.imwrite(path, pixels, photometric="rgb", **options)


def _cells() -> tuple[Cell, ...]:
    outline = Outline(((5, 5), (5, 20), (18, 22), (20, 6)))
    chances = Prediction(("neutrophil", "monocyte"), (0.75, 0.25), 0.5, "m 1", 0.5, "ab")
    detections = (Detection(outline.bbox, outline, 0.9), Detection(BBox(25.5, 30, 40, 50)))
    cells: list[Cell] = []
    for i, detection in enumerate(detections):
        label = Annotation("neutrophil", "me", now())
        cells.append(Cell(f"{i}" * 32, "s/a.png", detection, chances, label))
    return tuple(cells)


def _set(kind: str, folder: Path) -> None:
    field = LabelledField(
        "a.png", folder / "a.png", HEIGHT, WIDTH, "train", _cells(), "s", "s/a.png"
    )
    if kind == CROPS:
        write_crops(folder, field, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        write_table(folder, [field])
        return
    place = folder / FORMATS[kind].place(field)
    place.parent.mkdir(parents=True, exist_ok=True)
    _image(place)
    run(FORMATS[kind].write(folder, [field], ["neutrophil"]))
    if kind == "wbc":
        steps = write_manifest_steps(
            folder, [field], ["neutrophil"], place=FORMATS[kind].place, made={}
        )
        run(steps)


def _of_format(kind: str, file: str) -> Target:
    return Target(file, partial(_set, kind), partial(read_set, written_as=kind))


def _drawn(file: str, content: str) -> Target:
    """A set that others draw, in the format that its content tells."""

    def make(folder: Path) -> None:
        _image(folder / "a.png")
        (folder / file).write_text(content)

    return Target(file, make, read_set)


def _copied(source: Path, read: Callable[[Path], Any]) -> Target:
    """A table that ships, of which a laboratory makes its own."""

    def make(folder: Path) -> None:
        (folder / source.name).write_bytes(source.read_bytes())

    return Target(source.name, make, lambda folder: read(folder / source.name))


def _adoptions(folder: Path) -> None:
    append_adoption(folder / "used.json", "classifier", Adoption("2026", "ab", "m 1", "m.st"))


def _recipe(folder: Path) -> None:
    text = 'data = ["a.csv"]\nname = "x"\nepochs = 3\nlearning_rate = 1e-3\n[preset]\nsize = 72\n'
    (folder / "r.toml").write_text(f"{text}[augmentation]\nzoom = 0.3\n")


def _read_recipe(folder: Path) -> None:
    planned(Recipe, read_config(folder / "r.toml")[1], Preset)


def _project(folder: Path) -> None:
    with closing(create_workspace(folder / "p.wbc", EIGHT_CLASSES)) as workspace:
        workspace.put_slide(Slide("s", (FieldOfView("s/a.png", folder / "a.png"),)))
        change = diff(CellTable(), CellTable(_cells()))
        workspace.write("s", [Step(1, "analyze", "model", change, when=now())])
    (folder / ".p.wbc.lock").unlink(missing_ok=True)


def _read_project(folder: Path) -> None:
    with closing(open_workspace(folder / "p.wbc", read_only=True)) as workspace:
        assert workspace.taxonomy
        for slide in workspace.slides():
            table = workspace.table(slide.name)
            workspace.history(slide.name)
            for seq in range(workspace.last, 0, -1):
                table = workspace.stepped(table, seq, back=True)


def _model(folder: Path) -> None:
    import torch

    from napari_wbc.weights.card import ModelCard
    from napari_wbc.weights.store import save_weights

    card = ModelCard("m", "1", "cdnn", ("a", "b"), {"size": 72})
    save_weights(folder / "m.safetensors", {"x": torch.ones(4, 4), "y": torch.zeros(3)}, card)


def _read_model(folder: Path) -> None:
    from napari_wbc.weights.store import load_weights, read_card

    read_card(folder / "m.safetensors")
    load_weights(folder / "m.safetensors")


def _zip(folder: Path) -> None:
    import zipfile

    with zipfile.ZipFile(folder / "s.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in ("s/a.txt", "s/b/c.txt"):
            packed.writestr(name, "0 0.5 0.5 0.1 0.1\n" * 20)


def _read_zip(folder: Path) -> None:
    with unpacked(folder / "s.zip"):
        pass


def _of_image(name: str, make: Callable[[Path], None]) -> Target:
    def read(folder: Path) -> None:
        read_image(folder / name)
        image_size(folder / name)

    return Target(name, lambda folder: make(folder / name), read, text=False)


TEXTS = {
    "wbc": _of_format("wbc", "manifest.json"),
    "coco": _of_format("coco", "annotations/train.json"),
    "coco-rle": _of_format("coco-rle", "annotations/train.json"),
    "voc": _of_format("voc", "Annotations/a.xml"),
    "yolo": _of_format("yolo", "labels/train/a.txt"),
    "yolo data": _of_format("yolo", "data.yaml"),
    "geojson": _of_format("geojson", "geojson/a.png.geojson"),
    "labelme": _drawn("a.json", labelme()),
    "label-studio": _drawn("export.json", label_studio()),
    "csv": _of_format("csv", "cells.csv"),
    "crops": _of_format(CROPS, "crops.csv"),
    "taxonomy": Target(
        "t.yaml",
        lambda folder: write_taxonomy(folder / "t.yaml", EIGHT_CLASSES),
        lambda folder: read_taxonomy(folder / "t.yaml"),
    ),
    "recipe": Target("r.toml", _recipe, _read_recipe),
    "intervals": _copied(INTERVALS, read_intervals),
    "findings": _copied(FINDINGS, read_findings),
    "adoptions": Target(
        "used.json", _adoptions, lambda folder: read_history(folder / "used.json", "classifier")
    ),
}
OTHERS = {
    "project": Target("p.wbc", _project, _read_project, text=False),
    "model": Target("m.safetensors", _model, _read_model, text=False),
    "zip": Target("s.zip", _zip, _read_zip, text=False),
}
IMAGES = {
    **{name: _of_image(f"a.{name}", _image) for name in ("png", "bmp", "gif", "webp", "jp2")},
    "jpeg": _of_image("a.jpg", _image),
    "ppm": _of_image("a.ppm", _image),
    "tiff": _of_image("a.tif", _tiff),
    "tiff deflate": _of_image("b.tif", partial(_tiff, compression="zlib", tile=(16, 16))),
    "tiff lzw": _of_image("c.tif", partial(_tiff, compression="lzw", predictor=True)),
}
TARGETS = TEXTS | OTHERS | IMAGES


def mutant(data: bytes, rng: random.Random, *, text: bool) -> bytes:
    """A file with one to four random changes; of a text, numbers and words change more often."""
    changed = bytearray(data)
    # What is moved hardly opens at all, so half of the mutants of other files have flipped bits.
    kinds = ("flip",) if not text and rng.random() < 0.5 else ("flip", "cut", "copy", "odd", "end")
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice((1, 1, 2, 4, 16, 200)))
        words = list(re.finditer(rb'-?\d[\d.e+-]*|"[^"]*"|\w+', changed)) if text else []
        kind = rng.choice((*kinds, *["word"] * 4 * bool(words)))
        if kind == "flip" and start < len(changed):
            changed[start] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del changed[start:end]
        elif kind == "copy":
            changed[start:start] = changed[start:end] * rng.choice((1, 1, 50))
        elif kind == "odd":
            changed[start:end] = rng.choice(ODD)
        elif kind == "end" and rng.random() < 0.2:
            del changed[start:]
        elif kind == "word":
            word = rng.choice(words)
            other = rng.choice(words).group() if rng.random() < 0.3 else rng.choice(ODD)
            changed[word.start() : word.end()] = other
    return bytes(changed)


class _Hang(BaseException):
    """Not an Exception, which a reader of damaged files may take for damage."""


def _on_alarm(*_signal: object) -> None:
    raise _Hang


def _files(*folders: Path) -> set[Path]:
    found: set[Path] = set()
    for folder in folders:
        found.update(folder.rglob("*"))
    return found


def _worker(names: Sequence[str], first: int, times: int, seed: int) -> None:
    """Read mutants; a line for each fault, and one with the number of each mutant before it."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    signal.signal(signal.SIGALRM, _on_alarm)
    with tempfile.TemporaryDirectory() as name:
        outside = [Path(name) / part for part in ("here", "home", "tmp")]
        for folder in outside:
            folder.mkdir()
        os.chdir(outside[0])
        os.environ |= {"HOME": str(outside[1]), "XDG_DATA_HOME": str(outside[1])}
        tempfile.tempdir = str(outside[2])
        for target_name in names:
            target = TARGETS[target_name]
            folder = Path(name) / target_name
            folder.mkdir()
            target.make(folder)
            file = folder / target.file
            data = file.read_bytes()
            target.read(folder)
            before = _files(folder, *outside)
            for i in range(first, first + times):
                rng = random.Random(f"{seed}/{target_name}/{i}")
                file.write_bytes(mutant(data, rng, text=target.text))
                print(json.dumps({"target": target_name, "mutant": i}), flush=True)
                if found := _fault(target, folder):
                    print(json.dumps({"target": target_name, "mutant": i, **found}), flush=True)
                if more := _files(folder, *outside) - before:
                    fault = {"fault": "written", "what": str(sorted(more)[0])}
                    print(json.dumps({"target": target_name, "mutant": i, **fault}), flush=True)
                    before |= more


def _fault(target: Target, folder: Path) -> dict[str, str]:
    """What is wrong with how a file is read; nothing where it is read or refused in one line."""
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        target.read(folder)
    except WbcError as error:
        if len(str(error)) > MAX_MESSAGE:
            return {"fault": "long message", "what": str(error)[:200]}
    except _Hang:
        return {"fault": "hang", "what": traceback.format_exc(limit=-2)[-300:]}
    except MemoryError:
        return {"fault": "memory", "what": traceback.format_exc(limit=-2)[-300:]}
    except Exception:  # noqa: BLE001 - this is what is looked for
        return {"fault": "uncaught", "what": traceback.format_exc(limit=-2)[-300:]}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {}


@dataclass
class Fuzzed:
    """What became of the mutants of some targets."""

    times: Counter[str]
    """Mutants that were read, by target."""
    faults: list[dict[str, Any]]
    seconds: float = 0.0


def fuzz(names: Sequence[str], times: int, seed: int = 0, most_s: float = 600) -> Fuzzed:
    """Read so many mutants of each target in another process, at most so many seconds.

    If that process dies or hangs, another one goes on with the mutant after.
    """
    start = time.monotonic()
    fuzzed = Fuzzed(Counter(), [])
    for name in [",".join(names)] if times <= 200 else names:
        first = 0
        while first < times and (left := start + most_s - time.monotonic()) > 0:
            command = [sys.executable, "-m", "tests.fuzz", *name.split(","), f"--first={first}"]
            command += [f"--times={times - first}", f"--seed={seed}"]
            last, code = _read_lines(command, left, fuzzed)
            if code == 0:
                break
            if code is not None:
                fuzzed.faults.append({**last, "fault": "killed", "what": f"exit code {code}"})
            first = last.get("mutant", times) + 1
    fuzzed.seconds = time.monotonic() - start
    return fuzzed


def _read_lines(
    command: Sequence[str], most_s: float, fuzzed: Fuzzed
) -> tuple[dict[str, Any], int | None]:
    """Run a worker; its last line, and its exit code, which is None if its time was up."""
    code: int | None = None
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            timeout=most_s,
            check=False,
        )
        output = done.stdout
        code = done.returncode
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
    last: dict[str, Any] = {}
    # What was cut off in the middle of a line is none.
    for line in output.decode().split("\n")[:-1]:
        last = json.loads(line)
        if "fault" in last:
            fuzzed.faults.append(last)
        else:
            fuzzed.times[last["target"]] += 1
    return {"target": last.get("target", command[3]), "mutant": last.get("mutant", 0)}, code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="+", choices=list(TARGETS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    _worker(arguments.targets, arguments.first, arguments.times, arguments.seed)


if __name__ == "__main__":
    main()
