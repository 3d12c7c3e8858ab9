"""Training sets as YOLO: one text file an image, one line a cell, in parts of the image's size.

A box is ``class cx cy width height``, an outline ``class x1 y1 x2 y2 ...``. YOLO has no ids of
cells; ours stand in ``cells.csv`` and come back while lines and labels still agree with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import write_text
from napari_wbc.files.guard import image_size, inside, read_text, read_yaml
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import SPLITS
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.csv_set import read_table
from napari_wbc.storage.formats.reading import (
    check_count,
    check_fields,
    labelled_cell,
    naming,
    number,
    visible_images,
    whole_set,
)
from napari_wbc.storage.tables import write_rows

ID_COLUMNS = ("image", "line", "cell_id", "label")
MAX_BYTES = 20_000_000
MAX_YAML = 1_000_000
MAX_LINES = 20_000

Ids = dict[str, tuple[str, str]]
"""Line -> id and label, of one image."""


def image_place(field: LabelledField) -> str:
    """Where the image of a field belongs, relative to the set."""
    return f"images/{field.split}/{field.name}"


def write_yolo_steps(
    root: Path, fields: Sequence[LabelledField], classes: Sequence[str]
) -> Steps[None]:
    """Write ``data.yaml``, ``labels/SPLIT/STEM.txt`` and ``cells.csv``.

    Raises
    ------
    WbcError
        Also if two images of a split differ in their suffix only.
    """
    check_fields(fields, classes)
    places: list[str] = []
    for field in fields:
        label = PurePosixPath("labels", field.split, field.name).with_suffix(".txt")
        places.append(label.as_posix())
    _check_once(places)
    # Ultralytics refuses a file without train or val; a test split is there only if it has fields.
    head: dict[str, object] = {"train": "images/train", "val": "images/val"}
    for field in fields:
        head[field.split] = f"images/{field.split}"
    head |= {"nc": len(classes), "names": list(classes)}
    write_text(root / "data.yaml", yaml.safe_dump(head, sort_keys=False, allow_unicode=True))
    rows: list[list[object]] = []
    for done, (field, place) in enumerate(zip(fields, places, strict=True), start=1):
        text = ""
        for line, cell in enumerate(field.cells, start=1):
            text += f"{classes.index(cell.label)} {_position(field, cell)}\n"
            rows.append([image_place(field), line, cell.cell_id, cell.label])
        write_text(root / place, text)
        yield Progress("writing labels", done, len(fields))
    write_rows(root / "cells.csv", ID_COLUMNS, rows)


def _check_once(names: Sequence[str]) -> None:
    seen = set[str]()
    for name in names:
        if name.casefold() in seen:
            raise WbcError(f"two images would share {name}; rename one.")
        seen.add(name.casefold())


def _position(field: LabelledField, cell: Cell) -> str:
    box = cell.detection.bbox
    outline = cell.detection.outline
    # Pairs of x and y: vertices, or the centre and the size.
    pairs = np.array([box.center, (box.height, box.width)]) if outline is None else outline.array()
    values = pairs[:, ::-1] / (field.width, field.height)
    return " ".join(map("{:.12g}".format, values.ravel()))


def read_yolo_steps(root: Path) -> Steps[tuple[LabelledField, ...]]:
    """Read a YOLO set of boxes and segments, ours or somebody else's.

    Classes are those of ``data.yaml``, of the only YAML file, or of ``classes.txt``. Images and
    labels lie where the YAML says, if that is inside the set; or in ``images/SPLIT`` and
    ``labels/SPLIT``; or in ``SPLIT/images`` and ``SPLIT/labels``; or in ``images`` and ``labels``
    and folders of these; or side by side. An image without a label file shows no cell.
    """
    fields = []
    with naming(root):
        head = _head(root)
        classes = _classes(root, head)
        ids = _ids(root)
        for split, images, labels in _folders(root, head):
            for image, label in _pairs(root, images, labels):
                name = image.name
                size = image_size(image)
                listed = ids.get(image.relative_to(root).as_posix(), {})
                cells = _cells(label, name, size, classes, listed)
                fields.append(LabelledField(name, image, *size, split, cells, fov_id=name))
                yield Progress("reading the set", len(fields), 0)
    return whole_set(root, fields)


def _head(root: Path) -> dict[object, object]:
    """What the YAML file says; nothing where there is none."""
    paths = list(filter(Path.is_file, (root / "data.yaml", root / "dataset.yaml")))
    if not paths:
        paths = sorted((*root.glob("*.yaml"), *root.glob("*.yml")))
        if not paths:
            return {}
        if len(paths) > 1:
            raise WbcError(f"{len(paths)} YAML files and no data.yaml; give one this name.")
    path = inside(root, paths[0].name)
    head = read_yaml(path, max_bytes=MAX_YAML)
    if not isinstance(head, dict) or "names" not in head:
        raise ReadError(f"{path}: says no names of classes; add 'names'.")
    return head


def _classes(root: Path, head: dict[object, object]) -> tuple[str, ...]:
    if not head:
        for place in ("classes.txt", "labels/classes.txt"):
            if (root / place).is_file():
                return tuple(read_text(inside(root, place), max_bytes=MAX_YAML).splitlines())
        raise WbcError("neither data.yaml nor classes.txt; choose the folder that holds one.")
    names = head["names"]
    if isinstance(names, dict):
        # YAML reads the numbers of classes as numbers, or as texts where they are quoted.
        by_index = dict(zip(map(str, names), names.values(), strict=True))
        names = list(map(by_index.get, map(str, range(len(names)))))
    if not isinstance(names, list) or not set(map(type, names)) <= {str, int}:
        raise WbcError(
            "the YAML's 'names' is no list of names, nor 0: name, 1: name and so on; correct it."
        )
    return tuple(map(str, names))


def _folders(root: Path, head: dict[object, object]) -> list[tuple[str, str, str]]:
    """Splits with their folders of images and of labels."""
    folders: dict[str, str] = {}
    for split in SPLITS:
        names = (split, "valid") if split == "val" else (split,)
        places: list[str] = []
        for name in names:
            places += _folder_of_yaml(root, head.get(name))
        for name in names:
            places += [f"images/{name}", f"{name}/images", name]
        for place in places:
            if (root / place).is_dir():
                # Some sets give the training images as validation too.
                folders.setdefault(place, split)
                break
    if not folders:
        folders["images" if (root / "images").is_dir() else "."] = "train"
        for path in sorted(filter(Path.is_dir, root.glob("images/*"))):
            folders[f"images/{path.name}"] = "train"
    return [(split, place, _labels(root, place)) for place, split in folders.items()]


def _folder_of_yaml(root: Path, place: object) -> list[str]:
    """The folder that the YAML names, if it is inside the set."""
    if not isinstance(place, str):
        return []
    # Roboflow's names are relative to a folder that is not there.
    name = place.removeprefix("../").removeprefix("./").rstrip("/")
    try:
        inside(root, name)
    except WbcError:
        return []
    return [name]


def _labels(root: Path, images: str) -> str:
    """Folder of labels: that of the images, its last ``images`` as ``labels``, if there is one."""
    parts = images.split("/")
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        place = "/".join([*parts[:last], "labels", *parts[last + 1 :]])
        if (root / place).is_dir():
            return place
    return images


def _pairs(root: Path, images: str, labels: str) -> Iterator[tuple[Path, Path]]:
    pairs: dict[str, Path] = {}
    for file in visible_images(inside(root, images).iterdir()):
        pairs[file.name] = inside(root, f"{labels}/{file.stem}.txt")
    _check_once([f"{labels}/{label.name}" for label in pairs.values()])
    if labels != images:
        # labelImg writes classes.txt among the labels.
        expected = {*pairs.values(), root / labels / "classes.txt"}
        for file in sorted(inside(root, labels).glob("*.txt")):
            if file not in expected:
                raise ReadError(f"{file}: has no image in {images}; add it, or remove the file.")
    for name, label in pairs.items():
        yield inside(root, f"{images}/{name}"), label


def _ids(root: Path) -> dict[str, Ids]:
    """Our ids by image; none if somebody else's ``cells.csv`` is there."""
    path = root / "cells.csv"
    if not path.is_file():
        return {}
    ids: dict[str, Ids] = {}
    for row in read_table(inside(root, path.name), ()):
        # The reader's name of the column "image".
        if not {"path", "line", "cell_id", "label"} <= row.keys():
            return {}
        ids.setdefault(row["path"], {})[row["line"]] = (row["cell_id"], row["label"])
    return ids


