"""Training sets as crops: ``SPLIT/CLASS/CELL_ID.png``, one image a cell.

The crops are cut from the fields without resampling. ``crops.csv`` says of each which cell it is
and where in which field it lies, in the columns of ``cells.csv``; boxes and outlines there are in
pixels of the crop.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import image_size, inside
from napari_wbc.files.visible import visible
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import SPLITS
from napari_wbc.model.training_set import LabelledField
from napari_wbc.model.words import RESERVED, is_file_name
from napari_wbc.storage.formats.csv_set import COLUMNS, cell_row, read_fields_tables_steps
from napari_wbc.storage.formats.left_out import LeftOut
from napari_wbc.storage.formats.reading import (
    check_fields,
    finished_steps,
    labelled_cell,
    naming,
    visible_images,
)
from napari_wbc.storage.formats.splits import split_named
from napari_wbc.storage.tables import write_rows

TABLE = "crops.csv"
CROP_COLUMNS = (*COLUMNS, "field", "field_top", "field_left", "field_height", "field_width")
MARGIN = 0.5
"""Room on each side of a box, in its longer sides."""
NO_CLASSES = frozenset({"images", "labels", "jpegimages", "annotations", "data"})
"""Folders of images in sets of other formats, in lower case."""


def image_place(field: LabelledField) -> str:
    """Where the crops of a field belong, relative to the set; its own image has no place in it."""
    return field.split


def write_crops(
    root: Path, field: LabelledField, image: npt.NDArray[np.uint8], *, margin: float = MARGIN
) -> None:
    """Write the crops of one field into the folder of a set.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3)
        Its pixels.
    margin : float
        Room on each side of the box, in longer sides of the box, 0 and more; whole pixels, inside
        the image.

    Raises
    ------
    WbcError
        If a class is no name of a folder, a cell is outside the image, or a file cannot be written.
    """
    if image.shape != (field.height, field.width, 3):
        raise WbcError(
            f"{field.name}: pixels of shape {image.shape} are not those of this field; "
            "read it anew."
        )
    for cell in field.cells:
        top, left, bottom, right = _window(field, cell, margin)
        _save(root / _place(field, cell), image[top:bottom, left:right])


def write_table(root: Path, fields: Sequence[LabelledField], *, margin: float = MARGIN) -> None:
    """Write ``crops.csv``, which tells of the crops that :func:`write_crops` wrote."""
    labels: dict[str, str] = {}
    for field in fields:
        for cell in field.cells:
            labels[cell.label] = _folder(cell.label).casefold()
    check_fields(fields, tuple(labels))
    if len(set(labels.values())) < len(labels):
        raise WbcError(f"Two of the classes {', '.join(labels)} would share a folder; rename one.")
    rows = []
    for field in fields:
        for cell in field.cells:
            # Box and outline are in pixels of the crop, so that crop and table make a set alone.
            top, left, bottom, right = _window(field, cell, margin)
            crop = replace(field, height=bottom - top, width=right - left, cells=())
            row = cell_row(crop, _shifted(cell, top, left), _place(field, cell))
            rows.append([*row, field.name, top, left, field.height, field.width])
    write_rows(root / TABLE, CROP_COLUMNS, rows)


def crop_places(field: LabelledField) -> list[str]:
    """Where the crops of a field lie, relative to the set, in the order of its cells."""
    return [_place(field, cell) for cell in field.cells]


def _place(field: LabelledField, cell: Cell) -> str:
    return f"{field.split}/{_folder(cell.label)}/{_file_name(cell.cell_id)}.png"


def _folder(label: str) -> str:
    """Folder of a class: its name, blanks as ``_``."""
    name = label.replace(" ", "_")
    if not is_file_name(name):
        raise WbcError(f"The class {label!r} cannot be the name of a folder; rename it.")
    return name


def _file_name(cell_id: str) -> str:
    """The id where any system takes it for a file name, and else a digest of it."""
    # Capitals are not safe: "A" and "a" are one file on some systems.
    if re.fullmatch("[0-9a-z][0-9a-z_-]{0,99}", cell_id) and cell_id not in RESERVED:
        return cell_id
    return hashlib.sha256(cell_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _window(field: LabelledField, cell: Cell, margin: float) -> tuple[int, int, int, int]:
    box = cell.detection.bbox
    room = margin * max(box.height, box.width)
    if not 0 <= margin < math.inf:
        raise WbcError(f"A margin of {margin} is no room around a cell; use 0 or more.")
    try:
        box.clipped(field.height, field.width)
    except WbcError as error:
        raise WbcError(
            f"{field.name}: the cell {cell.cell_id} is outside the image; move it."
        ) from error
    return (
        max(math.floor(box.top - room), 0),
        max(math.floor(box.left - room), 0),
        min(math.ceil(box.bottom + room), field.height),
        min(math.ceil(box.right + room), field.width),
    )


def _shifted(cell: Cell, top: int, left: int) -> Cell:
    box = cell.detection.bbox
    outline = cell.detection.outline
    if outline is not None:
        outline = Outline.from_array(outline.array() - (top, left))
    box = BBox.around(box.corners() - (top, left))
    return replace(cell, detection=replace(cell.detection, bbox=box, outline=outline))


def _save(path: Path, crop: npt.NDArray[np.uint8]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            Image.fromarray(np.ascontiguousarray(crop)).save(file, "PNG")
    except OSError as error:
        raise WbcError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place."
        ) from error


def read_image_folder_steps(
    root: Path, named: Path | None = None
) -> Steps[tuple[LabelledField, ...]]:
    """Read crops, ours or somebody else's ``SPLIT/CLASS/image`` or ``CLASS/image``.

    Each crop is a field with one cell in it. By ``crops.csv``, the cell has the box, the outline
    and the id that it says, and ``fov_id`` is the field that the crop is from. Without, the box is
    the whole image.

    Parameters
    ----------
    root : Path
        Folder of the set.
    named : Path, optional
        The table of the crops.
    """
    table = named or root / TABLE
    if table.is_file():
        fields = yield from read_fields_tables_steps(
            root, [inside(root, table.relative_to(root).as_posix())]
        )
        # A crop whose row is bad is left out, as the note says.
        fields = tuple(field for field in fields if field.cells or field.complete)
        for field in fields:
            if len(field.cells) != 1:
                raise ReadError(
                    f"{table}: {field.name} shows {len(field.cells)} cells; write one row a crop."
                )
        return fields
    images = split_images(root)
    if not any(split_named(folder.name) for folder in _folders(root)):
        images = dict.fromkeys(_class_images(root), SPLITS[0])
    left_out = LeftOut()
    crops: list[LabelledField] = []
    for image, split in images.items():
        with naming(root):
            inside(root, image.relative_to(root).as_posix())
        with left_out.item(image):
            crops.append(_one_cell(root, image, split))
        yield Progress("reading the set", len(crops), len(images))
    if not crops and not left_out.count:
        raise ReadError(
            f"{root}: no labelled image; expected train/CLASS/image.png or CLASS/image.png."
        )
    return (yield from finished_steps(root, crops, left_out))


def split_images(root: Path) -> dict[Path, str]:
    """The split of each image of the folders ``SPLIT/CLASS``, sorted by name."""
    images: dict[Path, str] = {}
    for split in SPLITS:
        for folder in _folders(root):
            if split_named(folder.name) == split:
                images |= dict.fromkeys(_class_images(folder), split)
    return images


def _folders(root: Path) -> list[Path]:
    return list(filter(Path.is_dir, visible(root, "*")))


def _class_images(root: Path) -> list[Path]:
    images = visible_images(visible(root, "*/*"))
    return [image for image in images if image.parent.name.lower() not in NO_CLASSES]


def has_images(root: Path) -> bool:
    """Whether a folder holds images in folders of classes."""
    return bool(_class_images(root) or split_images(root))


def _one_cell(root: Path, image: Path, split: str) -> LabelledField:
    size = image_size(image)
    name = "_".join(image.relative_to(root).parts)
    label = image.parent.name.replace("_", " ")
    cell = labelled_cell("", name, label, Detection(BBox(0, 0, *size)), size)
    return LabelledField(name, image, *size, split, (cell,), fov_id=name)
