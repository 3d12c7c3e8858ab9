"""The network of shapes: EfficientNet-Lite0 with ImageNet's weights (Tan and Le 2019).

Its shapes are learnt from a million photographs, so that colours can be drawn at random in training
and shape still tells the cells apart.
"""

from __future__ import annotations

import torch
from torch import nn

from napari_wbc.classify.networks.base import FeatureNetwork
from napari_wbc.weights.efficientnet import WIDTH, lite0


class EfficientNet(FeatureNetwork):
    """EfficientNet-Lite0, 3.4 million parameters with eight classes.

    Parameters
    ----------
    pretrained : bool
        Whether it starts from ImageNet's weights.

    Raises
    ------
    WbcError
        If their package is missing.
    """

    # Shallower maps mark points, and a product with them marks little else.
    heat_layers = ("stages.5", "stages")

    def __init__(self, n_classes: int, pretrained: bool = False) -> None:
        super().__init__(WIDTH, n_classes)
        self.stages = lite0(pretrained, last=True)
        self.dropout = nn.Dropout(0.2)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features, shape (N, 1280), of crops of shape (N, 3, size, size)."""
        features: torch.Tensor = self.dropout(self.stages(x).mean(dim=(2, 3)))
        return features
