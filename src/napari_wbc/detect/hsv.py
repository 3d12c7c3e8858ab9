"""Detection by colour: leukocytes by their nuclei, or the largest contour in a colour range.

Invariant: no weights and no state; the same image and parameters give the same detections.

The preset ``nucleus`` measures the light and the red cells of the field, takes what absorbs
like a nucleus, gathers the lobes of each cell, and draws around them the closed curve that
best parts leukocyte from slide, red cells and neighbours. All lengths are in red cell
diameters, so that the same numbers serve every magnification. The preset ``youssef-2024`` is
a published recipe, to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from napari_wbc.detect.base import Detector, RgbImage
from napari_wbc.errors import WbcError
from napari_wbc.imaging.stain import (
    RedCells,
    absorbance,
    checked_rgb,
    nucleus_map,
    red_cells,
    total_absorbance,
    unlike_red_cells,
)
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, Outline

__all__ = ["PRESETS", "HsvDetector", "NucleusParameters", "YoussefParameters", "locate_one"]

Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Pixels: TypeAlias = npt.NDArray[np.int32]
"""Places of one nucleus, shape (n, 2), (row, col)."""

# Chosen on the training fields of BCCD and Chula and on boxed cells of PBC (TXL-PBC); what else
# was seen is told in benchmarks/localization.py.
_LONGEST = 480
"""Longer side, in pixels, of the image that is worked on ..."""
_FINEST = 12
"""... unless red cells are then narrower than this."""
_ANGLES, _RADII = 48, 48
"""Rays around a nucleus, which are the vertices of an outline, and places on each ray."""
_SLIDE, _NOISE, _SLIDE_RAMP = 0.21, 2.0, 0.55
"""Stained is what exceeds this share of a red cell's absorbance and this many sigma of slide."""
_TINT, _TINT_RAMP = 1.5, 2.5
"""Unlike a red cell is what is more than this many standard deviations from its tint."""
_RED, _PALE = -0.4, 0.3
"""Evidence of a pixel with a red cell's tint: as dark as a red cell, or too pale to tell."""
_EDGE, _SMOOTH, _BIAS, _JUMP = 0.75, 0.1, 0.03, 3
"""Worth of an edge, cost of a bend, cost of area, and most places moved from ray to ray."""
_HALVES, _CONVEX = 5.0, 0.915
"""Outlines up to this long, in red cell diameters, that together fill this share of their hull
are one cell's; two circles that touch fill 0.88."""


def _slider(default: float, low: float, high: float, step: float, text: str) -> Any:
    """Declare a field together with what a widget needs to show it as a slider."""
    return field(default=default, metadata={"min": low, "max": high, "step": step, "help": text})


@dataclass(frozen=True, slots=True)
class NucleusParameters:
    """What a person may set of the preset ``nucleus``.

    Parameters
    ----------
    sensitivity : float
        0 to 1; higher finds paler nuclei, and more debris.
    red_cell : float
        Diameter of a red cell in pixels of the image, 0 to 400; 0 measures it.
    smallest : float
        Smallest nucleus as a share of a red cell's area, 0 to 2.
    gap : float
        Widest gap between lobes of one nucleus, in red cell diameters, 0 to 1.5.
    longest : float
        Longest nucleus, in red cell diameters, 1 to 5; longer ones are parted.
    reach : float
        How far cytoplasm may reach beyond the nucleus, in red cell diameters, 0 to 2.
    score : float
        Lowest score of a cell, 0 to 1.
    """

    sensitivity: float = _slider(0.5, 0.0, 1.0, 0.05, "Higher finds paler nuclei, and more debris.")
    red_cell: float = _slider(0.0, 0.0, 400.0, 1.0, "Diameter of a red cell in pixels; 0 measures it.")
    smallest: float = _slider(0.25, 0.0, 2.0, 0.05, "Smallest nucleus, as a share of a red cell's area.")
    gap: float = _slider(0.35, 0.0, 1.5, 0.05, "Widest gap within a nucleus, in red cell diameters.")
    longest: float = _slider(
        3.3, 1.0, 5.0, 0.1, "Longest nucleus, in red cell diameters; longer ones are parted."
    )
    reach: float = _slider(
        0.9, 0.0, 2.0, 0.05, "Reach of cytoplasm beyond the nucleus, in red cell diameters."
    )
    score: float = _slider(0.5, 0.0, 1.0, 0.05, "Lowest score of a cell.")


