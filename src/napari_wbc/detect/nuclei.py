"""A field seen as stain: its light, its red cells, and the nuclei of its leukocytes.

Lengths are in red cell diameters, so that the same numbers serve every magnification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_wbc.detect.base import RgbImage
from napari_wbc.imaging.red_cells import RedCells, red_cells, unlike_red_cells
from napari_wbc.imaging.stain import (
    absorbance,
    black_pixels,
    nucleus_map,
    rescaled,
    total_absorbance,
)

__all__ = ["Float32", "Float64", "Pixels", "Seen", "find_nuclei", "hull_of", "see"]

Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Pixels: TypeAlias = npt.NDArray[np.int32]
"""Places of one nucleus, shape (n, 2), (row, col)."""

# Chosen on the training fields of BCCD and Chula; see benchmarks/localization.py.
_LONGEST = 480
"""Longer side, in pixels, of the image that is worked on ..."""
_FINEST = 12
"""... unless red cells are then narrower than this."""
_TINT, _TINT_RAMP = 1.5, 2.5
"""Unlike a red cell is what is more than this many standard deviations from its tint."""
_RED, _PALE = -0.4, 0.3
"""Evidence of a pixel with a red cell's tint: as dark as a red cell, or too pale to tell."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A field at working resolution, with its light and red cells known."""

    total: Float32
    nuclei: Float32
    unlike: Float32
    red: RedCells
    diameter: float
    noise: float
    scale: float

    @property
    def red_area(self) -> float:
        """Area of a red cell in working pixels."""
        return np.pi * self.diameter**2 / 4


def see(image: RgbImage, red_cell: float) -> Seen:
    """Look at a field, and once more and closer where its cells turn out small."""
    longest = max(image.shape[:2])
    scale = max(min(1.0, _LONGEST / longest), 0.25)
    seen = _at_scale(image, scale, red_cell)
    if scale < 1 and 0 < seen.diameter < _FINEST:
        closer = min(1.0, scale * 1.5 * _FINEST / seen.diameter, 4000 / longest)
        seen = _at_scale(image, max(closer, scale), red_cell)
    return seen


def _at_scale(image: RgbImage, scale: float, red_cell: float) -> Seen:
    work = rescaled(image, scale)
    density = np.clip(absorbance(cv2.GaussianBlur(work, (0, 0), 0.9)), -0.02, 2)
    density[_black(density)] = 0
    total = total_absorbance(density)
    nuclei = cv2.GaussianBlur(nucleus_map(density), (0, 0), 1.0)
    red = red_cells(density, nuclei)
    diameter = red_cell * scale or red.diameter
    disc = (round(0.2 * diameter),) * 2
    if disc[0] > 1:
        nuclei = cv2.morphologyEx(
            nuclei, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, disc)
        )
    slide = total[::2, ::2][(total[::2, ::2] < 0.35 * red.level) & (total[::2, ::2] != 0)]
    noise = float(np.median(slide) - np.percentile(slide, 16)) if slide.size > 50 else 0.01
    return Seen(total, nuclei, _unlike(density, nuclei, red), red, diameter, noise, scale)


def _black(density: Float32) -> Mask:
    """Where no colour passes at all: dirt, and around the round field of an eyepiece."""
    black = black_pixels(density)
    around = cv2.morphologyEx(black, cv2.MORPH_OPEN, np.ones((15, 15), np.uint8))
    black = cv2.dilate(black, np.ones((5, 5), np.uint8)) | cv2.dilate(
        around, np.ones((21, 21), np.uint8)
    )
    result: Mask = black > 0
    return result


def _unlike(density: Float32, nuclei: Float32, red: RedCells) -> Float32:
    """Evidence of a stained pixel, -1 to 1: below 0 for a red cell, above 0 for a leukocyte."""
    smooth = cv2.GaussianBlur(density, (0, 0), 1.5)
    tint = np.clip((unlike_red_cells(smooth, red) - _TINT) / _TINT_RAMP, -1, 1)
    pale = np.clip(3.25 - 5 * total_absorbance(smooth) / red.level, 0, 1)
    dark = np.clip((nuclei - red.nucleus[0]) / 0.1 - 1, -1, 1)
    result: Float32 = np.maximum(np.maximum(tint, _RED + (_PALE - _RED) * pale), dark)
    return result


def find_nuclei(
    seen: Seen, cut: float, smallest: float, *, gap: float, longest: float
) -> list[Pixels]:
    """Nuclei darker than ``cut``, largest first, the lobes of each cell gathered.

    ``smallest`` is in working pixels, ``gap`` and ``longest`` in red cell diameters.
    """
    diameter = seen.diameter
    pieces = _pieces(seen.nuclei > cut, smallest, longest * diameter)
    stained = np.clip(seen.total / (0.2 * seen.red.level) - 1, -1, 1)
    groups = _gathered(pieces, stained, max(gap * diameter, 2.0), longest * diameter)
    return sorted(groups, key=len, reverse=True)


