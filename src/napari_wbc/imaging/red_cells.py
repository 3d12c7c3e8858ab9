"""Red cells of a field: its inner standard of stain and size.

Invariant: no function changes its arrays, which are as in :mod:`napari_wbc.imaging.stain`, and
nothing here knows of white cells' boxes or classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.imaging.stain import Float32, Float64, Mask, total_absorbance

_MIN_STAINED = 0.06
"""Total absorbance above which a pixel may be more than empty slide."""
_CYTOPLASM_REACH = 0.45
"""Cytoplasm may reach this share of the side of the largest nucleus beyond the larger ones."""
_MAX_DISCS = 800
"""Discs that are compared for the diameter of red cells: each is compared with all smaller ones."""
_MIN_RED_CELLS = 4
"""Red cells below which no typical diameter is given."""


@dataclass(frozen=True, slots=True)
class RedCells:
    """What the red cells of a field look like; they are its inner standard.

    Parameters
    ----------
    level : float
        Median absorbance of a red cell, summed over the channels.
    nucleus : tuple of float
        Median and 90th percentile of :func:`~napari_wbc.imaging.stain.nucleus_map` in red cells.
    tint : ndarray, shape (2,), float64
        Mean share of red and of green in the absorbance, 0 to 1.
    whitening : ndarray, shape (2, 2), float64
        Takes a difference of tint to standard deviations.
    diameter : float
        Typical diameter in pixels; 0 where fewer than four red cells are seen.
    seen : bool
        False where the field shows too few, and these are the red cells of an ordinary stain.
    """

    level: float
    nucleus: tuple[float, float]
    tint: Float64
    whitening: Float64
    diameter: float
    seen: bool = True


_STANDARD = RedCells(0.3, (0.0, 0.05), np.array([0.27, 0.46]), np.eye(2) / 0.08, 0.0, seen=False)
"""Red cells of an ordinary stain, for fields that show none."""


def red_cells(density: Float32, nuclei: Float32) -> RedCells:
    """Measure the red cells of a field from its density and nucleus map.

    Returns
    -------
    RedCells
        Those of an ordinary stain where fewer than 50 pixels, or than 0.5 % of the image,
        look like red cells.
    """
    total = total_absorbance(density)
    stained = total > _MIN_STAINED
    if np.count_nonzero(stained) < 50:
        return _STANDARD
    # Nuclei and the cytoplasm around them are left out first, so that they do not tint the mean.
    top = min(float(np.percentile(nuclei[::2, ::2], 99.5)), 0.7)
    cut = max(0.4 * top, 1.6 * float(np.median(nuclei[stained])))
    near = _near((nuclei > cut).astype(np.uint8))
    red = (total > max(_MIN_STAINED, 0.5 * float(np.median(total[stained])))) & ~near
    if np.count_nonzero(red) < max(50, red.size // 200):
        return _STANDARD
    level = float(np.median(total[red]))
    low, high = np.percentile(nuclei[red], (50, 90))
    diameter = _diameter(cv2.GaussianBlur(total, (0, 0), 1.0) > 0.5 * level, near)
    return RedCells(level, (float(low), float(high)), *_tint(density[red], level), diameter)


def _near(nuclei: npt.NDArray[np.uint8]) -> Mask:
    """Where a mask of nuclei is near, and where the cytoplasm of the larger ones may be."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        cv2.morphologyEx(nuclei, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    )
    near: Mask = cv2.dilate(nuclei, np.ones((7, 7), np.uint8)) > 0
    # Specks of stain and platelets have no cytoplasm: only the larger nuclei are given room.
    if count > 1:
        area = stats[:, cv2.CC_STAT_AREA]
        area[0] = 0
        away = (area < area.max() / 4)[labels].astype(np.uint8)
        near |= cv2.distanceTransform(away, cv2.DIST_L2, 3) < _CYTOPLASM_REACH * float(
            np.sqrt(area.max())
        )
    return near