@dataclass(frozen=True, slots=True)
class YoussefParameters:
    """The recipe of the preset ``youssef-2024``: 3x3 Gaussian blur, HSV range, largest contour.

    Parameters
    ----------
    hue, saturation, value : float
        Lowest hue (0 to 179, two degrees a step), saturation and brightness (0 to 255).
    blur : float
        Width of the Gaussian blur in pixels, odd, 1 to 31.
    """

    hue: float = _slider(80.0, 0.0, 179.0, 1.0, "Lowest hue, 0 to 179.")
    saturation: float = _slider(60.0, 0.0, 255.0, 1.0, "Lowest saturation, 0 to 255.")
    value: float = _slider(140.0, 0.0, 255.0, 1.0, "Lowest brightness, 0 to 255.")
    blur: float = _slider(3.0, 1.0, 31.0, 2.0, "Width of the blur in pixels, odd.")


@dataclass(frozen=True, slots=True)
class _Field:
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


def _see(image: RgbImage, red_cell: float) -> _Field:
    """Look at a field, and once more and closer where its cells turn out small."""
    longest = max(image.shape[:2])
    scale = max(min(1.0, _LONGEST / longest), 0.25)
    seen = _at_scale(image, scale, red_cell)
    if scale < 1 and 0 < seen.diameter < _FINEST:
        closer = min(1.0, scale * 1.5 * _FINEST / seen.diameter, 4000 / longest)
        seen = _at_scale(image, max(closer, scale), red_cell)
    return seen


def _at_scale(image: RgbImage, scale: float, red_cell: float) -> _Field:
    height, width = (max(1, round(n * scale)) for n in image.shape[:2])
    work = image if scale == 1 else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    density = np.clip(absorbance(cv2.GaussianBlur(work, (0, 0), 0.9)), -0.02, 2)
    density[_black(density)] = 0
    total = total_absorbance(density)
    nuclei = cv2.GaussianBlur(nucleus_map(density), (0, 0), 1.0)
    red = red_cells(density, nuclei)
    diameter = red_cell * scale or red.diameter
    disc = (round(0.2 * diameter),) * 2
    if disc[0] > 1:
        nuclei = cv2.morphologyEx(nuclei, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, disc))
    slide = total[::2, ::2][(total[::2, ::2] < 0.35 * red.level) & (total[::2, ::2] != 0)]
    noise = float(np.median(slide) - np.percentile(slide, 16)) if slide.size > 50 else 0.01
    return _Field(total, nuclei, _unlike(density, nuclei, red), red, diameter, noise, scale)


def _black(density: Float32) -> Mask:
    """Where no colour passes at all: dirt, and around the round field of an eyepiece."""
    least = cv2.min(cv2.min(density[..., 0], density[..., 1]), density[..., 2])
    black = (least > 0.55).astype(np.uint8)
    around = cv2.morphologyEx(black, cv2.MORPH_OPEN, np.ones((15, 15), np.uint8))
    black = cv2.dilate(black, np.ones((5, 5), np.uint8)) | cv2.dilate(around, np.ones((21, 21), np.uint8))
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


