"""Heat of single cells on the pixels of their field.

A pixel of a heat's values covers ``side / n`` pixels of the field, as the crop it explains did, so
that heat lies on the pixel that caused it. Where squares overlap, the hotter one is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from skimage.draw import polygon2mask

from napari_wbc.model.cell import Detection
from napari_wbc.model.heat import Heat

__all__ = [
    "CLEAR_BELOW",
    "LAZY_ABOVE",
    "STRENGTH",
    "colored",
    "levels_of",
    "mask_of",
    "opacity",
    "overlay",
    "painted",
    "placed",
]

LAZY_ABOVE = 4096 * 4096
"""Pixels of a field above which its canvas is not made as a whole."""
CHUNK = 1024
"""Side of what is made of it at once, in pixels."""
CLEAR_BELOW = 0.5
"""Heat below which the image shines through all the more, so that no heat is no colour."""
STRENGTH = 0.7
"""How much of an image heat hides at most."""

Float32 = npt.NDArray[np.float32]


def placed(heat: Heat, scale: int = 1) -> Float32:
    """Heat at the scale of the field, or so many times smaller, shape (side, side), 0 to 1."""
    side = max(1, round(heat.side / scale))
    way = cv2.INTER_AREA if side < len(heat.values) else cv2.INTER_LINEAR
    resized: Float32 = cv2.resize(heat.values, (side, side), interpolation=way)
    return resized


def painted(
    heats: Sequence[Heat], shape: tuple[int, int], *, top: int = 0, left: int = 0, scale: int = 1
) -> Float32:
    """A part of a field's canvas.

    Parameters
    ----------
    heats : sequence of Heat
        Of one field.
    shape : tuple of int
        Height and width of the part in pixels.
    top, left : int
        Where it lies in the canvas.
    scale : int
        How many times smaller than the field the canvas is.

    Returns
    -------
    ndarray, shape (height, width), float32, 0 to 1
    """
    canvas = np.zeros(shape, np.float32)
    for heat in heats:
        row, col = round(heat.top / scale) - top, round(heat.left / scale) - left
        side = max(1, round(heat.side / scale))
        if not (-side < row < shape[0] and -side < col < shape[1]):
            continue
        part = canvas[max(row, 0) : row + side, max(col, 0) : col + side]
        square = placed(heat, scale)[max(-row, 0) :, max(-col, 0) :][
            : part.shape[0], : part.shape[1]
        ]
        np.maximum(part, square, out=part)
    return canvas


def levels_of(heats: Sequence[Heat], shape: tuple[int, int]) -> list[Any]:
    """The canvas of a field; of a large one lazy levels, each half as large, made as they are looked at.

    Parameters
    ----------
    heats : sequence of Heat
        Of one field.
    shape : tuple of int
        Height and width of the field in pixels.

    Returns
    -------
    list of ndarray or dask.array.Array, shape (height, width), float32, 0 to 1
        One level, or more from fine to coarse.
    """
    if shape[0] * shape[1] <= LAZY_ABOVE:
        return [painted(heats, shape)]
    import dask.array as da

    levels: list[Any] = []
    scale = 1
    make: Any = da.map_blocks
    while not levels or max(levels[-1].shape) > CHUNK:
        size = (-(-shape[0] // scale), -(-shape[1] // scale))
        empty = da.zeros(size, dtype=np.float32, chunks=CHUNK)
        chunk = partial(_chunk, tuple(heats), scale)
        levels.append(make(chunk, empty, dtype=np.float32, meta=np.empty((0, 0), np.float32)))
        scale *= 2
    return levels


def _chunk(heats: tuple[Heat, ...], scale: int, block: Float32, block_info: Any = None) -> Float32:
    """One chunk of a lazy canvas."""
    (top, _), (left, _) = block_info[0]["array-location"]
    return painted(heats, (block.shape[0], block.shape[1]), top=top, left=left, scale=scale)


def colored(canvas: Float32) -> npt.NDArray[np.uint8]:
    """Heat in colours (inferno), shape (height, width, 3), uint8, RGB."""
    levels = np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1])


def overlay(
    image: npt.NDArray[np.uint8], canvas: Float32, strength: float = STRENGTH
) -> npt.NDArray[np.uint8]:
    """Heat in colours over an image; where there is none, the image stays as it is.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB.
    canvas : ndarray, shape (height, width), float32
        Heat, 0 to 1.
    strength : float
        How much of the image the hottest pixel hides, 0 to 1.
    """
    mixed = image.copy()
    for top in range(0, len(image), CHUNK):  # in bands: a whole slide's would take a gigabyte
        rows = slice(top, top + CHUNK)
        share = strength * opacity(canvas[rows])[..., None]
        mixed[rows] = np.rint(image[rows] * (1 - share) + colored(canvas[rows]) * share)
    return mixed


def opacity(canvas: Float32) -> Float32:
    """How much heat hides what lies below it, 0 to 1: wholly from :data:`CLEAR_BELOW` on."""
    share: Float32 = np.clip(canvas / CLEAR_BELOW, 0, 1)
    return share


def mask_of(detection: Detection, square: tuple[int, int, int], n: int) -> npt.NDArray[np.bool_]:
    """Which pixels of a square lie inside a cell: its outline, or else the ellipse in its box.

    Parameters
    ----------
    detection : Detection
    square : tuple of int
        Top, left and side of the square in pixels of the field.
    n : int
        Pixels that the square is divided into, a side.

    Returns
    -------
    ndarray, shape (n, n), bool
    """
    top, left, side = square
    if detection.outline is not None:
        points = detection.outline.array()
    else:
        box, turn = detection.bbox, np.linspace(0, 2 * np.pi, 48, endpoint=False)[:, None]
        half = np.array([box.height / 2, box.width / 2])
        points = np.array(box.center) + np.hstack([np.sin(turn), np.cos(turn)]) * half
    # Pixels whose centres lie inside; skimage counts from the centre of the first.
    found: npt.NDArray[np.bool_] = polygon2mask((n, n), (points - (top, left)) * n / side - 0.5)
    return found
