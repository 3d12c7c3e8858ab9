"""Training sets as one table: ``cells.csv``, one row a cell, in the columns that the trainer reads.

Boxes are half open, in pixels of the image, from 0. Numbers come back exactly as they were written. A
text that a spreadsheet would take for a formula has a leading ``'``, which the reader takes off again; so
has a text that begins with ``'``. A field without cells has one row without label and box.

What every format needs of a cell and a set that it read stands here too.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path, PurePosixPath

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.csv import FORMULA, write_csv
from napari_wbc.storage.guard import image_size, inside, read_text

__all__ = [
    "COLUMNS",
    "SPLIT_NAMES",
    "cell_row",
    "check_fields",
    "image_place",
    "images_named",
    "labelled_cell",
    "naming",
    "number",
    "read_csv_set",
    "read_csv_set_steps",
    "read_fields_table_steps",
    "read_rows",
    "whole_set",
    "write_csv_set",
    "write_rows",
]

EDGES = ("top", "left", "bottom", "right")
COLUMNS = (
    *("path", "label", "split", "source", *EDGES, "outline"),
    *("cell_id", "slide", "fov", "height", "width"),
)
ALSO = {
    "image": "path",
    "filename": "path",
    "class": "label",
    "ymin": "top",
    "xmin": "left",
    "ymax": "bottom",
    "xmax": "right",
}
"""Other programs' names of columns."""
SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SOURCE = "project"
MAX_ROWS = 500_000
MARKED = (*FORMULA, "'")


def image_place(field: LabelledField) -> str:
    """Where the image of a field belongs, relative to the set."""
    return f"images/{field.name}"


def write_csv_set(root: Path, fields: Sequence[LabelledField], classes: Sequence[str]) -> None:
    """Write ``cells.csv``.

    Parameters
    ----------
    root : Path
        Folder of the set.
    fields : sequence of LabelledField
    classes : sequence of str
        Every label is one of them.

    Raises
    ------
    WbcError
        If a label is no class, or the file cannot be written.
    """
    check_fields(fields, classes)
    rows = [cell_row(field, cell, image_place(field)) for field in fields for cell in field.cells or (None,)]
    write_rows(root / "cells.csv", COLUMNS, rows)


def cell_row(field: LabelledField, cell: Cell | None, path: str) -> list[object]:
    """A row of :data:`COLUMNS`; without a cell, that of a field that has none."""
    box = cell.detection.bbox if cell else None
    outline = cell.detection.outline if cell else None
    return [
        *(path, cell.label if cell else "", field.split, SOURCE),
        *((box.top, box.left, box.bottom, box.right) if box else (None,) * 4),
        _outline_text(outline) if outline else "",
        *(cell.cell_id if cell else "", field.slide, field.fov_id, field.height, field.width),
    ]


