"""The zones of a scanned film as a layer of labels over it, which a person corrects by painting.

Invariant: a label is the place of a zone in :data:`~napari_wbc.imaging.pyramid.zones.ZONES`, and a
pixel of the layer is a block of the film.
"""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_wbc.imaging.pyramid.zones import ZONES, Zones
from napari_wbc.layers.placed import kind_of, marked

KIND = "zones"
_COLORS = {"thin": "#f0e442", "monolayer": "#009e73", "thick": "#d55e00"}


def zones_layer(viewer: ViewerModel) -> Labels | None:
    """The layer of the zones; None where they are not shown."""
    return next((layer for layer in viewer.layers if kind_of(layer) == KIND), None)


def show_zones(viewer: ViewerModel, image: Image, zones: Zones) -> Labels:
    """Show zones over the image of their film, in place of others; painting adds monolayer."""
    clear_zones(viewer)
    colors = {ZONES.index(name): color for name, color in _COLORS.items()}
    colormap = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent"} | colors)
    layer = Labels(zones.kinds.copy(), name="monolayer", colormap=colormap, opacity=0.3)
    layer.affine = _to_world(image, zones.side)
    if tuple(layer.units) != tuple(image.units):
        layer.units = image.units
    layer.selected_label = ZONES.index("monolayer")
    layer.brush_size = 3
    marked(layer, KIND)
    layer.metadata.update(side=zones.side, shape=zones.shape)
    viewer.add_layer(layer)
    viewer.layers.selection.active = layer
    return layer


def zones_of(viewer: ViewerModel) -> Zones | None:
    """The zones as they are painted now; None where they are not shown."""
    layer = zones_layer(viewer)
    if layer is None:
        return None
    # A label that is none of ours was painted with a colour of napari's own.
    kinds = np.minimum(np.asarray(layer.data), len(ZONES) - 1).astype(np.uint8)
    return Zones(layer.metadata["side"], layer.metadata["shape"], kinds)


def clear_zones(viewer: ViewerModel) -> None:
    """Remove the layer."""
    layer = zones_layer(viewer)
    if layer is not None:
        viewer.layers.remove(layer)


def _to_world(image: Image, side: int) -> np.ndarray:
    """Of the places of blocks, however the image lies."""
    # The middle of the first block lies half a block, less half a pixel, from the first pixel.
    first = (side - 1) / 2
    points = [(first, first), (first + side, first), (first, first + side)]
    origin, down, right = (np.array(image.data_to_world(point)) for point in points)
    matrix = np.eye(3)
    matrix[:2] = np.column_stack([down - origin, right - origin, origin])
    return matrix
