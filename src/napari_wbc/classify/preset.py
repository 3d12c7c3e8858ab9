"""How a crop becomes a network's input, in training and in inference alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError

if TYPE_CHECKING:
    import torch

__all__ = ["Preset", "tensor_of"]


@dataclass(frozen=True, slots=True)
class Preset:
    """Size of the crop and balance of its colours.

    Parameters
    ----------
    size : int
        Side of the network's input in pixels.
    factor : float
        Side of the crop as a multiple of the longer side of the cell's box.
    white_quantile : float
        Each channel is divided by this quantile of the crop, so that the bare glass is white
        whatever the lamp and the camera's white balance; 0 to 1, 0 leaves colours alone.
    """

    size: int = 80
    factor: float = 1.5
    white_quantile: float = 0.9

    def __post_init__(self) -> None:
        if self.size < 16 or self.factor < 1 or not 0 <= self.white_quantile <= 1:
            raise WbcError(f"{self} is impossible; size >= 16, factor >= 1, 0 <= white_quantile <= 1.")

    def prepare(self, crops: torch.Tensor) -> torch.Tensor:
        """Balance and scale crops.

        Parameters
        ----------
        crops : Tensor, shape (N, 3, size, size)
            RGB, 0 to 1.

        Returns
        -------
        Tensor, shape (N, 3, size, size), float32
            About zero mean and unit deviation; bare glass near 2.
        """
        import torch

        if self.white_quantile:
            sample = crops[:, :, ::2, ::2].flatten(2)
            rank = max(1, round(self.white_quantile * sample.shape[2]))
            white = torch.kthvalue(sample.float(), rank, dim=2).values
            crops = (crops / white.clamp(min=0.05)[:, :, None, None]).clamp(max=1.2)
        return (crops - 0.6) / 0.25


def tensor_of(crops: npt.NDArray[np.uint8], device: str | torch.device) -> torch.Tensor:
    """Crops on a device, as :meth:`Preset.prepare` takes them.

    Parameters
    ----------
    crops : ndarray, shape (N, size, size, 3), uint8
    device : str or device

    Returns
    -------
    Tensor, shape (N, 3, size, size), float32, 0 to 1
    """
    import torch

    return torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2).float() / 255
