"""Rounds: each appears whole or not at all, and none changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import run
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.rounds import write_round_steps
from napari_wbc.storage.sets import newest_round

ROOT = Path(__file__).parents[2]
CLASSES = ("neutrophil", "monocyte")
RING = Outline(((10.25, 30.5), (20.5, 40.75), (30.0, 30.0), (20.0, 20.5)))


def pixels(field):
    return np.asarray(Image.open(field.path).convert("RGB"))


def fields(folder, n=3, label="monocyte"):
    """Fields of two cells each, one with an outline."""
    folder.mkdir(exist_ok=True)
    made = []
    for i in range(n):
        path = folder / f"f{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8)).save(path)
        said = Annotation(label, "ann", "2026-11-25T10:00:00+00:00")
        cells = (
            Cell(
                f"{i}-a",
                f"s/f{i}.png",
                Detection(BBox(2, 3, 12.5, 14)),
                annotation=Annotation("neutrophil"),
            ),
            Cell(f"{i}-b", f"s/f{i}.png", Detection(RING.bbox, RING, 0.5), annotation=said),
        )
        split = "val" if i == 1 else "train"
        made.append(
            LabelledField(
                path.name, path, 48, 64, split, cells, "s", f"s/f{i}.png", sha256_of(path), i != 2
            )
        )
    return tuple(made)


def write(folder, some, kind="wbc"):
    return run(
        write_round_steps(folder, some, CLASSES, written_as=kind, made={"by": "me"}, pixels=pixels)
    )


def test_an_unknown_format_writes_nothing(tmp_path):
    with pytest.raises(WbcError, match="No format 'pickle'"):
        write(tmp_path / "set", (), "pickle")
    assert not (tmp_path / "set").exists()


def test_a_round_leaves_the_earlier_ones_as_they_are_and_links_what_is_the_same(tmp_path):
    some = fields(tmp_path / "in")
    first = write(tmp_path / "set", some)
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    second = write(tmp_path / "set", [*some[:2], *fields(tmp_path / "more", 4, "neutrophil")[3:]])
    assert second.name == "round-2"
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before
    image = second / "images" / "f0.png"
    assert image.samefile(first / "images" / "f0.png")


def test_an_image_that_is_gone_leaves_no_round(tmp_path):
    some = fields(tmp_path / "in")
    some[1].path.unlink()
    with pytest.raises(WbcError, match="the image cannot be copied"):
        write(tmp_path / "set", some)
    assert not (tmp_path / "set").exists()


def test_a_cancelled_export_leaves_the_old_round(tmp_path):
    some = fields(tmp_path / "in")
    write(tmp_path / "set", some)
    steps = write_round_steps(
        tmp_path / "set", some, CLASSES, written_as="coco", made={}, pixels=pixels
    )
    next(steps)
    steps.close()
    assert newest_round(tmp_path / "set").name == "round-1"
    assert not (tmp_path / "set" / ".part").exists()
    assert write(tmp_path / "set", some).name == "round-2"


def test_two_exports_into_one_set_do_not_mix(tmp_path):
    (tmp_path / "set").mkdir()
    with FileLock(tmp_path / "set" / ".lock"), pytest.raises(WbcError, match="another export"):
        write(tmp_path / "set", fields(tmp_path / "in"))


@pytest.mark.skipif(os.name == "nt", reason="kills with SIGKILL")
def test_killed_exports_leave_whole_rounds_only():
    """Once a format here; benchmarks/reliability does it a hundred times."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.kill", "--times=8"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert (told["kills"], told["broken rounds"]) == (8, 0)


def test_a_lock_that_belongs_to_somebody_else_is_said(tmp_path, monkeypatch):
    def refuse(_lock):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("napari_wbc.files.locks.FileLock.acquire", refuse)
    steps = write_round_steps(tmp_path, [], [], written_as="wbc", made={}, pixels=None)
    with pytest.raises(WbcError, match="cannot be written"):
        run(steps)
