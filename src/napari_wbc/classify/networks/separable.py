"""Separable convolutions, and a plain network of them."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from napari_wbc.classify.networks.base import FeatureNetwork, initialize


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """A 3x3 convolution within channels, a 1x1 one across them, and batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Separable(FeatureNetwork):
    """Separable convolutions as in Xception (Chollet 2017), without its shortcuts.

    A 3x3 convolution of 32 filters and stride 2, then stages of two separable convolutions with 64,
    128 and 256 filters, with 2x2 max pooling between; the mean over all places; dropout. All of it
    is chosen here: the published systems name such a network and give no layers.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__(256, n_classes)
        layers: list[nn.Module] = [
            nn.Conv2d(3, 32, 3, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        ]
        for inputs, outputs in pairwise((32, 64, 128, 256)):
            layers += [separable(inputs, outputs), nn.ReLU()]
            layers += [separable(outputs, outputs), nn.ReLU(), nn.MaxPool2d(2)]
        # Pooling stands between stages, so the last one goes.
        self.stages = nn.Sequential(*layers[:-1])
        self.dropout = nn.Dropout(0.2)
        initialize(self.stages)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Means of the last maps, shape (N, 256)."""
        features: torch.Tensor = self.dropout(self.stages(x).mean(dim=(2, 3)))
        return features
