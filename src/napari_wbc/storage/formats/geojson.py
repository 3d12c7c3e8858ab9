"""Outlines and training sets as GeoJSON, as QuPath reads and writes it.

One FeatureCollection a field; several fields make an array of them. Coordinates are (x, y) in
pixels of the field, the upper left corner of the upper left pixel being (0, 0), which is QuPath's
convention and that of :class:`~napari_wbc.model.geometry.BBox`. A cell without an outline is the
polygon of its box, with ``"shape": "box"`` among its properties.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import make_folder, within, write_text
from napari_wbc.files.guard import inside, read_json
from napari_wbc.files.json_fields import Record, is_nan, numbers, part, texts
from napari_wbc.files.visible import visible, with_suffix
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.model.taxonomy_dict import taxonomy_of_names
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.drawn import Drawing, Shape, drawn_fields_steps
from napari_wbc.storage.formats.images import Images
from napari_wbc.storage.formats.json_kinds import GEOJSON, of_kind
from napari_wbc.storage.formats.left_out import LeftOut
from napari_wbc.storage.formats.reading import (
    check_fields,
    image_place,
    outline_of,
    told_id,
)

DIGITS = 4
"""Of a coordinate; two would change the area of a platelet by more than a thousandth."""
SCORE = "detection score"


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
    color = taxonomy.colors.get(taxonomy.row_of(cell.label), "#ffffff")
    measurements = {SCORE: round(cell.detection.score, 4)}
    if cell.prediction:
        measurements["confidence"] = round(cell.prediction.confidence, 6)
        for name, p in zip(cell.prediction.names, cell.prediction.probabilities, strict=True):
            measurements[f"p {name}"] = round(p, 6)
    properties = {
        "objectType": "annotation",
        "classification": {"name": cell.label, "color": list(bytes.fromhex(color[1:]))},
        "label_source": cell.label_source,
        "measurements": measurements,
    }
    if cell.detection.outline is None:
        properties["shape"] = "box"
    geometry = shapely.geometry.mapping(_polygon(cell.detection))
    return {
        "type": "Feature",
        "id": cell.cell_id,
        "geometry": geometry,
        "properties": properties,
    }


def _polygon(detection: Detection) -> shapely.Polygon:
    """The outline in (x, y), the largest valid part of one that crosses itself, or the box."""
    box = shapely.Polygon(detection.bbox.corners()[:, ::-1].round(DIGITS))
    if detection.outline is None:
        return box
    polygon = shapely.Polygon(detection.outline.array()[:, ::-1].round(DIGITS))
    if polygon.is_valid:
        return polygon
    # The other method takes minutes for some hundred vertices.
    valid = shapely.make_valid(polygon, method="structure", keep_collapsed=False)
    polygons = [part for part in shapely.get_parts(valid) if part.area]
    return max(polygons, key=shapely.area, default=box)


def write_geojson(path: Path, collections: Sequence[dict[str, Any]]) -> None:
    """Write one FeatureCollection as itself, several as an array."""
    content = collections[0] if len(collections) == 1 else list(collections)
    write_text(path, json.dumps(content, ensure_ascii=False) + "\n")


def write_geojson_set_steps(
    root: Path, fields: Sequence[LabelledField], classes: Sequence[str]
) -> Steps[None]:
    """Write ``geojson/NAME.geojson``, one a field."""
    check_fields(fields, classes)
    taxonomy = taxonomy_of_names("training set", classes) if classes else EIGHT_CLASSES
    make_folder(root / "geojson")
    for done, field in enumerate(fields, start=1):
        yield Progress("writing labels", done, len(fields))
        collection = feature_collection(field.fov_id or field.name, field.cells, taxonomy) | {
            "image": image_place(field),
            "height": field.height,
            "width": field.width,
            "split": field.split,
            "slide": field.slide,
        }
        write_geojson(within(root / "geojson", f"{field.name}.geojson"), [collection])


def read_geojson_set_steps(
    root: Path, named: Path | None = None
) -> Steps[tuple[LabelledField, ...]]:
    """Read a set of GeoJSON files, ours or QuPath's.

    The files lie in ``geojson``, or anywhere in the folder. Each is a FeatureCollection, a Feature
    or an array of either. Its image is the one that it names (``image`` or ``fov``), or has its
    stem. Features without a class are left out, with a note; of several polygons the largest is the
    outline.

    Parameters
    ----------
    root : Path
        Folder of the set.
    named : Path, optional
        The one file that is read; all of the set where None.
    """
    root = Path(root)
    left_out = LeftOut()
    images = Images(root)
    drawings: list[Drawing] = []
    for path in _files(root, named):
        with left_out.item(path):
            data = read_json(inside(root, path.relative_to(root).as_posix()), foreign=True)
            for record in _collections(data):
                with left_out.item(path):
                    drawings.append(_drawing(images, path, record))
        yield Progress("reading the set", 0, len(drawings))
    return (yield from drawn_fields_steps(root, drawings, _shape, left_out, what="feature"))


def _files(root: Path, named: Path | None) -> list[Path]:
    """The GeoJSON files of a set; those with the suffix .json where no other is there."""
    if named is not None:
        return [named]
    folder = root / "geojson"
    paths = visible(folder, "*.geojson") or visible(root, "**/*.geojson")
    if not paths and not folder.is_dir():
        jsons = with_suffix(visible(root, "*", "*/*"), ".json")
        paths = list(of_kind(jsons, GEOJSON, None, LeftOut()))
    if not paths and not folder.is_dir():
        raise ReadError(f"{root}: no GeoJSON file; choose the folder that holds them.")
    return paths


def _collections(data: object) -> list[Record]:
    """A collection of features for each field."""
    records: list[Any] = data if isinstance(data, list) else [data]
    kinds = {part(record, "type", str) for record in records}
    if kinds == {"FeatureCollection"}:
        return records
    # QuPath exports the objects of one image as a bare array.
    if kinds <= {"Feature"}:
        return [{"features": records}]
    raise WbcError(
        "this is neither a Feature, a FeatureCollection nor an array of either; export it again."
    )


def _drawing(images: Images, path: Path, collection: Record) -> Drawing:
    fov = part(collection, "fov", str, "")
    name = part(collection, "image", str, "") or fov or path.stem
    folders = (path.parent.relative_to(images.root).as_posix(), ".", "images")
    return Drawing(
        path,
        images.find(folders, name),
        str(path),
        part(collection, "features", list),
        (collection.get("height"), collection.get("width")),
        part(collection, "split", str, ""),
        part(collection, "slide", str, ""),
        fov,
    )


def _shape(feature: Record, _size: tuple[int, int]) -> Shape:
    # GeoJSON allows null in place of the properties.
    absent = feature.get("properties") is None
    properties = {} if absent else part(feature, "properties", dict)
    label = _label(properties)
    if not label:
        raise WbcError("it has no class; give it one in QuPath, or take it out.")
    return label, _detection(feature, properties), told_id(feature)


def _label(properties: Record) -> str:
    """The class of a feature; empty where it has none."""
    label = properties.get("classification")
    if isinstance(label, dict):
        # QuPath writes a class derived of others as the list of their names.
        return ": ".join(texts(label, "names")) if "names" in label else part(label, "name", str)
    for name in (label, properties.get("name")):
        if name is not None:
            if not isinstance(name, str):
                raise WbcError("the classification is neither a text nor an object; correct it.")
            return name
    return ""


def _detection(feature: Record, properties: Record) -> Detection:
    geometry = part(feature, "geometry", dict)
    kind = part(geometry, "type", str)
    if kind not in ("Polygon", "MultiPolygon"):
        raise WbcError(f"its geometry is a {kind[:40]}; make it a polygon, or take its class away.")
    polygons = part(geometry, "coordinates", list)
    polygons = [polygons] if kind == "Polygon" else polygons
    outer: list[npt.NDArray[np.float64]] = []
    for rings in polygons:
        if not isinstance(rings, list) or not rings:
            raise WbcError("a polygon has no ring of coordinates; correct it.")
        # The first ring is the outline, the others are holes, which a cell does not have.
        outer.append(_ring(rings[0]))
    outline = outline_of(outer)
    measured = properties.get("measurements")
    score = measured.get(SCORE) if isinstance(measured, dict) else None
    # QuPath writes NaN for what it could not measure.
    score = 1.0 if score is None or is_nan(score) else score
    box = properties.get("shape") == "box"
    return Detection(outline.bbox, None if box else outline, numbers([score], SCORE)[0])


def _ring(points: object) -> npt.NDArray[np.float64]:
    if not isinstance(points, list):
        raise WbcError("a ring is no list of positions; correct it.")
    ring: list[list[float]] = []
    for point in points:
        position = numbers(point, "a position")
        if not 2 <= len(position) <= 3:
            raise WbcError("a position is not x and y; correct it.")
        # A third number is a height or a plane of the image.
        ring.append(position[:2])
    return np.reshape(ring, (-1, 2))
