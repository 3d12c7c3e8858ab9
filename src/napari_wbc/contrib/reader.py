"""A folder of images as one slide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.layers.field import slide_layer

__all__ = ["get_reader"]

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """A reader for a folder that holds images, else None.

    The first field is shown; the workbench lists all of them.
    """
    if isinstance(path, list):
        return get_reader(path[0]) if len(path) == 1 else None
    if not Path(path).is_dir():
        return None
    try:
        open_slide(path)
    except WbcError:
        return None
    return _read


def _read(path: str | list[str]) -> list[LayerData]:
    slide = open_slide(path if isinstance(path, str) else path[0])
    return [slide_layer(slide.name, [field.path for field in slide.fields])]
