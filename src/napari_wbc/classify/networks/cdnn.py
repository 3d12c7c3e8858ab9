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


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = _norm(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = _norm(norm, outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, bias=False)
        # Modules, which captum's guided backpropagation can take hold of.
        self.relu1 = nn.ReLU()
        self.relu2 = nn.ReLU()
        self.stride = stride
        # Each block starts as its shortcut (Goyal et al. 2017): the first steps are steadier.
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        # Pooled, not strided: a 1x1 convolution with a stride would see a quarter of the pixels.
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride, ceil_mode=True)
        summed: torch.Tensor = self.relu2(y + self.shortcut(x))
        return summed


def _norm(kind: str, channels: int) -> nn.GroupNorm | nn.BatchNorm2d:
    return nn.GroupNorm(8, channels) if kind == "group" else nn.BatchNorm2d(channels)


class Cdnn(FeatureNetwork):
    """Compact residual network, 393,696 parameters with eight classes.

    Parameters
    ----------
    norm : str
        ``group``, or ``batch`` for comparison.
    """

    def __init__(self, n_classes: int, norm: str = "group") -> None:
        super().__init__(120, n_classes)
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 5, 2, 2, bias=False), _norm(norm, 24), nn.ReLU())
        # Widths are multiples of 8, the number of groups.
        self.stages = nn.Sequential(
            _Block(24, 24, 1, norm),
            _Block(24, 48, 2, norm),
            _Block(48, 88, 2, norm),
            _Block(88, 120, 2, norm),
        )
        self.dropout = nn.Dropout(0.1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features, shape (N, 120), of crops of shape (N, 3, size, size)."""
        features: torch.Tensor = self.dropout(self.stages(self.stem(x)).mean(dim=(2, 3)))
        return features
