"""Labelled cells of a training set, without their pixels.

A training set is what the workbench exports, or what another tool wrote in one of the formats of
:mod:`napari_wbc.storage.sets`; a folder ``SPLIT/CLASS/image`` (each image one cell); or a CSV
manifest with the columns ``path, label, split, source, top, left, bottom, right`` and, if they are
known, ``outline`` ("row,col row,col ..."), ``slide`` and ``cell_id``; paths are relative to the
manifest, and rows without a box show one cell.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Steps, run
from napari_wbc.model.split import SPLITS
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.storage.formats.csv_set import EDGES, box_and_outline, read_table
from napari_wbc.storage.formats.image_folder import split_images
from napari_wbc.storage.formats.images import Images
from napari_wbc.storage.formats.manifest import MANIFEST
from napari_wbc.storage.formats.reading import check_lines, naming
from napari_wbc.storage.formats.registry import sign_of
from napari_wbc.storage.formats.splits import split_named
from napari_wbc.storage.sets import newest_round, read_set_steps


def read_training_set(path: str | Path) -> tuple[LabelledCell, ...]:
    """:func:`read_training_set_steps`, at once."""
    return run(read_training_set_steps(path))


def read_training_set_steps(path: str | Path) -> Steps[tuple[LabelledCell, ...]]:
    """Read what a training set holds, without its pixels.

    Raises
    ------
    WbcError
        If it is neither a folder ``SPLIT/CLASS/image``, a manifest, nor a set of
        :func:`~napari_wbc.storage.sets.read_set`, or holds no cell.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        cells = _from_table(path)
    else:
        cells = _from_folder(path) or (yield from _from_set_steps(path))
    if not cells:
        raise WbcError(
            f"{path}: no labelled cell; expected train/CLASS/image.png or a filled manifest."
        )
    return tuple(cells)


def _from_table(path: Path) -> list[LabelledCell]:
    """The rows of a manifest, whose images may lie anywhere and are not looked at."""
    rows = read_table(path, ("path", "label", "split", "source", *EDGES))
    given = {row["split"] for row in rows}
    if wrong := sorted(name for name in given if not split_named(name)):
        raise WbcError(f"{path}: unknown splits {wrong}; use {', '.join(SPLITS)}.")
    cells: list[LabelledCell] = []
    images = Images(path.parent)
    for line, row in enumerate(rows, start=2):
        with naming(f"{path}, line {line}"):
            box, outline = box_and_outline(row)
            check_lines(row["label"], row["source"], row.get("cell_id", ""), row.get("slide", ""))
        cells.append(
            LabelledCell(
                _image(images, row["path"]),
                row["label"],
                split_named(row["split"]),
                row["source"],
                box,
                outline,
                row.get("cell_id", ""),
                row.get("slide", ""),
            )
        )
    return cells


def _image(images: Images, place: str) -> Path:
    """The image of a row, which may lie anywhere; a path of Windows is looked up beside it."""
    if not re.match(r"[A-Za-z]:|.*\\", place):
        return images.root / place
    with suppress(WbcError):
        return images.find((".", "images"), place)
    return images.root / place.replace("\\", "/")


def _from_folder(path: Path) -> list[LabelledCell]:
    """The images of ``SPLIT/CLASS/image``; none where the folder is a set of another format."""
    if newest_round(path) or (path / MANIFEST).exists() or sign_of(path):
        return []
    source = path.resolve().name
    cells: list[LabelledCell] = []
    for image, split in split_images(path).items():
        label = image.parent.name.replace("_", " ")
        cells.append(LabelledCell(image, label, split, source))
    return cells


def _from_set_steps(path: Path) -> Steps[list[LabelledCell]]:
    """The cells of a set that any of the formats reads."""
    if path.suffix.lower() == ".zip":
        raise WbcError(
            f"{path}: training needs files that stay; unpack it, or import it into a project."
        )
    content = yield from read_set_steps(path)
    places = content.made.get("places")
    places = places if isinstance(places, dict) else {}
    cells: list[LabelledCell] = []
    for field in content.fields:
        for cell in field.cells:
            cells.append(  # noqa: PERF401 - a comprehension of two loops is hard to read
                LabelledCell(
                    field.path,
                    cell.label,
                    field.split,
                    content.name,
                    cell.detection.bbox,
                    cell.detection.outline,
                    cell.cell_id,
                    field.slide,
                    field.complete,
                    str(places.get(cell.label, "")),
                )
            )
    return cells
