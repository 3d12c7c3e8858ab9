"""A whole slide as dask arrays, of which a viewer reads what is in view."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from pathlib import Path
from threading import RLock
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError
from napari_wbc.imaging.pyramid.base import Pyramid, Region
from napari_wbc.imaging.pyramid.opening import open_pyramid

_CHUNK = 512
"""Pixels across what is read at once; larger chunks read more than is in view."""
_COARSEST = 8192
"""Pixels of the longer side of a smallest copy that may be drawn as a whole."""


def lazy_levels(path: str | Path) -> tuple[da.Array, ...]:
    """The levels of a slide as arrays that read a chunk when it is computed.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    tuple of dask.array.Array
        The finest first; shape (height, width, 3), uint8. The file stays open as long as they live.

    Raises
    ------
    ReadError
        If the slide cannot be read, or has no copy that is small enough to be shown as a whole.
    """
    source = _Source(Path(path))
    levels = source.pyramid.levels
    if max(levels[-1].shape) > _COARSEST:
        height, width = levels[-1].shape
        raise ReadError(
            f"{path}: its smallest copy has {width:,} x {height:,} pixels, so it cannot be shown "
            "as a whole; save the slide as a pyramidal TIFF, or analyze it in the shell."
        )
    return tuple(_array(source, number) for number in range(len(levels)))


def _array(source: _Source, number: int) -> da.Array:
    # A name of its own, since dask would else make one of all pixels.
    name = f"slide-{uuid.uuid4().hex}"
    level = _LevelPixels(source, number)
    array: da.Array = da.from_array(  # type: ignore[no-untyped-call]
        level,
        chunks=(_CHUNK, _CHUNK, 3),
        name=name,
        asarray=False,
        meta=np.empty((0, 0, 0), np.uint8),
    )
    return array


class _Source:
    """A slide that stays open; read by one thread at a time, as most readers allow no more."""

    def __init__(self, path: Path) -> None:
        self._lock = RLock()
        self._open = ExitStack()
        self.pyramid: Pyramid = self._open.enter_context(open_pyramid(path))

    def read(self, number: int, region: Region) -> npt.NDArray[np.uint8]:
        with self._lock:
            return self.pyramid.read(number, region)

    def __del__(self) -> None:
        # Not made where the slide could not be opened.
        self._open.close()


class _LevelPixels:
    """A level as what dask takes for an array."""

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, source: _Source, number: int) -> None:
        self._source = source
        self._number = number
        self.shape = (*source.pyramid.levels[number].shape, 3)

    def __getitem__(self, place: tuple[slice, ...]) -> npt.NDArray[Any]:
        (top, bottom, _), (left, right, _), _ = (
            part.indices(length) for part, length in zip(place, self.shape, strict=True)
        )
        return self._source.read(self._number, Region(top, left, bottom, right))[..., place[2]]
