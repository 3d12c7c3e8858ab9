"""Labelled cells: from files on disk to crops in memory.

A training set is what the workbench exports, or what another tool wrote in one of the formats of
:mod:`napari_wbc.storage.rounds`; a folder ``SPLIT/CLASS/image`` (each image one cell); or a CSV manifest with
the columns ``path, label, split, source, top, left, bottom, right`` and, if they are known,
``outline`` ("row,col row,col ..."), ``slide`` and ``cell_id``; paths are relative to the manifest,
and rows without a box show one cell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.preset import Preset
from napari_wbc.detect.hsv import locate_one
from napari_wbc.errors import WbcError
from napari_wbc.imaging.crop import whole_image_box
from napari_wbc.imaging.read import IMAGE_SUFFIXES, read_image
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.training_set import SPLITS, LabelledCell
from napari_wbc.storage.formats.manifest import MANIFEST
from napari_wbc.storage.formats.reading import SPLIT_NAMES
from napari_wbc.storage.rounds import newest_round, read_set_steps

__all__ = [
    "SPLITS",
    "CropSet",
    "cut_training_crops",
    "one_cell_box",
    "read_training_set",
    "read_training_set_steps",
]


@dataclass(frozen=True, slots=True)
class CropSet:
    """Crops with labels, in memory.

    Parameters
    ----------
    crops : ndarray, shape (N, size, size, 3), uint8
        Cut from the fields that the preset prepares.
    red : ndarray, shape (N, 3), float32
        Absorbance of red cells in the field of each crop; NaN where there are none.
    labels : ndarray, shape (N,), int64
        Indices of classes.
    sources : ndarray, shape (N,), str
    splits : ndarray, shape (N,), str
    sha256 : str
        Over names, labels, splits, sources and crops, to tell which data weights were trained on.
    """

    crops: npt.NDArray[np.uint8]
    red: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.str_]
    splits: npt.NDArray[np.str_]
    sha256: str

    def centers(self, size: int) -> npt.NDArray[np.uint8]:
        """The middle of each crop, without the room around it, shape (N, size, size, 3)."""
        edge = (self.crops.shape[1] - size) // 2
        return self.crops[:, edge : edge + size, edge : edge + size]

    def where(self, keep: npt.NDArray[np.bool_]) -> CropSet:
        """The crops for which ``keep``, shape (N,), is true."""
        return CropSet(
            self.crops[keep],
            self.red[keep],
            self.labels[keep],
            self.sources[keep],
            self.splits[keep],
            self.sha256,
        )


def read_training_set(path: str | Path) -> tuple[LabelledCell, ...]:
    """:func:`read_training_set_steps`, at once."""
    return run(read_training_set_steps(path))


def read_training_set_steps(path: str | Path) -> Steps[tuple[LabelledCell, ...]]:
    """Read what a training set holds, without its pixels.

    Raises
    ------
    WbcError
        If it is neither a folder ``SPLIT/CLASS/image``, a manifest, nor a set of
        :func:`~napari_wbc.storage.rounds.read_set`, or holds no cell.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        cells = _read_manifest(path)
    else:
        cells = _read_folder(path) or (yield from _read_set_steps(path))
    if not cells:
        raise WbcError(
            f"{path}: no labelled cell; expected train/CLASS/image.png or a filled manifest."
        )
    return cells


def _read_folder(path: Path) -> tuple[LabelledCell, ...]:
    """The images of a folder ``SPLIT/CLASS/image``; none where it is another tool's or has a manifest."""
    if newest_round(path) or (path / MANIFEST).exists():
        return ()
    return tuple(
        LabelledCell(file, file.parent.name.replace("_", " "), split, path.resolve().name)
        for place, split in SPLIT_NAMES.items()
        for file in sorted(path.glob(f"{place}/*/*"))
        if file.suffix.lower() in IMAGE_SUFFIXES
        and not file.name.startswith(".")
        and file.parent.name not in ("images", "labels")
    )


def _read_set_steps(path: Path) -> Steps[tuple[LabelledCell, ...]]:
    """The cells of a set that any of the formats reads."""
    if path.suffix.lower() == ".zip":
        raise WbcError(
            f"{path}: training needs files that stay; unpack it, or import it into a project."
        )
    content = yield from read_set_steps(path)
    places = content.made.get("places")
    places = places if isinstance(places, dict) else {}
    return tuple(
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
        for field in content.fields
        for cell in field.cells
    )


