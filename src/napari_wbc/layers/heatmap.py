"""Heat of one field as an image layer between its image and its cells.

The layer is napari's own: blending, colormap, opacity and contrast are chosen in its controls. Its
name says the method, and its bar of colours, at the right of the image, what they mean.
Where there is no heat it is transparent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.colormaps import Colormap, ensure_colormap

from napari_wbc.explain.canvas import CLEAR_BELOW, STRENGTH, levels_of
from napari_wbc.layers.placed import copy_transform, marked
from napari_wbc.model.heat import Heat, methods_of

NAME = "heatmap"
"""Begins the name of the layer, which goes on with the method."""
LEVELS = 64
BAR_SIZE = (12.0, 72.0)
"""Width and height of the bar of colours, in pixels of the screen."""
BAR_FONT = 8.0
"""Size of its numbers, in points."""


def heat_colormap() -> Colormap:
    """Inferno, from transparent where it is dark."""
    at = np.linspace(0, 1, LEVELS)
    colors = ensure_colormap("inferno").map(at).copy()
    colors[:, 3] = np.clip(at / CLEAR_BELOW, 0, 1)
    return Colormap(colors, name="heat", display_name="heat")


class HeatmapLayer:
    """Shows heat in a viewer."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.layer: Image | None = None
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Let go of the viewer; the layer stays."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)

    def show(self, heats: Sequence[Heat], image: Image) -> None:
        """Show heat over the image of its field, of one scale; without heat there is no layer."""
        if not heats:
            self.clear()
            return
        height, width = image.data.shape[:2]
        levels = levels_of(heats, (height, width))
        many = len(levels) > 1
        data: Any = levels if many else levels[0]
        # napari cannot turn a layer of one scale into a pyramid.
        if self.layer is not None and self.layer.multiscale != many:
            self.clear()
        if self.layer is None:
            # A new layer becomes the active one, and the keys of the cells would be gone.
            active = self.viewer.layers.selection.active
            self.layer = Image(
                data,
                name=NAME,
                multiscale=many,
                colormap=heat_colormap(),
                contrast_limits=(0, 1),
                blending="translucent",
                opacity=STRENGTH,
            )
            marked(self.layer, "heat")
            # Small: it lies over a corner of the image.
            self.layer.colorbar.size = BAR_SIZE
            self.layer.colorbar.font_size = BAR_FONT
            self.layer.colorbar.visible = True
            copy_transform(image, self.layer)
            self.viewer.layers.insert(self.viewer.layers.index(image) + 1, self.layer)
            self.viewer.layers.selection.active = active
        else:
            self.layer.data = data
            copy_transform(image, self.layer)
        # A name that a person gave stays.
        if self.layer.name.startswith(NAME):
            self.layer.name = f"{NAME}: {methods_of(heats)}"

    def clear(self) -> None:
        """Take the layer away."""
        if self.layer is not None:
            self.viewer.layers.remove(self.layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
