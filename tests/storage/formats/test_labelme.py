"""labelme's JSON: polygons, rectangles, circles and masks, and the image that a file means."""

from __future__ import annotations

import json

import pytest
from tests.storage.formats.sets import BOX, boxes, image, labelme, put, shape

from napari_wbc.errors import ReadError
from napari_wbc.model.geometry import Outline
from napari_wbc.storage.sets import read_set


def read_one(root, *shapes):
    """The cells of a file with some shapes."""
    image(root)
    put(root, "a.json", labelme(list(shapes)))
    content = read_set(root)
    assert (content.format, content.notes) == ("labelme", ())
    (field,) = content.fields
    return field.cells


@pytest.mark.parametrize("points", [[[2, 1], [22, 11]], [[22, 11], [2, 1]], [[22, 1], [2, 11]]])
def test_a_rectangle_is_a_box_whichever_corners_it_has(tmp_path, points):
    (cell,) = read_one(tmp_path, shape(points))
    assert (cell.label, cell.detection.bbox.edges) == ("monocyte", BOX)
    assert cell.detection.outline is None


def test_a_rectangle_of_four_corners_and_a_turned_one_are_the_box_around_them(tmp_path):
    turned = [[12, 1], [22, 6], [12, 11], [2, 6]]
    cells = read_one(
        tmp_path,
        shape([[2, 1], [22, 1], [22, 11], [2, 11]]),
        shape([[x + 30, y] for x, y in turned], "rotation"),
    )
    assert [cell.detection.bbox.edges for cell in cells] == [BOX, (1, 32, 11, 52)]


@pytest.mark.parametrize("kind", ["polygon", None, ""])
def test_a_polygon_is_the_outline_also_without_a_word_for_it(tmp_path, kind):
    (cell,) = read_one(tmp_path, shape([[2, 1], [22, 1], [22, 11]], kind))
    assert cell.detection.outline == Outline(((1, 2), (1, 22), (11, 22)))
    assert cell.detection.bbox.edges == BOX


def test_a_circle_is_an_outline_around_its_centre(tmp_path):
    (cell,) = read_one(tmp_path, shape([[20, 15], [20, 25]], "circle"))
    assert cell.detection.bbox.edges == pytest.approx((5, 10, 25, 30))
    assert len(cell.detection.outline.vertices) == 36


def test_a_mask_is_the_box_of_its_pixels(tmp_path):
    (cell,) = read_one(tmp_path, shape([[2, 1], [21, 10]], "mask", mask="iVBORw0KGgo="))
    assert cell.detection.bbox.edges == BOX


def test_shapes_of_one_group_and_label_are_one_cell(tmp_path):
    """Of its parts the largest is the outline."""
    cells = read_one(
        tmp_path,
        shape([[30, 1], [33, 1], [33, 4]], "polygon", group_id=5),
        shape([[2, 1], [22, 1], [22, 11]], "polygon", group_id=5),
        shape([[40, 1], [50, 9]], label="blast", group_id=5),
    )
    assert [(cell.label, cell.detection.bbox.edges) for cell in cells] == [
        ("monocyte", BOX),
        ("blast", (1, 40, 9, 50)),
    ]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (shape([[3, 4]], "point"), "its shape is a point of 1 points"),
        (shape([[3, 4], [5, 6]], "linestrip"), "its shape is a linestrip"),
        (shape([[3, 4], [5, 6]], "polygon"), "its shape is a polygon of 2 points"),
        (shape([[3, 4], [3, 9]]), "is empty"),
        (shape([[3, 4], [float("nan"), 9]]), "too large, or none"),
        (shape([[3, 4], [5]]), "a point is not x and y"),
        (shape([[3, 4], None]), "a point is missing or not of numbers"),
        (shape([]), "its shape is a rectangle of 0 points"),
        (shape("x"), "points is missing or no list"),
        (shape(label=None), "label is missing or no text"),
        (shape(label=" "), "the label is empty"),
        (shape([[200, 4], [210, 9]]), "outside the image of 60 x 40"),
        (None, "holds something that is no object"),
    ],
)
def test_a_bad_shape_is_left_out(tmp_path, bad, said):
    image(tmp_path)
    put(tmp_path, "a.json", labelme([bad, shape()]))
    content = read_set(tmp_path)
    assert boxes(content.fields) == [BOX]
    assert [field.complete for field in content.fields] == [False]
    (note,) = content.notes
    assert note.startswith(f"1 item left out; the first: {tmp_path}/a.json, shape 1: ")
    assert said in note


@pytest.mark.parametrize(
    "path", ["a.png", "..\\images\\a.png", "../images/a.png", "C:\\data\\a.png", "old.jpg", ""]
)
def test_the_image_has_the_name_of_the_file_or_of_its_path(tmp_path, path):
    image(tmp_path, "images/a.png")
    put(tmp_path, "json/a.json", labelme(image_path=path))
    (field,) = read_set(tmp_path).fields
    assert (field.path, boxes([field])) == (tmp_path / "images" / "a.png", [BOX])
    put(tmp_path, "json/b.json", (tmp_path / "json" / "a.json").read_bytes())
    (tmp_path / "json" / "a.json").unlink()
    if path.endswith("a.png"):
        assert [field.name for field in read_set(tmp_path).fields] == ["a.png"]


def test_an_image_that_only_the_file_holds_or_that_lies_outside_is_left_out(tmp_path):
    image(tmp_path, "b.png")
    put(tmp_path, "set/b.json", labelme(image_path="../b.png", imageData="iVBORw0KGgo="))
    with pytest.raises(ReadError, match=r"b\.json: .*leads out of the set"):
        read_set(tmp_path / "set")
    image(tmp_path, "set/a.png")
    put(tmp_path, "set/a.json", labelme())
    content = read_set(tmp_path / "set")
    assert [field.name for field in content.fields] == ["a.png"]
    assert "1 item left out" in content.notes[0]


def test_splits_are_those_of_folders_and_a_named_file_is_the_only_one(tmp_path):
    for split, stem in (("train", "a"), ("Test-A", "b")):
        image(tmp_path, f"{split}/{stem}.png")
        put(tmp_path, f"{split}/{stem}.json", labelme(image_path=f"{stem}.png"))
    found = {field.name: field.split for field in read_set(tmp_path).fields}
    assert found == {"a.png": "train", "b.png": "test"}
    (field,) = read_set(tmp_path / "Test-A" / "b.json").fields
    assert field.name == "b.png"


def test_a_file_without_shapes_shows_no_cell(tmp_path):
    image(tmp_path)
    image(tmp_path, "b.png")
    put(tmp_path, "a.json", labelme())
    put(tmp_path, "b.json", labelme([], "b.png"))
    assert [len(field.cells) for field in read_set(tmp_path).fields] == [1, 0]


@pytest.mark.parametrize("more", [{"imageHeight": 41}, {"shapes": {}}, {"imagePath": 5}])
def test_a_file_that_does_not_fit_its_image_is_refused(tmp_path, more):
    image(tmp_path)
    put(tmp_path, "a.json", json.dumps(json.loads(labelme()) | more))
    with pytest.raises(ReadError, match=r"a\.json: "):
        read_set(tmp_path)
