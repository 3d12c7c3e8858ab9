"""Sets of all formats: each comes back, ours or another tool's."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import replace

import pytest
from tests.storage.formats.sets import (
    BOX,
    LINE,
    SQUARE,
    boxes,
    cell,
    coco,
    feature,
    image,
    put,
    voc,
)
from tests.storage.test_rounds import CLASSES, fields, pixels, write

from napari_wbc.errors import ReadError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.cell import Cell, Detection, LocatedBy
from napari_wbc.model.geometry import BBox
from napari_wbc.model.matching import same_places
from napari_wbc.storage.formats.registry import FORMATS
from napari_wbc.storage.rounds import write_round_steps
from napari_wbc.storage.sets import newest_round, read_set, read_set_steps


def said(some):
    """What a set says of each cell."""
    return {
        c.cell_id: (c.label, f.split, f.slide, f.fov_id or f.name) for f in some for c in f.cells
    }


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
    """Calls of functions while something is read, and list elements that were searched."""
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


def test_fields_are_read_where_they_lie_now(tmp_path):
    done = write(tmp_path / "set", fields(tmp_path / "in"))
    moved = (tmp_path / "set").rename(tmp_path / "elsewhere") / done.name
    assert all(f.path.is_relative_to(moved) for f in read_set(moved).fields)


def test_a_file_that_is_named_is_the_one_that_is_read(tmp_path):
    """Of every format, with another file of the same kind beside it."""
    for stem in "ab":
        image(tmp_path, f"{stem}.png", ord(stem))
        collection = {"type": "FeatureCollection", "features": [feature(SQUARE, stem)]}
        put(tmp_path, f"{stem}.geojson", json.dumps(collection))
        put(tmp_path, f"qupath-{stem}.json", json.dumps({**collection, "fov": f"{stem}.png"}))
        images = [{"id": 1, "file_name": f"{stem}.png"}]
        put(tmp_path, f"coco-{stem}.json", coco(images, categories=[{"id": 3, "name": stem}]))
        put(tmp_path, f"{stem}.xml", voc(f"<filename>{stem}.png</filename>").replace("mono", stem))
        rows = f"path,label,top,left,bottom,right\n{stem}.png,{stem},1,2,11,22\n"
        put(tmp_path, f"{stem}.csv", rows)
        put(tmp_path, f"{stem}.txt", LINE)
        put(tmp_path, f"{stem}.yaml", f"train: list-{stem}.txt\nnames: [{stem}]\n")
        put(tmp_path, f"list-{stem}.txt", f"{stem}.png\n")
    kinds = {
        "{}.geojson": "geojson",
        "qupath-{}.json": "geojson",
        "coco-{}.json": "coco",
        "{}.csv": "csv",
        "{}.xml": "voc",
        "{}.yaml": "yolo",
    }
    for name, kind in kinds.items():
        for stem in "ab":
            content = read_set(tmp_path / name.format(stem))
            assert (content.format, [field.name for field in content.fields]) == (
                kind,
                [f"{stem}.png"],
            )
            assert boxes(content.fields) == [BOX]


def test_a_file_of_our_own_set_that_is_named_is_the_one_that_is_read(tmp_path):
    done = write(tmp_path / "set", fields(tmp_path / "in"), "coco")
    content = read_set(done / "annotations" / "val.json")
    assert {field.split for field in content.fields} == {"val"}
    assert {field.split for field in read_set(done / "manifest.json").fields} > {"val"}


@pytest.mark.parametrize("beside", ['{"note": "no set"}', "[1, 2]", "{", "[]", '{"shapes": 1}'])
def test_other_json_beside_coco_does_not_matter(tmp_path, beside):
    image(tmp_path)
    put(tmp_path, "a.json", coco())
    put(tmp_path, "notes.json", beside)
    content = read_set(tmp_path)
    assert (content.format, boxes(content.fields)) == ("coco", [BOX])


def test_formats_are_told_by_content(tmp_path):
    """Settings, lists and tables of other programs lie beside most sets."""
    others = {
        "config.yaml": "site: lab\n",
        "project.xml": "<project/>",
        "annotations.xml": "<annotations><version>1.1</version></annotations>",
        "classes.csv": "id,colour\n1,red\n",
        "labels/notes.txt": "three slides of Monday",
    }
    for kind in ("coco", "csv", "crops"):
        for name, text in others.items():
            put(tmp_path / kind, name, text)
    image(tmp_path, "coco/a.png")
    put(tmp_path, "coco/a.json", coco())
    image(tmp_path, "csv/a.png")
    put(tmp_path, "csv/table.csv", "path,label,top,left,bottom,right\na.png,blast,1,2,11,22\n")
    image(tmp_path, "crops/train/blast/a.png")
    put(tmp_path, "crops/notes.json", "{")
    for kind, name in (("coco", "coco"), ("csv", "csv"), ("crops", "image-folder")):
        assert read_set(tmp_path / kind).format == name


def test_a_table_without_a_column_says_which(tmp_path):
    image(tmp_path)
    put(tmp_path, "cells.csv", "path,label\na.png,blast\n")
    with pytest.raises(ReadError, match="the column 'top' is missing"):
        read_set(tmp_path)


@pytest.mark.parametrize("above", ["data", "data/sub", "a/b/c"])
@pytest.mark.parametrize("kind", ["coco", "crops", "rounds"])
def test_a_set_alone_in_other_folders_is_found(tmp_path, above, kind):
    root = tmp_path / "outer" / above
    if kind == "coco":
        image(root, "images/a.png")
        put(root, "annotations/a.json", coco())
    elif kind == "crops":
        image(root, "train/blast/a.png")
    else:
        write(root, fields(tmp_path / "in"), "coco")
    put(tmp_path, "outer/README.txt", "read me")
    put(tmp_path, "outer/__MACOSX/._a.json", b"\0")
    content = read_set(tmp_path / "outer")
    assert content.name == "outer"
    assert any(field.cells for field in content.fields)
    assert content.format == {"crops": "image-folder"}.get(kind, "coco")


@pytest.mark.parametrize("moved", [0, 0.4])
def test_the_same_box_twice_is_one_cell(tmp_path, moved):
    image(tmp_path)
    copy = cell(2, bbox=[2 + moved, 1, 20, 10])
    put(tmp_path, "a.json", coco(annotations=[cell(), copy, cell(3, bbox=[35, 1, 20, 10])]))
    content = read_set(tmp_path)
    assert boxes(content.fields) == [BOX, (1, 35, 11, 55)]
    assert content.notes == ("1 cell left out that stood there twice",)


def test_one_box_with_two_labels_is_said(tmp_path):
    image(tmp_path)
    categories = [{"id": 3, "name": "monocyte"}, {"id": 4, "name": "blast"}]
    annotations = [cell(), cell(2, category_id=4)]
    put(tmp_path, "a.json", coco(annotations=annotations, categories=categories))
    content = read_set(tmp_path)
    assert [c.label for field in content.fields for c in field.cells] == ["monocyte"]
    assert "a.png has one box with two labels, monocyte and blast" in content.notes[0]


def test_many_cells_are_compared_in_time_and_room():
    """A table of all overlaps of 20,000 cells would take 20 GB."""
    spread = [Cell.new("a.png", Detection(BBox(i, 2 * i, i + 9, 2 * i + 9))) for i in range(20_000)]
    assert same_places([*spread, spread[7]]) == [(7, 20_000)]
