"""One bad item does not refuse a set: it is left out, counted and named."""

from __future__ import annotations

import json

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
    voc_object,
)

from napari_wbc.errors import ReadError
from napari_wbc.storage.sets import read_set

NAMES = "names: [monocyte]\n"


def one_cell(root, said):
    """The set has the one good cell, and a note says what it had beside it."""
    content = read_set(root)
    assert boxes(content.fields) == [BOX]
    assert said in " ".join(content.notes)
    # What was left out may be a cell, so that the rest of the field is no background.
    assert [field.complete for field in content.fields] == [not said]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (cell(2, bbox=[2, 1, 0, 10]), "is empty"),
        (cell(2, bbox=[2, 1, 20]), "bbox has 3 numbers"),
        (cell(2, bbox=[]), "bbox has 0 numbers"),
        (cell(2, bbox=None), "bbox is missing"),
        (cell(2, bbox=[2, 1, float("nan"), 10]), "too large, or none"),
        (cell(2, bbox=[200, 1, 20, 10]), "outside the image of 60 x 40"),
        (cell(2, segmentation=[[1, 2, 3, 4]]), "fewer than 3 points"),
        (cell(2, image_id=9), "no image '9'"),
        (cell(2, category_id=9), "no category '9'"),
    ],
)
def test_a_bad_annotation_of_coco_is_left_out(tmp_path, bad, said):
    image(tmp_path)
    put(tmp_path, "a.json", coco(annotations=[cell(), bad]))
    content = read_set(tmp_path)
    assert boxes(content.fields) == [BOX]
    (note,) = content.notes
    assert note.startswith(f"1 item left out; the first: {tmp_path}/a.json, annotation 2: ")
    assert said in note


@pytest.mark.parametrize(
    ("key", "bad", "said"),
    [
        ("images", None, "is no object"),
        ("images", {"file_name": "b.png"}, "id is missing"),
        ("images", {"id": 5}, "file_name is missing"),
        ("categories", None, "category 2: 'None' is no object"),
        ("categories", {"id": 5}, "category 2: name is missing"),
        ("categories", {"name": "blast"}, "category 2: id is missing"),
    ],
)
def test_a_bad_image_or_category_of_coco_is_left_out(tmp_path, key, bad, said):
    image(tmp_path)
    content = json.loads(coco())
    content[key].append(bad)
    put(tmp_path, "a.json", json.dumps(content))
    content = read_set(tmp_path)
    assert boxes(content.fields) == [BOX]
    assert said in content.notes[0]


@pytest.mark.parametrize(
    ("image_id", "category"), [("1", "3"), (1.0, 3.0), (1, "3"), ("1", 3)], ids=str
)
def test_ids_of_coco_may_be_texts_in_one_place_and_numbers_in_another(tmp_path, image_id, category):
    image(tmp_path)
    crowd = cell(2, bbox=[30, 1, 5, 5], iscrowd="1")
    good = cell(image_id=image_id, category_id=category, iscrowd="0", cell_id=5, score="0.5")
    put(tmp_path, "a.json", coco(annotations=[good, crowd]))
    content = read_set(tmp_path)
    assert (boxes(content.fields), content.notes) == ([BOX], ())


