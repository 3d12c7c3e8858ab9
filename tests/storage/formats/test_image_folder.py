"""Crops in folders: the field's own pixels, and a table that says where they are from."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from PIL import Image

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.image_folder import (
    read_image_folder_steps,
    write_crops,
    write_table,
)
from napari_wbc.storage.formats.reading import check_fields
from napari_wbc.storage.labelled_cells import read_training_set

from .strategies import at_once, labelled_fields

read_image_folder = at_once(read_image_folder_steps)


EXAMPLES = int(os.environ.get("NAPARI_WBC_EXAMPLES", "50"))  # each writes some images


def pixels(field):
    """An image in which any two places differ."""
    rows, cols = np.indices((field.height, field.width))
    return np.stack([rows % 251, cols % 241, (rows // 251 + cols // 241) % 256], axis=-1).astype(
        np.uint8
    )


def field_of(*cells, **more):
    more = {"name": "a.png", "height": 40, "width": 60, "split": "train", **more}
    return LabelledField(path=Path(more["name"]), cells=cells, **more)


BOX = BBox(1, 2, 11, 22)


def cell_of(label="band neutrophil", box=BOX, cell_id="id", outline=None):
    return Cell(cell_id, "a.png", Detection(box, outline), annotation=Annotation(label))


def write(root, *fields, classes=("band neutrophil",), **more):
    check_fields(fields, classes)
    for field in fields:
        write_crops(root, field, pixels(field), **more)
    write_table(root, fields, **more)


def test_no_field_and_no_cell_are_an_empty_table(tmp_path):
    write(tmp_path)
    assert read_image_folder(tmp_path) == ()
    write(tmp_path, field_of())
    assert read_image_folder(tmp_path) == ()
    assert [file.name for file in tmp_path.iterdir()] == ["crops.csv"]


@settings(max_examples=EXAMPLES)
@given(labelled_fields(max_fields=2))
def test_any_set_comes_back_as_crops(fields):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, *fields, classes=EIGHT_CLASSES.names)
        crops = read_image_folder(root)
        table = pd.read_csv(root / "crops.csv", index_col="cell_id")
        cells = {cell.cell_id: (field, cell) for field in fields for cell in field.cells}
        assert sorted(cells) == sorted(crop.cells[0].cell_id for crop in crops)
        for crop in crops:
            (cell,) = crop.cells
            field, own = cells[cell.cell_id]
            assert (crop.split, crop.slide, crop.fov_id) == (field.split, field.slide, field.fov_id)
            assert (cell.label, cell.fov_id) == (own.label, field.fov_id)
            row = table.loc[cell.cell_id]
            top, left = row["field_top"], row["field_left"]
            assert (row["field_height"], row["field_width"]) == (field.height, field.width)
            shift = np.array([top, left])
            assert cell.detection.bbox.corners() + shift == pytest.approx(
                own.detection.bbox.corners(), abs=1e-6
            )
            if own.detection.outline:
                assert cell.detection.outline.array() + shift == pytest.approx(
                    own.detection.outline.array(), abs=1e-6
                )
            shown = np.asarray(Image.open(crop.path))
            window = pixels(field)[top : top + crop.height, left : left + crop.width]
            assert np.array_equal(shown, window)
        if cells:
            assert len(read_training_set(root / "crops.csv")) == len(cells)
            ours = sorted((c.label, f.split) for f, c in cells.values())
            assert sorted((one.label, one.split) for one in read_training_set(root)) == ours


@pytest.mark.parametrize(
    ("margin", "size", "offset"),
    [
        (0, (10, 20), (1, 2)),
        (0.5, (21, 32), (0, 0)),
        (0.04, (12, 22), (0, 1)),
        (9, (40, 60), (0, 0)),
    ],
)
def test_a_crop_is_the_box_with_room_around_it(tmp_path, margin, size, offset):
    write(tmp_path, field_of(cell_of()), margin=margin)
    (crop,) = read_image_folder(tmp_path)
    assert crop.path == tmp_path / "train" / "band_neutrophil" / "id.png"
    assert (crop.height, crop.width) == size
    assert crop.cells[0].detection.bbox == BBox(
        1 - offset[0], 2 - offset[1], 11 - offset[0], 22 - offset[1]
    )


@pytest.mark.parametrize(
    "cell_id", ["../x", "/x", "A", "a.b", "con", "lpt1", "x" * 101, "=1", "-", "", "a:b", "ä", "~"]
)
def test_an_id_that_is_no_file_name_stands_in_the_table(tmp_path, cell_id):
    write(tmp_path / "set", field_of(cell_of(cell_id=cell_id), cell_of(cell_id="a")))
    crops = read_image_folder(tmp_path / "set")
    assert [crop.cells[0].cell_id for crop in crops][1] == "a"
    assert crops[0].cells[0].cell_id == cell_id or not cell_id
    assert len(crops[0].path.stem) == 32
    assert [one.name for one in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    "classes",
    [
        [""],
        [".."],
        ["."],
        ["con"],
        ["NUL.x"],
        ["a/b"],
        ["a\\b"],
        ["a:b"],
        ["a?"],
        ["a\nb"],
        [".a"],
        ["a."],
        ["x" * 201],
        ["a b", "a_b"],
        ["a", "A"],
    ],
)
def test_classes_that_are_no_folders_are_not_written(tmp_path, classes):
    cells = [cell_of(cell_id=str(i), label=label) for i, label in enumerate(classes)]
    with pytest.raises(WbcError, match=r"name of a folder|share a folder"):
        write_table(tmp_path / "set", [field_of(*cells)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("field", "more", "said"),
    [
        (field_of(cell_of(label="blast")), {}, "'blast' is not among the classes"),
        (field_of(cell_of(box=BBox(50, 0, 60, 9))), {}, "the cell id is outside the image"),
        (field_of(cell_of()), {"margin": -1}, "no room around a cell"),
        (field_of(cell_of()), {"margin": float("nan")}, "no room around a cell"),
    ],
)
def test_cells_that_cannot_be_cut_are_not_written(tmp_path, field, more, said):
    with pytest.raises(WbcError, match=said):
        write(tmp_path, field, **more)
    assert not list(tmp_path.rglob("*.*"))


def test_pixels_of_another_field_and_one_crop_twice_are_not_written(tmp_path):
    field = field_of(cell_of())
    with pytest.raises(WbcError, match=r"a\.png: pixels of shape \(1, 2, 3\)"):
        write_crops(tmp_path, field, np.zeros((1, 2, 3), np.uint8))
    with pytest.raises(WbcError, match=r"id\.png: cannot be written"):
        write(tmp_path, field, field)


def picture(path, suffix=".png"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7)).save(path.with_suffix(suffix))


def test_folders_of_others_are_read(tmp_path):
    for place in (
        "train/band_neutrophil/1",
        "valid/blast/1",
        "test/blast/x",
        "test/.hidden/x",
        "other/blast/x",
    ):
        picture(tmp_path / place)
    (tmp_path / "train" / "band_neutrophil" / "notes.txt").write_text("x")
    (tmp_path / "train" / "notes.txt").write_text("x")
    assert [(f.name, f.split, f.cells[0].label) for f in read_image_folder(tmp_path)] == [
        ("train_band_neutrophil_1.png", "train", "band neutrophil"),
        ("valid_blast_1.png", "val", "blast"),
        ("test_blast_x.png", "test", "blast"),
    ]
    (field, *_) = read_image_folder(tmp_path / "train")
    assert (field.name, field.split, field.height, field.width) == (
        "band_neutrophil_1.png",
        "train",
        7,
        9,
    )
    assert field.cells[0].detection == Detection(BBox(0, 0, 7, 9))


ROW = "path,label,split,top,left,bottom,right,height,width\n"
HOSTILE = {
    "upwards": ("../z.png,WBC,train,0,0,5,5,,\n", "leads out"),
    "absolute": ("/etc/passwd,WBC,train,0,0,5,5,,\n", "leads out"),
    "link": ("train/WBC/link.png,WBC,train,0,0,5,5,,\n", "by a link"),
    "no such crop": ("train/WBC/b.png,WBC,train,0,0,5,5,,\n", "no such image"),
    "no cell": ("train/WBC/a.png,,train,,,,,,\n", "shows 0 cells"),
    "two cells": ("train/WBC/a.png,WBC,train,0,0,5,5,,\n" * 2, "shows 2 cells"),
    "other size": ("train/WBC/a.png,WBC,train,0,0,5,5,8,9\n", "its size is 9 x 8"),
    "outside": ("train/WBC/a.png,WBC,train,8,0,9,5,,\n", "outside the image"),
    "NaN": ("train/WBC/a.png,WBC,train,0,0,nan,5,,\n", "no finite number"),
    "bad split": ("train/WBC/a.png,WBC,all,0,0,5,5,,\n", "no split"),
    "broken": ('"', "not a readable CSV"),
}


@pytest.mark.parametrize(("text", "said"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_table_is_refused_by_name(tmp_path, text, said):
    root = tmp_path / "set"
    picture(root / "train" / "WBC" / "a")
    shutil.copy(root / "train" / "WBC" / "a.png", tmp_path)
    (root / "train" / "WBC" / "link.png").symlink_to(tmp_path / "a.png")
    (root / "crops.csv").write_text(ROW + text)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReadError, match=said) as error:
        read_image_folder(root)
    assert str(root) in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_without_images_and_links_out_of_the_set_are_refused(tmp_path):
    root = tmp_path / "set"
    with pytest.raises(ReadError, match="set"):
        read_image_folder(root)
    root.mkdir()
    with pytest.raises(ReadError, match="no labelled image"):
        read_image_folder(root)
    picture(tmp_path / "outside" / "WBC" / "a")
    (root / "train").symlink_to(tmp_path / "outside")
    with pytest.raises(ReadError, match="by a link"):
        read_image_folder(root)
    (root / "train").unlink()
    (root / "train").mkdir()
    (root / "train" / "WBC").symlink_to(tmp_path / "outside" / "WBC")
    with pytest.raises(ReadError, match="by a link"):
        read_image_folder(root)
    (root / "train" / "WBC").unlink()
    (root / "train" / "WBC").mkdir()
    (root / "train" / "WBC" / "a.png").symlink_to(tmp_path / "outside" / "WBC" / "a.png")
    with pytest.raises(ReadError, match="by a link"):
        read_image_folder(root)
    (root / "train" / "WBC" / "a.png").unlink()
    (root / "train" / "WBC" / "a.png").write_text("no image")
    with pytest.raises(ReadError, match=r"a\.png: not a readable PNG"):
        read_image_folder(root)


def test_an_outline_is_cut_with_its_box(tmp_path):
    outline = Outline.from_array([(20, 30), (20, 40), (30, 35)])
    write(tmp_path, field_of(cell_of(box=outline.bbox, outline=outline)), margin=0.5)
    (crop,) = read_image_folder(tmp_path)
    assert crop.cells[0].detection.outline == Outline.from_array([(5, 5), (5, 15), (15, 10)])
