"""Reading labelme's JSON, one file an image, with polygons, rectangles, circles and masks.

Points are (x, y) in pixels of the image, the upper left corner of the upper left pixel being
(0, 0). Shapes with one label and one ``group_id`` are parts of one cell.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import inside, read_json
from napari_wbc.files.json_fields import Record, items, numbers, part
from napari_wbc.files.visible import visible, with_suffix
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.drawn import Drawing, Shape, drawn_fields_steps
from napari_wbc.storage.formats.images import Images
from napari_wbc.storage.formats.json_kinds import LABELME, json_kind
from napari_wbc.storage.formats.left_out import LeftOut
from napari_wbc.storage.formats.reading import area_of, ellipse_ring, outline_of

BOXES = ("rectangle", "rotation", "oriented_rectangle", "mask")
"""Shapes of which the box around their points is read."""


def read_labelme_steps(root: Path, named: Path | None = None) -> Steps[tuple[LabelledField, ...]]:
    """Read a set of labelme.

    The JSON files lie anywhere in the folder. The image of one has its name, or is the one that
    ``imagePath`` says. The split is that of the folder, or else ``train``.

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
    for path in [named] if named else with_suffix(visible(root, "**/*"), ".json"):
        with left_out.item(path):
            data = read_json(inside(root, path.relative_to(root).as_posix()), foreign=True)
            # The image that labelme puts into the file, too, is not kept: many would fill memory.
            if json_kind(data) == LABELME:
                drawings.append(_drawing(images, path, data))
        yield Progress("reading the set", 0, len(drawings))
    if not drawings and not left_out.count:
        raise ReadError(f"{root}: no JSON file of labelme; choose the folder that holds them.")
    return (yield from drawn_fields_steps(root, drawings, _shape, left_out))


def _drawing(images: Images, path: Path, data: Record) -> Drawing:
    folders = (path.parent.relative_to(images.root).as_posix(), ".", "images")
    image = images.find_of(folders, path, part(data, "imagePath", str, ""))
    shapes = _grouped(part(data, "shapes", list))
    size = (data.get("imageHeight"), data.get("imageWidth"))
    return Drawing(path, image, str(path), shapes, size)


def _grouped(shapes: list[Any]) -> list[Record]:
    """The shapes of each cell."""
    cells: dict[object, Record] = {}
    for i, shape in enumerate(shapes):
        group = shape.get("group_id") if isinstance(shape, dict) else None
        key = i if group is None else (str(group), str(shape.get("label")))
        cells.setdefault(key, {"parts": []})["parts"].append(shape)
    return list(cells.values())


def _shape(cell: Record, _size: tuple[int, int]) -> Shape:
    parts = items(cell, "parts")
    ring, largest = max(zip(map(_ring, parts), parts, strict=True), key=lambda one: area_of(one[0]))
    label = part(largest, "label", str)
    if _kind(largest) in BOXES:
        return label, Detection(BBox.around(ring[:, ::-1])), ""
    outline = outline_of([ring])
    return label, Detection(outline.bbox, outline), ""


def _kind(shape: Record) -> str:
    # The first versions had polygons only, and no word for them.
    return str(shape.get("shape_type") or "polygon")


def _ring(shape: Record) -> npt.NDArray[np.float64]:
    """The points around a shape, shape (N, 2), (x, y)."""
    kind = _kind(shape)
    points = np.array([_point(point) for point in part(shape, "points", list)], dtype=float)
    if kind == "circle" and len(points) == 2:
        center, edge = points.tolist()
        radius = math.dist(center, edge)
        return ellipse_ring((center[0], center[1]), (radius, radius))
    if kind in BOXES and len(points) >= 2:
        # Of a mask the points are its first and last pixel.
        right, bottom = points.max(axis=0) + (kind == "mask")
        left, top = points.min(axis=0)
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if kind == "polygon" and len(points) >= 3:
        return points
    raise WbcError(
        f"its shape is a {kind[:40]} of {len(points)} points; draw a polygon, rectangle or circle "
        "in labelme, or take it out."
    )


def _point(point: object) -> list[float]:
    position = numbers(point, "a point")
    if len(position) != 2:
        raise WbcError("a point is not x and y; correct it.")
    return position