def _nuclei(seen: _Field, cut: float, smallest: float, settings: NucleusParameters) -> list[Pixels]:
    """Nuclei darker than ``cut``, largest first, the lobes of each cell gathered."""
    diameter = seen.diameter
    pieces = _pieces(seen.nuclei > cut, smallest, settings.longest * diameter)
    stained = np.clip(seen.total / (0.2 * seen.red.level) - 1, -1, 1)
    groups = _gathered(pieces, stained, max(settings.gap * diameter, 2.0), settings.longest * diameter)
    return sorted(groups, key=len, reverse=True)


def _pieces(mask: Mask, smallest: float, longest: float, most: int = 80) -> list[Pixels]:
    """Connected parts of a mask, the ``most`` largest; long ones are cut at their necks."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    order = [i for i in np.argsort(-areas[1:count], kind="stable")[:most] + 1 if areas[i] >= smallest]
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
        return cls(pixels, rim.astype(np.int32), _hull(pixels))

    def joined(self, other: _Piece) -> _Piece:
        both = [(getattr(self, name), getattr(other, name)) for name in ("pixels", "rim", "hull")]
        pixels, rim, hull = map(np.concatenate, both)
        return _Piece(pixels, rim, _hull(hull))

    def gap(self, other: _Piece, stained: Float32) -> float:
        """Pixels between the two; infinite where slide shows between them."""
        apart = np.maximum(self.hull.min(0) - other.hull.max(0), other.hull.min(0) - self.hull.max(0))
        if apart.max() > 64:
            return np.inf
        squares = ((self.rim[:, None] - other.rim) ** 2).sum(axis=-1)
        i, j = np.unravel_index(int(squares.argmin()), squares.shape)
        between = np.linspace(self.rim[i], other.rim[j], 7)[1:-1].round().astype(int)
        return np.inf if stained[tuple(between.T)].mean() < 0 else float(np.sqrt(squares[i, j]))


def _hull(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convex hull, shape (n, 2), of points of shape (m, 2), int32 or float32."""
    result: npt.NDArray[Any] = cv2.convexHull(np.ascontiguousarray(points)).reshape(-1, 2)
    return result


def _extent(hull: npt.NDArray[Any]) -> float:
    """Longest distance between two vertices."""
    return float(np.sqrt(((hull[:, None] - hull) ** 2).sum(axis=-1).max())) + 1


def _gathered(pieces: Sequence[Pixels], stained: Float32, gap: float, longest: float) -> list[Pixels]:
    """Join near lobes, those first that make the shortest nucleus, while none is too long."""
    lobes = dict(enumerate(map(_Piece.of, pieces)))
    joins: dict[tuple[int, int], float] = {}

    def consider(i: int, j: int) -> None:
        length = _extent(_hull(np.concatenate([lobes[i].hull, lobes[j].hull])))
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


def _rings(seen: _Field, nuclei: Sequence[Pixels], wanted: Sequence[int], reach: float) -> Float64:
    """Outlines of the wanted cells, shape (n, 48, 2), (row, col), in working pixel edges.

    Along each of 48 rays from the middle of the nucleus, being inside is worth the evidence
    for leukocyte and an edge is worth its step of light; the outline is the closed curve,
    smooth and never inside the nucleus, that is worth most.
    """
    labels = np.zeros(seen.total.shape, np.int32)
    for k, pixels in enumerate(nuclei):
        labels[tuple(pixels.T)] = k + 1 if k in wanted else -1
    owner = _owners(labels)
    if not wanted:
        return np.zeros((0, _ANGLES, 2))
    theta = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    rays = np.stack([np.sin(theta), np.cos(theta)], axis=-1)
    centers, steps, gains = [], [], []
    for k in wanted:
        center, radius = _middle(nuclei[k])
        steps.append((radius + reach) / _RADII)
        radii = (np.arange(_RADII) + 0.5) * steps[-1]
        places = (center + rays[:, None] * radii[:, None]).astype(np.float32)
        gains.append(_gain(seen, labels, owner, k + 1, places))
        centers.append(center)
    radii = (_best_rings(np.array(gains)) + 1) * np.array(steps)[:, None]
    radii = (np.roll(radii, 1, axis=1) + 2 * radii + np.roll(radii, -1, axis=1)) / 4
    result: Float64 = np.array(centers)[:, None] + radii[..., None] * rays + 0.5
    return result


