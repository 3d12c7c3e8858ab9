"""A folder of images as one slide, and a project file as the slide it keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.layers.slide_layer import PROJECT_KEY, slide_layer
from napari_wbc.model.slide import Slide
from napari_wbc.storage.workspace import SUFFIX, open_workspace

__all__ = ["get_reader"]

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """A reader for a folder that holds images or a project file, else None.

    The first field is shown; the workbench, where it is open, goes on with the whole slide.
    """
    if isinstance(path, list):
        return get_reader(path[0]) if len(path) == 1 else None
    if Path(path).suffix.lower() == SUFFIX:
        return _read_project
    if not Path(path).is_dir():
        return None
    try:
        open_slide(path)
    except WbcError:
        return None
    return _read


def _read(path: str | list[str]) -> list[LayerData]:
    return [_layer(open_slide(_one(path)))]


def _read_project(path: str | list[str]) -> list[LayerData]:
    file = Path(_one(path))
    workspace = open_workspace(file, read_only=True)
    try:
        slides = workspace.slides()
    finally:
        workspace.close()
    if not slides:
        raise WbcError(
            f"{file}: no slide in this project; open a folder of images in the workbench."
        )
    pixels, settings, kind = _layer(slides[0])
    settings["metadata"][PROJECT_KEY] = str(file)
    return [(pixels, settings, kind)]


def _layer(slide: Slide) -> LayerData:
    return slide_layer(slide.name, [field.path for field in slide.fields])


def _one(path: str | list[str]) -> str:
    return path if isinstance(path, str) else path[0]