def _read_manifest(path: Path) -> tuple[LabelledCell, ...]:
    import pandas as pd

    names, edges = ["path", "label", "split", "source"], ["top", "left", "bottom", "right"]
    try:
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys([*names, "outline", "cell_id", "slide"], str),
            keep_default_na=False,
            na_values=dict.fromkeys(edges, ""),
        )
    except (ValueError, OSError) as error:
        raise WbcError(f"{path}: not a readable CSV manifest ({error}).") from error
    missing = [name for name in (*names, *edges) if name not in table]
    if missing:
        raise WbcError(f"{path}: the manifest lacks the columns {', '.join(missing)}.")
    wrong = sorted(set(table["split"]) - set(SPLITS))
    if wrong:
        raise WbcError(f"{path}: unknown splits {wrong}; use {', '.join(SPLITS)}.")
    return tuple(
        _read_row(path, line, row) for line, row in enumerate(table.to_dict("records"), start=2)
    )


def _read_row(path: Path, line: int, row: Mapping[Hashable, Any]) -> LabelledCell:
    import pandas as pd

    edges = [row[name] for name in ("top", "left", "bottom", "right")]
    try:
        outline = _outline(row.get("outline") or "")
        box = None if all(pd.isna(edge) for edge in edges) else BBox(*map(float, edges))
    except (ValueError, WbcError) as error:
        raise WbcError(f"{path}, line {line}: {error}") from error
    if box is None and outline is not None:
        box = outline.bbox
    cell_id, slide = (str(row.get(name) or "") for name in ("cell_id", "slide"))
    return LabelledCell(
        path.parent / row["path"],
        row["label"],
        row["split"],
        row["source"],
        box,
        outline,
        cell_id,
        slide,
    )


def _outline(text: str) -> Outline | None:
    if not text:
        return None
    return Outline.from_array(
        [[float(number) for number in vertex.split(",")] for vertex in text.split()]
    )


def one_cell_box(image: npt.NDArray[np.uint8], preset: Preset) -> BBox:
    """Box of the cell in an image of one cell, or the whole image where none is found."""
    found = locate_one(image)
    return whole_image_box(image, preset.factor) if found is None else found.bbox


def _by_image(cells: Sequence[LabelledCell]) -> dict[Path, list[int]]:
    """Rows of the cells of each image."""
    rows: dict[Path, list[int]] = {}
    for row, cell in enumerate(cells):
        rows.setdefault(cell.path, []).append(row)
    return rows


def cut_training_crops(
    cells: Sequence[LabelledCell], classes: Sequence[str], preset: Preset, *, room: float = 1.0
) -> Steps[CropSet]:
    """Cut the crops of labelled cells, reading each image once.

    Parameters
    ----------
    cells : sequence of LabelledCell
        In any order, which is that of the crops.
    classes : sequence of str
        Class names; their order gives the label indices.
    preset : Preset
        Says how fields are prepared, and the size and factor of the crops.
    room : float
        Both size and factor are multiplied by this, so that augmentation has room to turn
        and shift the crop at unchanged scale.

    Returns
    -------
    CropSet

    Raises
    ------
    WbcError
        If a label is not among the classes, or an image cannot be read.
    """
    unknown = sorted({cell.label for cell in cells} - set(classes))
    if unknown:
        raise WbcError(
            f"Labels {unknown} are not among the classes {list(classes)}; rename or map them."
        )
    size = round(preset.size * room)
    crops = np.empty((len(cells), size, size, 3), dtype=np.uint8)
    red = np.empty((len(cells), 3), dtype=np.float32)
    done = 0
    digest = hashlib.sha256()
    # Image by image, so that each is read once, wherever its cells stand in the set.
    for path, rows in _by_image(cells).items():
        cells_of_image = [cells[row] for row in rows]
        image = read_image(path)
        boxes = [cell.box or one_cell_box(image, preset) for cell in cells_of_image]
        crops[rows], red[rows] = preset.cut(image, boxes, room=room)
        # Names without folders, so that a set that was moved is still the same data.
        for cell in cells_of_image:
            line = f"{path.name}\t{cell.label}\t{cell.split}\t{cell.source}\n"
            digest.update(line.encode())
        digest.update(crops[rows].tobytes())
        done += len(cells_of_image)
        yield Progress("cutting crops", done, len(cells))
    index = {name: i for i, name in enumerate(classes)}
    return CropSet(
        crops,
        red,
        np.array([index[cell.label] for cell in cells], dtype=np.int64),
        np.array([cell.source for cell in cells], dtype=np.str_),
        np.array([cell.split for cell in cells], dtype=np.str_),
        digest.hexdigest(),
    )
