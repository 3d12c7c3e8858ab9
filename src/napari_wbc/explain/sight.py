"""Where in its input a layer of a network looks.

A map of 5 x 5 that is simply enlarged to 72 x 72 lies up to seven pixels off: a strided convolution
of odd width looks around the first pixel of its stride, not around its middle. So each layer is
asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Sight", "sights_of", "spread"]

PROBES = 8
"""Random inputs that a layer is asked with."""
MARGIN = 192
"""Pixels by which the inputs are larger, so that no edge cuts the view of an element in the middle.

Every usual stride divides it, so a map grows by a whole number of elements.
"""
CORE = 0.1
"""Pixels that weigh less than this part of the heaviest are left out: normalisation sees every pixel."""


class Sight(NamedTuple):
    """Pixel of the input, from 0 at the centre of the first, that element ``i`` of a map looks at.

    It is ``offset + i * stride``, in rows and columns alike.
    """

    offset: float
    stride: float


def sights_of(network: nn.Module, layers: Sequence[str], size: int) -> dict[str, Sight]:
    """Measure where the elements of layers' maps look: the middle of their gradient in the input.

    Parameters
    ----------
    network : Module
        Takes crops of shape (N, 3, size, size).
    layers : sequence of str
        Names of its modules whose output is a map of shape (N, C, n, n).
    size : int
        Side of the input in pixels.
    """
    import torch

    parameter = next(network.parameters(), torch.zeros(()))
    rng = torch.Generator().manual_seed(0)
    # What a network enlarges small crops to: measured there, and scaled back.
    taken = max(size, int(getattr(network, "smallest", size)))
    x = torch.randn((PROBES, 3, taken + MARGIN, taken + MARGIN), generator=rng).to(parameter)
    large = _maps(network, layers, x.requires_grad_(True))
    near = x[..., :taken, :taken].detach().requires_grad_(True)
    small = _maps(network, layers, near)
    found = {}
    for name in layers:
        n, many = small[name].shape[-1], large[name].shape[-1]
        if n < 2:
            found[name] = Sight((size - 1) / 2, float(size))
            continue
        if many > n:
            stride, i = MARGIN / (many - n), many // 2
            first = (_looks_at(large[name], x, i - 1) + _looks_at(large[name], x, i)) / 2 - (
                i - 0.5
            ) * stride
        else:  # every input is scaled to a size of the network's own
            i, j = n // 4, n - 1 - n // 4
            at = _looks_at(small[name], near, i)
            stride = (_looks_at(small[name], near, j) - at) / (j - i) if j > i else taken / n
            first = at - i * stride
        part = size / taken
        found[name] = Sight((first + 0.5) * part - 0.5, stride * part)
    return found


def _maps(network: nn.Module, layers: Sequence[str], x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Outputs of layers, shape (N, C, n, n) each."""
    import torch

    kept: dict[str, torch.Tensor] = {}
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: kept.__setitem__(name, output)
        )
        for name in layers
    ]
    try:
        with torch.enable_grad():
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    return kept


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
    element = (
        torch.arange(size, device=maps.device, dtype=maps.dtype) - sight.offset
    ) / sight.stride
    at = 2 * element / max(n - 1, 1) - 1
    rows, columns = torch.meshgrid(at, at, indexing="ij")
    where = torch.stack([columns, rows], dim=2).expand(len(maps), size, size, 2)
    return grid_sample(maps, where, align_corners=True, padding_mode="border")
