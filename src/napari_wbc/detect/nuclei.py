"""A field stain as stain: its light, its red cells, and the nuclei of its leukocytes.

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
    Float32,
    Mask,
    absorbance,
    black_pixels,
    nucleus_map,
    rescaled,
    total_absorbance,
)

Pixels: TypeAlias = npt.NDArray[np.int32]
"""Places of one nucleus, shape (n, 2), (row, col)."""

# Chosen on the training fields of BCCD and Chula; see benchmarks/localization.py.
_LONGEST = 480
"""Longer side, in pixels, of the image that is worked on ..."""
_FINEST = 12
"""... unless red cells are then narrower than this."""
_MAX_PIECES = 80
"""Parts of a mask that are looked at, the largest: gathering compares each with each."""
_TINT = 1.5
"""Unlike a red cell is what is more than this many standard deviations from its tint."""
_TINT_RAMP = 2.5
"""Standard deviations from there to full evidence."""
_RED = -0.4
"""Evidence of a pixel with a red cell's tint that is as dark as a red cell."""
_PALE = 0.3
"""Evidence of a pixel with a red cell's tint that is too pale to tell."""


@dataclass(frozen=True, slots=True)
class StainedField:
    """A field at working resolution, as stain.

    Parameters
    ----------
    total : ndarray, shape (rows, cols), float32
        Absorbance summed over the channels.
    nuclei : ndarray, shape (rows, cols), float32
        How much a pixel absorbs like a nucleus.
    unlike : ndarray, shape (rows, cols), float32
        Evidence of a stained pixel, -1 for red cell to 1 for leukocyte.
    red : RedCells
    diameter : float
        Of a red cell, in working pixels; 0 where unknown.
    noise : float
        Standard deviation of the absorbance of empty slide.
    scale : float
        Working pixels a pixel of the field.
    """

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


def stained_field(image: RgbImage, red_cell: float) -> StainedField:
    """Measure the stain of a field; ``red_cell`` is a diameter in pixels of it, 0 measures it."""
    longest = max(image.shape[:2])
    scale = max(min(1.0, _LONGEST / longest), 0.25)
    stain = _at_scale(image, scale, red_cell)
    # A second, closer look where cells turn out small, so that outlines keep their detail.
    if scale < 1 and 0 < stain.diameter < _FINEST:
        closer = min(1.0, scale * 1.5 * _FINEST / stain.diameter, 4000 / longest)
        stain = _at_scale(image, max(closer, scale), red_cell)
    return stain


def _at_scale(image: RgbImage, scale: float, red_cell: float) -> StainedField:
    work = rescaled(image, scale)
    density = np.clip(absorbance(cv2.GaussianBlur(work, (0, 0), 0.9)), -0.02, 2)
    density[_black(density)] = 0
    total = total_absorbance(density)
    nuclei = cv2.GaussianBlur(nucleus_map(density), (0, 0), 1.0)
    red = red_cells(density, nuclei)
    diameter = red_cell * scale or red.diameter
    width = round(0.2 * diameter)
    # Opening takes away specks and threads that are far smaller than a lobe.
    if width > 1:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
        nuclei = cv2.morphologyEx(nuclei, cv2.MORPH_OPEN, disc)
    sample = total[::2, ::2]
    # Exactly 0 is the blackened border of an eyepiece, which has no noise.
    slide = sample[(sample < 0.35 * red.level) & (sample != 0)]
    # From the median to the 16th percentile is one standard deviation of a normal distribution.
    noise = float(np.median(slide) - np.percentile(slide, 16)) if slide.size > 50 else 0.01
    return StainedField(total, nuclei, _unlike(density, nuclei, red), red, diameter, noise, scale)


def _black(density: Float32) -> Mask:
    """Where no colour passes at all: dirt, and around the round field of an eyepiece."""
    black = black_pixels(density)
    # What survives an opening is the large black of an eyepiece, whose rim is wide and coloured.
    around = cv2.morphologyEx(black, cv2.MORPH_OPEN, np.ones((15, 15), np.uint8))
    dirt = cv2.dilate(black, np.ones((5, 5), np.uint8))
    eyepiece = cv2.dilate(around, np.ones((21, 21), np.uint8))
    return np.asarray((dirt | eyepiece) > 0)


def _unlike(density: Float32, nuclei: Float32, red: RedCells) -> Float32:
    """Evidence of a stained pixel, -1 to 1: below 0 for a red cell, above 0 for a leukocyte."""
    smooth = cv2.GaussianBlur(density, (0, 0), 1.5)
    tint = np.clip((unlike_red_cells(smooth, red) - _TINT) / _TINT_RAMP, -1, 1)
    pale = np.clip(3.25 - 5 * total_absorbance(smooth) / red.level, 0, 1)
    dark = np.clip((nuclei - red.nucleus[0]) / 0.1 - 1, -1, 1)
    return np.asarray(np.maximum(np.maximum(tint, _RED + (_PALE - _RED) * pale), dark))


