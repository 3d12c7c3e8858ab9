"""Label Studio's JSON and JSON-MIN: percents, turned boxes, several annotators, addresses."""

from __future__ import annotations

import json

import pytest
from tests.storage.formats.sets import BOX, HEIGHT, WIDTH, boxes, image, label_studio, put, region

from napari_wbc.errors import ReadError
from napari_wbc.storage.sets import read_set

POLYGON = {"points": [[10, 10], [50, 10], [50, 50]], "closed": True}


def read_one(root, *regions):
    """The cells of an export with some regions."""
    image(root)
    put(root, "export.json", label_studio(list(regions)))
    content = read_set(root)
    assert (content.format, content.notes) == ("label-studio", ())
    (field,) = content.fields
    return field.cells


def test_a_box_is_in_percent_of_the_image_and_keeps_its_id(tmp_path):
    (cell,) = read_one(tmp_path, region(id="Dx_aB91ISN"))
    assert (cell.label, cell.cell_id) == ("monocyte", "Dx_aB91ISN")
    assert cell.detection.bbox.edges == pytest.approx(BOX)
    assert cell.detection.outline is None


def test_a_polygon_and_an_ellipse_are_outlines(tmp_path):
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 0}
    polygon, round_one = read_one(
        tmp_path,
        region(kind="polygonlabels", value=POLYGON),
        region(kind="ellipselabels", value=ellipse),
    )
    assert polygon.detection.outline.vertices == ((4, 6), (4, 30), (20, 30))
    assert round_one.detection.bbox.edges == pytest.approx((16, 24, 24, 36))
    assert len(round_one.detection.outline.vertices) == 36


def test_a_turned_box_is_read_as_the_box_around_it(tmp_path):
    """Label Studio turns it clockwise, around its upper left corner."""
    turned = {"x": 50, "y": 50, "width": 10, "height": 20, "rotation": 90}
    (cell,) = read_one(tmp_path, region(value=turned))
    assert cell.detection.bbox.edges == pytest.approx((20, 22, 26, 30))


def test_a_class_may_stand_apart_from_the_shape(tmp_path):
    """<Rectangle> with <Labels> gives two results of one region; a choice is no class."""
    (cell,) = read_one(
        tmp_path,
        region(None, "rectangle", id="x"),
        region("monocyte", "labels", id="x"),
        region("good", "choices", id="x"),
        {"type": "choices", "value": {"choices": ["sharp"]}},
        {"type": "relation", "from_id": "x", "to_id": "y", "direction": "right"},
    )
    assert (cell.label, cell.detection.bbox.edges) == ("monocyte", pytest.approx(BOX))


def test_json_min_is_read(tmp_path):
    image(tmp_path)
    (told,) = json.loads(label_studio())
    value = told["annotations"][0]["result"][0]["value"]
    sizes = {"original_width": WIDTH, "original_height": HEIGHT}
    record = {"image": told["data"]["image"], "id": 1, "label": [value | sizes], "annotator": 1}
    record |= {"annotation_id": 4, "lead_time": 3.5, "created_at": "2026-01-02T03:04:05Z"}
    put(tmp_path, "min.json", json.dumps([record]))
    content = read_set(tmp_path)
    assert (content.format, boxes(content.fields), content.notes) == ("label-studio", [BOX], ())


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/4/3f2a1b9c-a.png",
        "/data/local-files/?d=slides/a.png",
        "/data/local-files/?d=C%3A%5Cslides%5Ca.png",
        "https://lab.org/slides/a.png?token=b.png",
        "s3://bucket/slides/a.png",
        "..\\..\\media\\upload\\4\\a.png",
        "a.png",
    ],
)
@pytest.mark.parametrize("key", ["image", "picture"])
def test_the_image_is_found_by_the_end_of_its_address(tmp_path, address, key):
    image(tmp_path, "images/a.png")
    (task,) = json.loads(label_studio(image=address))
    task["data"] = {"patient": "7.5", key: address}
    put(tmp_path, "export.json", json.dumps([task]))
    (field,) = read_set(tmp_path).fields
    assert (field.path, boxes([field])) == (tmp_path / "images" / "a.png", [BOX])