def _pieces(mask: Mask, smallest: float, longest: float, most: int = 80) -> list[Pixels]:
    """Connected parts of a mask, the ``most`` largest; long ones are cut at their necks."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    order = [
        i for i in np.argsort(-areas[1:count], kind="stable")[:most] + 1 if areas[i] >= smallest
    ]
    pieces = []
    for i in order:
        left, top, width, height = stats[i, :4]
        own = labels[top : top + height, left : left + width] == i
        parts = _cut(own) if np.hypot(width, height) > longest else own.astype(np.int32)
        for k in range(1, parts.max() + 1):
            pixels = np.argwhere(parts == k)
            if len(pixels) >= smallest:
                pieces.append((pixels + np.array([top, left])).astype(np.int32))
    return pieces


def _cut(own: Mask) -> npt.NDArray[np.int32]:
    """Label the rounded parts of one mask, by watershed of its distance to the outside."""
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    distance = cv2.distanceTransform(np.pad(own.astype(np.uint8), 1), cv2.DIST_L2, 5)
    distance = cv2.GaussianBlur(distance, (0, 0), 1.0)[1:-1, 1:-1]
    peaks = h_maxima(distance, 0.12 * float(distance.max()))
    seeds, _ = ndimage.label(peaks, structure=np.ones((3, 3)))
    result: npt.NDArray[np.int32] = watershed(-distance, seeds, mask=own).astype(np.int32)
    return result


@dataclass(slots=True)
class _Piece:
    """One or more lobes, with what is needed to ask whether others belong to them."""

    pixels: Pixels
    rim: Pixels
    hull: Pixels

    @classmethod
    def of(cls, pixels: Pixels) -> _Piece:
        low = pixels.min(axis=0) - 1
        own = np.zeros(pixels.max(axis=0) - low + 2, np.uint8)
        own[tuple((pixels - low).T)] = 1
        rim = np.argwhere(own > cv2.erode(own, np.ones((3, 3), np.uint8))) + low
        return cls(pixels, rim.astype(np.int32), hull_of(pixels))

    def joined(self, other: _Piece) -> _Piece:
        both = [(getattr(self, name), getattr(other, name)) for name in ("pixels", "rim", "hull")]
        pixels, rim, hull = map(np.concatenate, both)
        return _Piece(pixels, rim, hull_of(hull))

    def gap(self, other: _Piece, stained: Float32) -> float:
        """Pixels between the two; infinite where slide shows between them."""
        apart = np.maximum(
            self.hull.min(0) - other.hull.max(0), other.hull.min(0) - self.hull.max(0)
        )
        if apart.max() > 64:
            return np.inf
        squares = ((self.rim[:, None] - other.rim) ** 2).sum(axis=-1)
        i, j = np.unravel_index(int(squares.argmin()), squares.shape)
        between = np.linspace(self.rim[i], other.rim[j], 7)[1:-1].round().astype(int)
        return np.inf if stained[tuple(between.T)].mean() < 0 else float(np.sqrt(squares[i, j]))


def hull_of(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convex hull, shape (n, 2), of points of shape (m, 2), int32 or float32."""
    result: npt.NDArray[Any] = cv2.convexHull(np.ascontiguousarray(points)).reshape(-1, 2)
    return result


def _extent(hull: npt.NDArray[Any]) -> float:
    """Longest distance between two vertices."""
    return float(np.sqrt(((hull[:, None] - hull) ** 2).sum(axis=-1).max())) + 1


def _gathered(
    pieces: Sequence[Pixels], stained: Float32, gap: float, longest: float
) -> list[Pixels]:
    """Join near lobes, those first that make the shortest nucleus, while none is too long."""
    lobes = dict(enumerate(map(_Piece.of, pieces)))
    joins: dict[tuple[int, int], float] = {}

    def consider(i: int, j: int) -> None:
        length = _extent(hull_of(np.concatenate([lobes[i].hull, lobes[j].hull])))
        if length <= longest and lobes[i].gap(lobes[j], stained) <= gap:
            joins[i, j] = length

    for i in lobes:
        for j in range(i):
            consider(i, j)
    while joins:
        i, j = min(joins, key=lambda pair: joins[pair])
        lobes[j] = lobes[j].joined(lobes.pop(i))
        joins = {pair: length for pair, length in joins.items() if not {i, j} & set(pair)}
        for k in lobes:
            if k != j:
                consider(max(j, k), min(j, k))
    return [piece.pixels for piece in lobes.values()]
