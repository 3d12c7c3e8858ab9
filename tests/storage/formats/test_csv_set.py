"""One table of all cells: exact numbers and texts, no formulas, nothing outside the set."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage import tables
from napari_wbc.storage.formats.csv_set import read_csv_set_steps, write_csv_set_steps
from napari_wbc.storage.formats.reading import image_place
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.storage.sets import read_set

from .strategies import at_once, labelled_fields, with_images

read_csv_set = at_once(read_csv_set_steps)
write_csv_set = at_once(write_csv_set_steps)


EXAMPLES = int(os.environ.get("NAPARI_WBC_EXAMPLES", "200"))
HEAD = "path,label,top,left,bottom,right\n"


def told(fields):
    """What a table keeps of fields, in any order."""
    return sorted(
        (
            f.name,
            f.path,
            f.height,
            f.width,
            f.split,
            f.slide,
            f.fov_id,
            [told_cell(c) for c in f.cells],
        )
        for f in fields
    )


def told_cell(cell):
    vertices = cell.detection.outline.vertices if cell.detection.outline else None
    box = cell.detection.bbox
    return cell.cell_id, cell.label, (box.top, box.left, box.bottom, box.right), vertices


def field_of(root, *cells, name="a.png", **more):
    more = {"height": 40, "width": 60, "split": "train", "fov_id": name, **more}
    (field,) = with_images(
        root, [LabelledField(name, Path(name), cells=cells, **more)], image_place
    )
    return field


def cell_of(label="neutrophil", detection=None, cell_id="id"):
    return Cell(
        cell_id, "a.png", detection or Detection(BBox(1, 2, 11, 22)), annotation=Annotation(label)
    )


def test_no_field_is_a_header_and_no_cell_is_a_row_without_a_label(tmp_path):
    write_csv_set(tmp_path, [], [])
    assert read_csv_set(tmp_path) == ()
    field = field_of(tmp_path)
    write_csv_set(tmp_path, [field], [])
    assert read_csv_set(tmp_path) == (field,)
    (row,) = read_training_set(tmp_path / "cells.csv")
    assert (row.path, row.label, row.split, row.box, row.outline) == (
        field.path,
        "",
        "train",
        None,
        None,
    )


@settings(max_examples=EXAMPLES)
@given(labelled_fields())
def test_any_set_comes_back_exactly_and_the_trainer_reads_it(fields):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fields = with_images(root, fields, image_place)
        write_csv_set(root, fields, EIGHT_CLASSES.names)
        assert told(read_csv_set(root)) == told(fields)
        if fields:
            rows = [row for row in read_training_set(root / "cells.csv") if row.label]
            assert [(row.path, row.label, row.split, row.box, row.outline) for row in rows] == [
                (f.path, c.label, f.split, c.detection.bbox, c.detection.outline)
                for f in fields
                for c in f.cells
            ]


ODD = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=6) | st.sampled_from(
    [
        "=1",
        "-x",
        "+",
        "@a",
        "'",
        "''",
        "'=1",
        "NA",
        "null",
        "1",
        "1.0",
        '"',
        'a"b',
        "a,b",
        " a ",
        "true",
    ]
)


@settings(max_examples=EXAMPLES)
@given(ODD.filter(str.isprintable), ODD.filter(str.isprintable), ODD.filter(str.isprintable))
def test_any_text_comes_back_exactly_and_is_no_formula(label, cell_id, slide):
    # No class begins or ends with a blank.
    label = label.strip() or "=1"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        field = field_of(root, cell_of(label, cell_id=cell_id or "-"), slide=slide)
        write_csv_set(root, [field], [label])
        assert told(read_csv_set(root)) == told([field])
        table = pd.read_csv(root / "cells.csv", dtype=str, keep_default_na=False)
        for text in (table["label"][0], table["cell_id"][0], table["slide"][0]):
            assert not text.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_an_outline_that_begins_above_the_image_is_no_formula_and_can_be_read(tmp_path):
    outline = Outline.from_array([(-1, 3), (8, 0), (8, 9.25)])
    field = field_of(tmp_path, cell_of(detection=Detection(outline.bbox, outline)))
    write_csv_set(tmp_path, [field], ["neutrophil"])
    assert told(read_csv_set(tmp_path)) == told([field])
    assert read_training_set(tmp_path / "cells.csv")[0].outline == outline


def test_a_label_that_is_no_class_and_a_text_of_two_lines_are_not_written(tmp_path):
    with pytest.raises(WbcError, match=r"a\.png: the label 'neutrophil' is not among the classes"):
        write_csv_set(tmp_path, [field_of(tmp_path, cell_of())], ["blast"])
    with pytest.raises(WbcError, match=r"a\.png': 'x\\ny' is no line of text"):
        write_csv_set(tmp_path, [field_of(tmp_path, slide="x\ny")], [])
    assert not (tmp_path / "cells.csv").exists()


@pytest.mark.parametrize(
    "text",
    [
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,60,40,WBC,2,1,22,11\n",
        "Image,Label,Top,Left,Bottom,Right,split\nimages/a.png,WBC,1.0,2,11,22,train\n",
        "\ufeffpath,label,top,left,bottom,right\r\nimages/a.png,WBC,1,2,11,22\r\n",
        'path,label,outline,top,left,bottom,right\nimages/a.png,WBC,"1,2 1,22 11,22",,,,\n',
    ],
)
def test_tables_of_others_are_read(tmp_path, text):
    field = field_of(tmp_path)
    (tmp_path / "boxes.csv").write_bytes(text.encode())
    (read,) = read_csv_set(tmp_path)
    assert (read.name, read.path, read.fov_id, read.split) == (
        "a.png",
        field.path,
        "a.png",
        "train",
    )
    (cell,) = read.cells
    assert (cell.label, cell.detection.bbox, cell.fov_id) == ("WBC", BBox(1, 2, 11, 22), "a.png")
    assert len(cell.cell_id) == 36


def test_a_row_without_a_box_is_one_cell_and_images_of_one_name_get_their_own(tmp_path):
    for place in ("a", "b"):
        with_images(tmp_path, [field_of(tmp_path)], place)
    (tmp_path / "cells.csv").write_text(HEAD + "a/a.png,WBC,,,,\nb/a.png,RBC,,,,\n")
    read = read_csv_set(tmp_path)
    assert [field.name for field in read] == ["a__a.png", "b__a.png"]
    assert read[0].cells[0].detection.bbox == BBox(0, 0, 40, 60)


HOSTILE = {
    "empty": (b"", "not a readable CSV"),
    "no UTF-16": (b"\xff\xfe\0", "not text in UTF-8"),
    "no label": (b"path,top,left,bottom,right\nimages/a.png,1,2,3,4\n", "'label' is missing"),
    "column twice": (
        b"label," + HEAD.encode() + b"WBC,images/a.png,WBC,1,2,3,4\n",
        "'label' stands twice",
    ),
    "two names of one column": (
        b"image,filename,class,top,left,bottom,right\n",
        "'path' is missing or stands",
    ),
    "more cells than columns": (
        HEAD.encode() + b"images/a.png,WBC,1,2,3,4,5,6\n",
        "not a readable CSV",
    ),
    "open quote": (HEAD.encode() + b'"images/a.png,WBC,1,2,3,4\n', "not a readable CSV"),
    "upwards": (HEAD.encode() + b"../z.png,WBC,1,2,3,4\n", "line 2: .* leads out"),
    "absolute": (HEAD.encode() + b"/etc/passwd,WBC,1,2,3,4\n", "line 2: .* leads out"),
    "drive": (HEAD.encode() + b"C:/z.png,WBC,1,2,3,4\n", "line 2: .* leads out"),
    "link": (HEAD.encode() + b"images/link.png,WBC,1,2,3,4\n", "by a link"),
    "no such image": (HEAD.encode() + b"images/b.png,WBC,1,2,3,4\n", "no such image"),
    "long name": (HEAD.encode() + b"a" * 5000 + b",WBC,1,2,3,4\n", "line 2"),
    "no image": (HEAD.encode() + b"cells.csv,WBC,1,2,3,4\n", "not a readable PNG"),
    "NaN": (HEAD.encode() + b"images/a.png,WBC,nan,2,3,4\n", "'nan' is no finite number"),
    "infinite": (HEAD.encode() + b"images/a.png,WBC,1,2,3,1e999\n", "'1e999' is no finite number"),
    "word": (HEAD.encode() + b"images/a.png,WBC,1,2,3,x\n", "'x' is no finite number"),
    "half a box": (HEAD.encode() + b"images/a.png,WBC,1,2,3,\n", "'' is no finite number"),
    "turned": (HEAD.encode() + b"images/a.png,WBC,3,2,1,4\n", "line 2: .* is empty"),
    "outside": (HEAD.encode() + b"images/a.png,WBC,41,2,45,4\n", "outside the image of 60 x 40"),
    "far out": (HEAD.encode() + b"images/a.png,WBC,1,2,1e300,4\n", "outside the image of 60 x 40"),
    "box without a label": (
        HEAD.encode() + b"images/a.png,,1,2,3,4\n",
        "the label is empty",
    ),
    "bad split": (b"split," + HEAD.encode() + b"all,images/a.png,WBC,1,2,3,4\n", "no split 'all'"),
    "two splits": (
        b"split,"
        + HEAD.encode()
        + b"train,images/a.png,WBC,1,2,3,4\ntest,images/a.png,WBC,1,2,3,4\n",
        "line 3: another split",
    ),
    "other size": (
        b"width," + HEAD.encode() + b"61,images/a.png,WBC,1,2,3,4\n",
        "its size is 61 x 40, that of the image is 60",
    ),
    "outline of two": (
        b"outline," + HEAD.encode() + b'"1,2 3,4",images/a.png,WBC,1,2,3,4\n',
        "3 vertices",
    ),
    "outline of three columns": (
        b"outline," + HEAD.encode() + b'"1,2,3 3,4,5 5,6,7",images/a.png,WBC,1,2,3,4\n',
        "line 2: the outline is no list",
    ),
    "ragged outline": (
        b"outline," + HEAD.encode() + b'"1,2 3 5,6",images/a.png,WBC,1,2,3,4\n',
        "no list",
    ),
}


@pytest.mark.parametrize(("content", "said"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_table_is_refused_by_name(tmp_path, content, said):
    root = tmp_path / "set"
    field = field_of(root)
    (tmp_path / "a.png").write_bytes(field.path.read_bytes())
    (root / "images" / "link.png").symlink_to(tmp_path / "a.png")
    (root / "cells.csv").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReadError, match=said) as error:
        read_csv_set(root)
    assert str(root) in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_too_many_rows_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_ROWS", 2)
    field_of(tmp_path)
    (tmp_path / "cells.csv").write_text(HEAD + "images/a.png,WBC,1,2,3,4\n" * 3)
    with pytest.raises(ReadError, match=r"cells\.csv: more than 2 rows"):
        read_csv_set(tmp_path)


def test_no_table_and_two_tables_are_refused(tmp_path):
    with pytest.raises(ReadError, match="0 CSV files"):
        read_csv_set(tmp_path / "nowhere")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(HEAD)
    with pytest.raises(ReadError, match="2 CSV files and no cells"):
        read_csv_set(tmp_path)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_a_damaged_table_is_read_or_refused(data):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fields = [field_of(root, cell_of()), replace(field_of(root, name="b.png"), slide="=1")]
        write_csv_set(root, fields, ["neutrophil"])
        content = bytearray((root / "cells.csv").read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        (root / "cells.csv").write_bytes(content)
        said = str(root)
        try:
            read_csv_set(root)
        except ReadError as error:
            said = str(error)
        assert str(root) in said


@pytest.mark.parametrize(
    "places",
    [
        ("train/_annotations.csv", "valid/_annotations.csv", "TEST/_annotations.csv"),
        ("train_labels.csv", "val_labels.csv", "test_labels.csv"),
    ],
)
def test_there_may_be_a_table_for_each_split(tmp_path, places):
    """Roboflow's, in the folders of the images, and TensorFlow's, beside them."""
    for i, place in enumerate(places):
        table = tmp_path / place
        table.parent.mkdir(exist_ok=True)
        Image.new("RGB", (60, 40), (i, 0, 0)).save(table.with_name(f"{i}.png"))
        rows = "filename,width,height,class,xmin,ymin,xmax,ymax"
        table.write_text(f"{rows}\n{i}.png,60,40,WBC,2,1,22,11\n")
    content = read_set(tmp_path)
    assert content.format == "csv"
    found = {field.name: field.split for field in content.fields}
    assert found == {"0.png": "train", "1.png": "val", "2.png": "test"}
    assert {cell.detection.bbox for f in content.fields for cell in f.cells} == {BBox(1, 2, 11, 22)}
    (field,) = read_set(tmp_path / places[1]).fields
    assert (field.name, field.split) == ("1.png", "val")


def test_tables_of_one_split_are_not_guessed(tmp_path):
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(f"{HEAD}a.png,WBC,1,2,11,22\n")
    with pytest.raises(ReadError, match=r"2 CSV files and no cells\.csv.*the name of its split"):
        read_csv_set(tmp_path)
