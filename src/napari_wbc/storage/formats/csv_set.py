"""Training sets as one table: ``cells.csv``, one row a cell, in the columns that the trainer reads.

Boxes are half open, in pixels of the image, from 0. Numbers come back exactly as they were written.
A text that a spreadsheet would take for a formula has a leading ``'``, which the reader takes off
again; so has a text that begins with ``'``. A field without cells has one row without label and
box.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import image_size, inside
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps
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
    "EDGES",
    "box_and_outline",
    "cell_row",
    "image_place",
    "images_named",
    "read_csv_set_steps",
    "read_fields_table_steps",
    "read_table",
    "write_csv_set_steps",
]

EDGES = ("top", "left", "bottom", "right")
COLUMNS = (
    *("path", "label", "split", "source", *EDGES, "outline"),
    *("cell_id", "slide", "fov", "height", "width"),
)
ALIASES = {
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
"""What our own sets give as the source of their cells."""
Row = dict[str, str]


def image_place(field: LabelledField) -> str:
    """Where the image of a field belongs, relative to the set."""
    return f"images/{field.name}"


def write_csv_set_steps(
    root: Path, fields: Sequence[LabelledField], classes: Sequence[str]
) -> Steps[None]:
    """Write ``cells.csv``."""
    check_fields(fields, classes)
    yield Progress("writing labels", 0, len(fields))
    rows: list[list[object]] = []
    for field in fields:
        # A field without cells has a row too, since it shows background.
        rows += [cell_row(field, cell, image_place(field)) for cell in field.cells or (None,)]
    write_rows(root / "cells.csv", COLUMNS, rows)


def cell_row(field: LabelledField, cell: Cell | None, path: str) -> list[object]:
    """A row of :data:`COLUMNS`; without a cell, that of a field that has none."""
    box = cell.detection.bbox if cell else None
    outline = cell.detection.outline if cell else None
    edges = (box.top, box.left, box.bottom, box.right) if box else (None,) * 4
    return [
        *(path, cell.label if cell else "", field.split, SOURCE),
        *(*edges, _outline_text(outline) if outline else ""),
        *(cell.cell_id if cell else "", field.slide, field.fov_id, field.height, field.width),
    ]


def _outline_text(outline: Outline) -> str:
    text = " ".join(f"{float(row)!r},{float(col)!r}" for row, col in outline.vertices)
    # A leading blank keeps a spreadsheet from taking "-1.0,..." for a formula, as "'" would, but
    # any reader of numbers looks past it.
    return f" {text}" if text.startswith("-") else text


def read_csv_set_steps(root: Path) -> Steps[tuple[LabelledField, ...]]:
    """Read ``cells.csv``, or the one CSV file of a folder, ours or somebody else's.

    It needs the columns ``path`` (or image, filename), ``label`` (or class) and ``top, left,
    bottom, right`` (or ymin, xmin, ymax, xmax), half open and from 0. Rows without a box show one
    cell.
    """
    path = root / "cells.csv"
    if not path.is_file():
        tables = sorted(root.glob("*.csv"))
        if len(tables) != 1:
            raise ReadError(
                f"{root}: {len(tables)} CSV files and no cells.csv; give the table this name."
            )
        path = inside(root, tables[0].name)
    return (yield from read_fields_table_steps(root, path))


def read_fields_table_steps(root: Path, path: Path) -> Steps[tuple[LabelledField, ...]]:
    """The fields of a table with one row a cell; see :func:`read_csv_set_steps`."""
    groups: dict[str, list[tuple[int, Row]]] = {}
    for line, row in enumerate(read_table(path, ("path", "label", *EDGES)), start=2):
        groups.setdefault(row["path"], []).append((line, row))
    alike = Counter(PurePosixPath(place).name.casefold() for place in groups)
    fields: list[LabelledField] = []
    for place, group in groups.items():
        name = PurePosixPath(place).name
        # Two folders may each hold an image of this name.
        if alike[name.casefold()] > 1:
            name = place.replace("/", "_")
        fields.append(_field(root, path, name, group))
        yield Progress("reading the set", len(fields), len(groups))
    return whole_set(path, fields)


def read_table(path: Path, needed: Sequence[str]) -> list[Row]:
    """Rows of a table as texts, by our names of the columns.

    Raises
    ------
    ReadError
        If it is no table, or a needed column is missing or stands twice.
    """
    header, rows = read_rows(path)
    # An unknown extra column may have another program's name of a column that is there.
    names = [ALIASES[name] if ALIASES.get(name, name) not in header else name for name in header]
    for name in needed:
        if names.count(name) != 1:
            raise ReadError(
                f"{path}: the column {name!r} is missing or stands twice; add or rename it."
            )
    return [dict(zip(names, values, strict=True)) for values in rows]


def box_and_outline(row: Row) -> tuple[BBox | None, Outline | None]:
    """Box and outline of a row, each None where it has none; an outline always has a box.

    Raises
    ------
    WbcError
        If one is no box, or no outline.
    """
    outline = None
    if text := row.get("outline"):
        vertices: list[tuple[float, float]] = []
        for vertex in text.split():
            y, comma, x = vertex.partition(",")
            if not comma or "," in x:
                raise WbcError(
                    "the outline is no list of row,col with blanks between: "
                    f"{vertex[:40]!r}; correct it."
                )
            vertices.append((number(y), number(x)))
        outline = Outline(tuple(vertices))
    edges = [row[name].strip() for name in EDGES]
    if any(edges):
        return BBox(*map(number, edges)), outline
    return outline.bbox if outline else None, outline


def images_named(path: Path) -> list[Path]:
    """The images that a table names, once each, whether they are there or not.

    Raises
    ------
    ReadError
        If it is no table.
    """
    rows = read_table(path, ())
    if not rows or "path" not in rows[0]:
        return []
    names = dict.fromkeys(row["path"] for row in rows)
    return [path.parent / name for name in names]


def _field(root: Path, path: Path, name: str, group: Sequence[tuple[int, Row]]) -> LabelledField:
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


def _cell(row: Row, fov: str, height: int, width: int) -> Cell | None:
    box, outline = box_and_outline(row)
    if box is None:
        # A row without label, box and outline says that its image shows no cell.
        if not row["label"]:
            return None
        box = BBox(0, 0, height, width)
    return labelled_cell(
        row.get("cell_id", ""), fov, row["label"], Detection(box, outline), (height, width)
    )
