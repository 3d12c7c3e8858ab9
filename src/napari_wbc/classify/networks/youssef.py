"""The two custom networks of Youssef et al. 2024."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from napari_wbc.classify.networks.base import FeatureNetwork, dense, initialize, resized


class Youssef1(FeatureNetwork):
    """Three blocks of 3x3 convolution, 2x2 max pooling and dropout 0.2, then dense 64, 128, 64.

    The blocks have 32, 64 and 128 filters. Left open, and chosen here: the input of 80 x 80 pixels,
    to which other crops are resized; convolutions without padding, ReLU after each layer, no
    dropout between the dense ones.
    """

    SIDE = 80

    def __init__(self, n_classes: int) -> None:
        super().__init__(64, n_classes)
        side = self.SIDE
        blocks: list[nn.Module] = []
        for inputs, outputs in pairwise((3, 32, 64, 128)):
            blocks += [nn.Conv2d(inputs, outputs, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2)]
            # A 3x3 convolution without padding takes two pixels, pooling half.
            side = (side - 2) // 2
        self.blocks = nn.Sequential(*blocks)
        self.dense = dense(128 * side**2, 64, 128, 64)
        initialize(self.blocks, self.dense)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Output of the last dense layer but the head, shape (N, 64)."""
        features: torch.Tensor = self.dense(
            self.blocks(resized(x, self.SIDE, self.SIDE)).flatten(1)
        )
        return features


class _Layer(nn.Sequential):
    """Convolution, ReLU, batch normalisation, in this order."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
            nn.ReLU(),
            nn.BatchNorm2d(outputs),
        )


class _Block(nn.Module):
    """A 1x1 convolution, then a 1x1 and a 3x3 one beside each other, concatenated."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.squeeze = _Layer(inputs, width, 1)
        self.one = _Layer(width, width, 1)
        self.three = _Layer(width, width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x)
        return torch.cat([self.one(x), self.three(x)], dim=1)


class Youssef2(FeatureNetwork):
    """Batch norm, 5x5 convolution of 12 filters, batch norm, then blocks of two branches each.

    Five blocks of 12, 24, 32, 24 and 18 filters, each with 2x2 max pooling after it, and a last one
    of 12. These are the fire modules of SqueezeNet (Iandola et al. 2016) with as many filters in
    each branch as in the layer before them. Left open, and chosen here: ReLU before each batch
    norm, and the mean over all places before the head, so that crops keep their size.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__(24, n_classes)
        blocks: list[nn.Module] = [nn.BatchNorm2d(3), _Layer(3, 12, 5)]
        inputs = 12
        for width in (12, 24, 32, 24, 18):
            blocks += [_Block(inputs, width), nn.MaxPool2d(2)]
            inputs = 2 * width
        self.blocks = nn.Sequential(*blocks, _Block(inputs, 12))
        initialize(self.blocks)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Means of the last maps, shape (N, 24)."""
        return torch.mean(self.blocks(x), dim=(2, 3))
