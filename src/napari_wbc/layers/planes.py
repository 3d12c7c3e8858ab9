"""One field out of a layer that holds more: a plane of a stack, a level of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Image

MAX_CHOICES = 1000
"""More planes than this are not offered one by one; the one in view still is."""


class Plane(NamedTuple):
    """One image of a layer."""

    name: str
    """For a person, as ``plane 2 of 3``."""
    level: int
    """0 is the finest; 0 where there is only one."""
    place: tuple[int, ...]
    """Along the axes before the last two, each from 0."""


def planes_of(layer: Image, at: Sequence[int] = ()) -> tuple[Plane, ...]:
    """The images of a layer that is not one field, that in view first; empty where it is one.

    Parameters
    ----------
    at : sequence of int
        Where the sliders of the viewer are, one an axis of the layer.

    Examples
    --------
    >>> stack = Image(np.zeros((3, 40, 50)))
    >>> [plane.name for plane in planes_of(stack, (1, 0, 0))]
    ['plane 2 of 3', 'plane 1 of 3', 'plane 3 of 3']
    """
    levels = list(layer.data) if layer.multiscale else [layer.data]
    lengths = _lengths(layer, levels[0])
    if not layer.multiscale and not lengths:
        return ()
    here = tuple(int(np.clip(i, 0, n - 1)) for i, n in zip(at, lengths, strict=False))
    here += (0,) * (len(lengths) - len(here))
    others: list[tuple[int, ...]] = []
    if int(np.prod(lengths)) * len(levels) <= MAX_CHOICES:
        others = [index for index in product(*map(range, lengths)) if index != here]
    made = []
    for index in (here, *others):
        for level, data in enumerate(levels):
            height, width = _size(layer, data)
            parts = [f"plane {i + 1} of {n}" for i, n in zip(index, lengths, strict=True)]
            if layer.multiscale:
                parts.append(f"level {level}: {width:,} x {height:,} pixels")
            made.append(Plane(", ".join(parts), level, index))
    return tuple(made)


def layer_of(layer: Image, plane: Plane) -> Image:
    """A layer of one image of another layer, which lies where it lay there."""
    data = layer.data[plane.level] if layer.multiscale else layer.data
    pixels = np.asarray(data[plane.place])
    finest = _size(layer, layer.data[0] if layer.multiscale else layer.data)
    scale = np.array(layer.scale[-2:]) * np.array(finest) / np.array(_size(layer, data))
    name = ", ".join(part.split(":")[0] for part in plane.name.split(", "))
    return Image(
        pixels,
        name=f"{layer.name} {name}",
        rgb=layer.rgb,
        scale=scale,
        translate=layer.translate[-2:],
    )


def _lengths(layer: Image, data: Any) -> tuple[int, ...]:
    """How many planes there are along each axis before those of one image."""
    return tuple(data.shape[: -3 if layer.rgb else -2])


def _size(layer: Image, data: Any) -> tuple[int, int]:
    """Height and width in pixels."""
    height, width = data.shape[-3:-1] if layer.rgb else data.shape[-2:]
    return int(height), int(width)
