"""What JSON files tell of images and of the shapes drawn on them, made into labelled fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_wbc.files.guard import image_size
from napari_wbc.files.json_fields import Record, check_object
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.left_out import LeftOut
from napari_wbc.storage.formats.reading import (
    MAX_CELLS,
    check_count,
    check_told_size,
    finished_steps,
    labelled_cell,
    plain_names,
    with_own_ids,
)
from napari_wbc.storage.formats.splits import split_of_place

Shape = tuple[str, Detection, str]
"""A cell's label, where it is, and its id, which may be empty."""
ShapeReader = Callable[[Record, tuple[int, int]], Shape | None]
"""Reads a shape on an image of a height and width; None where it is no cell."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """An image and the shapes that a file says were drawn on it.

    Parameters
    ----------
    file, image : Path
        In the folder of the set.
    place : str
        Where the file tells of it, for messages: ``a.json, task 3``.
    size : tuple
        Height and width as the file says them.
    split, slide, fov_id : str
        Empty where the file does not say.
    """

    file: Path
    image: Path
    place: str
    shapes: Sequence[Any]
    size: tuple[object, object]
    split: str = ""
    slide: str = ""
    fov_id: str = ""


def drawn_fields_steps(
    root: Path,
    drawings: Sequence[Drawing],
    read: ShapeReader,
    left_out: LeftOut,
    *,
    what: str = "shape",
) -> Steps[tuple[LabelledField, ...]]:
    """The fields of a set; ``what`` is the file's own word for a shape."""
    # Names need all images, so fields are made after all files were read.
    places = [drawing.image.relative_to(root).as_posix() for drawing in drawings]
    names = plain_names(places)
    fields: list[LabelledField] = []
    for drawing, place in zip(drawings, places, strict=True):
        with left_out.item(drawing.place):
            size = image_size(drawing.image)
            check_told_size(drawing.size, size)
            check_count(drawing.shapes, MAX_CELLS, f"{what}s")
            name = names[place]
            fov = drawing.fov_id or name
            folder = drawing.file.parent.relative_to(root).as_posix()
            before = left_out.count
            cells: list[Cell] = []
            for i, record in enumerate(drawing.shapes, start=1):
                with left_out.item(f"{drawing.place}, {what} {i}"):
                    check_object(record)
                    if shape := read(record, size):
                        label, detection, cell_id = shape
                        cells.append(labelled_cell(cell_id, fov, label, detection, size))
            fields.append(
                LabelledField(
                    name,
                    drawing.image,
                    *size,
                    drawing.split or split_of_place(folder),
                    with_own_ids(cells),
                    drawing.slide,
                    fov,
                    complete=left_out.count == before,
                )
            )
        yield Progress("reading the set", len(fields), len(drawings))
    return (yield from finished_steps(root, fields, left_out))
