"""Rounds: each appears whole or not at all, and none changes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import run
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.rounds import write_round_steps
from napari_wbc.storage.sets import FORMATS, newest_round, read_set, read_set_steps

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


def said(some):
    """What a set says of each cell."""
    return {
        c.cell_id: (c.label, f.split, f.slide, f.fov_id or f.name) for f in some for c in f.cells
    }


def test_an_unknown_format_writes_nothing(tmp_path):
    with pytest.raises(WbcError, match="No format 'pickle'"):
        write(tmp_path / "set", (), "pickle")
    assert not (tmp_path / "set").exists()


def test_there_is_no_round_before_the_first(tmp_path):
    assert newest_round(tmp_path) is None
    assert newest_round(tmp_path / "nowhere") is None


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_comes_back(kind, tmp_path):
    some = fields(tmp_path / "in")
    done = write(tmp_path / "set", some, kind)
    assert done == tmp_path / "set" / "round-1" == newest_round(tmp_path / "set")
    for path in (tmp_path / "set", done):
        content = read_set(path)
        assert (content.name, content.format, content.classes) == ("set", kind, CLASSES)
        assert content.made["by"] == "me"
        assert said(content.fields) == said(some)
        if kind != "image-folder":
            assert {f.name: (f.complete, f.sha256) for f in content.fields} == {
                f.name: (f.complete, f.sha256) for f in some
            }
            assert all(sha256_of(f.path) == f.sha256 for f in content.fields)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_told_from_its_files_alone(kind, tmp_path):
    """As another tool would hand it on: without our manifest."""
    done = write(tmp_path / "set", fields(tmp_path / "in"), kind)
    if kind == "wbc":
        return
    other = done.rename(tmp_path / "other")
    (other / "manifest.json").unlink()
    content = read_set(other)
    assert content.format in (kind, kind.removesuffix("-rle"))
    assert sorted(c.label for f in content.fields for c in f.cells) == 3 * ["monocyte"] + 3 * [
        "neutrophil"
    ]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("ours", [True, False])
def test_twice_the_images_are_twice_the_work_to_read(ours, kind, tmp_path):
    """No name is looked for among all the others: 16,000 rows of a table took 19 seconds."""
    calls = []
    for n in (20, 40):
        done = write(tmp_path / f"set-{n}", fields(tmp_path / f"in-{n}", n), kind)
        if not ours and kind != "wbc":
            (done / "manifest.json").unlink()
        calls.append(calls_of(lambda: read_set(done)))  # noqa: B023 - it is called at once
    (few, looked_at), (many, more) = calls
    assert many < 2.2 * few
    assert more < 2.2 * looked_at + 100


@pytest.mark.parametrize("kind", FORMATS)
def test_sets_are_written_and_read_step_by_step(kind, tmp_path):
    """So that thousands of images do not keep a person who wants to stop it waiting."""
    some = fields(tmp_path / "in", 12)
    steps = write_round_steps(
        tmp_path / "set", some, CLASSES, written_as=kind, made={}, pixels=pixels
    )
    done = list(steps)
    files = [file for file in (tmp_path / "set" / "round-1").rglob("*") if file.is_file()]
    assert len(done) >= 12 + len(files), "each image is copied, and each file told by its hash"
    assert len(list(read_set_steps(tmp_path / "set"))) >= 12
    if kind != "wbc":
        (tmp_path / "set" / "round-1" / "manifest.json").unlink()
        assert len(list(read_set_steps(tmp_path / "set"))) >= 12


def calls_of(read):
    """Calls of functions while something is read, and elements of lists that were searched through."""
    counts = Counter()

    def profile(_frame, event, what):
        counts[event] += 1
        searched = getattr(what, "__self__", None)
        if event == "c_call" and isinstance(searched, list) and what.__name__ in ("count", "index"):
            counts["searched"] += len(searched)

    read()  # what is loaded or remembered the first time is not of the set
    sys.setprofile(profile)
    try:
        read()
    finally:
        sys.setprofile(None)
    return counts["call"], counts["searched"]


def test_who_located_a_cell_stays_with_it_when_another_tool_moves_it(tmp_path):
    some = fields(tmp_path / "in")
    mask = LocatedBy("mask-rcnn", (("score", 0.5),))
    located = [
        replace(
            f,
            cells=tuple(
                replace(c, detection=replace(c.detection, located_by=mask)) for c in f.cells
            ),
        )
        for f in some
    ]
    done = write(tmp_path / "set", located, "voc")
    file = next((done / "Annotations").glob("*.xml"))
    text = file.read_text()
    left = re.search(r"<xmin>(\d+)</xmin>", text)
    file.write_text(text.replace(left[0], f"<xmin>{int(left[1]) + 2}</xmin>", 1))
    cells = [c for f in read_set(done).fields for c in f.cells]
    assert (
        sorted(round(c.detection.bbox.left) for c in cells if c.detection.outline is None)[-1] == 5
    )
    assert {c.detection.located_by for c in cells} == {mask}


def test_a_set_that_another_tool_changed_is_read_by_its_format(tmp_path):
    done = write(tmp_path / "set", fields(tmp_path / "in"), "voc")
    file = next((done / "Annotations").glob("*.xml"))
    file.write_text(file.read_text().replace("<name>monocyte</name>", "<name>basophil</name>"))
    content = read_set(done)
    assert [c.label for f in content.fields for c in f.cells].count("basophil") == 1
    assert {f.slide for f in content.fields} == {"s"}


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
    assert [path.name for path in (tmp_path / "set").iterdir()] in ([], [".lock"])


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
    """Once a format here; benchmarks/interruptions.py does it a hundred times."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.kill", "--times=8"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert (told["kills"], told["broken rounds"]) == (8, 0)


def test_fields_are_read_where_they_lie_now(tmp_path):
    done = write(tmp_path / "set", fields(tmp_path / "in"))
    moved = (tmp_path / "set").rename(tmp_path / "elsewhere") / done.name
    assert all(f.path.is_relative_to(moved) for f in read_set(moved).fields)
