"""A region that a person drew, from GeoJSON."""

from __future__ import annotations

import json

import pytest
import shapely

from napari_wbc.errors import ReadError
from napari_wbc.storage.area import read_regions

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]}
FAR = {"type": "MultiPolygon", "coordinates": [[[[20, 0], [30, 0], [20, 10], [20, 0]]]]}


def feature(geometry):
    return {"type": "Feature", "geometry": geometry, "properties": {}}


@pytest.mark.parametrize(
    ("data", "area"),
    [
        (SQUARE, 100),
        (feature(SQUARE), 100),
        ([feature(SQUARE), feature(FAR)], 150),
        ({"type": "FeatureCollection", "features": [feature(SQUARE), feature(SQUARE)]}, 100),
        ([SQUARE, {"type": "Point", "coordinates": [1, 1]}], 100),
    ],
)
def test_polygons_are_taken_together(tmp_path, data, area):
    path = tmp_path / "region.geojson"
    path.write_text(json.dumps(data))
    assert shapely.union_all(list(read_regions(path).values())).area == area


def test_regions_have_the_names_that_people_gave_them(tmp_path):
    named = {**feature(SQUARE), "properties": {"name": "edge\n" + "x" * 90}}
    classed = {**feature(FAR), "properties": {"classification": {"name": "thick"}}}
    twice = {**feature(SQUARE), "properties": {"classification": {"name": "thick"}}}
    path = tmp_path / "region.geojson"
    path.write_text(json.dumps([named, classed, twice, feature(SQUARE), FAR]))
    regions = read_regions(path)
    first, *others = regions
    assert first.startswith("edge")
    assert first.isprintable()
    assert len(first) == 60
    assert others == ["thick", "region 3", "region 4"]
    assert [area.area for area in regions.values()] == [100, 150, 100, 50]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "{}",
        '{"type": "Point", "coordinates": [1, 1]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1]]]}',
        '{"type": "Polygon"}',
        '{"type": "Feature"}',
        '[{"type": "Polygon", "coordinates": [[[0, 0], [0, 0], [0, 0], [0, 0]]]}]',
    ],
)
def test_what_is_no_region_is_refused(tmp_path, text):
    path = tmp_path / "region.geojson"
    path.write_text(text)
    with pytest.raises(ReadError, match=r"region\.geojson"):
        read_regions(path)
