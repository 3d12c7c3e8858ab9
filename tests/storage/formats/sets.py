"""Small sets as other programs write them, for the tests of what people have."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

WIDTH = 60
HEIGHT = 40
LINE = "0 0.2 0.15 0.333333333333 0.25\n"
"""Of YOLO: the box from (1, 2) to (11, 22) in an image of 60 x 40."""
BOX = (1, 2, 11, 22)


def image(root: Path, place: str = "a.png", color: int = 120) -> Path:
    """An image of 60 x 40 in a set."""
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (color, 10, 40)).save(path, "PNG")
    return path


def put(root: Path, place: str, content: str | bytes = "") -> Path:
    """A file of a set."""
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def coco(images=None, annotations=None, categories=None) -> str:
    """A COCO file of one image with one cell, but for what is given."""
    one = {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}
    cell = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [2, 1, 20, 10]}
    content = {
        "images": [one] if images is None else images,
        "annotations": [cell] if annotations is None else annotations,
        "categories": categories or [{"id": 3, "name": "monocyte"}],
    }
    return json.dumps(content)


def cell(number: int = 1, **more: object) -> dict[str, object]:
    """An annotation of COCO."""
    usual = {"id": number, "image_id": 1, "category_id": 3, "bbox": [2, 1, 20, 10]}
    return usual | more


def voc(filename: str = "<filename>a.png</filename>", size: str = "", objects: str = "") -> str:
    """An XML file of Pascal VOC with one cell, and more."""
    size = size or f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    return f"<annotation>{filename}{size}{voc_object()}{objects}</annotation>"


def voc_object(xmin: int = 3, xmax: int = 22, name: str = "monocyte") -> str:
    """A cell of Pascal VOC."""
    box = f"<xmin>{xmin}</xmin><ymin>2</ymin><xmax>{xmax}</xmax><ymax>11</ymax>"
    return f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"


def feature(points, label: str | None = "monocyte", kind: str = "Polygon", **more: object):
    """A feature of QuPath: a polygon of x and y, or another geometry."""
    coordinates = [points] if kind == "Polygon" else points
    properties = {"objectType": "annotation", **more}
    if label:
        properties["classification"] = {"name": label}
    geometry = {"type": kind, "coordinates": coordinates}
    return {
        "type": "Feature",
        "id": "PathAnnotationObject",
        "geometry": geometry,
        "properties": properties,
    }


def labelme(shapes=None, image_path="a.png", **more: object) -> str:
    """A file of labelme of one image with one cell, but for what is given."""
    shapes = [shape()] if shapes is None else shapes
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image_path}
    return json.dumps(content | {"imageData": None} | size | more)


def shape(points=((2, 1), (22, 11)), kind="rectangle", label="monocyte", **more: object):
    """A shape of labelme."""
    usual = {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}}
    return usual | more


def label_studio(regions=None, image="/data/upload/4/3f2a1b9c-a.png") -> str:
    """An export of Label Studio of one image with one cell, but for what is given."""
    regions = [region()] if regions is None else regions
    annotation = {"id": 7, "was_cancelled": False, "ground_truth": False, "result": regions}
    return json.dumps([{"id": 1, "data": {"image": image}, "annotations": [annotation]}])


def region(label: str | None = "monocyte", kind="rectanglelabels", **more: object):
    """A region of Label Studio: the box from (1, 2) to (11, 22), in percent, and more."""
    box = {"x": 100 * 2 / WIDTH, "y": 2.5, "width": 100 * 20 / WIDTH, "height": 25, "rotation": 0}
    value = more.pop("value", box)
    if label:
        value = {**value, kind: [label]}
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    names = {"from_name": "label", "to_name": "image", "type": kind, "origin": "manual"}
    return {**size, **names, "value": value, **more}


SQUARE = [[2, 1], [22, 1], [22, 11], [2, 11], [2, 1]]


def boxes(fields) -> list[tuple[float, ...]]:
    """The boxes of all cells, rounded to a thousandth, in the order of the fields' names."""
    found = []
    for field in sorted(fields, key=lambda field: field.name):
        found += [tuple(round(edge, 3) for edge in c.detection.bbox.edges) for c in field.cells]
    return found


def litter(root):
    """What systems and people leave beside a set."""
    for folder in [root, *filter(lambda path: path.is_dir(), root.rglob("*"))]:
        for name in ("._a.txt", "._a.json", "._a.xml", "._a.png", "._a.geojson", "._data.yaml"):
            put(folder, name, b"\0\5\26\7")
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            put(folder, name, b"\0\1\xff")
        put(folder, "README.txt", "Read me.\nThis is no label 1 2 3.\n")
    put(root, "__MACOSX/._x.json", b"\0\5\26\7")
    put(root, "notes.json", '{"note": "not a set"}')
    put(root, "LICENSE.md", "# free\n")
