"""Outlines that are wide enough to be seen at any zoom."""

from __future__ import annotations

from napari.layers import Shapes, Vectors

from napari_wbc.layers.cells import EDGE_WIDTH

VISIBLE = 2.0
"""Pixels of the screen that an outline is wide at least."""


def edge_width(scale: float) -> float:
    """Width of outlines, in pixels of the field, where such a pixel is ``scale`` of the screen's.

    Examples
    --------
    >>> edge_width(1.0), edge_width(0.2)
    (3.0, 12.0)
    """
    width = float(EDGE_WIDTH)
    # In steps of two, so that a turn of the wheel seldom changes it.
    while scale > 0 and width * scale < VISIBLE:
        width *= 2
    return width


def casing_width(scale: float) -> float:
    """Width of the dark line behind an outline: at least a pixel of the screen more at each side.

    Examples
    --------
    >>> casing_width(1.0), casing_width(0.2)
    (5.0, 28.0)
    """
    more = 1.0
    while scale > 0 and more * scale < 1:
        more *= 2
    return edge_width(scale) + 2 * more


def keep_visible(layer: Shapes | Vectors, zoom: float, *, casing: bool = False) -> None:
    """Make the outlines of a layer as wide as they must be at a zoom of the camera."""
    scale = zoom * abs(float(layer.scale[-1]))
    width = casing_width(scale) if casing else edge_width(scale)
    if isinstance(layer, Vectors):
        if layer.edge_width != width:
            layer.edge_width = width
    elif layer.current_edge_width != width:
        layer.edge_width = width
        layer.current_edge_width = width
        layer.refresh(thumbnail=False, extent=False)
