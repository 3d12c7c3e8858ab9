"""A folder of images or a scanned film as one slide, and a project file as its first slide."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.imaging.pyramid.opening import TIFFS, is_whole_slide, open_pyramid
from napari_wbc.imaging.read import open_slide
from napari_wbc.layers.slide_layer import PROJECT_KEY, slide_layer
from napari_wbc.model.slide import Slide
from napari_wbc.storage.workspace import SUFFIX, open_workspace

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """A reader for a folder of images, a scanned film or another TIFF, or a project; else None.

    The first field is shown; the workbench, where it is open, goes on with the whole slide.
    """
    if isinstance(path, list):
        return get_reader(path[0]) if len(path) == 1 else None
    if Path(path).suffix.lower() == SUFFIX:
        return lambda _path: [_project_layer(Path(path))]
    # Of the files only those that the manifest names; other images are for napari's own reader.
    known = Path(path).is_dir() or Path(path).suffix.lower() in TIFFS
    if not known and not is_whole_slide(Path(path)):
        return None
    if Path(path).is_dir() and is_whole_slide(Path(path)):
        # Not every Zarr is an image, and not every image is one of a film.
        try:
            with open_pyramid(path):
                pass
        except WbcError:
            return None
    # A folder without an image may be for another plugin's reader.
    try:
        slide = open_slide(path)
    except WbcError:
        return None
    return lambda _path: [_layer(slide)]


def _project_layer(path: Path) -> LayerData:
    # Read only: the workbench may have the project open, and opens it itself for writing.
    with closing(open_workspace(path, read_only=True)) as workspace:
        slides = workspace.slides()
    if not slides:
        message = "no slide in this project; open a folder of images in the workbench."
        raise WbcError(f"{path}: {message}")
    pixels, settings, kind = _layer(slides[0])
    settings["metadata"][PROJECT_KEY] = str(path)
    return pixels, settings, kind


def _layer(slide: Slide) -> LayerData:
    paths = [field.path for field in slide.fields]
    ids = [field.fov_id for field in slide.fields]
    return slide_layer(slide.name, paths, slide.left_out, ids)
