"""Where in its input a layer of a network looks.

A map of 5 x 5 that is simply enlarged to 72 x 72 lies up to seven pixels off: a strided convolution of odd
width looks around the first pixel of its stride, not around its middle. So each layer is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Sight", "sight_of", "spread"]

PROBES = 8
"""Random inputs that a layer is asked with."""
LARGER = 3
"""Times the size that a layer is asked with."""
CORE = 0.1
"""Pixels that weigh less than this part of the heaviest are left out: normalisation sees every pixel."""


class Sight(NamedTuple):
    """Pixel of the input, from 0 at the centre of the first, that element ``i`` of a map looks at.

    It is ``offset + i * stride``, in rows and columns alike.
    """

    offset: float
    stride: float


def sight_of(network: nn.Module, layer: nn.Module, size: int) -> Sight:
    """Measure where the elements of a layer's map look: the middle of their gradient in the input.

    Parameters
    ----------
    network : Module
        Takes crops of shape (N, 3, size, size).
    layer : Module
        Of it; its output is a map of shape (N, C, n, n).
    size : int
        Side of the input in pixels.
    """
    import torch

    parameter = next(network.parameters(), torch.zeros(()))
    rng = torch.Generator().manual_seed(0)
    n = _map(network, layer, torch.zeros((2, 3, size, size)).to(parameter)).shape[-1]
    # The elements of a larger input look where those of a smaller do, and no edge cuts their view. A network
    # that scales its input to a size of its own is asked with that.
    x = torch.randn((PROBES, 3, LARGER * size, LARGER * size), generator=rng).to(parameter)
    maps = _map(network, layer, x.requires_grad_(True))
    if maps.shape[-1] < LARGER * (n - 1):
        x = x[..., :size, :size].detach().requires_grad_(True)
        maps = _map(network, layer, x)
    if n < 2:
        return Sight((size - 1) / 2, float(size))
    middle = maps.shape[-1] // 2
    elements = np.arange(max(0, middle - 2), min(middle + 2, maps.shape[-1]))
    places = np.array([_looks_at(maps, x, int(i)) for i in elements])
    stride = float(np.rint(np.median(np.diff(places)))) or size / n
    return Sight(float(np.mean(places - elements * stride)), stride)


def _map(network: nn.Module, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Output of a layer, shape (N, C, n, n)."""
    import torch

    kept: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    try:
        with torch.enable_grad():
            network(x)
    finally:
        handle.remove()
    return kept[0]


def _looks_at(output: torch.Tensor, x: torch.Tensor, i: int) -> float:
    """Middle of the gradient of the element (i, i) of a map."""
    import torch

    (gradient,) = torch.autograd.grad(output[:, :, i, i].square().sum(), x, retain_graph=True)
    weight = gradient.square().sum(dim=(0, 1))
    profile = (weight.sum(0) + weight.sum(1)).double()
    profile = profile * (profile > CORE * profile.max())
    return float((profile * torch.arange(len(profile)).to(profile)).sum() / profile.sum())


def spread(maps: torch.Tensor, sight: Sight, size: int) -> torch.Tensor:
    """Maps of a layer on the pixels of the input, by linear interpolation.

    Parameters
    ----------
    maps : Tensor, shape (N, C, n, n)
    sight : Sight
        Of the layer.
    size : int
        Side of the input in pixels.

    Returns
    -------
    Tensor, shape (N, C, size, size)
    """
    import torch
    from torch.nn.functional import grid_sample

    n = maps.shape[-1]
    element = (torch.arange(size, device=maps.device, dtype=maps.dtype) - sight.offset) / sight.stride
    at = 2 * element / max(n - 1, 1) - 1
    rows, columns = torch.meshgrid(at, at, indexing="ij")
    where = torch.stack([columns, rows], dim=2).expand(len(maps), size, size, 2)
    return grid_sample(maps, where, align_corners=True, padding_mode="border")
