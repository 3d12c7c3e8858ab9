"""What a cell finder would find on the field in view, as a Shapes layer.

Where two finders judge each other, colours tell which of them found a cell.
"""

from __future__ import annotations

from napari.layers import Shapes

from napari_wbc.detect.base import FINDERS, Located
from napari_wbc.layers.cells import vertices
from napari_wbc.layers.placed import marked
from napari_wbc.model.words import counted

PREVIEW = "preview"
BOTH = "white"
ALONE = dict(zip(FINDERS, ("#56b4e9", "#e69f00"), strict=True))
"""Colour of what one finder alone saw; these two differ for colour-blind eyes too."""
COLOUR_NAMES = dict(zip(FINDERS, ("blue", "orange"), strict=True))


def make_preview() -> Shapes:
    """A layer for a preview, still empty."""
    layer = Shapes(ndim=2, name=PREVIEW, edge_color=BOTH, face_color="transparent")
    marked(layer, "preview")
    return layer


def show_preview(layer: Shapes, located: Located) -> None:
    """Outline what was located; the colour tells what one of two finders alone saw."""
    colours = dict.fromkeys(map(id, located.cells), BOTH)
    for name, cells in (located.alone or {}).items():
        colours |= dict.fromkeys(map(id, cells), ALONE[name])
    layer.data = []
    if located.cells:
        layer.add(
            list(map(vertices, located.cells)),
            shape_type="polygon",
            edge_color=list(colours.values()),
            face_color="transparent",
        )


def preview_text(located: Located) -> str:
    """A preview in words."""
    candidates = sum(cell.candidate for cell in located.cells)
    text = f"Preview: {counted(len(located.cells) - candidates)}"
    if candidates:
        text += f", {counted(candidates, 'candidate')}"
    if located.alone is None:
        return text
    parts = ["white: both finders"]
    for name, detections in located.alone.items():
        parts.append(f"{COLOUR_NAMES[name]}: {name} alone, {len(detections)}")
    return f"{text} ({'; '.join(parts)})"