def find_nuclei(
    stain: StainedField, cut: float, smallest: float, *, gap: float, longest: float
) -> list[Pixels]:
    """Nuclei of a field, the lobes of each cell gathered.

    Parameters
    ----------
    cut : float
        Level of the nucleus map above which a pixel is nucleus.
    smallest : float
        Smallest lobe in working pixels.
    gap : float
        Widest gap between lobes, in red cell diameters.
    longest : float
        Longest nucleus, in red cell diameters.

    Returns
    -------
    list of ndarray, shape (n, 2), int32
        Pixels (row, col) of each, the largest first.
    """
    diameter = stain.diameter
    pieces = _pieces(stain.nuclei > cut, smallest, longest * diameter)
    stained = np.clip(stain.total / (0.2 * stain.red.level) - 1, -1, 1)
    groups = _gathered(pieces, stained, max(gap * diameter, 2.0), longest * diameter)
    return sorted(groups, key=len, reverse=True)


def _pieces(mask: Mask, smallest: float, longest: float) -> list[Pixels]:
    """Connected parts of a mask, the largest first; long ones are cut at their necks."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    pieces = []
    for i in np.argsort(-areas[1:count], kind="stable")[:_MAX_PIECES] + 1:
        if areas[i] < smallest:
            break
        left, top, width, height = stats[i, :4]
        part = labels[top : top + height, left : left + width] == i
        parts = _cut(part) if np.hypot(width, height) > longest else part.astype(np.int32)
        for k in range(1, parts.max() + 1):
            pixels = np.argwhere(parts == k)
            if len(pixels) >= smallest:
                pieces.append((pixels + np.array([top, left])).astype(np.int32))
    return pieces


def _cut(part: Mask) -> npt.NDArray[np.int32]:
    """Label the rounded parts of one mask, by watershed of its distance to the outside."""
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    distance = cv2.distanceTransform(np.pad(part.astype(np.uint8), 1), cv2.DIST_L2, 5)
    # Smoothed, and only peaks that stand out count: each bump of a lobe would be a seed.
    distance = cv2.GaussianBlur(distance, (0, 0), 1.0)[1:-1, 1:-1]
    peaks = h_maxima(distance, 0.12 * float(distance.max()))
    seeds, _ = ndimage.label(peaks, structure=np.ones((3, 3)))
    return np.asarray(watershed(-distance, seeds, mask=part), np.int32)


@dataclass(slots=True)
class _Piece:
    """One or more lobes, with what is needed to ask whether others belong to them."""

    pixels: Pixels
    rim: Pixels
    hull: Pixels

    @classmethod
    def of(cls, pixels: Pixels) -> _Piece:
        low = pixels.min(axis=0) - 1
        mask = np.zeros(pixels.max(axis=0) - low + 2, np.uint8)
        mask[tuple((pixels - low).T)] = 1
        rim = np.argwhere(mask > cv2.erode(mask, np.ones((3, 3), np.uint8))) + low
        return cls(pixels, rim.astype(np.int32), hull_of(pixels))

    def joined(self, other: _Piece) -> _Piece:
        pixels = np.concatenate([self.pixels, other.pixels])
        rim = np.concatenate([self.rim, other.rim])
        # The hull of two hulls is that of all pixels, of which there are far more.
        return _Piece(pixels, rim, hull_of(np.concatenate([self.hull, other.hull])))

    def gap(self, other: _Piece, stained: Float32) -> float:
        """Pixels between the two; infinite where slide shows between them."""
        apart = np.maximum(
            self.hull.min(0) - other.hull.max(0), other.hull.min(0) - self.hull.max(0)
        )
        # Comparing all rims takes long, so far ones are left out by their hulls.
        if apart.max() > 64:
            return np.inf
        squares = ((self.rim[:, None] - other.rim) ** 2).sum(axis=-1)
        i, j = np.unravel_index(int(squares.argmin()), squares.shape)
        between = np.linspace(self.rim[i], other.rim[j], 7)[1:-1].round().astype(int)
        return np.inf if stained[tuple(between.T)].mean() < 0 else float(np.sqrt(squares[i, j]))


def hull_of(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convex hull, shape (n, 2), of points of shape (m, 2), int32 or float32."""
    return np.asarray(cv2.convexHull(np.ascontiguousarray(points)).reshape(-1, 2))


def _gathered(
    pieces: Sequence[Pixels], stained: Float32, gap: float, longest: float
) -> list[Pixels]:
    """Join near lobes, those first that make the shortest nucleus, while none is too long."""
    lobes = dict(enumerate(map(_Piece.of, pieces)))
    joins: dict[tuple[int, int], float] = {}

    def consider(i: int, j: int) -> None:
        hull = hull_of(np.concatenate([lobes[i].hull, lobes[j].hull]))
        length = float(np.sqrt(((hull[:, None] - hull) ** 2).sum(axis=-1).max())) + 1
        if length <= longest and lobes[i].gap(lobes[j], stained) <= gap:
            joins[i, j] = length

    for i in lobes:
        for j in range(i):
            consider(i, j)
    while joins:
        i, j = min(joins, key=lambda pair: joins[pair])
        lobes[j] = lobes[j].joined(lobes.pop(i))
        # Joins of either are of a shape that is no more.
        joins = {pair: length for pair, length in joins.items() if not {i, j} & set(pair)}
        for k in lobes:
            if k != j:
                consider(max(j, k), min(j, k))
    return [piece.pixels for piece in lobes.values()]