def _owners(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """For each pixel, the label above 0 that is nearest."""
    _, seeds = cv2.distanceTransformWithLabels(
        (labels <= 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(seeds.max() + 1, np.int32)
    owner[seeds[labels > 0]] = labels[labels > 0]
    result: npt.NDArray[np.int32] = owner[seeds]
    return result


def _middle(pixels: Pixels) -> tuple[Float64, float]:
    """Centroid of the hull of a nucleus, (row, col), and how far the nucleus reaches from it."""
    hull = _hull(pixels)
    m = cv2.moments(hull.reshape(-1, 1, 2))
    center = np.array([m["m10"], m["m01"]]) / m["m00"] if m["m00"] > 0 else pixels.mean(axis=0)
    return center, float(np.hypot(*(hull - center).T).max()) + 0.5


def _gain(
    seen: _Field, labels: npt.NDArray[np.int32], owner: npt.NDArray[np.int32], own: int, places: Float32
) -> Float64:
    """What an outline gains at each place, shape (angles, radii), of the rays of one cell."""
    y, x = places[..., 0], places[..., 1]
    height, width = labels.shape
    rows, cols = (np.clip(np.rint(v), 0, n - 1).astype(int) for v, n in ((y, height), (x, width)))
    outside = (y < -0.5) | (x < -0.5) | (y > height - 0.5) | (x > width - 0.5)
    label = np.where(outside, 0, labels[rows, cols])
    light, unlike = (
        cv2.remap(m, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for m in (seen.total, seen.unlike)
    )
    around = light[~outside & (label != own)]
    slide = np.percentile(around, 20) if around.size else 0.0
    cut = max(_SLIDE * seen.red.level, _NOISE * seen.noise)
    cut_at = cut + float(np.clip(slide, -0.2 * seen.red.level, 0.3 * seen.red.level))
    inside = np.minimum(np.clip((light - cut_at) / (_SLIDE_RAMP * cut), -1, 1), unlike)
    inside[owner[rows, cols] != own] = np.minimum(inside[owner[rows, cols] != own], -0.5)
    inside = np.where(label == own, 1.0, np.where(label != 0, -1.0, np.where(outside, -0.1, inside)))
    gain = np.cumsum((inside - _BIAS) * (np.arange(_RADII) + 0.5) / _RADII, axis=1)
    padded = np.pad(light / seen.red.level, ((0, 0), (1, 2)), mode="edge")
    gain += _EDGE * np.minimum(np.abs(padded[:, 3:] - padded[:, :-3]), 1)
    last = np.where(label == own, np.arange(_RADII), 0).max(axis=1)
    gain[np.arange(_RADII) < last[:, None]] -= 1e3
    return gain


def _best_rings(gains: Float64) -> npt.NDArray[np.intp]:
    """The closed curve of greatest gain that changes smoothly from ray to ray.

    Dynamic programming over two turns, of which the middle one is taken.

    Parameters
    ----------
    gains : ndarray, shape (cells, angles, radii)

    Returns
    -------
    ndarray of int, shape (cells, angles)
        Index of the radius on each ray.
    """
    cells, angles, radii = gains.shape
    jumps = np.arange(-_JUMP, _JUMP + 1)[:, None]
    sources = np.clip(np.arange(radii) + jumps, 0, radii - 1)
    best = np.zeros((cells, radii))
    back = np.empty((2 * angles, cells, radii), np.intp)
    for t in range(2 * angles):
        options = best[:, sources] - _SMOOTH * jumps**2
        choice = options.argmax(axis=1)
        back[t] = sources[choice, np.arange(radii)]
        best = options.max(axis=1) + gains[:, t % angles]
    path = np.empty((2 * angles, cells), np.intp)
    path[-1] = best.argmax(axis=1)
    for t in range(2 * angles - 1, 0, -1):
        path[t - 1] = back[t, np.arange(cells), path[t]]
    half = angles // 2
    return np.roll(path[half : half + angles], half, axis=0).T


def _area(polygon: npt.NDArray[Any]) -> float:
    """Area of a polygon of shape (n, 2)."""
    return float(cv2.contourArea(np.ascontiguousarray(polygon, np.float32)))


def _halves_joined(
    nuclei: Sequence[Pixels], wanted: Sequence[int], rings: Float64, longest: float
) -> list[Pixels]:
    """The nuclei, less those whose outlines together fill a convex shape: they are one cell's."""
    groups = dict(enumerate(nuclei))
    hulls = {k: _hull(ring.astype(np.float32)) for k, ring in zip(wanted, rings, strict=True)}
    areas = {k: _area(ring) for k, ring in zip(wanted, rings, strict=True)}

    def filled(i: int, j: int) -> float:
        hull = _hull(np.concatenate([hulls[i], hulls[j]]))
        if np.ptp(hull, axis=0).max() > longest:
            return 0.0
        shared, _ = cv2.intersectConvexConvex(hulls[i], hulls[j])
        return float((areas[i] + areas[j] - shared) / max(_area(hull), 1.0))

    while len(hulls) > 1:
        share, i, j = max((filled(i, j), i, j) for i in hulls for j in hulls if i < j)
        if share < _CONVEX:
            break
        groups[i] = np.concatenate([groups[i], groups.pop(j)])
        hulls[i] = _hull(np.concatenate([hulls[i], hulls.pop(j)]))
        areas[i] = _area(hulls[i])
    return sorted(groups.values(), key=len, reverse=True)


def _score(seen: _Field, nucleus: Pixels, ring: Float64) -> float:
    """0 to 1, from the size of the nucleus, its darkness against red cells, and the outline's roundness."""
    area = len(nucleus) / seen.red_area
    contrast = float(seen.nuclei[tuple(nucleus.T)].mean()) / max(seen.red.nucleus[1], 0.02)
    polygon = np.ascontiguousarray(ring, np.float32)
    roundness = cv2.arcLength(polygon, True) ** 2 / (4 * np.pi * max(cv2.contourArea(polygon), 1.0))
    odds = 4 * np.log(min(area, 4) / 0.9) + 4 * np.log(min(contrast, 4) / 2) - 3 * (roundness - 1)
    odds -= 4 * np.log(max(area / 8, 1))
    return float(1 / (1 + np.exp(-odds)))


def _detection(ring: Float64, scale: float, image: RgbImage, score: float) -> Detection:
    outline = Outline.from_array(np.clip(ring / scale, 0, image.shape[:2]))
    return Detection(outline.bbox, outline, score)


def _cut_level(seen: _Field, top: float, sensitivity: float) -> float:
    """Level of the nucleus map above which a pixel is nucleus, given that of the darkest."""
    low, high = seen.red.nucleus
    return max(0.08, low + 0.8 * (1 - sensitivity) * (top - low), min(1.35 * high, 0.8 * top))


def _measured(seen: _Field, sensitivity: float) -> tuple[_Field, float]:
    """The field, with the largest nucleus for scale if red cells give none that fits; and the cut."""
    several = int(np.clip(seen.red_area / 2, 8, max(seen.nuclei.size // 5, 1)))
    several = min(several, seen.nuclei.size)
    top = min(float(np.partition(seen.nuclei, -several, axis=None)[-several]), 0.7)
    cut = _cut_level(seen, top, sensitivity)
    stats = cv2.connectedComponentsWithStats((seen.nuclei > cut).astype(np.uint8))[2]
    largest = float(max(stats[1:, cv2.CC_STAT_AREA], default=0))
    if not seen.diameter or largest > 25 * seen.red_area:
        seen = replace(seen, diameter=float(np.sqrt(largest * 4 / np.pi)))
    return seen, cut


def _cells(
    seen: _Field, cut: float, smallest: float, settings: NucleusParameters
) -> list[tuple[Pixels, Float64]]:
    """Nucleus and outline of each cell whose nucleus has ``smallest`` working pixels or more."""
    nuclei = _nuclei(seen, cut, min(0.05 * seen.red_area, smallest), settings)

    def outlined(nuclei: Sequence[Pixels]) -> tuple[list[int], Float64]:
        wanted = [k for k, pixels in enumerate(nuclei) if len(pixels) >= smallest]
        return wanted, _rings(seen, nuclei, wanted, settings.reach * seen.diameter)

    wanted, rings = outlined(nuclei)
    joined = _halves_joined(nuclei, wanted, rings, _HALVES * seen.diameter)
    if len(joined) < len(nuclei):
        nuclei = joined
        wanted, rings = outlined(nuclei)
    return [(nuclei[k], ring) for k, ring in zip(wanted, rings, strict=True)]


def _by_nucleus(image: RgbImage, settings: NucleusParameters) -> list[Detection]:
    """The preset ``nucleus``."""
    seen, cut = _measured(_see(image, settings.red_cell), settings.sensitivity)
    cells = _cells(seen, cut, max(settings.smallest * seen.red_area, 4.0), settings)
    scores = [_score(seen, *cell) for cell in cells]
    return [
        _detection(ring, seen.scale, image, score)
        for (_, ring), score in zip(cells, scores, strict=True)
        if score >= settings.score
    ]


def _by_youssef(image: RgbImage, settings: YoussefParameters) -> list[Detection]:
    """The preset ``youssef-2024``."""
    width = int(settings.blur) | 1
    hsv = cv2.cvtColor(cv2.GaussianBlur(image, (width, width), 0), cv2.COLOR_RGB2HSV)
    mask = cv2.inRange(hsv, (settings.hue, settings.saturation, settings.value), (255, 255, 255))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return []
    largest = max(contours, key=cv2.contourArea)
    left, top, width, height = cv2.boundingRect(largest)
    filled = np.zeros((height + 2, width + 2), np.uint8)
    cv2.drawContours(filled, [largest], -1, 1, cv2.FILLED, offset=(1 - left, 1 - top))
    score = np.count_nonzero(mask[top : top + height, left : left + width] & filled[1:-1, 1:-1])
    outline = Outline.from_array(_traced(filled) + np.array([top - 1, left - 1]))
    share = score / np.count_nonzero(mask)
    return [Detection(BBox(top, left, top + height, left + width), outline, share)]


def _traced(mask: npt.NDArray[np.uint8]) -> Float64:
    """Outline of a mask in pixel edges, shape (n, 2), (row, col), 16 to 64 vertices."""
    double = mask.repeat(2, axis=0).repeat(2, axis=1)
    (contour, *_), _ = cv2.findContours(double, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = contour.reshape(-1, 2)[:, ::-1] / 2 + 0.25
    lengths = np.hypot(*np.diff(points, axis=0, append=points[:1]).T)
    at = np.concatenate([[0], np.cumsum(lengths)])
    want = np.linspace(0, at[-1], int(np.clip(len(points) // 4, 16, 64)), endpoint=False)
    closed = np.vstack([points, points[:1]])
    return np.stack([np.interp(want, at, closed[:, i]) for i in (0, 1)], axis=-1)


Parameters: TypeAlias = NucleusParameters | YoussefParameters


@dataclass(frozen=True, slots=True)
class Preset:
    """A named way to detect: what a person may set of it, and how it goes."""

    parameters: type[Any]
    find: Callable[[RgbImage, Any], list[Detection]]


PRESETS: MappingProxyType[str, Preset] = MappingProxyType(
    {
        "nucleus": Preset(NucleusParameters, _by_nucleus),
        "youssef-2024": Preset(YoussefParameters, _by_youssef),
    }
)
"""Name to preset, the default first."""


@dataclass(frozen=True)
class HsvDetector:
    """Locates leukocytes by colour, without weights.

    Parameters
    ----------
    preset : str
        A name of :data:`PRESETS`.
    parameters : NucleusParameters or YoussefParameters, optional
        Of that preset; its defaults if None.

    Raises
    ------
    WbcError
        If there is no such preset, or the parameters are another preset's.

    Examples
    --------
    >>> HsvDetector().name
    'hsv/nucleus'
    >>> HsvDetector().detect(np.full((48, 64, 3), 230, np.uint8))
    ()
    """

    preset: str = "nucleus"
    parameters: Parameters | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise WbcError(f"There is no preset {self.preset!r}; choose one of {', '.join(PRESETS)}.")
        wanted = PRESETS[self.preset].parameters
        if self.parameters is not None and not isinstance(self.parameters, wanted):
            raise WbcError(
                f"Preset {self.preset!r} takes {wanted.__name__}, not {type(self.parameters).__name__}."
            )

    @property
    def name(self) -> str:
        """Name and preset, as written in reports."""
        return f"hsv/{self.preset}"

    def detect(self, image: RgbImage) -> tuple[Detection, ...]:
        """Locate the leukocytes of one field.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8
            RGB, 0 to 255.

        Returns
        -------
        tuple of Detection
            In descending order of score; each with an outline of 16 to 64 vertices in pixel
            edges, whose bounds are the box, but for ``youssef-2024``, where they are within
            half a pixel of it.

        Raises
        ------
        WbcError
            If the image is not uint8 RGB.
        """
        preset = PRESETS[self.preset]
        found = preset.find(checked_rgb(image), self.parameters or preset.parameters())
        return tuple(sorted(found, key=lambda detection: -detection.score))


def locate_one(image: RgbImage, detector: Detector | None = None) -> Detection | None:
    """Locate the cell that an image shows in its middle, whatever its size.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB, 0 to 255, cut around one cell.
    detector : Detector, optional
        Whose most central detection is taken; by default one that also takes platelets,
        pale and small cells.

    Returns
    -------
    Detection or None
        None if nothing is stained like a nucleus near the middle.

    Raises
    ------
    WbcError
        If the image is not uint8 RGB.
    """
    image = checked_rgb(image)
    middle = np.array(image.shape[:2]) / 2
    if detector is None:
        return _central(image, _ONE)
    found = detector.detect(image)
    return min(found, key=lambda d: float(np.hypot(*(d.bbox.center - middle))), default=None)


_ONE = NucleusParameters(longest=2.5)
"""Settings of :func:`locate_one`."""


def _central(image: RgbImage, settings: NucleusParameters) -> Detection | None:
    """The most central cell, sought with what the middle alone takes for a nucleus."""
    seen = _see(image, settings.red_cell)
    rows, cols = (np.abs(np.arange(n) + 0.5 - n / 2) / n for n in seen.nuclei.shape)
    off = np.hypot(rows[:, None], cols)
    top = min(float(np.percentile(seen.nuclei[off <= max(0.12, off.min())], 95)), 0.6)
    low, high = seen.red.nucleus
    if top < max(0.06, min(1.2 * high, 0.2)):
        return None
    if not seen.diameter:
        seen = replace(seen, diameter=0.2 * max(seen.nuclei.shape))
    cells = _cells(seen, max(0.06, low + 0.4 * (top - low)), 6.0, settings)

    def distance(cell: tuple[Pixels, Float64]) -> float:
        away = off[tuple(cell[0].T)]
        return float(away.min() + 0.5 * away.mean() - 0.05 * np.log(len(cell[0])))

    if not cells:
        return None
    nucleus, ring = min(cells, key=distance)
    return _detection(ring, seen.scale, image, _score(seen, nucleus, ring))
