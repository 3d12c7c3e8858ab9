"""GeoJSON: valid closed polygons in (x, y), as QuPath reads and writes them, and sets of them."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.geojson import (
    feature_collection,
    read_geojson_set_steps,
    write_geojson,
    write_geojson_set_steps,
)
from napari_wbc.storage.formats.reading import image_place

from .strategies import at_once, labelled_fields, with_images

read_geojson_set = at_once(read_geojson_set_steps)
write_geojson_set = at_once(write_geojson_set_steps)

EXAMPLES = int(os.environ.get("NAPARI_WBC_EXAMPLES", "200"))
POINTS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=12)


def collection(*cells, fov="a.png"):
    return json.loads(json.dumps(feature_collection(fov, cells, EIGHT_CLASSES)))


def cell(bbox=None, outline=None):
    detection = Detection(bbox or outline.bbox, outline, 0.9)
    return Cell("id", "a.png", detection)


def ring(feature):
    assert feature["geometry"]["type"] == "Polygon"
    return feature["geometry"]["coordinates"][0]


def test_no_fields_are_an_empty_array_and_one_a_collection(tmp_path):
    path = tmp_path / "cells.geojson"
    write_geojson(path, [])
    assert json.loads(path.read_text()) == []
    write_geojson(path, [collection()])
    assert json.loads(path.read_text()) == {
        "type": "FeatureCollection",
        "fov": "a.png",
        "features": [],
    }
    write_geojson(path, [collection(), collection(fov="é.png")])
    assert [one["fov"] for one in json.loads(path.read_text(encoding="utf-8"))] == [
        "a.png",
        "é.png",
    ]


def test_a_box_is_a_closed_polygon_in_x_and_y():
    (feature,) = collection(cell(BBox(1, 2, 5, 9)))["features"]
    assert feature["type"] == "Feature"
    assert feature["id"] == "id"
    assert feature["geometry"]["coordinates"] == [[[2, 1], [9, 1], [9, 5], [2, 5], [2, 1]]]


def test_an_outline_keeps_its_vertices():
    outline = Outline.from_array([(0, 5), (10, 5.12344), (7, 20)])
    (feature,) = collection(cell(outline=outline))["features"]
    assert ring(feature) == [[5, 0], [5.1234, 10], [20, 7], [5, 0]]


@given(POINTS)
def test_any_outline_becomes_a_valid_polygon(points):
    try:
        outline = Outline.from_array(points)
    except WbcError:
        return
    (feature,) = collection(cell(outline=outline))["features"]
    polygon = shapely.geometry.shape(feature["geometry"])
    assert polygon.is_valid
    assert polygon.area > 0
    assert ring(feature)[0] == ring(feature)[-1]
    assert outline.bbox.left <= polygon.bounds[0] <= polygon.bounds[2] <= outline.bbox.right
    assert outline.bbox.top <= polygon.bounds[1] <= polygon.bounds[3] <= outline.bbox.bottom


def test_of_an_outline_that_crosses_itself_the_largest_part_is_kept():
    bow_tie = Outline.from_array([(0, 0), (0, 4), (12, 0), (12, 12)])
    (feature,) = collection(cell(outline=bow_tie))["features"]
    whole = shapely.make_valid(shapely.Polygon(bow_tie.array()[:, ::-1]))
    assert shapely.geometry.shape(feature["geometry"]).area == max(
        shapely.area(shapely.get_parts(whole))
    )


def test_a_cell_has_its_label_colour_and_measurements():
    prediction = Prediction(EIGHT_CLASSES.names, (0.25, 0.75, *np.zeros(6)))
    (feature,) = collection(cell(BBox(0, 0, 5, 5)).predicted(prediction))["features"]
    properties = feature["properties"]
    assert properties["objectType"] == "annotation"
    assert properties["classification"] == {"name": "eosinophil", "color": [0xD5, 0x91, 0x00]}
    assert properties["label_source"] == "prediction"
    assert properties["measurements"]["confidence"] == 0.75
    assert properties["measurements"]["p neutrophil"] == 0.25


@pytest.mark.parametrize("label", ["unidentified", "something else"])
def test_any_label_has_a_colour(label):
    (feature,) = collection(cell(BBox(0, 0, 5, 5)).annotated(Annotation(label)))["features"]
    assert feature["properties"]["classification"] == {"name": label, "color": [255, 255, 255]}
    assert list(feature["properties"]["measurements"]) == ["detection score"]


def write_set(root, fields, classes=EIGHT_CLASSES.names):
    placed = with_images(root, fields, image_place)
    write_geojson_set(root, placed, classes)
    return placed


def edges(box):
    return box.top, box.left, box.bottom, box.right


def iou(first, second):
    a, b = (shapely.Polygon(outline.array()) for outline in (first, second))
    return a.intersection(b).area / a.union(b).area


def test_an_empty_set(tmp_path):
    write_set(tmp_path, [], ())
    assert read_geojson_set(tmp_path) == ()


def test_a_set_has_one_file_a_field(tmp_path):
    one = Cell("c1", "f1", Detection(BBox(1, 2, 5, 9)), annotation=Annotation("hairy cell"))
    write_set(
        tmp_path,
        [LabelledField("a.png", tmp_path, 20, 30, "val", (one,), "slide", "f1")],
        ["hairy cell"],
    )
    content = json.loads((tmp_path / "geojson/a.png.geojson").read_text(encoding="utf-8"))
    (feature,) = content.pop("features")
    assert content == {
        "type": "FeatureCollection",
        "fov": "f1",
        "image": "images/a.png",
        "height": 20,
        "width": 30,
        "split": "val",
        "slide": "slide",
    }
    assert feature["properties"]["shape"] == "box"
    assert feature["properties"]["classification"]["color"] != [255, 255, 255]


def test_a_label_that_is_no_class_is_refused_and_nothing_written(tmp_path):
    one = Cell("c1", "f1", Detection(BBox(1, 2, 5, 9)), annotation=Annotation("blast"))
    with pytest.raises(WbcError, match="blast"):
        write_geojson_set(
            tmp_path, [LabelledField("a.png", tmp_path, 20, 30, "val", (one,))], ["x"]
        )
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=EXAMPLES)
@given(labelled_fields())
def test_round_trip(fields):
    with tempfile.TemporaryDirectory() as folder:
        placed = write_set(Path(folder), fields)
        back = {one.name: one for one in read_geojson_set(Path(folder))}
    assert back.keys() == {one.name for one in placed}
    for old in placed:
        new = back[old.name]
        assert replace(new, cells=()) == replace(old, cells=())
        for a, b in zip(old.cells, new.cells, strict=True):
            assert (a.cell_id, a.fov_id, a.label) == (b.cell_id, b.fov_id, b.label)
            assert b.detection.score == pytest.approx(a.detection.score, abs=1e-4)
            assert edges(b.detection.bbox) == pytest.approx(edges(a.detection.bbox), abs=1e-4)
            assert (a.detection.outline is None) == (b.detection.outline is None)
            if a.detection.outline:
                assert iou(a.detection.outline, b.detection.outline) >= 0.999


SQUARE = [[[3, 2], [13, 2], [13, 10], [3, 10], [3, 2]]]


def feature(**changes):
    """One of QuPath."""
    return {
        "type": "Feature",
        "id": "9f",
        "geometry": {"type": "Polygon", "coordinates": SQUARE},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": "blast", "color": [1, 2, 3]},
        },
    } | changes


def shaped(coordinates, kind="Polygon"):
    return feature(geometry={"type": kind, "coordinates": coordinates})


def put(root, place, data, images=("a.png",), size=(20, 30)):
    for image in images:
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size[::-1]).save(root / image)
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return root


@pytest.mark.parametrize(
    "data",
    [
        feature(),
        [feature()],
        {"type": "FeatureCollection", "features": [feature()]},
        [{"type": "FeatureCollection", "fov": "a.png", "features": [feature()]}],
    ],
)
@pytest.mark.parametrize(
    ("place", "image", "split"),
    [
        ("a.geojson", "a.png", "train"),
        ("x/a.geojson", "images/a.TIF", "train"),
        ("valid/a.png.geojson", "valid/a.png", "val"),
        ("geojson/a.geojson", "images/a.jpg", "train"),
    ],
)
def test_what_qupath_exports(tmp_path, data, place, image, split):
    if isinstance(data, list) and "fov" in data[0]:
        data = [data[0] | {"fov": Path(image).name}]
    put(tmp_path, place, data, [image])
    (one,) = read_geojson_set(tmp_path)
    assert (one.name, one.path, one.split) == (Path(image).name, tmp_path / image, split)
    (found,) = one.cells
    assert (found.cell_id, found.label) == ("9f", "blast")
    assert found.detection.outline == Outline(((2, 3), (2, 13), (10, 13), (10, 3)))


def test_several_fields_in_one_array(tmp_path):
    data = [{"type": "FeatureCollection", "fov": name, "features": []} for name in ("b", "a.png")]
    put(tmp_path, "cells.geojson", data, ["images/a.png", "b.png"])
    assert [one.name for one in read_geojson_set(tmp_path)] == ["b.png", "a.png"]


@pytest.mark.parametrize(
    ("properties", "labels"),
    [
        ({"classification": "blast"}, ["blast"]),
        ({"name": "blast"}, ["blast"]),
        ({"classification": {"names": ["blast", "large"]}}, ["blast: large"]),
    ],
)
def test_where_the_class_stands(tmp_path, properties, labels):
    put(tmp_path, "a.geojson", feature(properties=properties))
    assert [cell.label for one in read_geojson_set(tmp_path) for cell in one.cells] == labels


@pytest.mark.parametrize("properties", [{"classification": None}, {}, None])
def test_a_feature_without_a_class_is_left_out_with_a_note(tmp_path, properties):
    put(tmp_path, "a.geojson", feature(properties=properties))
    with pytest.raises(ReadError, match="feature 1: it has no class; give it one in QuPath"):
        read_geojson_set(tmp_path)


def test_of_a_multipolygon_the_largest_is_the_outline_and_holes_are_filled(tmp_path):
    small = [[[0, 0], [1, 0], [1, 1], [0, 0]]]
    hole = [[5, 5], [6, 5], [6, 6], [5, 5]]
    put(tmp_path, "a.geojson", shaped([small, [*SQUARE, hole]], "MultiPolygon") | {"id": 5})
    (found,) = read_geojson_set(tmp_path)[0].cells
    assert edges(found.detection.outline.bbox) == (2, 3, 10, 13)
    assert len(found.cell_id) == 36


def top(**changes):
    return {"type": "FeatureCollection", "features": [feature()]} | changes


HOSTILE = {
    "no JSON": "{",
    "a number": "5",
    "a list of numbers": "[1]",
    "deep nesting": "[" * 100_000,
    "NaN": json.dumps(shaped([[[float("nan"), 2], [3, 4], [5, 7]]])),
    "a type that is none": feature(type="Topology"),
    "features and collections": [feature(), top()],
    "features are no list": top(features={}),
    "a feature is no object": top(features=[1]),
    "an image that leads out": top(image="../out.png"),
    "an absolute image": top(image="/etc/passwd"),
    "an image by a link": top(image="link.png"),
    "an image that is a number": top(image=5),
    "an image that is missing": top(image="b.png"),
    "an image that is none": top(image="a.geojson"),
    "a field that leads out": top(fov="../out"),
    "a field without an image": top(fov="b"),
    "an image twice": [top(image="a.png"), top(image="./a.png")],
    "an image in two cases": [top(image="a.png", features=[]), top(image="A.png", features=[])],
    "another height": top(height=21),
    "a width that is a text": top(width="30"),
    "no split": top(split="training"),
    "a split that is a list": top(split=[]),
    "a slide that is a number": top(slide=5),
    "properties are a list": feature(properties=[]),
    "a class that is a number": feature(properties={"classification": 5}),
    "a class without a name": feature(properties={"classification": {"color": 5}}),
    "names that are numbers": feature(properties={"classification": {"names": [5]}}),
    "no geometry": feature(geometry=None),
    "a point": shaped([1, 2], "Point"),
    "no ring": shaped([]),
    "a ring that is a number": shaped([5]),
    "a ring of numbers": shaped([[1, 2, 3, 4, 5, 6]]),
    "positions of texts": shaped([[["1", "2"], ["3", "4"], ["5", "6"]]]),
    "positions of one number": shaped([[[1], [2], [3]]]),
    "positions of four numbers": shaped([[[1, 2, 3, 4]] * 3]),
    "two points": shaped([[[1, 2], [3, 4]]]),
    "two points, closed": shaped([[[1, 2], [3, 2], [1, 2]]]),
    "no width": shaped([[[1, 2], [1, 3], [1, 5], [1, 2]]]),
    "outside": shaped([[[31, 2], [33, 2], [33, 5], [31, 2]]]),
    "a huge number": shaped([[[10**400, 2], [33, 2], [33, 5]]]),
    "no polygon": shaped([], "MultiPolygon"),
    "polygons of polygons": shaped([[SQUARE]], "MultiPolygon"),
    "a cell id twice": [feature(), feature()],
    "a score above one": feature(
        properties={"classification": "blast", "measurements": {"detection score": 7}}
    ),
    "a score that is a text": feature(
        properties={"classification": "blast", "measurements": {"detection score": "7"}}
    ),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_and_named(tmp_path, data):
    root = put(tmp_path / "set", "a.geojson", data, ["a.png", "A.png"])
    Image.new("L", (30, 20)).save(tmp_path / "out.png")
    (root / "link.png").symlink_to(tmp_path / "out.png")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReadError) as caught:
        read_geojson_set(root)
    assert str(root) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_too_many_features_are_refused(tmp_path):
    put(tmp_path, "a.geojson", top(features=[{}] * 200_001))
    with pytest.raises(ReadError, match="200,001"):
        read_geojson_set(tmp_path)


def test_a_folder_without_geojson_is_refused(tmp_path):
    with pytest.raises(ReadError, match="no GeoJSON"):
        read_geojson_set(tmp_path)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "coordinates", "name"]), inner, max_size=3)
    ),
)


@given(ANYTHING, st.sampled_from(["type", "id", "geometry", "properties"]))
def test_anything_in_a_feature_is_read_or_refused(value, key):
    with tempfile.TemporaryDirectory() as folder:
        root = put(Path(folder), "a.geojson", top(features=[feature(**{key: value})]))
        with contextlib.suppress(ReadError):
            read_geojson_set(root)
