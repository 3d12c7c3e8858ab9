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
from napari_wbc.imaging.read import read_image
from napari_wbc.imaging.rgb import as_rgb8
from napari_wbc.model.slide import FieldOfView, Slide

# Keys of an image layer's metadata.
FIELDS_KEY = "napari-wbc fields"
"""The paths of all fields of its slide."""
NAME_KEY = "napari-wbc slide"
"""The name of its slide; napari may have renamed the layer."""
SAMPLE_KEY = "napari-wbc sample"
"""It is a slide of one field, and is opened as soon as the workbench sees it."""
PROJECT_KEY = "napari-wbc project"
"""The path of the project that its slide is from."""


def slide_layer(
    name: str, paths: Sequence[Path]
) -> tuple[npt.NDArray[np.uint8], dict[str, Any], str]:
    """A slide as napari layer data: its first readable field, the others in the metadata.

    It raises WbcError if no field can be read.
    """
    errors: list[WbcError] = []
    for path in paths:
        try:
            pixels = read_image(path)
        except WbcError as error:
            errors.append(error)
        else:
            metadata = {FIELDS_KEY: list(map(str, paths)), NAME_KEY: name}
            return pixels, {"name": name, "rgb": True, "metadata": metadata}, "image"
    if errors:
        raise errors[0]
    raise WbcError(f"{name}: the slide has no field; choose a folder of images.")


@dataclass(frozen=True)
class LayerContent:
    """What an image layer holds."""

    slide: Slide
    pixels: Mapping[str, npt.NDArray[np.uint8]]
    """By ``fov_id``, shape (height, width, 3), where they are in no file."""


def content_of(layer: Image) -> LayerContent:
    """The slide that an image layer holds, of many fields if its reader said so.

    It raises WbcError if the layer is not one grey or RGB image.
    """
    paths = layer.metadata.get(FIELDS_KEY)
    data = layer.data
    name = _slide_name(layer)
    if paths:
        fields = tuple(FieldOfView(f"{name}/{Path(path).name}", Path(path)) for path in paths)
        return LayerContent(Slide(name, fields), {})
    if layer.multiscale or data.ndim != (3 if layer.rgb else 2):
        raise WbcError(
            f"Layer {name!r} is not one field; "
            "choose a layer with one 2-D image, or open its folder."
        )
    field = FieldOfView(name, Path(layer.source.path or name))
    return LayerContent(Slide(name, (field,)), {name: as_rgb8(np.asarray(data), name)})


def _slide_name(layer: Image) -> str:
    """The name of a layer's slide: from its metadata, or its file, or its own name."""
    # A project is found by the name of its slide, and napari renames a layer whose name is taken.
    noted = layer.metadata.get(NAME_KEY)
    if isinstance(noted, str) and noted:
        return noted
    file = layer.source.path
    name = Path(file).stem if file else layer.name
    return name.replace("/", "_").replace("\\", "_").lstrip(".") or "image"