def test_one_box_without_width_among_500_is_counted(tmp_path):
    image(tmp_path)
    good = [cell(i, bbox=[2 * (i % 25), 2 * (i // 25), 2, 2]) for i in range(500)]
    bad = [cell(900 + i, bbox=[5, 5, 0, 5]) for i in range(3)]
    put(tmp_path, "a.json", coco(annotations=[*good[:200], *bad, *good[200:]]))
    content = read_set(tmp_path)
    assert sum(len(field.cells) for field in content.fields) == 500
    assert content.notes[0].startswith("3 items left out; the first:")
    assert "annotation 201" in content.notes[0]


def test_where_no_item_is_good_the_first_fault_is_the_error(tmp_path):
    image(tmp_path)
    put(tmp_path, "a.json", coco(annotations=[cell(bbox=[2, 1, 0, 10])]))
    with pytest.raises(ReadError, match=r"a\.json, annotation 1: .* is empty"):
        read_set(tmp_path)


def test_an_image_that_is_missing_or_damaged_is_left_out_with_its_cells(tmp_path):
    image(tmp_path)
    put(tmp_path, "c.png", b"no image")
    images = [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate("abc", start=1)]
    cells = [cell(i, image_id=i) for i in (1, 2, 3)]
    put(tmp_path, "x.json", coco(images=images, annotations=cells))
    content = read_set(tmp_path)
    assert [field.name for field in content.fields] == ["a.png"]
    assert "2 items left out" in content.notes[0]
    assert "no such image 'b.png'" in content.notes[0]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (feature([[1, 2], [3, 4]]), "fewer than 3 points"),
        (feature([5, 6], kind="Point"), "its geometry is a Point"),
        (feature([[5, 6], [7, 8]], kind="LineString"), "its geometry is a LineString"),
        (feature([[1, 1], [1, 1], [1, 1], [1, 1]]), "is empty"),
        (feature([[float("nan"), 1], [5, 1], [5, 9]]), "too large, or none"),
    ],
)
def test_a_bad_feature_of_qupath_is_left_out(tmp_path, bad, said):
    image(tmp_path)
    features = {"type": "FeatureCollection", "features": [bad, feature(SQUARE)]}
    put(tmp_path, "a.geojson", json.dumps(features))
    one_cell(tmp_path, f"1 item left out; the first: {tmp_path}/a.geojson, feature 1: ")
    assert said in read_set(tmp_path).notes[0]


def test_nan_in_qupaths_measurements_and_its_old_ids_are_no_fault(tmp_path):
    """QuPath 0.2 gave every object the id "PathAnnotationObject"."""
    image(tmp_path)
    measured = {"detection score": float("nan"), "Area": float("nan")}
    features = [feature(SQUARE, measurements=measured)]
    features += [feature([[x + 25, y] for x, y in SQUARE])]
    put(tmp_path, "a.geojson", json.dumps(features))
    content = read_set(tmp_path)
    assert boxes(content.fields) == [BOX, (1, 27, 11, 47)]
    ids = {cell.cell_id for field in content.fields for cell in field.cells}
    assert len(ids) == 2
    assert "PathAnnotationObject" not in ids
    assert content.notes == ()


@pytest.mark.parametrize("line", ["0 0.5 0.5 0 0.1", "0 0.5 0.5", "0 0.1 0.1 0.2 x", "0 9 9 1 1"])
def test_a_bad_line_of_yolo_is_left_out(tmp_path, line):
    image(tmp_path, "images/a.png")
    put(tmp_path, "labels/a.txt", f"{line}\n{LINE}")
    put(tmp_path, "data.yaml", NAMES)
    one_cell(tmp_path, f"1 item left out; the first: {tmp_path}/labels/a.txt, line 1: ")


def test_labels_without_an_image_are_left_out(tmp_path):
    image(tmp_path, "images/a.png")
    put(tmp_path, "labels/a.txt", LINE)
    put(tmp_path, "labels/b.txt", LINE)
    put(tmp_path, "data.yaml", NAMES)
    content = read_set(tmp_path)
    assert boxes(content.fields) == [BOX]
    assert "b.txt: has no image" in content.notes[0]


@pytest.mark.parametrize(
    "bad",
    [voc_object(22, 3), "<object><name>monocyte</name></object>", voc_object(name="")],
)
def test_a_bad_object_of_voc_is_left_out(tmp_path, bad):
    image(tmp_path)
    put(tmp_path, "a.xml", voc(objects=bad))
    one_cell(tmp_path, f"1 item left out; the first: {tmp_path}/a.xml, object 2: ")


@pytest.mark.parametrize("row", ["a.png,monocyte,5,5,5,9", "a.png,,5,5,9,9", "a.png,blast,x,5,9,9"])
def test_a_bad_row_of_a_table_is_left_out(tmp_path, row):
    image(tmp_path)
    rows = ["path,label,top,left,bottom,right", row, "a.png,monocyte,1,2,11,22"]
    put(tmp_path, "cells.csv", "\n".join(rows))
    one_cell(tmp_path, f"1 item left out; the first: {tmp_path}/cells.csv, line 2: ")


def test_a_damaged_crop_is_left_out(tmp_path):
    image(tmp_path, "train/monocyte/a.png")
    put(tmp_path, "train/monocyte/b.png", b"no image")
    content = read_set(tmp_path)
    assert [field.name for field in content.fields] == ["train_monocyte_a.png"]
    assert "b.png: not a readable" in content.notes[0]


def test_a_bad_row_of_crops_is_left_out(tmp_path):
    rows = ["path,label,split,top,left,bottom,right"]
    for name, edges in (("a", "1,2,11,22"), ("b", "5,5,5,9")):
        image(tmp_path, f"train/monocyte/{name}.png")
        rows.append(f"train/monocyte/{name}.png,monocyte,train,{edges}")
    put(tmp_path, "crops.csv", "\n".join(rows))
    content = read_set(tmp_path)
    assert (content.format, boxes(content.fields)) == ("image-folder", [BOX])
    assert "crops.csv, line 3: " in content.notes[0]


def test_a_root_category_named_like_its_class_is_that_class(tmp_path):
    """Roboflow writes one, which no annotation has."""
    image(tmp_path)
    categories = [
        {"id": 0, "name": "monocyte", "supercategory": "none"},
        {"id": 3, "name": "monocyte", "supercategory": "monocyte"},
    ]
    put(tmp_path, "a.json", coco(categories=categories))
    content = read_set(tmp_path)
    assert (boxes(content.fields), content.classes) == ([BOX], ("monocyte",))
