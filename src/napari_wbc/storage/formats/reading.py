"""What every reader of a training set needs: names, numbers, cells, outlines, and their checks."""

from __future__ import annotations

import math
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import Outline
from napari_wbc.model.training_set import SPLITS, LabelledField

__all__ = [
    "MAX_CELLS",
    "SPLIT_NAMES",
    "area_of",
    "check_fields",
    "labelled_cell",
    "naming",
    "number",
    "outline_of",
    "plain_names",
    "split_of_place",
    "whole_set",
]

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names of splits, ours and those of Roboflow and others, and the splits that they mean."""
MAX_CELLS = 200_000
"""Of one file of a set; more is no set of blood films but an attack or a mistake."""


@contextmanager
def naming(place: object) -> Iterator[None]:
    """Tell of bad input as a :class:`ReadError` that names the file."""
    try:
        yield
    except ReadError:
        raise
    except (WbcError, OSError) as error:
        raise ReadError(f"{place}: {error}") from error


def number(text: str) -> float:
    """A finite number from a text.

    Raises
    ------
    WbcError
        If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # Python alone takes "1_000" for a number.
    if not math.isfinite(value) or "_" in text:
        raise WbcError(f"{text[:40]!r} is no finite number; write one with a decimal point.")
    return value


def labelled_cell(
    cell_id: str, fov: str, label: str, detection: Detection, size: tuple[int, int]
) -> Cell:
    """A cell that a file tells of.

    Parameters
    ----------
    cell_id : str
        Empty to mint one.
    fov, label : str
    detection : Detection
    size : tuple of int
        Height and width of its image, in pixels.

    Raises
    ------
    WbcError
        If the label is none, or the cell lies outside the image or reaches farther out than the
        image is large.
    """
    if not label.strip() or not label.isprintable() or not cell_id.isprintable():
        raise WbcError(
            f"the label {label[:60]!r} or the id {cell_id[:60]!r} is no line of text; correct it."
        )
    height, width = size
    outline = detection.outline
    for box in (detection.bbox, outline.bbox if outline else detection.bbox):
        # A cell at the edge may reach over it, but not by more than the image is large.
        apart = box.bottom <= 0 or box.right <= 0 or box.top >= height or box.left >= width
        above = min(box.top + height, box.left + width)
        below = min(2 * height - box.bottom, 2 * width - box.right)
        if apart or min(above, below) < 0:
            edges = ", ".join(f"{edge:g}" for edge in (box.top, box.left, box.bottom, box.right))
            raise WbcError(
                f"the cell at ({edges}) is outside the image of {width} x {height}; correct it."
            )
    return Cell(cell_id or str(uuid.uuid4()), fov, detection, annotation=Annotation(label))


def check_fields(fields: Sequence[LabelledField], classes: Sequence[str]) -> None:
    """Refuse what no reader could give back.

    Raises
    ------
    WbcError
        If a label is no class, or an id, a slide or a field is no line of text.
    """
    allowed = set(classes)
    for field in fields:
        texts = [field.slide, field.fov_id]
        for cell in field.cells:
            if cell.label not in allowed:
                raise WbcError(
                    f"{field.name}: the label {cell.label!r} is not among the classes; add it."
                )
            texts += [cell.cell_id, cell.label]
        # Most formats write one cell a line, so that a line break would make two of one.
        for text in texts:
            if not text.isprintable():
                raise WbcError(f"{field.name}: {text!r} is no line of text; rename it.")


def whole_set(place: Path, fields: Sequence[LabelledField]) -> tuple[LabelledField, ...]:
    """The fields of a set, in which every name, whatever its case, and every id stands once.

    Raises
    ------
    ReadError
        If one stands twice.
    """
    names = set[str]()
    ids = set[str]()
    for field in fields:
        _once(place, "the image", field.name.casefold(), names)
        for cell in field.cells:
            _once(place, "the cell", cell.cell_id, ids)
    return tuple(fields)


def _once(place: Path, what: str, value: str, seen: set[str]) -> None:
    if value in seen:
        raise ReadError(
            f"{place}: {what} {value[:80]!r} is in the set twice; rename or remove one."
        )
    seen.add(value)


def split_of_place(place: str) -> str:
    """The split that a file or one of its folders is named after, or else ``train``.

    Examples
    --------
    >>> split_of_place("annotations/instances_val2017.json")
    'val'
    """
    # The name of the file says more than that of a folder: "train/annotations/val.json".
    for name in reversed(place.lower().split("/")):
        for word in re.findall("[a-z]+", name):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return SPLITS[0]


def plain_names(places: Sequence[str]) -> dict[str, str]:
    """Names of images without their folders, or with them where names alone would be ambiguous.

    Examples
    --------
    >>> plain_names(["images/a.png", "x/b.png", "y/B.png"])
    {'images/a.png': 'a.png', 'x/b.png': 'x__b.png', 'y/B.png': 'y__B.png'}
    """
    # Some systems take "A.png" and "a.png" for one file.
    taken = Counter(PurePosixPath(place).name.casefold() for place in places)
    names = {}
    for place in places:
        name = PurePosixPath(place).name
        names[place] = name if taken[name.casefold()] == 1 else place.replace("/", "__")
    return names


def outline_of(rings: Sequence[npt.NDArray[np.float64]]) -> Outline:
    """The largest of some rings, each of shape (N, 2), (x, y), closed or not.

    Raises
    ------
    WbcError
        If one has fewer than 3 points.
    """
    if any(len(ring) < 3 for ring in rings):
        raise WbcError("a polygon has fewer than 3 points; correct it.")
    ring = max(rings, key=area_of)
    # COCO's rings are open, GeoJSON's closed, and some tools' the other way about.
    closed = len(ring) > 3 and (ring[0] == ring[-1]).all()
    return Outline.from_array(ring[: len(ring) - closed, ::-1])


def area_of(ring: npt.NDArray[np.float64]) -> float:
    """The area of a ring of shape (N, 2), in square px."""
    # The shoelace formula, from the first vertex, so that large coordinates lose no digits.
    x, y = (ring - ring[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
