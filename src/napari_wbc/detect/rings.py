"""Outlines of whole cells, drawn as closed curves around their nuclei."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.detect.nuclei import Pixels, StainedField, hull_of
from napari_wbc.imaging.stain import Float32, Float64

# Chosen on the training fields of BCCD and Chula; see benchmarks/localization.py.
ANGLES = 48
"""Vertices of an outline."""
_RADII = 48
"""Places on each ray."""
_SLIDE = 0.21
"""Stained is what exceeds this share of a red cell's absorbance ..."""
_NOISE = 2.0
"""... and this many standard deviations of empty slide."""
_SLIDE_RAMP = 0.55
"""Share of that limit, beyond it, from which a pixel is stained for certain."""
_EDGE = 0.75
"""Worth of an edge's step of light."""
_SMOOTH = 0.1
"""Cost of a jump of one step from ray to ray; it grows with the square."""
_BIAS = 0.03
"""Cost of size."""
_JUMP = 3
"""Longest jump from ray to ray, in steps."""
_CONVEX = 0.915
"""Share of their common hull that two outlines fill when they are halves of one cell."""


def draw_rings(
    stain: StainedField, nuclei: Sequence[Pixels], wanted: Sequence[int], reach: float
) -> Float64:
    """Draw the outlines of cells.

    Along each of 48 rays from the middle of the nucleus, being inside is worth the evidence
    for leukocyte and an edge is worth its step of light; the outline is the closed curve,
    smooth and never inside the nucleus, that is worth most.

    Parameters
    ----------
    nuclei : sequence of ndarray, shape (n, 2), int32
        Pixels (row, col) of each.
    wanted : sequence of int
        Indices of the nuclei whose cells are outlined; the others stay outside of these.
    reach : float
        How far cytoplasm may reach beyond the nucleus, in working pixels.

    Returns
    -------
    ndarray, shape (len(wanted), 48, 2), float64
        (row, col), in working pixel edges.
    """
    labels = np.zeros(stain.total.shape, np.int32)
    for k, pixels in enumerate(nuclei):
        labels[tuple(pixels.T)] = k + 1 if k in wanted else -1
    owner = _owners(labels)
    if not wanted:
        return np.zeros((0, ANGLES, 2))
    theta = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    rays = np.stack([np.sin(theta), np.cos(theta)], axis=-1)
    centers: list[Float64] = []
    steps: list[float] = []
    gains: list[Float64] = []
    for k in wanted:
        center, radius = _middle(nuclei[k])
        steps.append((radius + reach) / _RADII)
        radii = (np.arange(_RADII) + 0.5) * steps[-1]
        places = (center + rays[:, None] * radii[:, None]).astype(np.float32)
        gains.append(_gain(stain, labels, owner, k + 1, places))
        centers.append(center)
    radii = (_best_rings(np.array(gains)) + 1) * np.array(steps)[:, None]
    # Radii are whole steps, so neighbouring rays smooth each other.
    radii = (np.roll(radii, 1, axis=1) + 2 * radii + np.roll(radii, -1, axis=1)) / 4
    return np.asarray(np.array(centers)[:, None] + radii[..., None] * rays + 0.5)


