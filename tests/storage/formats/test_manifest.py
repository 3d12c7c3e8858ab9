"""The manifest: fields that come back equal, files that are checked, and what is refused."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.manifest import (
    MANIFEST,
    check_files_steps,
    read_manifest,
    write_manifest_steps,
)
from napari_wbc.storage.formats.reading import image_place

from .strategies import at_once, labelled_fields, with_images

check_files = at_once(check_files_steps)
write_manifest = at_once(write_manifest_steps)

EXAMPLES = int(os.environ.get("NAPARI_WBC_EXAMPLES", "200"))
MADE = {"program": "napari-wbc", "sources": ["Präparat 1"], "cells": 3}


def write(root, fields):
    placed = with_images(root, fields, image_place)
    write_manifest(root, placed, EIGHT_CLASSES.names, place=image_place, made=MADE)
    return placed


def field(name="a.png"):
    outline = Outline(((1, 2), (9, 2.5), (8, 11)))
    cells = (
        Cell(
            "c1",
            "f",
            Detection(BBox(0.1, 0.2, 5, 6)),
            Prediction(("x", "y"), (0.25, 0.75), unlikeness=2),
        ),
        Cell(
            "c2",
            "f",
            Detection(outline.bbox, outline, 0.3, True),
            None,
            Annotation("x", "A. B.", "now"),
        ),
    )
    return LabelledField(
        name, Path(name), 20, 30, "val", cells, "slide", "f", "ab" * 32, complete=False
    )


def test_an_empty_set(tmp_path):
    write(tmp_path, [])
    found = read_manifest(tmp_path)
    assert (found.fields, found.classes, found.made, found.files) == (
        (),
        EIGHT_CLASSES.names,
        MADE,
        {},
    )
    assert check_files(tmp_path, found) == []


def test_what_is_written(tmp_path):
    write(tmp_path, [field()])
    content = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    assert (content["format"], content["version"]) == ("napari-wbc training set", 1)
    (one,) = content["fields"]
    assert (one["image"], one["height"], one["width"], one["split"]) == (
        "images/a.png",
        20,
        30,
        "val",
    )
    first, second = one["cells"]
    assert (first["label"], first["annotator"], first["box"]) == ("y", None, [0.1, 0.2, 5, 6])
    assert (second["label"], second["annotator"], second["drawn"]) == ("x", "A. B.", True)
    assert content["files"] == {
        "images/a.png": hashlib.sha256((tmp_path / "images/a.png").read_bytes()).hexdigest()
    }


@settings(max_examples=EXAMPLES)
@given(labelled_fields(), st.booleans(), st.booleans())
def test_round_trip(fields, annotated, complete):
    with tempfile.TemporaryDirectory() as folder:
        fields = [replace(one, complete=complete) for one in fields]
        if not annotated:
            fields = [
                replace(one, cells=tuple(c.annotated(None) for c in one.cells)) for one in fields
            ]
        placed = write(Path(folder), fields)
        found = read_manifest(Path(folder))
        assert found.fields == placed
        assert check_files(Path(folder), found) == []


def test_files_that_are_missing_or_changed_are_told(tmp_path):
    for name in ("x/Zell 1.txt", "y.txt", "z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    write(tmp_path, [field()])
    found = read_manifest(tmp_path)
    assert set(found.files) == {"images/a.png", "x/Zell 1.txt", "y.txt", "z.txt"}
    (tmp_path / "x/Zell 1.txt").unlink()
    (tmp_path / "y.txt").write_text("Y.txt")
    (tmp_path / "new.txt").write_text("")
    assert check_files(tmp_path, found) == ["x/Zell 1.txt", "y.txt"]


def test_a_missing_image_is_left_to_the_check_of_files(tmp_path):
    write(tmp_path, [field()])
    (tmp_path / "images/a.png").unlink()
    assert check_files(tmp_path, read_manifest(tmp_path)) == ["images/a.png"]


def test_writing_again_does_not_name_the_old_manifest(tmp_path):
    write(tmp_path, [field()])
    write(tmp_path, [field()])
    assert set(read_manifest(tmp_path).files) == {"images/a.png"}


BAD_VALUES = [None, True, -1, 1.5, 10**400, "", "x", [], ["x"], [1], {}, {"x": 1}]
SUITS = {
    ("made",): [{}, {"x": 1}],
    ("classes",): [[], ["x"]],
    ("fields",): [[]],
    ("files",): [{}],
    ("fields", 0, "name"): ["x"],
    ("fields", 0, "image"): ["x"],
    ("fields", 0, "slide"): ["", "x"],
    ("fields", 0, "fov_id"): ["", "x"],
    ("fields", 0, "sha256"): [""],
    ("fields", 0, "complete"): [True],
    ("fields", 0, "cells"): [[]],
    ("fields", 0, "cells", 1, "cell_id"): ["", "x"],
    ("fields", 0, "cells", 1, "fov_id"): ["", "x"],
    ("fields", 0, "cells", 1, "box"): [],
    ("fields", 0, "cells", 1, "outline"): [None],
    ("fields", 0, "cells", 1, "score"): [],
    ("fields", 0, "cells", 1, "drawn"): [True],
    ("fields", 0, "cells", 1, "label"): ["x"],
    ("fields", 0, "cells", 1, "annotator"): ["", "x"],
    ("fields", 0, "cells", 1, "when"): ["", "x"],
    ("fields", 0, "cells", 0, "prediction"): [None],
    ("fields", 0, "cells", 0, "prediction", "names"): [],
    ("fields", 0, "cells", 0, "prediction", "probabilities"): [],
    ("fields", 0, "cells", 0, "prediction", "threshold"): [],
    ("fields", 0, "cells", 0, "prediction", "model_id"): ["", "x"],
    ("fields", 0, "cells", 0, "prediction", "unlikeness"): [None, 1.5],
    ("fields", 0, "cells", 0, "prediction", "weights"): ["", "x"],
    ("format",): [],
    ("version",): [],
    ("fields", 0, "height"): [],
    ("fields", 0, "width"): [],
    ("fields", 0, "split"): [],
    ("fields", 0): [],
    ("fields", 0, "cells", 0): [],
    ("files", "images/a.png"): [],
}


def changed(content, place, value):
    content = copy.deepcopy(content)
    *parents, last = place
    inner = content
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return content


@pytest.mark.parametrize("place", SUITS, ids=lambda place: ".".join(map(str, place)))
def test_a_value_of_another_type_is_refused_and_the_file_named(tmp_path, place):
    write(tmp_path, [field()])
    path = tmp_path / MANIFEST
    content = json.loads(path.read_text(encoding="utf-8"))
    for value in BAD_VALUES:
        path.write_text(json.dumps(changed(content, place, value)), encoding="utf-8")
        if any(type(one) is type(value) and one == value for one in SUITS[place]):
            read_manifest(tmp_path)
        else:
            with pytest.raises(ReadError) as caught:
                read_manifest(tmp_path)
            assert str(path) in str(caught.value), value


HOSTILE = {
    "a newer version": (("version",), 2),
    "another format": (("format",), "COCO"),
    "an image that leads out": (("fields", 0, "image"), "../out.png"),
    "an absolute image": (("fields", 0, "image"), "/etc/passwd"),
    "a file that leads out": (("files",), {"../out.png": "ab" * 32}),
    "a file by a link": (("files",), {"link.png": "ab" * 32}),
    "a name that leads out": (("fields", 0, "name"), "../a.png"),
    "another size": (("fields", 0, "height"), 21),
    "no split": (("fields", 0, "split"), "training"),
    "a box of no height": (("fields", 0, "cells", 0, "box"), [1, 2, 1, 4]),
    "a score above one": (("fields", 0, "cells", 0, "score"), 2),
    "NaN": (("fields", 0, "cells", 0, "score"), float("nan")),
    "Infinity": (("fields", 0, "cells", 0, "box"), [0, 0, 5, float("inf")]),
    "a cell id twice": (("fields", 0, "cells", 0, "cell_id"), "c2"),
    "an outline of two": (("fields", 0, "cells", 1, "outline"), [[1, 2], [3, 4]]),
    "a vertex of three": (("fields", 0, "cells", 1, "outline"), [[1, 2], [3, 4], [5, 6, 7]]),
    "a probability above one": (("fields", 0, "cells", 0, "prediction", "probabilities"), [2, 0]),
    "probabilities too few": (("fields", 0, "cells", 0, "prediction", "probabilities"), [1]),
    "a class twice": (("classes",), ["x", "x"]),
    "an image that is none": (("fields", 0, "image"), MANIFEST),
}


@pytest.mark.parametrize(("place", "value"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_manifest_is_refused_and_named(tmp_path, place, value):
    root = tmp_path / "set"
    write(root, [field()])
    content = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    (root / MANIFEST).write_text(json.dumps(changed(content, place, value)), encoding="utf-8")
    Image.new("L", (30, 20)).save(tmp_path / "out.png")
    (root / "link.png").symlink_to(tmp_path / "out.png")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReadError) as caught:
        read_manifest(root)
    assert str(root / MANIFEST) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_newer_version_says_to_update(tmp_path):
    (tmp_path / MANIFEST).write_text('{"format": "napari-wbc training set", "version": 2}')
    with pytest.raises(ReadError, match="made by a newer napari-wbc; update"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"format": 1, "format": 2}'])
def test_what_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ReadError, match=MANIFEST):
        read_manifest(tmp_path)


def test_fields_of_one_name_are_refused(tmp_path):
    write(tmp_path, [field(), replace(field("A.PNG"), cells=())])
    with pytest.raises(ReadError, match="twice"):
        read_manifest(tmp_path)


def test_a_folder_without_one_is_refused(tmp_path):
    with pytest.raises(WbcError, match=MANIFEST):
        read_manifest(tmp_path)
