"""Mask R-CNN by the name of its backbone (He et al. 2017), as torchvision builds it.

Invariant: a network takes working pixels as they are, scaled and balanced by
:class:`~napari_wbc.detect.mask_rcnn.DetectorPreset`; it resizes and normalizes nothing itself, and
gives masks as the 28 x 28 pixels of their boxes.

The heads are lighter than torchvision's, since a field holds a few large round things of one or
three kinds, and not many small ones of ninety: fewer proposals, two anchors a place, 64 channels of
masks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import mobilenet_v3_large, resnet50, vgg16
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import Conv2dNormActivation, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork
from torchvision.ops.poolers import LevelMapper, MultiScaleRoIAlign

from napari_wbc.errors import WbcError
from napari_wbc.weights.efficientnet import lite0

BACKBONES = (
    "efficientnet_lite0",
    "mobilenet_v3_large",
    "resnet50",
    "resnet50_frozen_bn",
    "vgg16",
)
"""Names of the backbones."""
_ANCHORS = ((24.0, 40.0), (64.0, 104.0), (168.0, 272.0))
"""Sides of the square anchors in working pixels, at strides 8, 16 and 32."""


@dataclass(frozen=True, slots=True)
class _Backbone:
    """How to build a backbone: stages by name, their channels, and the channels of the pyramid.

    The stages are at strides that double from ``stride`` on.
    """

    features: Callable[[bool], nn.Module]
    stages: dict[str, str]
    channels: tuple[int, ...]
    width: int
    stride: int = 8


_LITE0_STEADY = 3
"""Stages of EfficientNet-Lite0, the stem among them, that keep the weights of ImageNet: edges and
colours are the same everywhere, and to learn them anew is to learn the stains of the training set.
"""


def _efficientnet(pretrained: bool) -> nn.Module:
    network = lite0(pretrained)
    for layer in network[:_LITE0_STEADY]:
        layer.requires_grad_(False)
    return network


def _mobilenet(pretrained: bool) -> Any:
    # torchvision's momentum of 0.01 leaves the running means behind weights that are trained from
    # scratch: the network then fits its training data and finds nothing in validation.
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.1)
    return mobilenet_v3_large(norm_layer=norm, weights="DEFAULT" if pretrained else None).features


def _resnet(norm: Callable[..., nn.Module], pretrained: bool) -> Any:
    return resnet50(norm_layer=norm, weights="DEFAULT" if pretrained else None)


def _group_norm_resnet(pretrained: bool) -> Any:
    # torchvision offers ResNet weights with batch normalisation alone.
    if pretrained:
        raise WbcError(
            "There are no pretrained weights of resnet50 with GroupNorm; use resnet50_frozen_bn."
        )
    return _resnet(partial(nn.GroupNorm, 32), False)


def _vgg(pretrained: bool) -> Any:
    # Less the last pooling, so that the one map keeps a stride of 16.
    return vgg16(weights="DEFAULT" if pretrained else None).features[:-1]


_RESNET_STAGES = {"layer2": "0", "layer3": "1", "layer4": "2"}
_BACKBONES = {
    "efficientnet_lite0": _Backbone(
        _efficientnet, {"3": "0", "5": "1", "7": "2"}, (40, 112, 320), 128
    ),
    "mobilenet_v3_large": _Backbone(
        _mobilenet, {"6": "0", "12": "1", "16": "2"}, (40, 112, 960), 128
    ),
    "resnet50": _Backbone(_group_norm_resnet, _RESNET_STAGES, (512, 1024, 2048), 256),
    "resnet50_frozen_bn": _Backbone(
        partial(_resnet, FrozenBatchNorm2d), _RESNET_STAGES, (512, 1024, 2048), 256
    ),
    "vgg16": _Backbone(_vgg, {"29": "0"}, (512,), 512, stride=16),
}


class _Pyramid(nn.Module):
    """Stages of a backbone; several are joined by a feature pyramid (Lin et al. 2017)."""

    def __init__(self, plan: _Backbone, pretrained: bool) -> None:
        super().__init__()
        self.body = IntermediateLayerGetter(plan.features(pretrained), return_layers=plan.stages)
        several = len(plan.channels) > 1
        self.fpn = (
            FeaturePyramidNetwork(list(plan.channels), plan.width) if several else nn.Identity()
        )
        self.out_channels = plan.width

    def forward(self, x: torch.Tensor) -> Any:
        return self.fpn(self.body(x))


def build_mask_rcnn(backbone: str, n_classes: int, *, pretrained: bool = False) -> MaskRCNN:
    """An untrained Mask R-CNN.

    Parameters
    ----------
    backbone : str
        One of :data:`BACKBONES`.
    n_classes : int
        Classes without the background, which is class 0.
    pretrained : bool
        Whether the backbone starts from ImageNet weights: those of ``efficientnet_lite0`` are in a
        package of their own, the others are downloaded and checked by torch.

    Returns
    -------
    MaskRCNN
        In training mode it takes (images, targets) and gives losses; else images, and gives boxes
        (xyxy, working pixels), labels (from 1), scores and masks of shape (N, 1, 28, 28).

    Raises
    ------
    WbcError
        If there is no such backbone, or its weights cannot be downloaded.
    """
    if backbone not in _BACKBONES:
        raise WbcError(f"No backbone {backbone!r}; choose one of: {', '.join(BACKBONES)}.")
    plan = _BACKBONES[backbone]
    try:
        pyramid = _Pyramid(plan, pretrained)
    except OSError as error:
        raise WbcError(
            f"The pretrained weights of {backbone} cannot be downloaded ({error}); "
            "train without them."
        ) from error
    # A single map has the anchors of all levels.
    anchors = _ANCHORS if len(plan.stages) > 1 else (tuple(itertools.chain(*_ANCHORS)),)
    width = plan.width
    n_outputs = n_classes + 1
    # A field has hundreds of red cells, which must not push a leukocyte out.
    detections = 100 if n_classes == 1 else 300
    network = MaskRCNN(
        pyramid,
        rpn_anchor_generator=AnchorGenerator(anchors, ((1.0,),) * len(anchors)),
        rpn_head=RPNHead(width, len(anchors[0])),
        rpn_pre_nms_top_n_train=400,
        rpn_post_nms_top_n_train=100,
        rpn_pre_nms_top_n_test=3 * detections,
        rpn_post_nms_top_n_test=detections,
        rpn_batch_size_per_image=64,
        box_roi_pool=_pool(plan, 7),
        box_head=TwoMLPHead(width * 49, 256),
        box_predictor=FastRCNNPredictor(256, n_outputs),
        box_score_thresh=0.02,
        box_detections_per_img=detections,
        box_batch_size_per_image=32,
        box_positive_fraction=0.3,
        mask_roi_pool=_pool(plan, 14),
        mask_head=MaskRCNNHeads(width, (64, 64, 64), 1),
        mask_predictor=MaskRCNNPredictor(64, 64, n_outputs),
        image_mean=[0.0, 0.0, 0.0],
        image_std=[1.0, 1.0, 1.0],
    )
    # torchvision would resize each image, and paste masks of 28 x 28 into whole fields.
    network.transform.resize = _same_size
    network.transform.postprocess = _as_they_are
    return network


def fuse_norms(network: nn.Module) -> None:
    """Make each batch normalization a part of the convolution before it: less to compute.

    The network, in evaluation mode, gives the same as before and cannot be trained any more.
    """
    for layer in network.modules():
        if not isinstance(layer, Conv2dNormActivation) or len(layer) < 2:
            continue
        conv, norm = layer[0], layer[1]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layer[0] = fuse_conv_bn_eval(conv, norm)
            layer[1] = nn.Identity()


def _pool(plan: _Backbone, size: int) -> MultiScaleRoIAlign:
    """Pooling of regions from the pyramid, to ``size`` squared."""
    pool = MultiScaleRoIAlign(list(plan.stages.values()), size, 2)
    strides = [plan.stride * 2**level for level in range(len(plan.stages))]
    # torchvision takes the strides from the first image that it sees and keeps them: after a strip
    # or a tiny image, nothing would be found in any other (pytorch/vision#3747).
    pool.scales = [1 / stride for stride in strides]
    first = plan.stride.bit_length() - 1
    pool.map_levels = LevelMapper(first, first + len(strides) - 1)
    return pool


def _same_size(image: torch.Tensor, target: Any = None) -> tuple[torch.Tensor, Any]:
    return image, target


def _as_they_are(result: Any, *_sizes: Any) -> Any:
    return result
