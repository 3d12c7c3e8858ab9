"""What a detector is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from napari_wbc.model.cell import Detection

FINDERS = ("Mask R-CNN", "colour")
"""The two cell finders that judge each other, as a person is told of them."""
RgbImage = npt.NDArray[np.uint8]
"""uint8 RGB image, shape (height, width, 3), 0 to 255."""


@dataclass(frozen=True, slots=True)
class Located:
    """What a cell finder located on one field.

    Parameters
    ----------
    cells : tuple of Detection
        Leukocytes, and candidates, which are not counted until a person accepts them.
    counts : mapping, optional
        How many red cells and platelets; None where the cell finder does not count them.
    disagreement : str
        How far two cell finders differ, for a person; empty where they agree as usual.
    alone : mapping, optional
        Those of the cells and candidates that one of two cell finders alone saw, by its name; None
        where there was one finder.
    """

    cells: tuple[Detection, ...]
    counts: Mapping[str, int] | None = None
    disagreement: str = ""
    alone: Mapping[str, tuple[Detection, ...]] | None = None


@runtime_checkable
class Detector(Protocol):
    """Locates leukocytes."""

    @property
    def name(self) -> str:
        """Name and preset, as written in reports."""

    def detect(self, image: RgbImage) -> tuple[Detection, ...]:
        """Locate the leukocytes of one field, in descending order of score.

        Raises
        ------
        WbcError
            If the image is not uint8 RGB.
        """