def test_a_blank_in_an_address_and_a_prefix_of_ones_own(tmp_path):
    image(tmp_path, "Zell 1.png")
    image(tmp_path, "0123abcd-b.png")
    image(tmp_path, "b.png", 9)
    tasks = json.loads(label_studio(image="/data/upload/1/3f2a1b9c-Zell%201.png"))
    tasks += json.loads(label_studio(image="/data/upload/1/0123abcd-b.png"))
    put(tmp_path, "export.json", json.dumps(tasks))
    names = [field.name for field in read_set(tmp_path).fields]
    assert names == ["Zell 1.png", "0123abcd-b.png"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (region(value={"format": "rle", "rle": [1, 2]}, kind="brushlabels"), "is no box, polygon"),
        (region(value={"x": 1, "y": 2, "width": 1}, kind="keypointlabels"), "is no box, polygon"),
        (region(value={"x": 1, "y": 2, "width": 0, "height": 5}), "is empty"),
        (region(value={"x": 1, "y": None, "width": 5, "height": 5}), "y is missing or not of"),
        (region(value={"x": 900, "y": 2, "width": 5, "height": 5}), "outside the image of 60 x 40"),
        (region(value={"points": [[1, 2], [3, 4]]}, kind="polygonlabels"), "fewer than 3 points"),
        (region(value={"points": [[1, 2], [3]]}, kind="polygonlabels"), "a point is not x and y"),
        (region(value={"x": 1, "rectanglelabels": 5}, label=None), "rectanglelabels is missing"),
        (region(original_width=61), "its size is 61 x 40"),
        (region(image_rotation=90), "its image was turned in Label Studio"),
        (5, "is no object"),
    ],
)
def test_a_bad_region_is_left_out(tmp_path, bad, said):
    image(tmp_path)
    put(tmp_path, "x.json", label_studio([bad, region()]))
    content = read_set(tmp_path)
    assert boxes(content.fields) == [BOX]
    assert [field.complete for field in content.fields] == [False]
    (note,) = content.notes
    assert note.startswith(f"1 item left out; the first: {tmp_path}/x.json, task 1, region 1: ")
    assert said in note


def annotation(label, when, **more):
    """One of several annotations of a task."""
    return {"result": [region(label)], "updated_at": when, **more}


@pytest.mark.parametrize(
    ("more", "label"),
    [({}, "new"), ({"ground_truth": True}, "old"), ({"was_cancelled": True}, "new")],
)
def test_of_several_annotations_the_ground_truth_or_the_newest_is_read(tmp_path, more, label):
    image(tmp_path)
    (task,) = json.loads(label_studio())
    task["annotations"] = [annotation("old", "2026-01-02", **more), annotation("new", "2026-01-09")]
    task["annotations"].append(annotation("cancelled", "2026-02-01", was_cancelled=True))
    task["predictions"] = [annotation("predicted", "2026-03-01")]
    put(tmp_path, "x.json", json.dumps([task]))
    content = read_set(tmp_path)
    assert content.classes == (label,)
    said = "1 image with several annotations" in " ".join(content.notes)
    assert said == ("was_cancelled" not in more)


def test_an_image_that_nobody_annotated_is_no_background(tmp_path):
    image(tmp_path)
    image(tmp_path, "b.png")
    tasks = json.loads(label_studio())
    tasks.append({"id": 2, "data": {"image": "b.png"}, "annotations": []})
    put(tmp_path, "x.json", json.dumps(tasks))
    content = read_set(tmp_path)
    assert [field.name for field in content.fields] == ["a.png"]
    assert "task 2: nobody annotated it" in content.notes[0]
    tasks[1]["annotations"] = [{"result": []}]
    put(tmp_path, "x.json", json.dumps(tasks))
    assert [len(field.cells) for field in read_set(tmp_path).fields] == [1, 0]


def test_an_image_outside_the_set_is_not_read(tmp_path):
    image(tmp_path, "a.png")
    put(tmp_path, "set/x.json", label_studio(image="../a.png"))
    with pytest.raises(ReadError, match="leads out of the set"):
        read_set(tmp_path / "set")
    put(tmp_path, "set/x.json", label_studio(image="data:image/png;base64,iVBO"))
    with pytest.raises(ReadError, match="names no image"):
        read_set(tmp_path / "set")
