"""Outlines as GeoJSON, as QuPath reads it.

One FeatureCollection a field; several fields make an array of them. Coordinates are (x, y) in
pixels of the field, the upper left corner of the upper left pixel being (0, 0), which is
QuPath's convention and that of :class:`~napari_wbc.model.geometry.BBox`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import shapely

from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.storage.atomic import write_text

__all__ = ["feature_collection", "write_geojson"]


def feature_collection(fov_id: str, cells: Iterable[Cell], taxonomy: Taxonomy) -> dict[str, Any]:
    """The cells of one field as a FeatureCollection.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import EIGHT_CLASSES
    >>> feature_collection("a.png", [], EIGHT_CLASSES)
    {'type': 'FeatureCollection', 'fov': 'a.png', 'features': []}
    """
    return {
        "type": "FeatureCollection",
        "fov": fov_id,
        "features": [_feature(cell, taxonomy) for cell in cells],
    }


def _feature(cell: Cell, taxonomy: Taxonomy) -> dict[str, Any]:
    color = taxonomy.colors.get(cell.label, "#ffffff")
    measurements = {"detection score": round(cell.detection.score, 4)}
    if cell.prediction:
        measurements["confidence"] = round(cell.prediction.confidence, 6)
        for name, p in zip(cell.prediction.names, cell.prediction.probabilities, strict=True):
            measurements[f"p {name}"] = round(p, 6)
    return {
        "type": "Feature",
        "id": cell.cell_id,
        "geometry": shapely.geometry.mapping(_polygon(cell.detection)),
        "properties": {
            "objectType": "annotation",
            "classification": {
                "name": cell.label,
                "color": [int(color[i : i + 2], 16) for i in (1, 3, 5)],
            },
            "label_source": cell.label_source,
            "measurements": measurements,
        },
    }


def _polygon(detection: Detection) -> shapely.Polygon:
    """The outline in (x, y), or the largest valid part of one that crosses itself, or else the box."""
    box = shapely.Polygon(detection.bbox.corners()[:, ::-1].round(2))
    if detection.outline is None:
        return box
    polygon = shapely.Polygon(detection.outline.array()[:, ::-1].round(2))
    if polygon.is_valid:
        return polygon
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(polygon)))
    return max((part for part in parts if part.geom_type == "Polygon"), key=shapely.area, default=box)


def write_geojson(path: Path, collections: Sequence[dict[str, Any]]) -> None:
    """Write one FeatureCollection as itself, several as an array."""
    content = collections[0] if len(collections) == 1 else list(collections)
    write_text(path, json.dumps(content, ensure_ascii=False) + "\n")
