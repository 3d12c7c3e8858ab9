"""What every reader of a training set needs: names, numbers, cells, outlines, and their checks.

Whatever is refused raises a :class:`~napari_wbc.errors.WbcError`; :func:`naming` adds the file.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import shapely

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import one_line
from napari_wbc.files.json_fields import numbers
from napari_wbc.files.visible import is_hidden
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import MAX_VERTICES, BBox, Outline
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import IMAGE_SUFFIXES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.model.words import is_line
from napari_wbc.storage.formats.left_out import LeftOut

MAX_CELLS = 200_000
"""Of one file of a set; more is no set of blood films but an attack or a mistake."""
MAX_CELLS_OF_FIELD = 20_000
MAX_TEXT = 300
"""Characters of a label, an id, or the name of a slide or field."""
MAX_CROSSING = 300
"""Vertices of an outline that crosses itself; the time to untangle it grows with their square."""


@contextmanager
def naming(place: object) -> Iterator[None]:
    """Tell of bad input as a :class:`ReadError` that names the file."""
    try:
        yield
    except ReadError:
        raise
    except WbcError as error:
        raise ReadError(f"{place}: {error}") from error
    except OSError as error:
        raise ReadError(f"{place}: {one_line(error)}; correct it.") from error


def check_count(rows: Sized, limit: int, what: str) -> None:
    """Refuse more rows than a limit."""
    if len(rows) > limit:
        raise WbcError(f"{len(rows):,} {what}, more than {limit:,}; part it into smaller ones.")


def check_size(told: tuple[float, float], size: tuple[int, int]) -> None:
    """Refuse a height and width, in pixels, that are not those of the image; 0 is not known."""
    height, width = (one or true for one, true in zip(told, size, strict=True))
    if (height, width) != size:
        raise WbcError(
            f"its size is {_plain(width)} x {_plain(height)}, that of the image is "
            f"{size[1]} x {size[0]}; correct it."
        )


def _plain(pixels: float) -> str:
    return str(pixels).removesuffix(".0")[:20]


def check_told_size(told: tuple[object, object], size: tuple[int, int]) -> None:
    """Refuse a height and width that a JSON file tells if they are not those of the image.

    Some tools write null, 0 or 640.0.
    """
    height, width = told
    check_size((numbers([height or 0], "height")[0], numbers([width or 0], "width")[0]), size)


def told_id(record: object, key: str = "id") -> str:
    """The id of a cell, if it is a text as ours are; else empty."""
    value = record.get(key) if isinstance(record, dict) else None
    return value if isinstance(value, str) else ""


def labelled_cell(
    cell_id: str, fov: str, label: str, detection: Detection, size: tuple[int, int]
) -> Cell:
    """A cell that a file tells of, in an image of a height and width in pixels.

    Without an id it gets a new one. It may reach out of the image, by less than the image is large.
    """
    # Some XML has the text of an element on a line of its own.
    label = label.strip()
    if not label:
        raise WbcError("the label is empty; write a class.")
    check_lines(label, cell_id)
    check_place(detection, size)
    return Cell(cell_id or str(uuid.uuid4()), fov, detection, annotation=Annotation(label))


def check_lines(*texts: str) -> None:
    """Refuse a name, label or id that is no line, or longer than :data:`MAX_TEXT`."""
    for text in texts:
        # Most formats write one cell a line, so that a line break would make two of one.
        if not is_line(text) or len(text) > MAX_TEXT:
            raise WbcError(
                f"{text[:60]!r} is no line of text of up to {MAX_TEXT} characters; rename it."
            )


def check_place(detection: Detection, size: tuple[int, int], *, beside: bool = False) -> None:
    """Refuse a cell that is not in an image of a height and width, or not where its outline is.

    ``beside`` takes a cell beside the image too, where a person may have drawn it: a set of ours
    with such a cell is to be read again.
    """
    height, width = size
    reach = 10 if beside else 1
    outline = detection.outline
    if outline and _gap(outline.bbox, detection.bbox) > max(
        detection.bbox.height, detection.bbox.width
    ):
        raise WbcError("the outline lies far from the box; correct one of them.")
    for box in (detection.bbox, outline.bbox if outline else detection.bbox):
        # A cell at the edge may reach over it, but not by more than the image is large; one that a
        # person drew lies somewhere beside it.
        apart = box.bottom <= 0 or box.right <= 0 or box.top >= height or box.left >= width
        above = min(box.top + reach * height, box.left + reach * width)
        below = min((1 + reach) * height - box.bottom, (1 + reach) * width - box.right)
        if (apart and not beside) or min(above, below) < 0:
            edges = ", ".join(map("{:g}".format, box.edges))
            raise WbcError(
                f"the cell at ({edges}) is outside the image of {width} x {height}; correct it."
            )


def _gap(one: BBox, other: BBox) -> float:
    """Rows or columns between two boxes, whichever are more; below 0 where they overlap."""
    rows = max(one.top, other.top) - min(one.bottom, other.bottom)
    cols = max(one.left, other.left) - min(one.right, other.right)
    return max(rows, cols)


def check_fields(fields: Sequence[LabelledField], classes: Sequence[str]) -> None:
    """Refuse labels that are no class, and names and ids that are no line of text."""
    allowed = set(classes)
    for field in fields:
        check_names(field)
        for cell in field.cells:
            if cell.label not in allowed:
                raise WbcError(
                    f"{field.name}: the label {cell.label!r} is not among the classes; add it."
                )


def check_names(field: LabelledField) -> None:
    """Refuse a field of which a name, an id or a label is no line of text."""
    try:
        check_lines(field.name, field.slide, field.fov_id)
        for cell in field.cells:
            check_lines(cell.cell_id, cell.label)
    except WbcError as error:
        raise WbcError(f"{field.name[:80]!r}: {error}") from error


def whole_set(place: Path, fields: Sequence[LabelledField]) -> tuple[LabelledField, ...]:
    """The fields of a set, in which every name, whatever its case, and every id stands once.

    An id that stands more than once, as QuPath's "PathAnnotationObject", tells of no cell which it
    is; those cells get new ids.
    """
    names = Counter[str]()
    ids = Counter[str]()
    for field in fields:
        with naming(place):
            check_names(field)
            check_count(field.cells, MAX_CELLS_OF_FIELD, f"cells in {field.name}")
        names[field.name.casefold()] += 1
        ids.update(cell.cell_id for cell in field.cells)
    for value, times in names.most_common(1):
        if times > 1:
            raise ReadError(
                f"{place}: the image {value[:80]!r} is in the set twice; rename or remove one."
            )
    if max(ids.values(), default=0) < 2:
        return tuple(fields)
    return tuple(replace(field, cells=_with_new_ids(field.cells, ids)) for field in fields)


def finished_steps(
    place: Path, fields: Sequence[LabelledField], left_out: LeftOut
) -> Steps[tuple[LabelledField, ...]]:
    """The end of reading a set: its fields, with a note of what was left out."""
    left_out.check(fields)
    yield Progress("reading the set", len(fields), len(fields), left_out.note)
    return whole_set(place, fields)


def with_own_ids(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells of a field, those with new ids that have one together."""
    return _with_new_ids(cells, Counter(cell.cell_id for cell in cells))


