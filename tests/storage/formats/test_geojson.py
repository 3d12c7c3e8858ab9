"""GeoJSON: valid closed polygons in (x, y), as QuPath reads them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.storage.formats.geojson import feature_collection, write_geojson

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
    assert json.loads(path.read_text()) == {"type": "FeatureCollection", "fov": "a.png", "features": []}
    write_geojson(path, [collection(), collection(fov="é.png")])
    assert [one["fov"] for one in json.loads(path.read_text(encoding="utf-8"))] == ["a.png", "é.png"]


def test_a_box_is_a_closed_polygon_in_x_and_y():
    (feature,) = collection(cell(BBox(1, 2, 5, 9)))["features"]
    assert feature["type"] == "Feature"
    assert feature["id"] == "id"
    assert feature["geometry"]["coordinates"] == [[[2, 1], [9, 1], [9, 5], [2, 5], [2, 1]]]


def test_an_outline_keeps_its_vertices():
    outline = Outline.from_array([(0, 5), (10, 5.123), (7, 20)])
    (feature,) = collection(cell(outline=outline))["features"]
    assert ring(feature) == [[5, 0], [5.12, 10], [20, 7], [5, 0]]


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
    assert shapely.geometry.shape(feature["geometry"]).area == max(shapely.area(shapely.get_parts(whole)))


def test_a_cell_has_its_label_colour_and_measurements():
    prediction = Prediction(EIGHT_CLASSES.names, (0.25, 0.75, *np.zeros(6)))
    (feature,) = collection(cell(BBox(0, 0, 5, 5)).predicted(prediction))["features"]
    properties = feature["properties"]
    assert properties["objectType"] == "annotation"
    assert properties["classification"] == {"name": "eosinophil", "color": [0xE6, 0x9F, 0x00]}
    assert properties["label_source"] == "prediction"
    assert properties["measurements"]["confidence"] == 0.75
    assert properties["measurements"]["p neutrophil"] == 0.25


@pytest.mark.parametrize("label", ["unidentified", "something else"])
def test_any_label_has_a_colour(label):
    (feature,) = collection(cell(BBox(0, 0, 5, 5)).annotated(Annotation(label)))["features"]
    assert feature["properties"]["classification"] == {"name": label, "color": [255, 255, 255]}
    assert list(feature["properties"]["measurements"]) == ["detection score"]
