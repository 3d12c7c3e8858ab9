"""Labelled fields: what a training set says of each image, whatever format it is written in.

Invariant: a slide is on one side of the split, in this round and in all later ones, unless a person
moves it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import BBox, Outline

__all__ = [
    "BY_SLIDE",
    "SPLITS",
    "LabelledCell",
    "LabelledField",
    "farthest",
    "split_of",
    "splits_told",
]

SPLITS = ("train", "val", "test")
BY_SLIDE = "by-slide"
"""Each slide's split is found from its name."""
SHARES = (0.7, 0.15, 0.15)
"""Of the slides, by split."""


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
        odd = not self.name.isprintable() or set(self.name) & {*"/\\:"}
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


def farthest(*sides: str) -> str:
    """The one of some splits that is farthest from train; empty if there is none.

    Examples
    --------
    >>> farthest("train", "test", ""), farthest("")
    ('test', '')
    """
    return max(filter(None, sides), key=SPLITS.index, default="")


def splits_told(content: object) -> dict[str, str]:
    """Splits by name, as a file says that may be anybody's; what is no split is left out.

    Examples
    --------
    >>> splits_told({"a": "test", "b": "?"}), splits_told(None)
    ({'a': 'test'}, {})
    """
    given = content if isinstance(content, dict) else {}
    return {str(name): side for name, side in given.items() if side in SPLITS}


def split_of(slide: str) -> str:
    """The split of a slide, found from its name alone: 70 % train, 15 % val, 15 % test.

    Examples
    --------
    >>> split_of("slide 1") == split_of("slide 1")
    True
    """
    # By a hash, so that a slide stays on its side when others come, on any machine.
    digest = hashlib.sha256(slide.encode("utf-8", "surrogatepass")).hexdigest()
    place = int(digest[:12], 16) / 16**12
    end = 0.0
    for split, share in zip(SPLITS, SHARES, strict=True):
        end += share
        if place < end:
            return split
    # The shares may add up to a little less than 1.
    return SPLITS[-1]


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