def _tint(density: Float32, level: float) -> tuple[Float64, Float64]:
    """Mean tint and whitening matrix of red cells, twice trimmed of what is unlike them."""
    # 20,000 pixels are enough for a mean and a covariance.
    colors = density[:: max(1, len(density) // 20_000)].astype(np.float64)
    # Shares of pale pixels are mostly noise, so what they are divided by has a floor.
    shares = colors[:, :2] / np.maximum(colors @ np.ones(3), 0.3 * level)[:, None]
    mean = np.median(shares, axis=0)
    covariance = np.cov((shares - mean).T) + 1e-4 * np.eye(2)
    for _ in range(2):
        whitening = np.linalg.cholesky(np.linalg.inv(covariance))
        # 6 is the 95th percentile of chi squared with two degrees of freedom.
        inliers = shares[(((shares - mean) @ whitening) ** 2).sum(axis=1) < 6]
        if len(inliers) < 10:
            break
        mean = inliers.mean(axis=0)
        # 1.3 makes up for the variance that trimming takes.
        covariance = 1.3 * np.cov((inliers - mean).T) + 4e-4 * np.eye(2)
    return mean, np.linalg.cholesky(np.linalg.inv(covariance))


def _diameter(stained: Mask, near: Mask) -> float:
    """Diameter of red cells: the median of the discs that fill them, weighed by area."""
    distance = _depth(stained | _pallor(stained))
    peaks = (distance == cv2.dilate(distance, np.ones((7, 7), np.uint8))) & (distance > 2) & ~near
    radii = _apart(np.argwhere(peaks), distance[peaks])
    if len(radii) < _MIN_RED_CELLS:
        return 0.0
    # Weighed by area, so that many small gaps between cells do not outvote few cells.
    weight = np.cumsum(radii**2)
    median = float(radii[np.searchsorted(weight, weight[-1] / 2)])
    return min(2 * median, float(max(stained.shape)) / 4)


def _depth(mask: Mask) -> Float32:
    """Distance of each pixel of a mask to its outside, the image's edge included."""
    # OpenCV takes no edge of an image for outside; a margin of 0 does.
    padded = np.pad(mask.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1])


def _pallor(stained: Mask) -> Mask:
    """The pale centres of red cells: round holes, none far larger than the others."""
    _, holes, stats, _ = cv2.connectedComponentsWithStats(
        (~stained).astype(np.uint8), connectivity=4
    )
    area = stats[:, cv2.CC_STAT_AREA]
    deepest = np.zeros(len(area), np.float32)
    np.maximum.at(deepest, holes[~stained], _depth(~stained)[~stained])
    # Round: the largest disc inside covers more than half of the hole.
    pale = np.pi * deepest**2 > 0.5 * area
    pale[0] = False
    if (pale & (area > 8)).any():
        pale &= deepest < 3.5 * float(np.median(deepest[pale & (area > 8)]))
    return np.asarray(pale[holes])


def _apart(places: npt.NDArray[np.intp], radii: Float32) -> Float32:
    """Radii, ascending, of the discs whose centre lies in no larger disc that is kept."""
    order = np.argsort(-radii, kind="stable")[:_MAX_DISCS]
    places = places[order]
    radii = radii[order]
    apart = np.ones(len(radii), bool)
    for i in range(len(radii)):
        if apart[i]:
            apart[i + 1 :] &= ((places[i + 1 :] - places[i]) ** 2).sum(axis=1) >= radii[i] ** 2
    return radii[apart][::-1]


def unlike_red_cells(density: Float32, red: RedCells) -> Float32:
    """How far the tint of each pixel of a density is from that of red cells.

    Returns
    -------
    ndarray, shape (height, width), float32
        Mahalanobis distance, 0 and above, in standard deviations.
    """
    total = np.maximum(total_absorbance(density), 0.3 * red.level)
    first = density[..., 0] / total - np.float32(red.tint[0])
    second = density[..., 1] / total - np.float32(red.tint[1])
    m = red.whitening.astype(np.float32)
    # Written out by channel: a matrix product would first copy the field into one array of rows.
    across = first * m[0, 0] + second * m[1, 0]
    down = first * m[0, 1] + second * m[1, 1]
    return np.asarray(cv2.magnitude(across, down))