def _cells(
    label: Path, fov: str, size: tuple[int, int], classes: Sequence[str], listed: Ids
) -> tuple[Cell, ...]:
    lines = read_text(label, max_bytes=MAX_BYTES).splitlines() if label.exists() else []
    with naming(label):
        check_count(lines, MAX_LINES, "lines")
    cells: list[Cell] = []
    for line, values in enumerate(map(str.split, lines), start=1):
        if values:
            with naming(f"{label}, line {line}"):
                name = _class(values[0], classes)
                cells.append(labelled_cell("", fov, name, _detection(values[1:], size), size))
    # Where another tool took out, added or sorted lines, a line's id would be another cell's.
    named: list[Cell] = []
    for line, cell in enumerate(cells, start=1):
        cell_id, name = listed.get(str(line), ("", ""))
        if name != cell.label or len(cells) != len(listed):
            return tuple(cells)
        named.append(replace(cell, cell_id=cell_id or cell.cell_id))
    return tuple(named)


def _class(text: str, classes: Sequence[str]) -> str:
    # Python takes digits of any script for a number.
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < len(classes)):
        raise WbcError(
            f"{text[:40]!r} is no number of a class, 0 to {len(classes) - 1}; correct it."
        )
    return classes[int(text)]


def _detection(texts: Sequence[str], size: tuple[int, int]) -> Detection:
    """From ``cx cy width height`` or from ``x y`` of each vertex, in parts of the image's size."""
    values = list(map(number, texts))
    # A cell at the edge may reach over it.
    if values and not -0.5 <= min(values) <= max(values) <= 1.5:
        raise WbcError("a number is not within -0.5 to 1.5; write parts of the image's size.")
    if len(values) < 4 or len(values) % 2:
        raise WbcError(
            f"{len(values)} numbers are neither a box (4) nor an outline (6, 8, ...); correct it."
        )
    height, width = size
    if len(values) == 4:
        x, y, w, h = values
        top = (y - h / 2) * height
        left = (x - w / 2) * width
        return Detection(BBox(top, left, (y + h / 2) * height, (x + w / 2) * width))
    vertices = np.reshape(values, (-1, 2))[:, ::-1] * size
    outline = Outline.from_array(vertices)
    return Detection(outline.bbox, outline)
