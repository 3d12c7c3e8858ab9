"""The residual network of Chowdhury et al. 2024."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from napari_wbc.classify.networks.base import FeatureNetwork, dense, initialize
from napari_wbc.classify.networks.separable import separable


class _Block(nn.Module):
    """Two separable 3x3 convolutions beside a 1x1 one, and 2x2 max pooling of their sum."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            separable(inputs, outputs), nn.ReLU(), separable(outputs, outputs)
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(functional.relu(self.residual(x) + self.shortcut(x)), 2)


class Chowdhury(FeatureNetwork):
    """Residual blocks of 64, 128 and 256 filters, dense 256 and 128, then the classes.

    Published with five classes and fewer than 400,000 parameters. Left open, and chosen here: a 3x3
    convolution of 32 filters before the blocks; separable convolutions within them, since plain
    ones of these widths have 1.1 million parameters; batch norm; 2x2 max pooling after each block;
    the mean over all places before the dense layers, so that crops keep their size.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__(128, n_classes)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()
        )
        self.blocks = nn.Sequential(*(_Block(*widths) for widths in pairwise((32, 64, 128, 256))))
        self.dense = dense(256, 256, 128)
        initialize(self.stem, self.blocks, self.dense)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Output of the last dense layer but the head, shape (N, 128)."""
        features: torch.Tensor = self.dense(self.blocks(self.stem(x)).mean(dim=(2, 3)))
        return features
