"""Labelled fields: what a training set says of each image, whatever format it is written in.

Invariant: a slide is on one side of the split, in this round and in all later ones, unless a person
moves it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.split import SPLITS
from napari_wbc.model.words import is_line


@dataclass(frozen=True, slots=True)
class LabelledField:
    """One image and its labelled cells.

    Parameters
    ----------
    name : str
        File name of the image in the set: plain, and unique in it whatever the case of letters.
    height, width : int
        Of the image, in pixels.
    split : str
        ``train``, ``val`` or ``test``.
    cells : tuple of Cell
        What counts is their label; boxes and outlines are in pixels of the image.
    slide, fov_id, sha256 : str
        Of the field in its project, and of the image file; empty where it is not known.
    complete : bool
        Whether every cell of the field is here or was put aside by a person, so that the rest is
        background.

    Raises
    ------
    WbcError
        If the name leads elsewhere, the image has no pixels, the split is no split, or two cells
        have one id.
    """

    name: str
    path: Path
    height: int
    width: int
    split: str
    cells: tuple[Cell, ...] = ()
    slide: str = ""
    fov_id: str = ""
    sha256: str = ""
    complete: bool = True

    def __post_init__(self) -> None:
        # A set of a stranger must not name a file outside it.
        odd = not is_line(self.name) or set(self.name) & {*"/\\:"}
        if odd or self.name in ("", ".", ".."):
            raise WbcError(f"{self.name!r} is no plain file name; rename the image.")
        if self.height < 1 or self.width < 1:
            raise WbcError(f"{self.name}: {self.width} x {self.height} is no size of an image.")
        if self.split not in SPLITS:
            raise WbcError(f"{self.name}: no split {self.split!r}; use {', '.join(SPLITS)}.")
        ids = Counter(cell.cell_id for cell in self.cells)
        for cell_id, times in ids.most_common(1):
            if times > 1:
                raise WbcError(f"{self.name}: two cells have the id {cell_id!r}; rename one.")


@dataclass(frozen=True, slots=True)
class LabelledCell:
    """One cell of an image file, with its label.

    Parameters
    ----------
    split : str
        ``train``, ``val`` or ``test``.
    source : str
        Laboratory or data set.
    box : BBox, optional
        In pixels of the image; None for an image of one cell.
    outline : Outline, optional
        In pixels of the image; None where it is not known.
    cell_id, slide : str
        Of the cell in its project; empty where it is not known.
    complete : bool
        Whether the set has every cell of the image, so that what is left is background.
    place : str
        Where its class stands in a differential (:class:`~napari_wbc.model.taxonomy.Place`), if the
        set says that it is not among the leukocytes; else empty.
    """

    path: Path
    label: str
    split: str
    source: str
    box: BBox | None = None
    outline: Outline | None = None
    cell_id: str = ""
    slide: str = ""
    complete: bool = True
    place: str = ""
