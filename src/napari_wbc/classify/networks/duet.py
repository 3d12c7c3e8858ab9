"""Two networks as one: EfficientNet-Lite0, which goes by shapes, and the CDNN, which knows colours.

Each is right where the other is not: shapes hold in stains that nobody has seen, colours tell
granules apart in stains that are known. The mean of their probabilities is less sure wherever they
differ (deep ensembles, Lakshminarayanan et al. 2017).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from napari_wbc.classify.networks.base import FeatureNetwork, resized
from napari_wbc.classify.networks.cdnn import Cdnn
from napari_wbc.classify.networks.efficientnet import EfficientNet

COLOUR_SIZE = 72
"""Side of the crops that the CDNN sees, in pixels."""


class MeanHead(nn.Linear):
    """The last layers of two networks, whose probabilities are averaged.

    Its outputs are the logarithms of their mean, but for a constant.

    Parameters
    ----------
    first, second : int
        Features of either network. The last of the second is 1, and so takes the place of a bias.
    """

    def __init__(self, first: int, second: int, n_classes: int) -> None:
        super().__init__(first + second, n_classes)
        self._first = first

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits, shape (N, classes), of the features of both, shape (N, first + second)."""
        k = self._first
        first = functional.linear(features[:, :k], self.weight[:, :k], self.bias)
        second = functional.linear(features[:, k:], self.weight[:, k:])
        return torch.logaddexp(first.log_softmax(1), second.log_softmax(1))


class Duet(FeatureNetwork):
    """EfficientNet-Lite0 and CDNN on the same crops, 3.8 million parameters with eight classes."""

    # The maps of the CDNN: those of the other network are of 6 x 6 and 3 x 3 elements.
    heat_layers = ("colours.stages.1", "colours.stages.2", "colours.stages")

    def __init__(self, n_classes: int) -> None:
        shapes = EfficientNet(n_classes)
        colours = Cdnn(n_classes)
        widths = (shapes.head.in_features, colours.head.in_features + 1)
        super().__init__(sum(widths), n_classes)
        self.head = MeanHead(*widths, n_classes)
        # Their own last layers are parts of the common one.
        del shapes.head, colours.head
        self.shapes = shapes
        self.colours = colours

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Features of both, and a 1, shape (N, F), of crops of shape (N, 3, size, size)."""
        colours = self.colours.features(resized(x, COLOUR_SIZE, COLOUR_SIZE))
        return torch.cat([self.shapes.features(x), colours, torch.ones_like(colours[:, :1])], 1)

    def join(self, shapes: EfficientNet, colours: Cdnn, temperatures: tuple[float, float]) -> None:
        """Take over the weights of two trained networks, their logits divided by temperatures."""
        last = shapes.head, colours.head
        self.shapes.load_state_dict(_body(shapes))
        self.colours.load_state_dict(_body(colours))
        with torch.no_grad():
            rows = [last[0].weight / temperatures[0], last[1].weight / temperatures[1]]
            rows.append(last[1].bias[:, None] / temperatures[1])
            self.head.weight.copy_(torch.cat(rows, 1))
            self.head.bias.copy_(last[0].bias / temperatures[0])


def _body(network: FeatureNetwork) -> dict[str, torch.Tensor]:
    """The tensors of a network without its last layer."""
    tensors = network.state_dict()
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
