"""Regions of a slide that a person drew, as GeoJSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import shape

from napari_wbc.errors import ReadError
from napari_wbc.files.guard import read_json
from napari_wbc.model.words import printable

_PLANAR = ("Polygon", "MultiPolygon")
MAX_NAME = 60
"""Characters of the name of a region."""


def read_regions(path: Path) -> dict[str, shapely.Geometry]:
    """The polygons of a GeoJSON file by name, in (x, y) pixels, as QuPath writes them.

    Those of one name are one region; those without a name are numbered.

    Raises
    ------
    ReadError
        If the file cannot be read or holds no polygon with an area.
    """
    try:
        regions: dict[str, list[shapely.Geometry]] = {}
        for name, one in _geometries(read_json(path, foreign=True)):
            if one.get("type") in _PLANAR:
                area = shapely.make_valid(shape(one))
                regions.setdefault(name or f"region {len(regions) + 1}", []).append(area)
        areas: dict[str, shapely.Geometry] = {}
        areas |= {name: shapely.union_all(parts) for name, parts in regions.items()}
    except (AttributeError, KeyError, TypeError, ValueError, shapely.GEOSException) as error:
        raise ReadError(f"{path}: not readable GeoJSON of polygons; export it again.") from error
    if not any(shapely.area(area) > 0 for area in areas.values()):
        raise ReadError(f"{path}: holds no polygon; draw the region and export it again.")
    return areas


def _geometries(data: Any) -> list[tuple[str, Any]]:
    """Names and geometries of a geometry, feature, collection of features, or list of these."""
    if isinstance(data, list):
        parts = [_geometries(one) for one in data]
        return [geometry for part in parts for geometry in part]
    if data.get("type") == "FeatureCollection":
        return _geometries(data["features"])
    if data.get("type") != "Feature":
        return [("", data)]
    # QuPath names what a person named, and else what a person classified.
    said = data.get("properties") or {}
    name = said.get("name") or (said.get("classification") or {}).get("name") or ""
    return [(" ".join(printable(str(name)).split())[:MAX_NAME], data["geometry"])]
