"""Large networks of torchvision and timm with the head of the published systems."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torchvision.models import densenet121, inception_v3, mobilenet_v2, resnet50
from torchvision.models.vgg import cfgs, make_layers

from napari_wbc.classify.networks.base import FeatureNetwork, dense, initialize, resized
from napari_wbc.errors import WbcError

_TORCHVISION: dict[str, tuple[Callable[[], nn.Module], str, int]] = {
    "resnet50": (partial(resnet50, weights=None), "fc", 2048),
    "inception_v3": (
        partial(inception_v3, weights=None, aux_logits=False, init_weights=True, dropout=0.0),
        "fc",
        2048,
    ),
    "mobilenet_v2": (partial(mobilenet_v2, weights=None), "classifier", 1280),
    "densenet121": (partial(densenet121, weights=None), "classifier", 1024),
}
"""How to build each, the name of its head, and how many features that takes."""


def _without_head(name: str) -> tuple[nn.Module, int]:
    """A network that gives features of shape (N, F), and F."""
    if name == "vgg16":
        # The convolutions alone: torchvision's whole network fills 120 million dense weights first.
        layers = make_layers(cfgs["D"])
        initialize(layers)
        return nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 512
    if name in _TORCHVISION:
        build, head, width = _TORCHVISION[name]
        network = build()
        # With nothing in place of its head, a network gives features.
        setattr(network, head, nn.Identity())
        return network, width
    try:
        import timm
    except ImportError as error:
        raise WbcError(f'The network {name} needs timm; install "napari-wbc[timm]".') from error
    model = timm.create_model(name, pretrained=False, num_classes=0)
    return model, model.num_features


class Backbone(FeatureNetwork):
    """A network without its own classes, then dense 64, 128 and 128, then the classes.

    Each dense layer has batch norm, ReLU and dropout. Left open, and chosen here: dropout 0.2, and
    the mean over all places before the dense layers, so that crops keep their size. The published
    systems start from ImageNet weights; these start fresh, like all others.

    Parameters
    ----------
    backbone : str
        ``vgg16``, ``resnet50``, ``inception_v3``, ``mobilenet_v2``, ``densenet121``, or a model's
        name in timm.
    smallest : int
        Least side in pixels that the backbone can take; smaller crops are enlarged to it.

    Raises
    ------
    WbcError
        If the backbone is timm's, and timm is not installed.
    """

    def __init__(self, n_classes: int, backbone: str, smallest: int = 32) -> None:
        super().__init__(128, n_classes)
        self.backbone, width = _without_head(backbone)
        self.dense = dense(width, 64, 128, 128, norm=True, dropout=0.2)
        self.smallest = smallest
        initialize(self.dense)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Output of the last dense layer but the head, shape (N, 128)."""
        if min(x.shape[2:]) < self.smallest:
            x = resized(x, self.smallest, self.smallest)
        features: torch.Tensor = self.dense(self.backbone(x))
        return features
