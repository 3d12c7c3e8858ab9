"""Training sets as YOLO: one text file an image, one line a cell, in parts of the image's size.

A box is ``class cx cy width height``, an outline ``class x1 y1 x2 y2 ...``. Beside an outline a box
is written as its four corners, since Ultralytics takes every line of such a file for an outline.
YOLO has no ids of cells; ours stand in ``cells.csv`` and come back while lines and labels still
agree with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import write_text
from napari_wbc.files.guard import image_size, inside, read_text
from napari_wbc.files.json_fields import number
from napari_wbc.files.visible import visible, with_suffix
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import MAX_VERTICES, BBox, Outline
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import SPLITS
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.csv_set import read_table
from napari_wbc.storage.formats.images import Images, folded_name
from napari_wbc.storage.formats.left_out import LeftOut, WholeSetError
from napari_wbc.storage.formats.reading import (
    check_count,
    check_fields,
    finished_steps,
    labelled_cell,
    naming,
    with_own_ids,
)
from napari_wbc.storage.formats.yolo_yaml import (
    classes_of,
    head_file,
    images_by_split,
    read_head,
)
from napari_wbc.storage.tables import write_rows

ID_COLUMNS = ("image", "line", "cell_id", "label")
MAX_BYTES = 20_000_000
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
    head = _splits(fields)
    head |= {"nc": len(classes), "names": list(classes)}
    write_text(root / "data.yaml", yaml.safe_dump(head, sort_keys=False, allow_unicode=True))
    rows: list[list[object]] = []
    for done, (field, place) in enumerate(zip(fields, places, strict=True), start=1):
        text = ""
        outlined = any(cell.detection.outline for cell in field.cells)
        for line, cell in enumerate(field.cells, start=1):
            text += f"{classes.index(cell.label)} {_position(field, cell, outlined)}\n"
            rows.append([image_place(field), line, cell.cell_id, cell.label])
        write_text(root / place, text)
        yield Progress("writing labels", done, len(fields))
    write_rows(root / "cells.csv", ID_COLUMNS, rows)


def _splits(fields: Sequence[LabelledField]) -> dict[str, object]:
    """What ``data.yaml`` says of the splits; of a folder that is not there it says nothing."""
    there = {field.split for field in fields}
    head: dict[str, object] = {}
    for split in filter(there.__contains__, SPLITS):
        head[split] = f"images/{split}"
    # Ultralytics refuses a file without val. What is held out never stands in for train, though.
    if "train" in there:
        head.setdefault("val", head["train"])
    return head


def _check_once(names: Sequence[str]) -> None:
    seen = set[str]()
    for name in names:
        if name.casefold() in seen:
            raise WbcError(f"two images would share {name}; rename one.")
        seen.add(name.casefold())


def _position(field: LabelledField, cell: Cell, outlined: bool) -> str:
    outline = cell.detection.outline
    points = outline.array() if outline else cell.detection.bbox.corners()
    # Ultralytics leaves out an image of which a cell reaches over the edge.
    inner = np.clip(points, 0, (field.height, field.width))
    pairs = inner if np.ptp(inner, axis=0).all() else points
    # Pairs of x and y: vertices, or the centre and the size.
    if not outlined:
        box = BBox.around(pairs)
        pairs = np.array([box.center, (box.height, box.width)])
    values = pairs[:, ::-1] / (field.width, field.height)
    return " ".join(map("{:.12g}".format, values.ravel()))


def read_yolo_steps(root: Path, named: Path | None = None) -> Steps[tuple[LabelledField, ...]]:
    """Read a YOLO set of boxes and segments, ours or somebody else's.

    Classes and splits are those of ``data.yaml``, of the only YAML file, or of ``obj.data``; see
    :mod:`~napari_wbc.storage.formats.yolo_yaml`. Else the classes are those of ``classes.txt``, and
    the splits those of the folders. Labels lie in ``labels`` where the images lie in ``images``, or
    beside the images. An image without a label file shows no cell.

    Parameters
    ----------
    root : Path
        Folder of the set.
    named : Path, optional
        The YAML file or ``obj.data`` that is read.
    """
    fields: list[LabelledField] = []
    left_out = LeftOut()
    with naming(root):
        path = named if named and named.suffix.lower() != ".txt" else head_file(root)
        head = read_head(root, path)
        classes = classes_of(head)
        ids = _ids(root)
        splits = images_by_split(head, Images(root), left_out)
        found = _Labels(root)
        labels = {image: found.of(image) for image in splits}
        _check_once([label.relative_to(root).as_posix() for label in labels.values()])
        _leave_out_orphans(root, set(labels.values()), left_out)
        for image, label in labels.items():
            listed = ids.get(image.relative_to(root).as_posix(), {})
            with left_out.item(image):
                before = left_out.count
                name = image.name
                size = image_size(image)
                cells = _cells(label, name, size, classes, listed=listed, left_out=left_out)
                whole = left_out.count == before
                split = splits[image]
                fields.append(
                    LabelledField(name, image, *size, split, cells, fov_id=name, complete=whole)
                )
            yield Progress("reading the set", len(fields), len(labels))
    return (yield from finished_steps(root, fields, left_out))


class _Labels:
    """The label files of a set, looked up as a system does that knows no composed letters."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[Path, dict[str, Path]] = {}

    def of(self, image: Path) -> Path:
        """The label file of an image, whether it is there or not.

        It lies where the last ``images`` of the image's place is ``labels``, or beside the image.
        """
        parts = image.relative_to(self.root).with_suffix(".txt").parts
        folders = [part.lower() for part in parts[:-1]]
        if "images" in folders:
            last = len(folders) - 1 - folders[::-1].index("images")
            for name in ("labels", "Labels"):
                place = PurePosixPath(*parts[:last], name, *parts[last + 1 :])
                if (self.root / place).parent.is_dir():
                    return self._in_folder(place)
        return self._in_folder(PurePosixPath(*parts))

    def _in_folder(self, place: PurePosixPath) -> Path:
        folder = (self.root / place).parent
        if folder not in self._folders:
            files = with_suffix(visible(folder, "*"), ".txt")
            self._folders[folder] = {folded_name(file.name): file for file in files}
        file = self.root / place
        if not file.exists():
            file = self._folders[folder].get(folded_name(place.name), file)
        return inside(self.root, file.relative_to(self.root).as_posix())


