"""Networks by name: the shipped ones, and those of the published systems for comparison.

Every network takes crops of shape (N, 3, S, S), float, of any side S from 32 pixels on, and gives
logits of shape (N, n_classes). ``features`` gives what its last layer, ``head``, takes: shape (N,
F).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_wbc.errors import WbcError

if TYPE_CHECKING:
    from napari_wbc.classify.networks.base import FeatureNetwork

__all__ = ["NETWORKS", "Network", "build_network", "check_network"]


@dataclass(frozen=True, slots=True)
class Network:
    """How to build a network.

    Parameters
    ----------
    module, name : str
        Of its class, in this package; imported when it is built.
    options : mapping
        Keyword arguments of the class.
    """

    module: str
    name: str
    options: Mapping[str, object] = field(default_factory=dict)


def _backbone(backbone: str, smallest: int = 32) -> Network:
    return Network("backbones", "Backbone", {"backbone": backbone, "smallest": smallest})


NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        # This project, after He et al. 2016 and Wu and He 2018.
        "cdnn": Network("cdnn", "Cdnn"),
        "cdnn_batch_norm": Network("cdnn", "Cdnn", {"norm": "batch"}),
        # Tan and Le 2019.
        "efficientnet_lite0": Network("efficientnet", "EfficientNet"),
        # This project: the mean of both.
        "duet": Network("duet", "Duet"),
        # Youssef et al. 2024, Deep learning models for white blood cell image classification.
        "youssef_1": Network("youssef", "Youssef1"),
        "youssef_2": Network("youssef", "Youssef2"),
        # Tiwari et al. 2018, Detection of subtype blood cells using deep learning.
        "dclnn_max": Network("dclnn", "Dclnn", {"pool": "max"}),
        "dclnn_average": Network("dclnn", "Dclnn", {"pool": "average"}),
        # Chowdhury et al. 2024, residual network.
        "chowdhury": Network("chowdhury", "Chowdhury"),
        # This project, after Chollet 2017.
        "separable": Network("separable", "Separable"),
        # Simonyan and Zisserman 2015.
        "vgg16": _backbone("vgg16"),
        # He et al. 2016.
        "resnet50": _backbone("resnet50"),
        # Szegedy et al. 2016; its convolutions without padding leave nothing of smaller crops.
        "inception_v3": _backbone("inception_v3", smallest=75),
        # Sandler et al. 2018.
        "mobilenet_v2": _backbone("mobilenet_v2"),
        # Huang et al. 2017.
        "densenet121": _backbone("densenet121"),
        # Chollet 2017.
        "xception": _backbone("legacy_xception"),
        # Gao et al. 2021.
        "res2net50": _backbone("res2net50_26w_4s"),
    }
)
"""The architectures by name."""


def check_network(architecture: str) -> None:
    """Raise :class:`~napari_wbc.errors.WbcError` if no network has this name."""
    if architecture not in NETWORKS:
        raise WbcError(f"No network {architecture!r}; choose one of: {', '.join(NETWORKS)}.")


def build_network(architecture: str, n_classes: int, *, pretrained: bool = False) -> FeatureNetwork:
    """Build a network of :data:`NETWORKS` with fresh weights, in training mode.

    Parameters
    ----------
    pretrained : bool
        Start from ImageNet's weights, which ``efficientnet_lite0`` alone has.

    Raises
    ------
    WbcError
        If there is no such architecture, or it needs timm and timm is not installed.
    """
    check_network(architecture)
    if pretrained and architecture != "efficientnet_lite0":
        raise WbcError(f"There are no ImageNet weights of {architecture}; train it without them.")
    plan = NETWORKS[architecture]
    # Loaded only when it is built: torchvision's models take a second, and timm may be missing.
    module = import_module(f"{__name__}.{plan.module}")
    options = dict(plan.options)
    if pretrained:
        options["pretrained"] = True
    network: FeatureNetwork = getattr(module, plan.name)(n_classes, **options)
    return network
