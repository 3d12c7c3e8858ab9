"""Outlines of whole cells, drawn as closed curves around their nuclei."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.detect.nuclei import Float32, Float64, Pixels, Seen, hull_of

__all__ = ["ANGLES", "draw_rings", "halves_joined", "score_of"]

# Chosen on the training fields of BCCD and Chula; see benchmarks/localization.py.
ANGLES = 48
"""Vertices of an outline."""
_RADII = 48
_SLIDE, _NOISE, _SLIDE_RAMP = 0.21, 2.0, 0.55
"""Stained is what exceeds this share of a red cell's absorbance and this many sigma of slide."""
_EDGE, _SMOOTH, _BIAS, _JUMP = 0.75, 0.1, 0.03, 3
"""Worth of an edge's step, cost of a jump from ray to ray, cost of size, longest jump in steps."""
_CONVEX = 0.915
"""Share of their common hull that two outlines fill when they are halves of one cell."""


def draw_rings(
    seen: Seen, nuclei: Sequence[Pixels], wanted: Sequence[int], reach: float
) -> Float64:
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
        return np.zeros((0, ANGLES, 2))
    theta = np.arange(ANGLES) * (2 * np.pi / ANGLES)
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
    hull = hull_of(pixels)
    m = cv2.moments(hull.reshape(-1, 1, 2))
    center = np.array([m["m10"], m["m01"]]) / m["m00"] if m["m00"] > 0 else pixels.mean(axis=0)
    return center, float(np.hypot(*(hull - center).T).max()) + 0.5


def _gain(
    seen: Seen,
    labels: npt.NDArray[np.int32],
    owner: npt.NDArray[np.int32],
    own: int,
    places: Float32,
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
    inside = np.where(
        label == own, 1.0, np.where(label != 0, -1.0, np.where(outside, -0.1, inside))
    )
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


def halves_joined(
    nuclei: Sequence[Pixels], wanted: Sequence[int], rings: Float64, longest: float
) -> list[Pixels]:
    """The nuclei, less those whose outlines together fill a convex shape: they are one cell's."""
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
        share, i, j = max((filled(i, j), i, j) for i in hulls for j in hulls if i < j)
        if share < _CONVEX:
            break
        groups[i] = np.concatenate([groups[i], groups.pop(j)])
        hulls[i] = hull_of(np.concatenate([hulls[i], hulls.pop(j)]))
        areas[i] = _area(hulls[i])
    return sorted(groups.values(), key=len, reverse=True)


def score_of(seen: Seen, nucleus: Pixels, ring: Float64) -> float:
    """0 to 1, from the size of the nucleus, its darkness against red cells, and the outline's roundness."""
    area = len(nucleus) / seen.red_area
    contrast = float(seen.nuclei[tuple(nucleus.T)].mean()) / max(seen.red.nucleus[1], 0.02)
    polygon = np.ascontiguousarray(ring, np.float32)
    roundness = cv2.arcLength(polygon, True) ** 2 / (4 * np.pi * max(cv2.contourArea(polygon), 1.0))
    odds = 4 * np.log(min(area, 4) / 0.9) + 4 * np.log(min(contrast, 4) / 2) - 3 * (roundness - 1)
    odds -= 4 * np.log(max(area / 8, 1))
    return float(1 / (1 + np.exp(-odds)))
