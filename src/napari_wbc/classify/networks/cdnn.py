"""The CDNN: a compact residual network with group normalisation.

Residual blocks after He et al. 2016, group normalisation after Wu and He 2018: it does not
carry the colour statistics of the training laboratory into the next one, as the running means
of batch normalisation do (wbc-benchmark, arXiv 2303.01777).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from napari_wbc.classify.networks.base import FeatureNetwork

__all__ = ["Cdnn"]


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = _norm(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = _norm(norm, outputs)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Conv2d(inputs, outputs, 1, bias=False)
        )
        self.relu1, self.relu2 = (
            nn.ReLU(),
            nn.ReLU(),
        )  # modules, which guided backpropagation can take hold of
        self.stride = stride
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride, ceil_mode=True)
        shortcut: torch.Tensor = self.shortcut(x)
        summed: torch.Tensor = self.relu2(y + shortcut)
        return summed


def _norm(kind: str, channels: int) -> nn.GroupNorm | nn.BatchNorm2d:
    return nn.GroupNorm(8, channels) if kind == "group" else nn.BatchNorm2d(channels)


class Cdnn(FeatureNetwork):
    """Compact residual network, 393,696 parameters with eight classes.

    Parameters
    ----------
    n_classes : int
        Number of outputs.
    widths : tuple of int
        Channels of the four stages, multiples of 8.
    dropout : float
        Of the pooled features, in training.
    norm : str
        ``group``, or ``batch`` for comparison.
    """

    def __init__(
        self,
        n_classes: int,
        widths: tuple[int, ...] = (24, 48, 88, 120),
        dropout: float = 0.1,
        norm: str = "group",
    ) -> None:
        super().__init__(widths[-1], n_classes)
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 5, 2, 2, bias=False), _norm(norm, widths[0]), nn.ReLU()
        )
        inputs = (widths[0], *widths)
        self.stages = nn.Sequential(
            *(_Block(inputs[i], width, 1 if i == 0 else 2, norm) for i, width in enumerate(widths))
        )
        self.dropout = nn.Dropout(dropout)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features, shape (N, widths[-1]), of crops of shape (N, 3, size, size)."""
        maps: torch.Tensor = self.stages(self.stem(x))
        pooled: torch.Tensor = self.dropout(maps.mean(dim=(2, 3)))
        return pooled
