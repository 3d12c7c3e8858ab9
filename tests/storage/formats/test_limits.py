"""What is too large is refused at once, before it fills the memory or takes minutes."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from tests.storage.formats.sets import cell, image, put
from tests.storage.formats.sets import coco as coco_text

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files import guard
from napari_wbc.files.guard import image_size, inside, read_bytes, read_json
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import MAX_VERTICES, BBox, Outline
from napari_wbc.model.matching import counterparts
from napari_wbc.model.progress import run
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage import tables
from napari_wbc.storage.formats import coco, coco_masks
from napari_wbc.storage.formats.coco import read_coco_steps
from napari_wbc.storage.formats.manifest import (
    check_files_steps,
    read_manifest,
    write_manifest_steps,
)
from napari_wbc.storage.formats.reading import MAX_CROSSING, MAX_TEXT, outline_of
from napari_wbc.storage.formats.taxonomy import read_taxonomy
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.storage.sets import read_set

BOX = Detection(BBox(1, 2, 11, 22))


def test_an_outline_has_so_many_vertices():
    turns = np.linspace(0, 6, MAX_VERTICES + 1)
    ring = np.c_[np.sin(turns), np.cos(turns)]
    Outline.from_array(ring[1:])
    with pytest.raises(WbcError, match=r"5,001 vertices has more than 5,000"):
        Outline.from_array(ring)


def test_a_long_outline_that_crosses_itself_is_refused(tmp_path):
    ring = np.random.default_rng(0).random((MAX_CROSSING + 1, 2)) * 20
    with pytest.raises(WbcError, match="crosses itself"):
        outline_of([ring])


@pytest.mark.parametrize("text", ["[" * 200 + "{}," * 200, '{"a": [1.5, 2]}' * 100])
def test_what_would_fill_the_memory_is_not_parsed(tmp_path, monkeypatch, text):
    monkeypatch.setattr(guard, "MAX_MEMORY", 10_000)
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ReadError, match=r"a\.json: holds too much"):
        read_json(path)


@pytest.mark.parametrize("read", [read_bytes, image_size, read_taxonomy, read_set])
def test_a_pipe_is_no_file(tmp_path, read):
    path = tmp_path / "pipe.json"
    os.mkfifo(path)
    with pytest.raises(ReadError, match=r"pipe\.json: this is no file but a pipe"):
        read(path)


@pytest.mark.parametrize(
    ("name", "limit", "text", "said"),
    [
        ("MAX_LINE", 100, "path,label\n" + "a" * 101, "a line of more than 100 characters"),
        ("MAX_LINE", 100, "a," * 51, "a line of more than 100 characters"),
        ("MAX_COLUMNS", 2, "a,b,c\n", "more than 2 columns"),
        ("MAX_ROWS", 2, "a,b\n\n\n\n\n1,2\n", "more than 4 lines"),
        ("MAX_FIELDS", 4, "a,b\n1,2\n3,4\n5,6\n", "more than 2 rows"),
        ("MAX_ROWS", 2, "a,b\n1,2\n3,4\n5,6\n", "more than 2 rows"),
    ],
)
def test_a_table_has_so_many_fields(tmp_path, monkeypatch, name, limit, text, said):
    monkeypatch.setattr(tables, name, limit)
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ReadError, match=said):
        tables.read_rows(path)


def damaged(folder, change):
    """A set with a manifest that was changed."""
    path = image(folder)
    cell = Cell("1", "a.png", BOX, annotation=Annotation("WBC"))
    one = LabelledField("a.png", path, 40, 60, "train", (cell,), "s", "a.png")
    run(write_manifest_steps(folder, [one], ["WBC"], place=lambda _field: "a.png", made={}))
    data = json.loads((folder / "manifest.json").read_text())
    change(data)
    (folder / "manifest.json").write_text(json.dumps(data))


def mask_set(folder, counts, n=1):
    image(folder)
    rle = {"size": [40, 60], "counts": counts}
    masks = [cell(i, bbox=[], segmentation=rle) for i in range(n)]
    put(folder, "a.json", coco_text(annotations=masks))
    return folder


@pytest.mark.parametrize("counts", [[1] * 5001, "1" * 35_001, "1" * 5001])
def test_a_mask_has_so_many_runs(tmp_path, counts):
    with pytest.raises(ReadError, match="more than 5,000 runs"):
        list(read_coco_steps(mask_set(tmp_path, counts)))


def test_a_file_has_so_many_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(coco, "MAX_RUNS_OF_FILE", 8)
    with pytest.raises(ReadError, match="more than 8 runs"):
        list(read_coco_steps(mask_set(tmp_path, [41, 3, 2356], n=3)))


def test_columns_of_a_mask_count_as_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(coco, "MAX_RUNS_OF_FILE", 100)
    # Three masks of two runs, each over 40 columns.
    with pytest.raises(ReadError, match="more than 100 runs"):
        list(read_coco_steps(mask_set(tmp_path, [41, 1600, 759], n=3)))


def test_the_outline_of_a_mask_has_so_many_corners(monkeypatch):
    monkeypatch.setattr(coco_masks, "MAX_VERTICES", 8)
    comb = [0, 5, *[1, 1, 1, 2] * 2]
    size = (5, 3)
    mask = coco_masks.read_mask({"size": list(size), "counts": comb}, *size)
    with pytest.raises(WbcError, match="more than 8 corners"):
        coco_masks.mask_ring(mask)


def test_cells_on_one_spot_are_refused_before_all_are_compared():
    box = Detection(BBox(0, 0, 9, 9))
    cells = [Cell(f"{i}", "a", box) for i in range(1500)]
    others = [Cell(f"x{i}", "a", box) for i in range(1500)]
    with pytest.raises(WbcError, match=r"a: too many of its 1,500 cells lie on one another"):
        counterparts(cells, others)


@pytest.mark.parametrize("label", ["x" * (MAX_TEXT + 1), "a\x1b[2Jb", "a\u202eb"])
def test_a_label_is_a_line_that_people_can_read(tmp_path, label):
    image(tmp_path)
    put(tmp_path, "a.json", coco_text(categories=[{"id": 3, "name": label}]))
    with pytest.raises(ReadError, match="is no line of text") as caught:
        list(read_coco_steps(tmp_path))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"box": [0, 0, 30_000, 30_000]}, "outside the image"),
        ({"box": [1, 2, 4, 5], "outline": [[30, 30], [30, 36], [38, 36]]}, "far from the box"),
        ({"label": "x" * 1_000_000}, "is no line of text"),
        ({"label": "a\x1b[2J"}, "is no label"),
        ({"cell_id": "a\nb"}, "is no line of text"),
    ],
    ids=["huge box", "far outline", "long label", "escape code", "two lines"],
)
def test_a_manifest_is_checked_as_every_format_is(tmp_path, change, said):
    damaged(tmp_path, lambda data: data["fields"][0]["cells"][0].update(change))
    with pytest.raises(ReadError, match=said) as caught:
        read_set(tmp_path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["x" * 1_000_000, "a\x1b[2J", "a\nb"], ids=["long", "esc", "lf"])
@pytest.mark.parametrize("key", ["name", "slide", "fov_id"])
def test_names_of_a_manifest_are_lines(tmp_path, key, name):
    damaged(tmp_path, lambda data: data["fields"][0].update({key: name}))
    with pytest.raises(ReadError, match=r"is no (line of text|plain file name)") as caught:
        read_set(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("place", ["../secret.png", "{folder}/secret.png"])
def test_only_a_table_that_a_person_names_leads_outside(tmp_path, place):
    image(tmp_path, "secret.png")
    place = place.format(folder=tmp_path)
    put(tmp_path, "set/a.png")
    row = f"path,label,split,source,top,left,bottom,right\n{place},WBC,train,x,1,2,10,20\n"
    put(tmp_path, "set/cells.csv", row)
    for read in (read_set, read_training_set):
        with pytest.raises(ReadError, match="leads out of the set"):
            read(tmp_path / "set")
    with pytest.raises(ReadError, match="leads out of the set"):
        read_set(tmp_path / "set/cells.csv")
    (cell,) = read_training_set(tmp_path / "set/cells.csv")
    assert cell.path.samefile(tmp_path / "secret.png")


def test_a_pipe_in_place_of_a_file_of_a_manifest_counts_as_changed(tmp_path):
    damaged(tmp_path, lambda data: data["files"].update({"note.txt": "0" * 64}))
    os.mkfifo(tmp_path / "note.txt")
    assert run(check_files_steps(tmp_path, read_manifest(tmp_path))) == ["note.txt"]


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "x/" * 600 + "a.png"])
def test_a_name_that_no_file_can_have_is_refused_in_a_short_line(tmp_path, name):
    with pytest.raises(WbcError, match="too long for the name of a file") as caught:
        inside(tmp_path, name)
    assert len(str(caught.value)) < 400


def test_brackets_in_brackets_are_no_taxonomy(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("name: " + "[" * 51 + "]" * 51)
    with pytest.raises(WbcError, match="more than 50 brackets in one another"):
        read_taxonomy(path)