def _with_new_ids(cells: Iterable[Cell], ids: Counter[str]) -> tuple[Cell, ...]:
    return tuple(
        replace(cell, cell_id=str(uuid.uuid4())) if ids[cell.cell_id] > 1 else cell
        for cell in cells
    )


def visible_images(paths: Iterable[Path]) -> list[Path]:
    """The image files among some paths, by name."""
    # Hidden ones are a system's own: ``._a.png`` is what macOS knows of ``a.png``.
    images = [path for path in sorted(paths) if path.suffix.lower() in IMAGE_SUFFIXES]
    return [image for image in images if not is_hidden(image.name)]


def plain_names(places: Sequence[str]) -> dict[str, str]:
    """Names of images without their folders, or with them where names alone would be ambiguous.

    Examples
    --------
    >>> plain_names(["images/a.png", "x/b.png", "y/B.png"])
    {'images/a.png': 'a.png', 'x/b.png': 'x__b.png', 'y/B.png': 'y__B.png'}
    """
    # Some systems take "A.png" and "a.png" for one file.
    taken = Counter(PurePosixPath(place).name.casefold() for place in places)
    names: dict[str, str] = {}
    for place in places:
        name = PurePosixPath(place).name
        names[place] = name if taken[name.casefold()] == 1 else place.replace("/", "__")
    return names


def outline_of(rings: Sequence[npt.NDArray[np.float64]]) -> Outline:
    """The largest of some rings, each of shape (N, 2), (x, y), closed or not."""
    whole = [ring for ring in rings if len(ring) > 2]
    if not whole:
        raise WbcError("a polygon has fewer than 3 points, or there is none; correct it.")
    ring = max(whole, key=area_of)
    # Of too many vertices the outline says so itself, and to look at them would take minutes.
    if MAX_CROSSING < len(ring) <= MAX_VERTICES and not shapely.is_valid(shapely.Polygon(ring)):
        raise WbcError(f"a polygon of {len(ring):,} points crosses itself; draw it again.")
    # COCO's rings are open, GeoJSON's closed, and some tools' the other way about.
    closed = len(ring) > 3 and (ring[0] == ring[-1]).all()
    return Outline.from_array(ring[: len(ring) - closed, ::-1])


def area_of(ring: npt.NDArray[np.float64]) -> float:
    """The area of a ring of shape (N, 2), in square px."""
    # The shoelace formula, from the first vertex, so that large coordinates lose no digits.
    x, y = (ring - ring[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def ellipse_ring(
    center: tuple[float, float], radii: tuple[float, float], degrees: float = 0
) -> npt.NDArray[np.float64]:
    """Points around an ellipse that is turned clockwise, shape (N, 2), (x, y).

    Examples
    --------
    >>> ellipse_ring((5, 5), (2, 1), 90)[0].round(6).tolist()
    [5.0, 7.0]
    """
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii
    return turned(points, degrees) + center


def turned(points: npt.NDArray[np.float64], degrees: float) -> npt.NDArray[np.float64]:
    """Points of shape (N, 2), (x, y), turned clockwise around (0, 0), as y points down."""
    cos = math.cos(math.radians(degrees))
    sin = math.sin(math.radians(degrees))
    result: npt.NDArray[np.float64] = points @ np.array([[cos, sin], [-sin, cos]])
    return result


def image_place(field: LabelledField) -> str:
    """Where the image of a field belongs, relative to the set."""
    return f"images/{field.name}"
