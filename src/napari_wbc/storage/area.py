"""A region of a slide that a person drew, as GeoJSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import shape

from napari_wbc.errors import ReadError
from napari_wbc.files.guard import read_json

_PLANAR = ("Polygon", "MultiPolygon")


def read_area(path: Path) -> shapely.Geometry:
    """The polygons of a GeoJSON file together, in (x, y) pixels, as QuPath writes them.

    Raises
    ------
    ReadError
        If the file cannot be read or holds no polygon with an area.
    """
    try:
        geometries = _geometries(read_json(path, foreign=True))
        planar = [one for one in geometries if one.get("type") in _PLANAR]
        area = shapely.union_all([shapely.make_valid(shape(one)) for one in planar])
    except (AttributeError, KeyError, TypeError, ValueError, shapely.GEOSException) as error:
        raise ReadError(f"{path}: not readable GeoJSON of polygons; export it again.") from error
    if not area.area > 0:
        raise ReadError(f"{path}: holds no polygon; draw the region and export it again.")
    return area


def _geometries(data: Any) -> list[Any]:
    """The geometries of a geometry, feature, collection of features, or list of these."""
    if isinstance(data, list):
        parts = [_geometries(one) for one in data]
        return [geometry for part in parts for geometry in part]
    if data.get("type") == "FeatureCollection":
        return _geometries(data["features"])
    return [data["geometry"] if data.get("type") == "Feature" else data]
