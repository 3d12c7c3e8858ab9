"""Training sets as one table: ``cells.csv``, one row a cell, in the columns that the trainer reads.

Boxes are half open, in pixels of the image, from 0. Numbers come back exactly as they were written.
A text that a spreadsheet would take for a formula has a leading ``'``, which the reader takes off
again; so has a text that begins with ``'``. A field without cells has one row without label and
box.

What every format needs of a cell and a set that it read stands here too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import image_size, inside
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.reading import (
    SPLIT_NAMES,
    check_fields,
    labelled_cell,
    naming,
    number,
    whole_set,
)
from napari_wbc.storage.tables import read_rows, write_rows

__all__ = [
    "COLUMNS",
    "cell_row",
    "image_place",
    "images_named",
    "read_csv_set",
    "read_csv_set_steps",
    "read_fields_table_steps",
    "write_csv_set",
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
SOURCE = "project"


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
    rows = [
        cell_row(field, cell, image_place(field))
        for field in fields
        for cell in field.cells or (None,)
    ]
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
    return (
        f" {text}" if text.startswith("-") else text
    )  # a blank is safe too, and any reader looks past it


def read_csv_set(root: Path) -> tuple[LabelledField, ...]:
    """:func:`read_csv_set_steps`, at once."""
    return run(read_csv_set_steps(root))


def read_csv_set_steps(root: Path) -> Steps[tuple[LabelledField, ...]]:
    """Read ``cells.csv``, or the one CSV file of a folder, ours or somebody else's.

    It needs the columns ``path`` (or image, filename), ``label`` (or class) and ``top, left,
    bottom, right`` (or ymin, xmin, ymax, xmax), half open and from 0. Rows without a box show one
    cell.

    Raises
    ------
    ReadError
        If it is damaged, hostile, or does not fit its images.
    """
    path = root / "cells.csv"
    if not path.is_file():
        found = sorted(root.glob("*.csv"))
        if len(found) != 1:
            raise ReadError(
                f"{root}: {len(found)} CSV files and no cells.csv; give the table this name."
            )
        path = inside(root, found[0].name)
    return (yield from read_fields_table_steps(root, path))


def read_fields_table_steps(root: Path, path: Path) -> Steps[tuple[LabelledField, ...]]:
    """The fields of a table with one row a cell; see :func:`read_csv_set_steps`."""
    header, rows = _columns_and_rows(path)
    times = Counter(header)
    missing = [name for name in ("path", "label", *EDGES) if times[name] != 1]
    if missing:
        raise ReadError(
            f"{path}: the column {missing[0]!r} is missing or stands twice; add or rename it."
        )
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
    return [
        ALSO[name] if name in ALSO and ALSO[name] not in header else name for name in header
    ], rows


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


def _field(
    root: Path, path: Path, name: str, group: Sequence[tuple[int, dict[str, str]]]
) -> LabelledField:
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
                    raise WbcError(
                        f"another {key} than in the first row of this image; make them one."
                    )
            for key, size in (("height", height), ("width", width)):
                if row.get(key) and number(row[key]) != size:
                    raise WbcError(f"the {key} {row[key][:20]} is not that of the image, {size}.")
            if cell := _cell(row, fov, height, width):
                cells.append(cell)
    with naming(path):
        return LabelledField(
            name,
            image,
            height,
            width,
            SPLIT_NAMES[split],
            tuple(cells),
            first.get("slide", ""),
            fov,
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
    return labelled_cell(
        row.get("cell_id", ""), fov, row["label"], Detection(box, outline), (height, width)
    )
