"""Slides in OME-Zarr, versions 0.4 and 0.5, by the package ``zarr``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError
from napari_wbc.files.guard import inside
from napari_wbc.imaging.pyramid.base import Level, Region, check_region, plausible_size, rgb

MARKS = ("zarr.json", ".zgroup")
"""A folder with one of these files is a Zarr group."""
_UNITS = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3}


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group."""
    return any((path / mark).is_file() for mark in MARKS)


class ZarrPyramid:
    """The first image of an OME-Zarr; see :class:`Pyramid`."""

    def __init__(self, path: Path) -> None:
        import zarr

        self.path = path
        group = zarr.open_group(path, mode="r")
        said: Mapping[str, Any] = dict(group.attrs)
        image = dict(said.get("ome", said))["multiscales"][0]
        axes = [axis["name"] for axis in image["axes"]]
        self._axes = axes
        self._arrays: list[Any] = [group[_inside(path, part["path"])] for part in image["datasets"]]
        shapes = [self._checked(array) for array in self._arrays]
        width = shapes[0][1]
        self.levels = tuple(Level(h, w, width / w) for h, w in shapes)
        self.pixel_size = plausible_size(_pixel_size(image))
        self.vendor = "OME-Zarr"
        self.has_profile = False

    def _checked(self, array: Any) -> tuple[int, int]:
        sizes = dict(zip(self._axes, array.shape, strict=True))
        others = [n for name, n in sizes.items() if name not in ("y", "x", "c")]
        if (
            array.dtype != np.uint8
            or sizes.get("c", 1) not in (1, 3, 4)
            or any(n != 1 for n in others)
        ):
            raise ReadError(
                f"{self.path}: an array of {array.dtype} with {sizes}; save one plane of RGB with "
                "8 bits."
            )
        # A chunk that is not there would be read as black.
        missing = array.nchunks - array.nchunks_initialized
        if missing:
            raise ReadError(
                f"{self.path}: {missing} of {array.nchunks} chunks of the slide are missing; "
                "export or copy it again."
            )
        return int(sizes["y"]), int(sizes["x"])

    def read(self, level: int, region: Region) -> npt.NDArray[np.uint8]:
        """See :meth:`Pyramid.read`."""
        check_region(self.path, self.levels[level], region)
        rows = slice(region.top, region.bottom)
        cols = slice(region.left, region.right)
        wanted = {"y": rows, "x": cols, "c": slice(None)}
        place = tuple(wanted.get(name, 0) for name in self._axes)
        kept = [name for name in self._axes if name in wanted]
        try:
            pixels = np.asarray(self._arrays[level][place])
        # A damaged chunk raises what its codec raises.
        except Exception as error:
            raise ReadError(
                f"{self.path}: a region of the slide cannot be read, it may be damaged "
                f"({type(error).__name__}); export or copy it again."
            ) from error
        if "c" not in kept:
            return rgb(self.path, pixels[..., None])
        return rgb(self.path, np.moveaxis(pixels, kept.index("c"), -1))

    def close(self) -> None:
        """Nothing stays open between regions."""


def _inside(path: Path, name: object) -> str:
    """The name of an array, which must lie in the group."""
    return inside(path, name).relative_to(path).as_posix()


def _pixel_size(image: Mapping[str, Any]) -> float | None:
    """Micrometres a pixel of the first level, where both its unit and its scale are said."""
    names = [axis["name"] for axis in image["axes"]]
    unit = _UNITS.get(str(image["axes"][names.index("x")].get("unit")))
    for change in image["datasets"][0].get("coordinateTransformations", ()):
        if change.get("type") == "scale" and unit is not None:
            return float(change["scale"][names.index("x")]) * unit
    return None
