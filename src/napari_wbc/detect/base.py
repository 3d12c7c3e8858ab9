"""What a detector is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from napari_wbc.model.cell import Detection

RgbImage = npt.NDArray[np.uint8]
"""uint8 RGB image, shape (height, width, 3), 0 to 255."""


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
