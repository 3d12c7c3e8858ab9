"""YOLO: boxes and segments as supervision reads them, ids that come back, harmless YAML."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import supervision
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats import yolo
from napari_wbc.storage.formats.yolo import image_place, read_yolo_steps, write_yolo_steps

from .strategies import assert_same, at_once, labelled_fields, with_images

read_yolo = at_once(read_yolo_steps)
write_yolo = at_once(write_yolo_steps)


EXAMPLES = int(os.environ.get("NAPARI_WBC_EXAMPLES", "200"))
NAMES = "names: [WBC, RBC]\n"
LINE = "0 0.2 0.15 0.3333333333 0.25\n"


def field_of(root, *cells, name="a.png", place=image_place, **more):
    more = {"height": 40, "width": 60, "split": "train", **more}
    (field,) = with_images(root, [LabelledField(name, Path(name), cells=cells, **more)], place)
    return field


def cell_of(label="neutrophil", cell_id="id", outline=None):
    box = outline.bbox if outline else BBox(1, 2, 11, 22)
    return Cell(cell_id, "a.png", Detection(box, outline), annotation=Annotation(label))


def put(root, place, text):
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_no_field_and_no_cell(tmp_path):
    write_yolo(tmp_path, [], [])
    assert read_yolo(tmp_path) == ()
    assert yaml.safe_load((tmp_path / "data.yaml").read_text()) == {"nc": 0, "names": []}
    field = field_of(tmp_path, split="test")
    write_yolo(tmp_path, [field], ["=1"])
    assert read_yolo(tmp_path) == (replace(field, fov_id="a.png"),)
    assert yaml.safe_load((tmp_path / "data.yaml").read_text())["test"] == "images/test"
    assert (tmp_path / "labels" / "test" / "a.txt").read_text() == ""


def test_a_box_has_four_numbers_and_an_outline_two_a_vertex(tmp_path):
    outline = Outline.from_array([(0, 0), (0, 30), (10, 15)])
    fields = [
        field_of(tmp_path, cell_of()),
        field_of(tmp_path, cell_of("a", "2", outline), name="b.png"),
    ]
    write_yolo(tmp_path, fields, ["a", "neutrophil"])
    labels = tmp_path / "labels" / "train"
    assert (labels / "a.txt").read_text() == "1 0.2 0.15 0.333333333333 0.25\n"
    assert (labels / "b.txt").read_text() == "0 0 0 0.5 0 0.25 0.25\n"


def test_beside_an_outline_a_box_is_its_four_corners_and_comes_back_as_a_box(tmp_path):
    """Ultralytics reads every line of such a file as an outline: a box as one of two points."""
    outline = Outline.from_array([(0, 0), (0, 30), (10, 15)])
    fields = [field_of(tmp_path, cell_of(), cell_of("a", "2", outline))]
    write_yolo(tmp_path, fields, ["a", "neutrophil"])
    box, outlined = (tmp_path / "labels" / "train" / "a.txt").read_text().splitlines()
    assert (len(box.split()), len(outlined.split())) == (9, 7)
    assert_same(read_yolo(tmp_path), fields)


@pytest.mark.parametrize(
    "points", [[(-5, -9), (-5, 6), (8, 6), (8, -9)], [(-5, 3), (9, 9), (9, 1)]]
)
@pytest.mark.parametrize("outlined", [True, False])
def test_what_reaches_over_the_edge_is_cut_there(tmp_path, points, outlined):
    outline = Outline.from_array(points)
    cell = cell_of(outline=outline)
    if not outlined:
        cell = replace(cell, detection=Detection(outline.bbox))
    write_yolo(tmp_path, [field_of(tmp_path, cell)], ["neutrophil"])
    (read,) = read_yolo(tmp_path)[0].cells
    expected = outline.bbox.clipped(40, 60).corners()
    assert read.detection.bbox.corners() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=EXAMPLES)
@given(labelled_fields())
def test_any_set_comes_back(fields):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fields = with_images(root, fields, image_place)
        write_yolo(root, fields, EIGHT_CLASSES.names)
        assert_same(read_yolo(root), fields)


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(
    labelled_fields(min_fields=1, max_fields=2, splits=["train"])
    | labelled_fields(1, 3, False, ["train"])
)
def test_supervision_reads_the_same_boxes_and_classes(fields):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fields = with_images(root, fields, image_place)
        write_yolo(root, fields, EIGHT_CLASSES.names)
        theirs = supervision.DetectionDataset.from_yolo(
            str(root / "images" / "train"), str(root / "labels" / "train"), str(root / "data.yaml")
        )
        assert theirs.classes == list(EIGHT_CLASSES.names)
        assert len(theirs) == len(fields)
        for field in fields:
            found = theirs.annotations[str(field.path)]
            assert [theirs.classes[i] for i in found.class_id] == [
                cell.label for cell in field.cells
            ]
            boxes = [cell.detection.bbox for cell in field.cells]
            ours = np.array([(b.left, b.top, b.right, b.bottom) for b in boxes]).reshape(-1, 4)
            assert found.xyxy == pytest.approx(ours, abs=1e-3)  # of float32
            assert (found.mask is not None) == any(cell.detection.outline for cell in field.cells)


def opened_as_ultralytics(root, split):
    """The cells of each image by the rules of Ultralytics' documentation and loader.

    ``path``, or else the folder of the YAML file, is where the splits begin; ``train``, ``val`` and
    ``names`` must be there, and ``nc`` agree; the labels of an image are where the last folder
    ``images`` of its path is ``labels``; a file with an outline has nothing else; all numbers are
    parts of the image. What breaks a rule is an AssertionError.
    """
    head = yaml.safe_load((root / "data.yaml").read_text(encoding="utf-8"))
    assert {"train", "val", "names"} <= head.keys()
    names = head["names"]
    assert head.get("nc", len(names)) == len(names)
    folder = (root / head.get("path", "") / head[split]).resolve()
    assert folder.is_dir()
    cells = {}
    for image in sorted(folder.rglob("*.png")):
        above, _, below = image.as_posix().rpartition("/images/")
        file = Path(above, "labels", below).with_suffix(".txt")
        rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
        outlined = any(len(row) > 6 for row in rows)
        cells[image.name] = []
        for number, *texts in rows:
            values = np.array(texts, dtype=float)
            assert values.min() >= 0
            assert values.max() <= 1
            assert len(values) >= 6 if outlined else len(values) == 4
            points = values.reshape(-1, 2)
            low, high = points.min(axis=0), points.max(axis=0)
            if not outlined:
                low, high = points[0] - points[1] / 2, points[0] + points[1] / 2
            cells[image.name].append((names[int(number)], *low, *high))
    return cells


@settings(max_examples=EXAMPLES)
@given(labelled_fields(min_fields=1))
def test_ultralytics_rules_hold_and_it_sees_the_same_cells(fields):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fields = with_images(root, fields, image_place)
        write_yolo(root, fields, EIGHT_CLASSES.names)
        there = {field.split for field in fields}
        # Without a field to learn from it is no set for Ultralytics.
        for split in there if "train" in there else ():
            found = opened_as_ultralytics(root, split)
            chosen = [field for field in fields if field.split == split]
            assert set(found) == {field.name for field in chosen}
            for field in chosen:
                scale = field.width, field.height
                for told, cell in zip(found[field.name], field.cells, strict=True):
                    box = cell.detection.bbox
                    ours = np.array([(box.left, box.top), (box.right, box.bottom)]) / scale
                    assert told[0] == cell.label
                    assert told[1:] == pytest.approx(ours.ravel(), abs=1e-9)


def test_two_images_of_one_stem_and_a_label_that_is_no_class_are_not_written(tmp_path):
    fields = [field_of(tmp_path), field_of(tmp_path, name="A.tif")]
    with pytest.raises(WbcError, match=r"two images would share labels/train/A\.txt"):
        write_yolo(tmp_path, fields, [])
    with pytest.raises(WbcError, match=r"a\.png: the label 'neutrophil' is not among the classes"):
        write_yolo(tmp_path, [field_of(tmp_path, cell_of())], ["blast"])
    assert not (tmp_path / "data.yaml").exists()
    fields[1] = field_of(tmp_path, name="A.tif", split="val")
    (tmp_path / "images" / "train" / "A.tif").unlink()
    write_yolo(tmp_path, fields, [])
    assert_same(read_yolo(tmp_path), fields)


@pytest.mark.parametrize(
    "label", ["=1", "-x", "'", "a: b", "#", "yes", "null", "1", "細胞", "{x}", "*a"]
)
def test_any_label_comes_back_with_its_id(tmp_path, label):
    fields = [field_of(tmp_path, cell_of(label, "-id"))]
    write_yolo(tmp_path, fields, ["other", label])
    assert_same(read_yolo(tmp_path), fields)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda lines: lines, True),
        (lambda lines: [lines[0].replace("0.15", "0.16"), "", lines[1]], True),  # moved
        (lambda lines: lines[:1], False),
        (lambda lines: [*lines, lines[0]], False),
        (lambda lines: lines[::-1], False),
        (lambda lines: [lines[0], lines[1].replace("1", "0", 1)], False),
    ],
)
def test_ids_come_back_while_lines_and_labels_agree(tmp_path, change, kept):
    write_yolo(tmp_path, [field_of(tmp_path, cell_of("a", "x"), cell_of("b", "y"))], ["a", "b"])
    file = tmp_path / "labels" / "train" / "a.txt"
    file.write_text("\n".join(change(file.read_text().splitlines())))
    ids = [cell.cell_id for cell in read_yolo(tmp_path)[0].cells]
    assert (ids == ["x", "y"]) == kept
    assert kept or all(len(one) == 36 for one in ids)


def test_a_table_of_others_tells_no_ids(tmp_path):
    field_of(tmp_path)
    put(tmp_path, "data.yaml", NAMES)
    put(tmp_path, "labels/train/a.txt", LINE)
    put(tmp_path, "cells.csv", "line,label\n1,WBC\n")
    assert len(read_yolo(tmp_path)[0].cells[0].cell_id) == 36


@pytest.mark.parametrize(
    ("head", "images", "labels", "split"),
    [
        (("data.yaml", NAMES), "images/train", "labels/train", "train"),
        (("dataset.yaml", "names: {1: RBC, 0: WBC}"), "images/val", "labels/val", "val"),
        (("my.yml", "names:\n  '0': WBC\n  1: RBC"), "images/valid", "labels/valid", "val"),
        (
            ("data.yaml", "train: ../train/images\n" + NAMES),
            "train/images",
            "train/labels",
            "train",
        ),
        (("data.yaml", "val: ../valid/images\n" + NAMES), "valid/images", "valid/labels", "val"),
        (("data.yaml", "test: ./x/images/y/\n" + NAMES), "x/images/y", "x/labels/y", "test"),
        (("data.yaml", "path: /data\ntrain: /images\n" + NAMES), "images", "labels", "train"),
        (
            ("data.yaml", "train: ../../images\nval: [images]\n" + NAMES),
            "images",
            "labels",
            "train",
        ),
        (("data.yaml", "train: images\nval: images\n" + NAMES), "images", "labels", "train"),
        (("data.yaml", NAMES), "test", "test", "test"),
        (("data.yaml", NAMES), "images", "images", "train"),
        (("classes.txt", "WBC\r\nRBC\r\n"), "images", "labels", "train"),
        (("classes.txt", "WBC\nRBC\n"), ".", ".", "train"),
        (("classes.txt", "WBC\nRBC\n"), "images/site 1", "labels/site 1", "train"),
        (("labels/classes.txt", "WBC\nRBC"), "images", "labels", "train"),
    ],
)
def test_sets_of_others_are_read(tmp_path, head, images, labels, split):
    field = field_of(tmp_path, place=images)
    empty = field_of(tmp_path, name="b.png", place=images)
    put(tmp_path, *head)
    put(tmp_path, f"{labels}/a.txt", LINE + "\n1 0 0 0.5 0 0.25 0.25\n")
    full, without = read_yolo(tmp_path)
    assert (full.path.resolve(), full.split) == (field.path.resolve(), split)
    assert (without.path.resolve(), without.cells) == (empty.path.resolve(), ())
    box, outlined = full.cells
    assert (box.label, outlined.label) == ("WBC", "RBC")
    assert box.detection.bbox.corners() == pytest.approx(BBox(1, 2, 11, 22).corners(), abs=1e-6)
    assert outlined.detection == Detection(
        BBox(0, 0, 10, 30), Outline.from_array([(0, 0), (0, 30), (10, 15)])
    )


LINES = {
    "class out of range": ("2 0.5 0.5 0.1 0.1", "line 1: '2' is no number of a class"),
    "negative class": ("-1 0.5 0.5 0.1 0.1", "'-1' is no number of a class"),
    "long class": ("9" * 5000 + " 0.5 0.5 0.1 0.1", "is no number of a class"),
    "other digits": ("\N{ARABIC-INDIC DIGIT ONE} 0.5 0.5 0.1 0.1", "is no number of a class"),
    "class name": ("WBC 0.5 0.5 0.1 0.1", "'WBC' is no number of a class"),
    "no box": ("0", "0 numbers are neither"),
    "two numbers": ("0 0.5 0.5", "2 numbers are neither"),
    "with an odd confidence": ("0 0.5 0.5 0.1 0.1 1.2", "score 1.2 is outside 0 to 1"),
    "odd outline": ("0 0 0 0.5 0 0.25 0.25 1", "7 numbers are neither"),
    "second line": ("\n0 0.5", "line 2: 1 numbers"),
    "NaN": ("0 nan 0.5 0.1 0.1", "'nan' is no finite number"),
    "infinite": ("0 0.5 0.5 1e999 0.1", "'1e999' is no finite number"),
    "word": ("0 0.5 x 0.1 0.1", "'x' is no finite number"),
    "underscore": ("0 0.5 0_1 0.1 0.1", "'0_1' is no finite number"),
    "pixels": ("0 30 20 10 10", "not within -0.5 to 1.5"),
    "far left": ("0 -0.51 0.5 0.1 0.1", "not within -0.5 to 1.5"),
    "no width": ("0 0.5 0.5 0 0.1", "is empty"),
    "negative height": ("0 0.5 0.5 0.1 -0.1", "is empty"),
    "outside": ("0 1.4 0.5 0.1 0.1", "outside the image of 60 x 40"),
    "flat outline": ("0 0 0 0.5 0 0.25 0", "is empty"),
    "no number": (b"0 0.5 0.5 0.1 0.1 \xff", "'ÿ' is no finite number"),
}


def refused(tmp_path, root, said):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReadError, match=said) as error:
        read_yolo(root)
    assert str(root) in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("text", "said"), LINES.values(), ids=LINES)
def test_a_hostile_label_file_is_refused_by_name(tmp_path, text, said):
    field_of(tmp_path)
    put(tmp_path, "data.yaml", NAMES)
    put(tmp_path, "labels/train/a.txt", text)
    refused(tmp_path, tmp_path, said)
    with pytest.raises(ReadError, match=r"a\.txt"):
        read_yolo(tmp_path)


YAML = {
    "empty": ("", "names of classes"),
    "a list": ("[names]", "names of classes"),
    "no names": ("nc: 2", "names of classes"),
    "names is a text": ("names: WBC", "is no list of names"),
    "names is a number": ("names: 1", "is no list of names"),
    "gap": ("names: {0: WBC, 2: RBC}", "is no list of names"),
    "lists as names": ("names: [[WBC]]", "is no list of names"),
    "yes and no": ("names: [yes, no]", "is no list of names"),
    "broken": ("names: [", "not readable YAML"),
    "bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]", "alias"),
    "recursive": ("names: &a [*a]", "alias"),
    "names twice": ("names: [WBC]\nnames: [RBC]", "twice"),
    "Python": (
        "names: !!python/object/apply:os.system ['touch /tmp/wbc-was-here']",
        "not readable YAML",
    ),
    "two documents": ("names: [a]\n---\nnames: [b]", "not readable YAML"),
    "deep": ("[" * 5000, "not readable YAML"),
    "no text": (b"\xff\xfen", "not text in UTF-8"),
    "large": ("#" * 100_001, r"larger than 0\.1 MB"),
    "control": ("names: ['\x01']", "not readable YAML"),
}


@pytest.mark.parametrize(("text", "said"), YAML.values(), ids=YAML)
def test_a_hostile_yaml_is_refused_by_name(tmp_path, text, said):
    field_of(tmp_path)
    put(tmp_path, "data.yaml", text)
    put(tmp_path, "labels/train/a.txt", LINE)
    refused(tmp_path, tmp_path, said)
    assert not Path("/tmp/wbc-was-here").exists()


@pytest.mark.parametrize(
    "place", ["../outside", "../../outside", "/etc", "C:/x", "..", "..\\x", "a/../../b", "~"]
)
def test_a_yaml_leads_nowhere_else(tmp_path, place):
    root = tmp_path / "set"
    field_of(tmp_path / "outside", place=".")
    field = field_of(root, place="images")
    put(root, "data.yaml", yaml.safe_dump({"train": place, "val": place, "names": ["WBC"]}))
    assert [one.path for one in read_yolo(root)] == [field.path]


def test_links_out_of_the_set_are_refused(tmp_path):
    root, outside = tmp_path / "set", field_of(tmp_path / "outside", place=".")
    put(tmp_path / "outside", "a.txt", LINE)
    put(root, "data.yaml", NAMES)
    (root / "images").mkdir()
    (root / "images" / "train").symlink_to(outside.path.parent)
    refused(tmp_path, root, "by a link")
    (root / "images" / "train").unlink()
    (root / "images" / "a.png").symlink_to(outside.path)
    refused(tmp_path, root, "by a link")
    (root / "images" / "a.png").unlink()
    shutil.copy(outside.path, root / "images")
    (root / "labels").symlink_to(outside.path.parent)
    refused(tmp_path, root, "by a link")
    (root / "labels").unlink()
    (root / "labels").mkdir()
    (root / "labels" / "a.txt").symlink_to(outside.path.parent / "a.txt")
    refused(tmp_path, root, "by a link")


def test_files_that_do_not_fit_each_other_are_refused(tmp_path):
    put(tmp_path, "images/x", "")
    refused(tmp_path, tmp_path, "neither data.yaml nor classes.txt")
    put(tmp_path, "a.yaml", NAMES)
    put(tmp_path, "b.yaml", NAMES)
    refused(tmp_path, tmp_path, "2 YAML files and no data.yaml")
    put(tmp_path, "data.yaml", NAMES)
    put(tmp_path, "labels/b.txt", LINE)
    refused(tmp_path, tmp_path, r"b\.txt: has no image")
    (tmp_path / "labels" / "b.txt").unlink()
    put(tmp_path, "images/a.png", "no image")
    refused(tmp_path, tmp_path, r"a\.png: not a readable PNG")
    field_of(tmp_path, place="images")
    field_of(tmp_path, place="images", name="A.jpg")
    refused(tmp_path, tmp_path, r"two images would share labels/a\.txt")


def test_an_image_in_two_splits_is_refused(tmp_path):
    put(tmp_path, "data.yaml", NAMES)
    for place in ("images/train", "images/val"):
        field_of(tmp_path, place=place)
    refused(tmp_path, tmp_path, r"the image 'a\.png' is in the set twice")


def test_too_many_lines_and_too_large_a_file_are_refused(tmp_path, monkeypatch):
    field_of(tmp_path)
    put(tmp_path, "data.yaml", NAMES)
    put(tmp_path, "labels/train/a.txt", LINE * 20_001)
    refused(tmp_path, tmp_path, r"a\.txt: 20,001 lines")
    monkeypatch.setattr(yolo, "MAX_BYTES", 1000)
    refused(tmp_path, tmp_path, r"a\.txt: larger than")


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_a_damaged_set_is_read_or_refused(data):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        outline = Outline.from_array([(1, 2), (1, 22), (11, 9)])
        write_yolo(
            root,
            [field_of(root, cell_of(outline=outline), cell_of("=1", "2"))],
            ["neutrophil", "=1"],
        )
        file = root / data.draw(st.sampled_from(["data.yaml", "cells.csv", "labels/train/a.txt"]))
        content = bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        file.write_bytes(content)
        said = str(root)
        try:
            read_yolo(root)
        except ReadError as error:
            said = str(error)
        assert str(root) in said


@pytest.mark.real
@pytest.mark.parametrize("name", ["txl_pbc", "chula_wbc"])
def test_public_sets_are_read(real_data, name):
    fields = read_yolo(real_data / name)
    assert sum(len(field.cells) for field in fields) > 100


@pytest.mark.parametrize("line", ["# three cells", "WBC 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1"])
def test_a_line_without_a_number_of_a_class_is_left_out(tmp_path, line):
    field_of(tmp_path)
    put(tmp_path, "data.yaml", NAMES)
    put(tmp_path, "labels/train/a.txt", f"{line}\n{LINE}")
    (field,) = read_yolo(tmp_path)
    assert ([cell.label for cell in field.cells], field.complete) == (["WBC"], False)