def _owners(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """For each pixel, the label above 0 that is nearest."""
    _, seeds = cv2.distanceTransformWithLabels(
        (labels <= 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(seeds.max() + 1, np.int32)
    owner[seeds[labels > 0]] = labels[labels > 0]
    return np.asarray(owner[seeds])


def _middle(pixels: Pixels) -> tuple[Float64, float]:
    """Centroid of the hull of a nucleus, (row, col), and how far the nucleus reaches from it."""
    hull = hull_of(pixels)
    # The hull's, not the pixels': the middle of a horseshoe lies outside of its own pixels.
    m = cv2.moments(hull.reshape(-1, 1, 2))
    center = np.array([m["m10"], m["m01"]]) / m["m00"] if m["m00"] > 0 else pixels.mean(axis=0)
    return center, float(np.hypot(*(hull - center).T).max()) + 0.5


def _gain(
    stain: StainedField,
    labels: npt.NDArray[np.int32],
    owner: npt.NDArray[np.int32],
    label: int,
    places: Float32,
) -> Float64:
    """What an outline gains at each place, shape (angles, radii), of the rays of one cell."""
    y = places[..., 0]
    x = places[..., 1]
    height, width = labels.shape
    rows = np.clip(np.rint(y), 0, height - 1).astype(int)
    cols = np.clip(np.rint(x), 0, width - 1).astype(int)
    outside = (y < -0.5) | (x < -0.5) | (y > height - 0.5) | (x > width - 0.5)
    nucleus = np.where(outside, 0, labels[rows, cols])
    light = cv2.remap(stain.total, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    unlike = cv2.remap(stain.unlike, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # Measured around this cell, since the background differs over a field.
    around = light[~outside & (nucleus != label)]
    slide = np.percentile(around, 20) if around.size else 0.0
    cut = max(_SLIDE * stain.red.level, _NOISE * stain.noise)
    cut_at = cut + float(np.clip(slide, -0.2 * stain.red.level, 0.3 * stain.red.level))
    inside = np.minimum(np.clip((light - cut_at) / (_SLIDE_RAMP * cut), -1, 1), unlike)
    # What is nearer to another nucleus is that cell's.
    other = owner[rows, cols] != label
    inside[other] = np.minimum(inside[other], -0.5)
    inside = np.where(outside, -0.1, inside)
    inside = np.where(nucleus != 0, -1.0, inside)
    inside = np.where(nucleus == label, 1.0, inside)
    # A place stands for an area that grows with its radius.
    gain = np.cumsum((inside - _BIAS) * (np.arange(_RADII) + 0.5) / _RADII, axis=1)
    padded = np.pad(light / stain.red.level, ((0, 0), (1, 2)), mode="edge")
    gain += _EDGE * np.minimum(np.abs(padded[:, 3:] - padded[:, :-3]), 1)
    last = np.where(nucleus == label, np.arange(_RADII), 0).max(axis=1)
    # No outline may run inside the nucleus.
    gain[np.arange(_RADII) < last[:, None]] -= 1e3
    return gain


def _best_rings(gains: Float64) -> npt.NDArray[np.intp]:
    """The smooth closed curve that gains most: index of its radius, shape (cells, angles)."""
    # Dynamic programming over two turns, of which the middle one is taken: there the curve closes.
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


def halves_joined(
    nuclei: Sequence[Pixels], wanted: Sequence[int], rings: Float64, longest: float
) -> list[Pixels]:
    """Join nuclei whose outlines together fill a convex shape: they are one cell's.

    Parameters
    ----------
    nuclei, wanted : sequences
        As in :func:`draw_rings`.
    rings : ndarray, shape (len(wanted), 48, 2)
        From :func:`draw_rings`.
    longest : float
        Longest cell in working pixels.

    Returns
    -------
    list of ndarray
        As ``nuclei``, the largest first.
    """
    groups = dict(enumerate(nuclei))
    hulls = {k: hull_of(ring.astype(np.float32)) for k, ring in zip(wanted, rings, strict=True)}
    areas = {k: _area(ring) for k, ring in zip(wanted, rings, strict=True)}

    def filled(i: int, j: int) -> float:
        hull = hull_of(np.concatenate([hulls[i], hulls[j]]))
        if np.ptp(hull, axis=0).max() > longest:
            return 0.0
        shared, _ = cv2.intersectConvexConvex(hulls[i], hulls[j])
        return float((areas[i] + areas[j] - shared) / max(_area(hull), 1.0))

    while len(hulls) > 1:
        pairs = itertools.combinations(hulls, 2)
        share, i, j = max((filled(i, j), i, j) for i, j in pairs)
        if share < _CONVEX:
            break
        groups[i] = np.concatenate([groups[i], groups.pop(j)])
        hulls[i] = hull_of(np.concatenate([hulls[i], hulls.pop(j)]))
        areas[i] = _area(hulls[i])
    return sorted(groups.values(), key=len, reverse=True)


def score_of(stain: StainedField, nucleus: Pixels, ring: Float64) -> float:
    """Score of a cell, 0 to 1, by size and darkness of its nucleus and roundness of its outline.

    ``nucleus`` has shape (n, 2), int32, and the outline ``ring`` (48, 2), both (row, col).
    """
    area = len(nucleus) / stain.red_area
    contrast = float(stain.nuclei[tuple(nucleus.T)].mean()) / max(stain.red.nucleus[1], 0.02)
    polygon = np.ascontiguousarray(ring, np.float32)
    roundness = cv2.arcLength(polygon, True) ** 2 / (4 * np.pi * max(cv2.contourArea(polygon), 1.0))
    # Logarithm of the odds: size counts up to four red cells, darkness up to four times a red
    # cell's, and each unit of roundness above a circle's 1 against the cell.
    odds = 4 * np.log(min(area, 4) / 0.9) + 4 * np.log(min(contrast, 4) / 2) - 3 * (roundness - 1)
    # Beyond eight red cells it is a smear, not a nucleus.
    odds -= 4 * np.log(max(area / 8, 1))
    return float(1 / (1 + np.exp(-odds)))
