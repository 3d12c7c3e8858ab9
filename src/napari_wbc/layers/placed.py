"""Where layers lie in the world, and which of them the workbench made.

Invariant: image, cells, lines behind them, heat and preview have one transform, that of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Layer

KIND_KEY = "napari-wbc layer"
"""Key of a layer's metadata; the value is ``image`` or a kind of layer that lies over it."""
PARTS = ("scale", "translate", "rotate", "shear", "affine")
"""Parts of napari's transform from pixels to the world; each has an event of its name."""


def marked(layer: Layer, kind: str) -> None:
    """Note on a layer what it is to the workbench; an empty kind takes that back."""
    if kind:
        layer.metadata[KIND_KEY] = kind
    else:
        layer.metadata.pop(KIND_KEY, None)


def kind_of(layer: Layer) -> str:
    """What a layer is to the workbench; empty for one that it has nothing to do with."""
    return str(layer.metadata.get(KIND_KEY, ""))


def copy_transform(image: Layer, layer: Layer) -> None:
    """Put a layer where an image lies, both of two dimensions: all of :data:`PARTS` alike."""
    for part in PARTS:
        wanted = _part(image, part)
        # Each setting draws the layer anew, so only what differs is set.
        if not np.array_equal(wanted, _part(layer, part)):
            setattr(layer, part, wanted)
    units = getattr(image, "units", None)
    if units is not None and tuple(layer.units) != tuple(units):
        layer.units = units


def on_transform(layer: Layer, action: Callable[[Any], None]) -> Callable[[], None]:
    """Call an action whenever the transform of a layer changes; what is returned ends that."""
    for part in PARTS:
        getattr(layer.events, part).connect(action)

    def end() -> None:
        for part in PARTS:
            getattr(layer.events, part).disconnect(action)

    return end


def _part(layer: Layer, part: str) -> Any:
    value = getattr(layer, part)
    return np.asarray(value.affine_matrix if part == "affine" else value)
