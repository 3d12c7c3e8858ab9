"""What the published networks share: features and head, dense layers, first weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class FeatureNetwork(nn.Module):
    """Features, and a linear head on them.

    Parameters
    ----------
    n_features, n_classes : int
        Inputs and outputs of the head.
    """

    heat_layers: tuple[str, ...] = ()
    """Layers that Grad-CAM looks at unasked; empty for a choice by size."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(n_features, n_classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the head takes, shape (N, F), of crops of shape (N, 3, S, S)."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (N, n_classes), of crops of shape (N, 3, S, S)."""
        logits: torch.Tensor = self.head(self.features(x))
        return logits


def dense(inputs: int, *widths: int, norm: bool = False, dropout: float = 0.0) -> nn.Sequential:
    """Dense layers of some widths, each with ReLU.

    Batch normalisation stands before it where ``norm``, and dropout, 0 to 1, after it.
    """
    layers: list[nn.Module] = []
    for width in widths:
        layers.append(nn.Linear(inputs, width))
        if norm:
            layers.append(nn.BatchNorm1d(width))
        layers.append(nn.ReLU())
        if dropout:
            layers.append(nn.Dropout(dropout))
        inputs = width
    return nn.Sequential(*layers)


def resized(x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Crops of shape (N, 3, rows, columns), by bilinear interpolation with antialiasing."""
    if x.shape[2:] == (rows, columns):
        return x
    return functional.interpolate(x.float(), (rows, columns), mode="bilinear", antialias=True)


def initialize(*modules: nn.Module) -> None:
    """Fill convolutions and dense layers with weights for ReLU (He et al. 2015); biases are 0."""
    for module in nn.ModuleList(modules).modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
