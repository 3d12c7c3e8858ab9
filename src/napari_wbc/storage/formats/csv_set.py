"""Training sets as one table: ``cells.csv``, one row a cell, in the columns that the trainer reads.

Boxes are half open, in pixels of the image, from 0. Numbers come back exactly as they were written.
A text that a spreadsheet would take for a formula has a leading ``'``, which the reader takes off
again; so has a text that begins with ``'``. A field without cells has one row without label and
box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import image_size, inside
from napari_wbc.files.json_fields import number
from napari_wbc.files.visible import visible, with_suffix
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.images import Images
from napari_wbc.storage.formats.left_out import LeftOut
from napari_wbc.storage.formats.reading import (
    check_fields,
    check_size,
    finished_steps,
    image_place,
    labelled_cell,
    naming,
    plain_names,
    with_own_ids,
)
from napari_wbc.storage.formats.splits import split_named, split_of_place
from napari_wbc.storage.tables import read_rows, write_rows

EDGES = ("top", "left", "bottom", "right")
NEEDED = ("path", "label", *EDGES)
"""Columns that every table of cells has."""
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
NUMERIC = frozenset({*EDGES, "ymin", "xmin", "ymax", "xmax", "height", "width"})
SOURCE = "project"
"""What our own sets give as the source of their cells."""
Row = dict[str, str]


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
    label = outline = cell_id = ""
    edges: Sequence[float | None] = (None,) * 4
    if cell:
        label = cell.label
        cell_id = cell.cell_id
        edges = cell.detection.bbox.edges
        if cell.detection.outline:
            outline = _outline_text(cell.detection.outline)
    return [
        *(path, label, field.split, SOURCE, *edges, outline),
        *(cell_id, field.slide, field.fov_id, field.height, field.width),
    ]


def _outline_text(outline: Outline) -> str:
    text = " ".join(f"{row!r},{col!r}" for row, col in outline.array().tolist())
    # A leading blank keeps a spreadsheet from taking "-1.0,..." for a formula, as "'" would, but
    # any reader of numbers looks past it.
    return f" {text}" if text.startswith("-") else text


def read_csv_set_steps(root: Path, named: Path | None = None) -> Steps[tuple[LabelledField, ...]]:
    """Read ``cells.csv``, or the tables of cells of a folder, ours or somebody else's.

    They need the columns ``path`` (or image, filename), ``label`` (or class) and ``top, left,
    bottom, right`` (or ymin, xmin, ymax, xmax), half open and from 0. Rows without a box show one
    cell. There is one table, or one a split, which its name or its folder then says:
    ``test_labels.csv``, ``train/_annotations.csv``.

    Parameters
    ----------
    root : Path
        Folder of the set.
    named : Path, optional
        The table that is read.
    """
    return (yield from read_fields_tables_steps(root, [named] if named else _tables(root)))


def _tables(root: Path) -> list[Path]:
    """The tables of cells of a set: in its folder, or else in the folders in it."""
    tables = visible(root, "cells.csv")
    damaged: list[Path] = []
    for pattern in () if tables else ("*", "*/*"):
        found = with_suffix(visible(root, pattern), ".csv", ".tsv")
        # Other tables may lie beside those of the cells.
        if tables := list(filter(is_table_of_cells, found)):
            break
        damaged = damaged or found
    # Of a damaged table the reader says what is wrong with it.
    tables = tables or damaged
    places = [table.relative_to(root).as_posix() for table in tables]
    if not tables or len(set(map(split_of_place, places))) < len(tables):
        raise ReadError(
            f"{root}: {len(tables)} CSV files and no cells.csv; give the table this name, or each "
            "the name of its split."
        )
    return [inside(root, place) for place in places]


def is_table_of_cells(path: Path) -> bool:
    """Whether a table has the columns of a training set."""
    try:
        read_table(path, NEEDED)
    except ReadError:
        return False
    return True


class _Group(NamedTuple):
    """The rows of one image, with their lines."""

    table: Path
    image: Path
    rows: Sequence[tuple[int, Row]]


def read_fields_tables_steps(
    root: Path, tables: Sequence[Path]
) -> Steps[tuple[LabelledField, ...]]:
    """The fields of tables with one row a cell; see :func:`read_csv_set_steps`."""
    images = Images(root)
    left_out = LeftOut()
    groups: list[_Group] = []
    for table in tables:
        rows: dict[str, list[tuple[int, Row]]] = {}
        with left_out.item(table):
            for line, row in enumerate(read_table(table, NEEDED), start=2):
                rows.setdefault(row["path"], []).append((line, row))
        folders = (table.parent.relative_to(root).as_posix(), ".", "images")
        for place, group in rows.items():
            with left_out.item(f"{table}, line {group[0][0]}"):
                groups.append(
                    _Group(table, images.find_first(folders, (place, place.strip())), group)
                )
            yield Progress("reading the set", 0, len(groups))
    # Names need the images of all tables, so fields are made after all were read.
    names = plain_names([group.image.relative_to(root).as_posix() for group in groups])
    fields: list[LabelledField] = []
    for one in groups:
        with left_out.item(one.table):
            fields.append(_field(root, one, names, left_out))
        yield Progress("reading the set", len(fields), len(groups))
    whole = tables[0] if len(tables) == 1 else root
    return (yield from finished_steps(whole, fields, left_out))


def read_table(path: Path, needed: Sequence[str]) -> list[Row]:
    """Rows of a table as texts, by our names of the columns; the needed ones stand there once."""
    header, rows = read_rows(path, NUMERIC)
    names: list[str] = []
    for name in header:
        usual = ALIASES.get(name, name)
        # An unknown extra column may have another program's name of a column that is there.
        names.append(name if usual in header else usual)
    for name in needed:
        if names.count(name) != 1:
            raise ReadError(
                f"{path}: the column {name!r} is missing or stands twice; add or rename it."
            )
    return [dict(zip(names, values, strict=True)) for values in rows]


def box_and_outline(row: Row) -> tuple[BBox | None, Outline | None]:
    """Box and outline of a row, each None where it has none; an outline always has a box."""
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
    if any(row[name].strip() for name in EDGES):
        return BBox(*(number(row[name]) for name in EDGES)), outline
    return outline.bbox if outline else None, outline


def images_named(path: Path) -> list[Path]:
    """The images that a table names, once each, whether they are there or not."""
    images: dict[Path, None] = {}
    for row in read_table(path, ()):
        if "path" in row:
            images[path.parent / row["path"]] = None
    return list(images)


def _field(root: Path, group: _Group, names: Mapping[str, str], left_out: LeftOut) -> LabelledField:
    path, image, rows = group
    name = names[image.relative_to(root).as_posix()]
    line, first = rows[0]
    with naming(f"{path}, line {line}"):
        size = image_size(image)
        fov = first.get("fov") or first.get("field") or name
        split = first.get("split") or split_of_place(path.relative_to(root).as_posix())
        if not split_named(split):
            raise WbcError(f"no split {split[:40]!r}; use train, val or test.")
    cells = []
    before = left_out.count
    for line, row in rows:
        # The image would be in two splits, or its boxes those of another size.
        with naming(f"{path}, line {line}"):
            for key in ("split", "slide", "fov", "field"):
                if row.get(key) != first.get(key):
                    raise WbcError(
                        f"another {key} than in the first row of this image; make them one."
                    )
            height, width = (number(row.get(key) or "0") for key in ("height", "width"))
            check_size((height, width), size)
        with left_out.item(f"{path}, line {line}"):
            if cell := _cell(row, fov, size):
                cells.append(cell)
    with naming(path):
        return LabelledField(
            name,
            image,
            *size,
            split_named(split),
            with_own_ids(cells),
            first.get("slide", ""),
            fov,
            complete=left_out.count == before,
        )


def _cell(row: Row, fov: str, size: tuple[int, int]) -> Cell | None:
    box, outline = box_and_outline(row)
    # A row without label, box and outline says that its image shows no cell.
    if box is None and not row["label"]:
        return None
    detection = Detection(box or BBox(0, 0, *size), outline)
    return labelled_cell(row.get("cell_id", ""), fov, row["label"], detection, size)
