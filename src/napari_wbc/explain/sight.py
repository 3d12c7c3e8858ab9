"""Where in its input a layer of a network looks.

A map of 5 x 5 that is simply enlarged to 72 x 72 lies up to seven pixels off: a strided convolution
of odd width looks around the first pixel of its stride, not around its middle. So each layer is
asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import nn

PROBES = 8
"""Random inputs that a layer is asked with."""
MARGIN = 192
"""Pixels by which the inputs are larger, so that no edge cuts the view of an element in the middle.

Every usual stride divides it, so a map grows by a whole number of elements.
"""
CORE = 0.1
"""Pixels that weigh less than this part of the heaviest are left out: normalisation sees all."""


class Sight(NamedTuple):
    """Pixel of the input, from 0 at the centre of the first, that element ``i`` of a map looks at.

    It is ``offset + i * stride``, in rows and columns alike.
    """

    offset: float
    stride: float


@contextmanager
def watched(
    network: nn.Module, layers: Iterable[str], see: Callable[[str, torch.Tensor], Any]
) -> Iterator[None]:
    """Call a function with the name and the output of layers as a network runs.

    Parameters
    ----------
    layers : iterable of str
        Names of modules of the network.
    see : callable
        What it returns, if not None, takes the place of the output.
    """
    with ExitStack() as hooks:
        for name in layers:

            def hook(_module: Any, _inputs: Any, output: torch.Tensor, name: str = name) -> Any:
                return see(name, output)

            hooks.enter_context(network.get_submodule(name).register_forward_hook(hook))
        yield


def map_layers(network: nn.Module, size: int) -> dict[str, int]:
    """Layers whose output is a square map, of a network that takes crops of ``size`` pixels a side.

    Returns
    -------
    dict of str to int
        Side of the map by the layer's name, in the order they are called. Of layers inside each
        other that give the same map, the outer one is named.
    """
    import torch

    called: list[tuple[str, torch.Tensor]] = []
    names = [name for name, _ in network.named_modules() if name]
    # Two crops, since batch normalisation refuses one where maps are a single pixel.
    x = torch.zeros((2, 3, size, size)).to(next(network.parameters()))
    with (
        torch.inference_mode(),
        watched(network, names, lambda name, output: called.append((name, output))),
    ):
        network(x)
    sides: dict[str, int] = {}
    for name, output in called:
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            rows, cols = output.shape[2:]
            if rows == cols > 1:
                sides[name] = int(rows)
    return {name: side for name, side in sides.items() if side not in map(sides.get, _above(name))}


def _above(name: str) -> list[str]:
    """Names of the modules that a module lies in."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def deep_layers(layers: dict[str, int], largest: float) -> tuple[str, ...]:
    """The layers of :func:`map_layers` that Grad-CAM looks at unasked.

    They are the last of the outermost layers of each side up to ``largest``; the very last layer
    where all are larger.
    """
    chosen: dict[int, str] = {}
    for name, side in layers.items():
        if name.count(".") <= chosen.get(side, name).count("."):
            chosen[side] = name
    deep = [name for name in layers if chosen[layers[name]] == name and layers[name] <= largest]
    return tuple(deep or list(layers)[-1:])


def sights_of(network: nn.Module, layers: Sequence[str], size: int) -> dict[str, Sight]:
    """Measure where the elements of layers' maps look: the middle of their gradient in the input.

    The layers are named as by :func:`map_layers`; ``size`` is the side of crops in pixels.
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
    sights = {}
    for name in layers:
        n = small[name].shape[-1]
        n_large = large[name].shape[-1]
        if n < 2:
            sights[name] = Sight((size - 1) / 2, float(size))
            continue
        if n_large > n:
            # What the input grew by, over what the map grew by. Two neighbours in the middle, whose
            # mean evens out rounding.
            stride = MARGIN / (n_large - n)
            i = n_large // 2
            middle = (_looks_at(large[name], x, i - 1) + _looks_at(large[name], x, i)) / 2
            first = middle - (i - 0.5) * stride
        else:
            # Every input is scaled to a size of the network's own.
            i = n // 4
            j = n - 1 - n // 4
            at = _looks_at(small[name], near, i)
            stride = (_looks_at(small[name], near, j) - at) / (j - i) if j > i else taken / n
            first = at - i * stride
        # Pixel 0 is the middle of the first, half a pixel from the edge that scaling keeps.
        share = size / taken
        sights[name] = Sight((first + 0.5) * share - 0.5, stride * share)
    return sights


def _maps(network: nn.Module, layers: Sequence[str], x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Outputs of layers, shape (N, C, n, n) each."""
    import torch

    maps: dict[str, torch.Tensor] = {}
    with torch.enable_grad(), watched(network, layers, maps.__setitem__):
        network(x)
    return maps


def _looks_at(output: torch.Tensor, x: torch.Tensor, i: int) -> float:
    """Middle of the gradient of the element (i, i) of a map."""
    import torch

    (gradient,) = torch.autograd.grad(output[:, :, i, i].square().sum(), x, retain_graph=True)
    # Squared, since what a pixel says for and against would cancel out.
    weight = gradient.square().sum(dim=(0, 1))
    profile = (weight.sum(0) + weight.sum(1)).double()
    profile = profile * (profile > CORE * profile.max())
    return float((profile * torch.arange(len(profile)).to(profile)).sum() / profile.sum())


def spread(maps: torch.Tensor, sight: Sight, size: int) -> torch.Tensor:
    """Maps of a layer, shape (N, C, n, n), on the ``size`` pixels a side of its input.

    Interpolation is linear; the result has the shape (N, C, size, size).
    """
    import torch
    from torch.nn.functional import grid_sample

    n = maps.shape[-1]
    pixels = torch.arange(size, device=maps.device, dtype=maps.dtype)
    element = (pixels - sight.offset) / sight.stride
    # grid_sample counts from -1 at the first element to 1 at the last.
    at = 2 * element / max(n - 1, 1) - 1
    rows, columns = torch.meshgrid(at, at, indexing="ij")
    where = torch.stack([columns, rows], dim=2).expand(len(maps), size, size, 2)
    return grid_sample(maps, where, align_corners=True, padding_mode="border")