def _outline_text(outline: Outline) -> str:
    text = " ".join(f"{float(row)!r},{float(col)!r}" for row, col in outline.vertices)
    return f" {text}" if text.startswith("-") else text  # a blank is safe too, and any reader looks past it


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table whose texts :func:`read_rows` gives back exactly."""
    import pandas as pd

    marked = [[f"'{v}" if isinstance(v, str) and v.startswith(MARKED) else v for v in row] for row in rows]
    write_csv(path, pd.DataFrame(marked, columns=list(columns)))


def read_csv_set(root: Path) -> tuple[LabelledField, ...]:
    """:func:`read_csv_set_steps`, at once."""
    return run(read_csv_set_steps(root))


def read_csv_set_steps(root: Path) -> Steps[tuple[LabelledField, ...]]:
    """Read ``cells.csv``, or the one CSV file of a folder, ours or somebody else's.

    It needs the columns ``path`` (or image, filename), ``label`` (or class) and ``top, left, bottom,
    right`` (or ymin, xmin, ymax, xmax), half open and from 0. Rows without a box show one cell.

    Raises
    ------
    ReadError
        If it is damaged, hostile, or does not fit its images.
    """
    path = root / "cells.csv"
    if not path.is_file():
        found = sorted(root.glob("*.csv"))
        if len(found) != 1:
            raise ReadError(f"{root}: {len(found)} CSV files and no cells.csv; give the table this name.")
        path = inside(root, found[0].name)
    return (yield from read_fields_table_steps(root, path))


def read_fields_table_steps(root: Path, path: Path) -> Steps[tuple[LabelledField, ...]]:
    """The fields of a table with one row a cell; see :func:`read_csv_set_steps`."""
    header, rows = _columns_and_rows(path)
    times = Counter(header)
    missing = [name for name in ("path", "label", *EDGES) if times[name] != 1]
    if missing:
        raise ReadError(f"{path}: the column {missing[0]!r} is missing or stands twice; add or rename it.")
    groups: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, values in enumerate(rows, start=2):
        row = dict(zip(header, values, strict=True))
        groups.setdefault(row["path"], []).append((line, row))
    alike = Counter(PurePosixPath(place).name.casefold() for place in groups)
    fields = []
    for place, group in groups.items():
        name = PurePosixPath(place).name
        if alike[name.casefold()] > 1:
            name = place.replace("/", "_")
        fields.append(_field(root, path, name, group))
        yield Progress("reading the set", len(fields), len(groups))
    return whole_set(path, fields)


def _columns_and_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """:func:`read_rows`, with our names of the columns."""
    header, rows = read_rows(path)
    return [ALSO[name] if name in ALSO and ALSO[name] not in header else name for name in header], rows


def images_named(path: Path) -> list[Path]:
    """The images that a table names, once each, whether they are there or not.

    Raises
    ------
    ReadError
        If it is no table.
    """
    header, rows = _columns_and_rows(path)
    if "path" not in header:
        return []
    column = header.index("path")
    return [path.parent / name for name in dict.fromkeys(row[column] for row in rows)]


def _field(root: Path, path: Path, name: str, group: Sequence[tuple[int, dict[str, str]]]) -> LabelledField:
    line, first = group[0]
    with naming(f"{path}, line {line}"):
        image = inside(root, first["path"])
        if not image.exists():
            image = inside(root, f"images/{first['path']}")
        height, width = image_size(image)
        fov = first.get("fov") or first.get("field") or name
        split = first.get("split") or "train"
        if split not in SPLIT_NAMES:
            raise WbcError(f"no split {split[:40]!r}; use train, val or test.")
    cells = []
    for line, row in group:
        with naming(f"{path}, line {line}"):
            for key in ("split", "slide", "fov", "field"):
                if row.get(key) != first.get(key):
                    raise WbcError(f"another {key} than in the first row of this image; make them one.")
            for key, size in (("height", height), ("width", width)):
                if row.get(key) and number(row[key]) != size:
                    raise WbcError(f"the {key} {row[key][:20]} is not that of the image, {size}.")
            if cell := _cell(row, fov, height, width):
                cells.append(cell)
    with naming(path):
        return LabelledField(
            name, image, height, width, SPLIT_NAMES[split], tuple(cells), first.get("slide", ""), fov
        )


def _cell(row: dict[str, str], fov: str, height: int, width: int) -> Cell | None:
    edges = [row[name].strip() for name in EDGES]
    text = row.get("outline", "")
    if not row["label"] and not text and not any(edges):
        return None
    outline = None
    if text:
        vertices = [tuple(map(number, vertex.split(","))) for vertex in text.split()]
        if any(len(vertex) != 2 for vertex in vertices):
            raise WbcError("the outline is no list of row,col with blanks between; correct it.")
        outline = Outline(tuple((r, c) for r, c in vertices))
    whole = outline.bbox if outline else BBox(0, 0, height, width)
    box = BBox(*map(number, edges)) if any(edges) else whole
    return labelled_cell(row.get("cell_id", ""), fov, row["label"], Detection(box, outline), (height, width))


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Names of columns, in lower case, and rows of a CSV file, as texts.

    Raises
    ------
    ReadError
        If it is no such file, has a column twice, or more than 500,000 rows.
    """
    import pandas as pd

    try:
        table = pd.read_csv(
            StringIO(read_text(path)), header=None, dtype=str, na_filter=False, nrows=MAX_ROWS + 2
        )
    except (ValueError, OverflowError) as error:
        said = " ".join(str(error).split())[:200]
        raise ReadError(f"{path}: not a readable CSV table ({said}); save it as CSV again.") from error
    first, *rows = table.to_numpy().tolist()
    if len(rows) > MAX_ROWS:
        raise ReadError(f"{path}: more than {MAX_ROWS:,} rows; part it into several sets.")
    header = [str(name).strip().lower() for name in first]
    (often, times), *_ = Counter(header).most_common(1)
    if times > 1:
        raise ReadError(f"{path}: the column {often[:60]!r} stands twice; remove one.")
    return header, [[_unmarked(value) for value in row] for row in rows]


def _unmarked(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(MARKED) else text


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
    if not math.isfinite(value) or "_" in text:
        raise WbcError(f"{text[:40]!r} is no finite number; write one with a decimal point.")
    return value


def labelled_cell(cell_id: str, fov: str, label: str, detection: Detection, size: tuple[int, int]) -> Cell:
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
        If the label is none, or the cell lies outside the image or reaches farther out than the image is
        large.
    """
    if not label.strip() or not label.isprintable() or not cell_id.isprintable():
        raise WbcError(f"the label {label[:60]!r} or the id {cell_id[:60]!r} is no line of text; correct it.")
    (height, width), outline = size, detection.outline
    for box in (detection.bbox, outline.bbox if outline else detection.bbox):
        apart = box.bottom <= 0 or box.right <= 0 or box.top >= height or box.left >= width
        far = min(box.top + height, box.left + width, 2 * height - box.bottom, 2 * width - box.right) < 0
        if apart or far:
            edges = ", ".join(f"{edge:g}" for edge in (box.top, box.left, box.bottom, box.right))
            raise WbcError(f"the cell at ({edges}) is outside the image of {width} x {height}; correct it.")
    return Cell(cell_id or str(uuid.uuid4()), fov, detection, annotation=Annotation(label))


def check_fields(fields: Sequence[LabelledField], classes: Sequence[str]) -> None:
    """Refuse what no reader could give back.

    Raises
    ------
    WbcError
        If a label is no class, or an id, a slide or a field is no line of text.
    """
    known = set(classes)
    for field in fields:
        for cell in field.cells:
            if cell.label not in known:
                raise WbcError(f"{field.name}: the label {cell.label!r} is not among the classes; add it.")
        texts = (field.slide, field.fov_id, *(t for cell in field.cells for t in (cell.cell_id, cell.label)))
        if odd := next((text for text in texts if not text.isprintable()), None):
            raise WbcError(f"{field.name}: {odd!r} is no line of text; rename it.")


def whole_set(place: Path, fields: Sequence[LabelledField]) -> tuple[LabelledField, ...]:
    """The fields of a set, in which every name, whatever its case, and every id stands once.

    Raises
    ------
    ReadError
        If one stands twice.
    """
    for what, values in (
        ("the image", [field.name.casefold() for field in fields]),
        ("the cell", [cell.cell_id for field in fields for cell in field.cells]),
    ):
        seen = set[str]()
        for value in values:
            if value in seen:
                raise ReadError(f"{place}: {what} {value[:80]!r} is in the set twice; rename or remove one.")
            seen.add(value)
    return tuple(fields)
