"""What a detector is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from napari_wbc.model.cell import Detection

__all__ = ["Detector", "RgbImage"]

RgbImage = npt.NDArray[np.uint8]
"""uint8 RGB image, shape (height, width, 3), 0 to 255."""


@runtime_checkable
class Detector(Protocol):
    """Locates leukocytes."""

    @property
    def name(self) -> str:
        """Name and preset, as written in reports."""

    def detect(self, image: RgbImage) -> tuple[Detection, ...]:
        """Locate the leukocytes of one field.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8
            RGB, 0 to 255.

        Returns
        -------
        tuple of Detection
            In descending order of score; empty when there is none.
        """
