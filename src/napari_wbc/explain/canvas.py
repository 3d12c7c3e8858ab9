"""Heat of single cells on the pixels of their field.

A pixel of a heat's values covers ``side / n`` pixels of the field, as the crop it explains did, so
that heat lies on the pixel that caused it. Where squares overlap, the hotter one is shown.

Invariant: heat and canvases are float32 of shape (height, width), 0 to 1; images are uint8 RGB of
shape (height, width, 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from skimage.draw import polygon2mask

from napari_wbc.imaging.stain import Float32
from napari_wbc.model.cell import Detection
from napari_wbc.model.heat import Heat

LAZY_ABOVE = 4096 * 4096
"""Pixels of a field above which its canvas is not made as a whole."""
CHUNK = 1024
"""Side of what is made of a large canvas at once, in pixels."""
CLEAR_BELOW = 0.5
"""Heat below which the image shines through all the more, so that no heat is no colour."""
STRENGTH = 0.7
"""How much of an image heat hides at most."""


def placed(heat: Heat, scale: int = 1) -> Float32:
    """Heat of one cell, shape (side, side), where its field is ``scale`` times smaller."""
    side = max(1, round(heat.side / scale))
    interpolation = cv2.INTER_AREA if side < len(heat.values) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(heat.values, (side, side), interpolation=interpolation))


def painted(
    heats: Sequence[Heat], shape: tuple[int, int], *, top: int = 0, left: int = 0, scale: int = 1
) -> Float32:
    """A part of a field's canvas.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the part in pixels.
    top, left : int
        Where it lies in the canvas.
    scale : int
        How many times smaller than the field the canvas is.
    """
    canvas = np.zeros(shape, np.float32)
    for heat in heats:
        row = round(heat.top / scale) - top
        col = round(heat.left / scale) - left
        side = max(1, round(heat.side / scale))
        # Most squares lie outside of a part of a large canvas; they are not even resized.
        if not (-side < row < shape[0] and -side < col < shape[1]):
            continue
        part = canvas[max(row, 0) : row + side, max(col, 0) : col + side]
        square = placed(heat, scale)[max(-row, 0) :, max(-col, 0) :]
        np.maximum(part, square[: part.shape[0], : part.shape[1]], out=part)
    return canvas


def levels_of(heats: Sequence[Heat], shape: tuple[int, int]) -> list[Any]:
    """The canvas of a field of shape (height, width), from fine to coarse.

    That of a large one is lazy: levels of dask, each half as large as the one before.
    """
    if shape[0] * shape[1] <= LAZY_ABOVE:
        return [painted(heats, shape)]
    import dask.array as da

    levels: list[Any] = []
    make: Any = da.map_blocks
    # Without "meta" dask would call the function once with an empty block to learn the type.
    meta = np.empty((0, 0), np.float32)
    # napari shows the level that fits the screen, so the last one may be a single chunk.
    while not levels or max(levels[-1].shape) > CHUNK:
        scale = 2 ** len(levels)
        size = (-(-shape[0] // scale), -(-shape[1] // scale))
        empty = da.zeros(size, dtype=np.float32, chunks=CHUNK)
        chunk = partial(_chunk, tuple(heats), scale)
        levels.append(make(chunk, empty, dtype=np.float32, meta=meta))
    return levels


def _chunk(heats: tuple[Heat, ...], scale: int, block: Float32, block_info: Any = None) -> Float32:
    """One chunk of a lazy canvas."""
    (top, _), (left, _) = block_info[0]["array-location"]
    return painted(heats, (block.shape[0], block.shape[1]), top=top, left=left, scale=scale)


def colored(canvas: Float32) -> npt.NDArray[np.uint8]:
    """A canvas in the colours of inferno, as an image."""
    levels = np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)
    # OpenCV's colours are blue, green, red.
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1])


def overlay(image: npt.NDArray[np.uint8], canvas: Float32) -> npt.NDArray[np.uint8]:
    """Heat in colours over an image; where there is none, the image stays as it is.

    The hottest pixels hide :data:`STRENGTH` of the image.
    """
    mixed = image.copy()
    # In bands: as floating point a whole slide would take a gigabyte.
    for top in range(0, len(image), CHUNK):
        rows = slice(top, top + CHUNK)
        share = STRENGTH * opacity(canvas[rows])[..., None]
        mixed[rows] = np.rint(image[rows] * (1 - share) + colored(canvas[rows]) * share)
    return mixed


def opacity(canvas: Float32) -> Float32:
    """How much heat hides what lies below it, 0 to 1; all of it from :data:`CLEAR_BELOW` on."""
    return np.asarray(np.clip(canvas / CLEAR_BELOW, 0, 1))


def mask_of(detection: Detection, square: tuple[int, int, int], n: int) -> npt.NDArray[np.bool_]:
    """Which pixels of a square lie inside a cell: its outline, or else the ellipse in its box.

    Parameters
    ----------
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
        box = detection.bbox
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)[:, None]
        half = np.array([box.height / 2, box.width / 2])
        points = np.array(box.center) + np.hstack([np.sin(turn), np.cos(turn)]) * half
    # Pixels whose centres lie inside; skimage counts from the centre of the first.
    return np.asarray(polygon2mask((n, n), (points - (top, left)) * n / side - 0.5))


def inside(heat: Float32, mask: npt.NDArray[np.bool_]) -> float:
    """Share of heat inside a mask, 0 to 1 (energy-based pointing game, Wang et al. 2020).

    NaN without heat; both have the shape (n, n).
    """
    total = float(heat.sum(dtype=np.float64))
    return float(heat[mask].sum(dtype=np.float64)) / total if total else float("nan")
