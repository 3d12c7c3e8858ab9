"""The double convolution layer neural network (DCLNN) of Tiwari et al. 2018."""

from __future__ import annotations

import torch
from torch import nn

from napari_wbc.classify.networks.base import FeatureNetwork, dense, initialize, resized


class Dclnn(FeatureNetwork):
    """3x3 convolutions of 32 and 64 filters, 2x2 pooling, dropout 0.25, one dense layer.

    The input has 60 rows and 80 columns, as published, so that square crops are squeezed to it.
    Left open, and chosen here: 128 features in the dense layer, convolutions without padding, ReLU.

    Parameters
    ----------
    pool : str
        ``max`` or ``average``; both are published.
    """

    def __init__(self, n_classes: int, pool: str = "max") -> None:
        super().__init__(128, n_classes)
        self.maps = nn.Sequential(
            nn.Conv2d(3, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2) if pool == "max" else nn.AvgPool2d(2),
            nn.Dropout(0.25),
        )
        # Two convolutions without padding and pooling leave 28 x 38 of 60 x 80 pixels.
        self.dense = dense(64 * 28 * 38, 128)
        initialize(self.maps, self.dense)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Output of the dense layer, shape (N, 128)."""
        features: torch.Tensor = self.dense(self.maps(resized(x, 60, 80)).flatten(1))
        return features