def _leave_out_orphans(root: Path, labels: set[Path], left_out: LeftOut) -> None:
    """Tell of label files of which no image is there."""
    for folder in sorted({root / "labels", *(label.parent for label in labels)}):
        for file in with_suffix(visible(folder, "*"), ".txt"):
            # Lists, notes and names of classes may lie there too.
            if file not in labels and is_label_file(file):
                left_out.add(f"{file}: has no image; add it, or remove the file.")


def is_label_file(path: Path) -> bool:
    """Whether the first line of a text file is one of numbers."""
    words = read_text(path, max_bytes=MAX_BYTES, any_encoding=True)[:1000].split("\n")[0].split()
    return len(words) > 4 and all(re.fullmatch(r"[-+.\deE]+", word) for word in words)


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
    label: Path,
    fov: str,
    size: tuple[int, int],
    classes: Sequence[str],
    *,
    listed: Ids,
    left_out: LeftOut,
) -> tuple[Cell, ...]:
    text = read_text(label, max_bytes=MAX_BYTES, any_encoding=True) if label.exists() else ""
    lines = text.splitlines()
    with naming(label):
        check_count(lines, MAX_LINES, "lines")
    cells: list[Cell] = []
    for line, values in enumerate(map(str.split, lines), start=1):
        if values:
            with left_out.item(f"{label}, line {line}"):
                name = _class(values[0], classes, f"{label}, line {line}")
                cells.append(labelled_cell("", fov, name, _detection(values[1:], size), size))
    # Where another tool took out, added or sorted lines, a line's id would be another cell's.
    named: list[Cell] = []
    for line, cell in enumerate(cells, start=1):
        cell_id, name = listed.get(str(line), ("", ""))
        if name != cell.label or len(cells) != len(listed):
            return tuple(cells)
        named.append(replace(cell, cell_id=cell_id or cell.cell_id))
    return with_own_ids(named)


def _class(text: str, classes: Sequence[str], place: str) -> str:
    """The class of a number; some tools write it as ``0.0`` or ``1.000e+00``."""
    # Python takes digits of any script for a number, and "1_0" too.
    plain = re.fullmatch(r"\d{1,9}(\.0*)?([eE][+-]?\d{1,2})?|\d\.\d{1,9}[eE]\+?\d{1,2}", text, re.A)
    fault = f"{text[:40]!r} is no number of a class, 0 to {len(classes) - 1}; correct it."
    value = float(text) if plain else 0.5
    if not value.is_integer():
        raise WbcError(fault)
    if value >= len(classes):
        # The list of classes is not that of this set, so that no label can be trusted.
        raise WholeSetError(f"{place}: {fault}")
    return classes[int(value)]


def _detection(texts: Sequence[str], size: tuple[int, int]) -> Detection:
    """From ``cx cy width height [score]`` or ``x y`` of each vertex, in parts of the image."""
    if len(texts) > 2 * MAX_VERTICES:
        raise WbcError(f"an outline of more than {MAX_VERTICES:,} points; simplify it.")
    values = list(map(number, texts))
    # A program that found the cells writes how sure it is behind the box.
    score = values.pop() if len(values) == 5 else 1.0
    # A cell at the edge may reach over it.
    if values and not -0.5 <= min(values) <= max(values) <= 1.5:
        raise WbcError("a number is not within -0.5 to 1.5; write parts of the image's size.")
    if len(values) < 4 or len(values) % 2:
        raise WbcError(
            f"{len(values)} numbers are neither a box (4, or 5 with its confidence) nor an outline "
            "(6, 8, ...); correct it."
        )
    height, width = size
    if len(values) == 4:
        x, y, w, h = values
        top = (y - h / 2) * height
        left = (x - w / 2) * width
        return Detection(BBox(top, left, (y + h / 2) * height, (x + w / 2) * width), score=score)
    vertices = np.reshape(values, (-1, 2))[:, ::-1] * size
    outline = Outline.from_array(vertices)
    corners = {*map(tuple, outline.bbox.corners().tolist())}
    # The four corners of a box are that box, as it is written beside outlines.
    if len(outline.vertices) == 4 and corners == {*outline.vertices}:
        return Detection(outline.bbox)
    return Detection(outline.bbox, outline)
