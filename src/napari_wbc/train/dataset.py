"""Crops of labelled cells, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.preset import Preset
from napari_wbc.detect.hsv import one_cell_box
from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Detection
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import NOT_CLASSED
from napari_wbc.model.training_set import LabelledCell

NO_CLASS = -1
"""In place of the index of a class: a red cell, an artefact, bare glass."""


@dataclass(frozen=True, slots=True)
class CropSet:
    """N crops with labels, in memory."""

    crops: npt.NDArray[np.uint8]
    """Cut from the fields that the preset prepares, shape (N, size, size, 3)."""
    red: npt.NDArray[np.float32]
    """Absorbance of red cells in the field of each crop, shape (N, 3); NaN where there are none."""
    labels: npt.NDArray[np.int64]
    """Indices of classes, shape (N,), :data:`NO_CLASS` for what is none of them; sources and splits
    are of the same shape."""
    sources: npt.NDArray[np.str_]
    splits: npt.NDArray[np.str_]
    sha256: str
    """Over names, labels, splits, sources and crops, to tell which data weights were trained on."""
    detections: tuple[Detection, ...] = ()
    """Box that each crop was cut around, and outline of the cell; empty where nobody asks."""

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
            tuple(compress(self.detections, keep)),
        )


def cut_training_crops(
    cells: Sequence[LabelledCell], classes: Sequence[str], preset: Preset, *, room: float = 1.0
) -> Steps[CropSet]:
    """Cut the crops of labelled cells, reading each image once.

    Parameters
    ----------
    cells : sequence of LabelledCell
        In any order, which is that of the crops. One without a box is alone in its image, and is
        located there.
    classes : sequence of str
        Class names; their order gives the label indices. ``not classed`` is none of them.
    preset : Preset
        Says how fields are prepared, and the size and factor of the crops.
    room : float
        Both size and factor are multiplied by this, so that augmentation has room to turn
        and shift the crop at unchanged scale.

    Raises
    ------
    WbcError
        If a label is not among the classes, or an image cannot be read.
    """
    unknown = sorted({cell.label for cell in cells} - {*classes, NOT_CLASSED})
    if unknown:
        raise WbcError(
            f"Labels {unknown} are not among the classes {list(classes)}; rename or map them."
        )
    size = round(preset.size * room)
    crops = np.empty((len(cells), size, size, 3), dtype=np.uint8)
    red = np.empty((len(cells), 3), dtype=np.float32)
    detections: dict[int, Detection] = {}
    digest = hashlib.sha256()
    by_image: dict[Path, list[int]] = {}
    for row, cell in enumerate(cells):
        by_image.setdefault(cell.path, []).append(row)
    # Image by image, so that each is read once, wherever its cells stand in the set.
    for path, rows in by_image.items():
        image = read_image(path)
        boxes = []
        for row in rows:
            cell = cells[row]
            boxes.append(cell.box or one_cell_box(image, preset.factor))
            detections[row] = Detection(boxes[-1], cell.outline)
            # Names without folders, so that a set that was moved is still the same data.
            line = f"{path.name}\t{cell.label}\t{cell.split}\t{cell.source}\n"
            # A name that is not valid text, as Linux allows, has surrogates.
            digest.update(line.encode("utf-8", "surrogatepass"))
        crops[rows], red[rows] = preset.cut(image, boxes, room=room)
        digest.update(crops[rows].tobytes())
        yield Progress("cutting crops", len(detections), len(cells))
    index = {NOT_CLASSED: NO_CLASS} | {name: i for i, name in enumerate(classes)}
    return CropSet(
        crops,
        red,
        np.array([index[cell.label] for cell in cells], dtype=np.int64),
        np.array([cell.source for cell in cells], dtype=np.str_),
        np.array([cell.split for cell in cells], dtype=np.str_),
        digest.hexdigest(),
        tuple(detections[row] for row in range(len(cells))),
    )
