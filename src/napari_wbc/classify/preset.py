"""How a crop becomes a network's input, in training and in inference alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc.imaging.crop import cut_crops
from napari_wbc.imaging.light import BalancedField, balanced
from napari_wbc.model.geometry import BBox
from napari_wbc.model.ranges import Ranges, check_ranges

if TYPE_CHECKING:
    import torch


_RANGES: Ranges = {"size": (16, 1024), "factor": (1, 20), "anchors": (0, 1), "sure": (0, 1)}


@dataclass(frozen=True, slots=True)
class Preset:
    """Size of the crop and balance of its colours.

    Parameters
    ----------
    size : int
        Side of the network's input in pixels, 16 to 1024.
    factor : float
        Side of the crop as a multiple of the longer side of the cell's box, 1 or more.
    anchors : float
        How far stain is brought to that of a reference film, 0 to 1: at 1 red cells and nuclei have
        the same colours whatever the stain (:mod:`napari_wbc.classify.stain_anchors`). Above 0
        light is balanced too, so that glass is white. At 0 colours stay.
    sure : float
        Cells whose highest probability is below this, 0 to 1, are looked at in all orientations
        (:mod:`napari_wbc.classify.looks`).
    white : bool
        Whether light is balanced, so that glass is white, also where ``anchors`` is 0.
    """

    size: int = 72
    factor: float = 1.35
    anchors: float = 0.5
    sure: float = 0.9
    white: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)

    @property
    def is_balanced(self) -> bool:
        """Whether the light of a field is balanced."""
        return self.white or self.anchors > 0

    def field(self, image: npt.NDArray[np.uint8]) -> BalancedField:
        """The field that crops are cut from, of a uint8 RGB image of shape (height, width, 3)."""
        if self.is_balanced:
            return balanced(image)
        return BalancedField(image, np.full(3, np.nan, np.float32))

    def cut(
        self, image: npt.NDArray[np.uint8], boxes: Sequence[BBox], *, room: float = 1.0
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Cut the crops of the cells of a field.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8
        boxes : sequence of BBox
            N boxes in pixels of the image.
        room : float
            Both size and factor are multiplied by this.

        Returns
        -------
        crops : ndarray, shape (N, side, side, 3), uint8
        red : ndarray, shape (N, 3), float32
            Absorbance of red cells, the same for all.
        """
        light = self.field(image)
        size = round(self.size * room)
        crops = cut_crops(light.image, boxes, size=size, factor=self.factor * room)
        return crops, np.tile(light.red, (len(boxes), 1))

    def prepare(self, crops: torch.Tensor, red: torch.Tensor) -> torch.Tensor:
        """Balance and scale crops.

        Parameters
        ----------
        crops : Tensor, shape (N, 3, size, size)
            RGB, 0 to 1, cut from :meth:`field`.
        red : Tensor, shape (N, 3)
            Absorbance of red cells in the field of each crop; NaN where there are none.

        Returns
        -------
        Tensor, shape (N, 3, size, size), float32
            About zero mean and unit deviation; bare glass near 1.6.
        """
        from napari_wbc.classify.stain_anchors import anchored, density_of, nuclei_of, transmitted

        if self.anchors:
            density = density_of(crops)
            nuclei = nuclei_of(density, self.factor)
            crops = transmitted(anchored(density, red, nuclei, self.anchors))
        return self.scale(crops)

    def scale(self, crops: torch.Tensor) -> torch.Tensor:
        """Crops of balanced colours, 0 to 1, to about zero mean and unit deviation."""
        return (crops - 0.6) / 0.25


def tensor_of(crops: npt.NDArray[np.uint8], device: str | torch.device) -> torch.Tensor:
    """Crops of shape (N, size, size, 3) on a device, as :meth:`Preset.prepare` takes them."""
    import torch

    # To the device as bytes: a quarter of the traffic.
    pixels = torch.from_numpy(np.ascontiguousarray(crops)).to(device)
    return pixels.permute(0, 3, 1, 2).float() / 255
