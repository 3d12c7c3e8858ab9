"""A slide as an image layer: what its metadata says, and what a layer of a person holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image

from napari_wbc.errors import WbcError
from napari_wbc.imaging.pyramid.opening import is_whole_slide
from napari_wbc.imaging.read import as_file_shows, read_image
from napari_wbc.imaging.rgb import as_rgb8
from napari_wbc.model.slide import FieldOfView, Slide

# Keys of an image layer's metadata.
FIELDS_KEY = "napari-wbc fields"
"""The paths of all fields of its slide."""
NAME_KEY = "napari-wbc slide"
"""The name of its slide; napari may have renamed the layer."""
LEFT_OUT_KEY = "napari-wbc left out"
"""Names of files in its folder that seem to be images and cannot be read."""
SAMPLE_KEY = "napari-wbc sample"
"""It is a slide of one field, and is opened as soon as the workbench sees it."""
IDS_KEY = "napari-wbc field ids"
"""The ``fov_id`` of each of these fields."""
PROJECT_KEY = "napari-wbc project"
"""The path of the project that its slide is from."""


def shown_pixels(path: Path) -> Any:
    """What a viewer shows of a field: its pixels, or the levels of a whole slide as a tuple.

    It raises ReadError if they cannot be read.
    """
    if not is_whole_slide(path):
        return read_image(path)
    # dask is slow to load, and only a whole slide takes it.
    from napari_wbc.imaging.pyramid.lazy import lazy_levels

    return lazy_levels(path)


def slide_layer(
    name: str, paths: Sequence[Path], left_out: Sequence[str] = (), ids: Sequence[str] = ()
) -> tuple[Any, dict[str, Any], str]:
    """A slide as napari layer data: its first readable field, the others in the metadata.

    ``ids`` are the ``fov_id`` of the fields, where these are not the slide's name and the file's. A
    whole slide is an image of several levels. It raises WbcError if no field can be read.
    """
    errors: list[WbcError] = []
    for path in paths:
        try:
            pixels = shown_pixels(path)
        except WbcError as error:
            errors.append(error)
        else:
            metadata: dict[str, Any] = {FIELDS_KEY: list(map(str, paths)), NAME_KEY: name}
            if ids:
                metadata[IDS_KEY] = list(ids)
            if left_out:
                metadata[LEFT_OUT_KEY] = list(left_out)
            settings = {"name": name, "rgb": True, "metadata": metadata}
            if isinstance(pixels, tuple):
                return list(pixels), {**settings, "multiscale": True}, "image"
            return pixels, settings, "image"
    if errors:
        raise errors[0]
    raise WbcError(f"{name}: the slide has no field; choose a folder of images.")


@dataclass(frozen=True)
class LayerContent:
    """What an image layer holds."""

    slide: Slide
    pixels: Mapping[str, npt.NDArray[np.uint8]]
    """By ``fov_id``, shape (height, width, 3), where they are in no file."""
    turned: npt.NDArray[Any] | None = None
    """What the layer is to show, where its file says that it is to be turned."""


def content_of(layer: Image) -> LayerContent:
    """The slide that an image layer holds, of many fields if its reader said so.

    It raises WbcError if the layer is not one grey or RGB image.
    """
    paths = layer.metadata.get(FIELDS_KEY)
    data = layer.data
    name = _slide_name(layer)
    if paths:
        ids = layer.metadata.get(IDS_KEY) or [f"{name}/{Path(path).name}" for path in paths]
        fields = tuple(map(FieldOfView, ids, map(Path, paths)))
        left_out = tuple(layer.metadata.get(LEFT_OUT_KEY, ()))
        return LayerContent(Slide(name, fields, left_out), {})
    if layer.multiscale or data.ndim != (3 if layer.rgb else 2):
        raise WbcError(
            f"Layer {name!r} is not one field. Press Use open image to choose a plane or level of "
            "it, or open its folder."
        )
    field = FieldOfView(name, Path(layer.source.path or name))
    pixels = stored = np.asarray(data)
    depth = 8
    # Cells are kept for the file, so they must lie where the file shows them.
    if layer.source.path and field.path.is_file():
        pixels, depth = as_file_shows(stored, field.path)
    shown = {name: as_rgb8(pixels, name, depth=depth)}
    return LayerContent(Slide(name, (field,)), shown, None if pixels is stored else pixels)


def _slide_name(layer: Image) -> str:
    """The name of a layer's slide: from its metadata, or its file, or its own name."""
    # A project is found by the name of its slide, and napari renames a layer whose name is taken.
    noted = layer.metadata.get(NAME_KEY)
    if isinstance(noted, str) and noted:
        return noted
    file = layer.source.path
    name = Path(file).stem if file else layer.name
    return name.replace("/", "_").replace("\\", "_").lstrip(".") or "image"
