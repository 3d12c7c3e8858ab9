"""Pixels of any depth, with or without alpha, as 8-bit RGB.

Invariant: what is stored decides, and never one pixel: a hot pixel, an alpha channel that no
viewer heeds, or one dark field leave the brightness of the others as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError

_DEPTHS = (8, 10, 12, 14, 16)
"""Bits of usual cameras."""
_BAND = 1 << 20
"""Values that are worked on at once."""
_SIGN = 1 << 15
"""What ScanR, and ImageJ for signed pixels, add to each of 16 bits."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Pixels as a file or a layer stores them.

    Attributes
    ----------
    colors : ndarray, shape (height, width) or (height, width, 3)
        Boolean, integer, or floating point from 0 to 1.
    alpha : ndarray, shape (height, width), optional
    premultiplied : bool
        Whether the colours are those of the pixel times its alpha.
    bits : int, optional
        Bits that carry brightness, where the file says so.
    """

    colors: npt.NDArray[Any]
    alpha: npt.NDArray[Any] | None = None
    premultiplied: bool = False
    bits: int | None = None

    @property
    def deep(self) -> bool:
        """Whether the type holds more than 8 bits, so that the depth is to be found."""
        return self.colors.dtype.kind in "iu" and self.colors.dtype != np.uint8

    def turned(self, orientation: int) -> Stored:
        """As a viewer shows it that heeds the orientation of Exif."""
        alpha = None if self.alpha is None else turned(self.alpha, orientation)
        return replace(self, colors=turned(self.colors, orientation), alpha=alpha)


def turned(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Pixels, rows and columns first, turned as an orientation of Exif from 1 to 8 says.

    Examples
    --------
    >>> turned(np.array([[1, 2], [3, 4]]), 6).tolist()
    [[3, 1], [4, 2]]
    """
    # Exif names where row 0 and column 0 are: from 5 on rows are columns, then edges are swapped.
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return pixels


def stored(pixels: npt.NDArray[Any], name: str) -> Stored:
    """Grey, grey with alpha, RGB or RGBA pixels, samples last, from a file or layer of this name.

    Raises
    ------
    ReadError
        If the values have no meaning as brightness.
    """
    kind = pixels.dtype.kind
    if kind not in "biuf":
        raise ReadError(f"{name}: pixels of the type {pixels.dtype}; save it with 8 or 16 bits.")
    if kind == "f" and not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
        raise ReadError(f"{name}: floating-point pixels outside 0 to 1; save it with 8 or 16 bits.")
    if pixels.ndim == 2:
        return Stored(_unsigned(pixels, name))
    n = pixels.shape[2]
    alpha = pixels[..., -1] if n in {2, 4} else None
    colors = pixels[..., 0] if n < 3 else pixels[..., :3]
    return Stored(_unsigned(colors, name), alpha)


def _unsigned(colors: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Pixels from 0 on, without the offset that marks signed ones in files of unsigned."""
    if colors.dtype.kind not in "iu" or colors.dtype == np.uint8:
        return colors
    low = int(colors.min())
    high = int(colors.max())
    # Of 12 bits above the offset, and nothing below it: no real field of 16 bits is so flat.
    if low >= _SIGN and high < _SIGN + (1 << 12):
        return np.asarray(colors - colors.dtype.type(_SIGN))
    if low < 0 or high > 0xFFFF:
        raise ReadError(f"{name}: pixels from {low} to {high}; save it with 8 or 16 bits.")
    return colors


def depth_of(pixels: Stored) -> int:
    """Bits of the camera: as the file says, else the fewest usual ones that hold the pixels.

    One value of a thousand may be brighter, or a few of a small image: defects of the camera.
    """
    # Some rows of a large field tell as much, sooner.
    values = pixels.colors[:: pixels.colors.size // 4_000_000 + 1].ravel()
    defects = max(values.size // 1000, min(12, values.size // 50))
    place = values.size - 1 - defects
    brightest = int(np.partition(values, place)[place])
    if pixels.bits is not None and brightest < 1 << pixels.bits:
        return pixels.bits
    return next(bits for bits in _DEPTHS if brightest < 1 << bits)


def rgb8(pixels: Stored, *, depth: int = 8) -> npt.NDArray[np.uint8]:
    """Pixels as 8-bit RGB over white, as :func:`~napari_wbc.imaging.read.read_image` gives them.

    Parameters
    ----------
    pixels : Stored
    depth : int
        Bits of the camera, where it is known that they are at least so many.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
    """
    if pixels.deep:
        depth = max(depth, depth_of(pixels))
    colors = _bytes(pixels.colors, depth)
    if colors.ndim == 2:
        colors = np.repeat(colors[..., None], 3, axis=2)
    alpha = pixels.alpha
    # Programs that know of no alpha leave it 0, and viewers show such an image nevertheless.
    if alpha is None or not alpha.any():
        return colors
    if alpha.dtype.kind in "iu" and alpha.dtype != np.uint8 and int(alpha.max()) >= 1 << depth:
        depth = 16
    opaque = _bytes(alpha, depth)
    if opaque.min() == 255:
        return colors
    result = np.empty_like(colors)
    for rows in _bands(colors):
        part = opaque[rows, :, None].astype(np.float32) / 255
        over = colors[rows] if pixels.premultiplied else colors[rows] * part
        result[rows] = np.clip(np.round(over + 255 * (1 - part)), 0, 255)
    return result


def _bands(pixels: npt.NDArray[Any]) -> Iterator[slice]:
    """Rows of about a million values, so that sums take little memory beside a large field."""
    height = max(1, _BAND // max(1, pixels[:1].size))
    for start in range(0, len(pixels), height):
        yield slice(start, start + height)


def _bytes(pixels: npt.NDArray[Any], depth: int) -> npt.NDArray[np.uint8]:
    """Pixels of a depth from 0 to 255; those that are brighter are 255."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8) * np.uint8(255)
    result = np.empty(pixels.shape, np.uint8)
    if pixels.dtype.kind == "f":
        for rows in _bands(pixels):
            result[rows] = np.round(pixels[rows] * 255)
        return result
    # By a table, which takes a quarter of the memory of arithmetic on a large field.
    table = np.minimum(np.round(np.arange(1 << 16) * (255 / ((1 << depth) - 1))), 255)
    table = table.astype(np.uint8)
    for rows in _bands(pixels):
        result[rows] = table[pixels[rows]]
    return result


def as_rgb8(pixels: npt.NDArray[Any], name: str, *, depth: int = 8) -> npt.NDArray[np.uint8]:
    """Pixels of a layer as 8-bit RGB, as :func:`~napari_wbc.imaging.read.read_image` gives them.

    Parameters
    ----------
    pixels : ndarray, shape (height, width) or (height, width, 3 or 4)
        Boolean, integer, or floating point from 0 to 1.
    name : str
        For the message.
    depth : int
        Bits of the camera, where it is known that they are at least so many.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8

    Raises
    ------
    ReadError
        If the values have no meaning as brightness.
    """
    return rgb8(stored(pixels, name), depth=depth)
