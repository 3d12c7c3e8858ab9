"""Stain and light: from pixels to how much each stain absorbs.

Invariant: every function takes or gives arrays of shape (height, width, 3), (row, col, RGB),
changes none of them in place, and knows nothing of cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_wbc.errors import WbcError

__all__ = [
    "RedCells",
    "absorbance",
    "checked_rgb",
    "illumination",
    "nucleus_map",
    "red_cells",
    "unlike_red_cells",
    "white_balanced",
]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_DEPTHS = (0.25, 0.15)
_RIDGE = 5e-3
_ROUND = 0.5

_GRID = 72
"""Longer side, in pixels, of the thumbnail that the light is fitted on."""


def checked_rgb(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image itself, if it is a uint8 RGB image.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB, 0 to 255.

    Raises
    ------
    WbcError
        If it is anything else.
    """
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise WbcError(
            f"Cells are sought in RGB images of uint8 with shape (height, width, 3), not "
            f"{array.dtype} with shape {array.shape}; convert the image first."
        )
    return array


def illumination(image: npt.NDArray[np.uint8], quantile: float = 0.85) -> Float32:
    """Light that would reach the camera through an empty slide.

    Two smooth surfaces a channel, fitted to the logarithm of a thumbnail: a quadratic one by
    quantile regression, which cells, that only darken, hardly move; then a quartic one to
    the pixels that the first takes for slide. They follow vignetting and colour casts, but
    not single cells, however large.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB, 0 to 255. Pixels that are nearly black (the round edge of an eyepiece) are
        left out of the fit.
    quantile : float
        Share of pixels below the first surface, 0.5 to 1.

    Returns
    -------
    ndarray, shape (height, width, 3), float32
        1 to 256, in the units of the image plus 1.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _GRID / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    log = np.log(cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float64) + 1.0)
    rows, cols = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in log.shape[:2])
    y, x = (grid.ravel() for grid in np.meshgrid(rows, cols, indexing="ij"))
    surface = _light(x, y, log.reshape(-1, 3), quantile).reshape(log.shape).astype(np.float32)
    full = cv2.resize(surface, (width, height), interpolation=cv2.INTER_LINEAR)
    result: Float32 = np.clip(np.exp(full), 1.0, 256.0)
    return result


def _light(x: Float64, y: Float64, log: Float64, quantile: float) -> Float64:
    """Logarithm of the light at places x and y, each -1 to 1, shape (n, 3)."""
    powers = sorted(((i, j) for i in range(5) for j in range(5 - i)), key=sum)
    basis = np.stack([x**i * y**j for i, j in powers], axis=-1)
    brightness = log.sum(axis=1)
    lit = (brightness > brightness.max() - 3 * np.log(4.0)).astype(np.float64)
    weight = lit
    for _ in range(12):
        first = basis[:, :6] @ _ridge(basis[:, :6], log, weight, 2e-2)
        rest = brightness - first.sum(axis=1)
        weight = lit * np.where(rest > 0, quantile, 1 - quantile) / np.maximum(np.abs(rest), 0.03)
    for depth in _DEPTHS:
        weight = lit / (1 + np.exp(-(rest + depth) / (0.2 * depth)))
        second = first + basis @ _ridge(basis, log - first, weight, _RIDGE)
        rest = brightness - second.sum(axis=1)
    return second


def _ridge(basis: Float64, values: Float64, weight: Float64, stiffness: float) -> Float64:
    """Coefficients of a weighted least-squares fit, all but the constant held small."""
    left = (basis * weight[:, None]).T
    ridge = np.diag([1e-9, *[stiffness] * (basis.shape[1] - 1)]) * (weight.sum() + 1e-9)
    result: Float64 = np.linalg.solve(left @ basis + ridge, left @ values)
    return result


def absorbance(image: npt.NDArray[np.uint8], light: Float32 | None = None) -> Float32:
    """Optical density of each channel against the light of an empty slide.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB, 0 to 255.
    light : ndarray, shape (height, width, 3), float32, optional
        From :func:`illumination`, else estimated.

    Returns
    -------
    ndarray, shape (height, width, 3), float32
        ``-log10(image / light)``: 0 on empty slide, about 1 in a dark nucleus, and below 0
        where a pixel is brighter than the light.
    """
    light = illumination(image) if light is None else light
    result: Float32 = np.log10(light) - np.log10(image.astype(np.float32) + 1)
    return result


def white_balanced(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image as if under even white light, shape (height, width, 3), uint8."""
    result: npt.NDArray[np.uint8] = np.clip(
        np.rint(255 * np.power(10.0, -absorbance(image))), 0, 255
    ).astype(np.uint8)
    return result


def nucleus_map(density: Float32) -> Float32:
    """How much a pixel absorbs like a stained nucleus.

    Nuclei take up azure dyes, which absorb red and green; haemoglobin absorbs blue and
    green. So red and green count for a nucleus, and blue against it.

    Parameters
    ----------
    density : ndarray, shape (height, width, 3), float32
        From :func:`absorbance`.

    Returns
    -------
    ndarray, shape (height, width), float32
        About 0 on empty slide and in most red cells, 0.1 to 0.2 in cytoplasm, 0.2 to 1 in
        nuclei.
    """
    result: Float32 = density[..., 0] + density[..., 1] - 1.5 * density[..., 2]
    return result


@dataclass(frozen=True, slots=True)
class RedCells:
    """What the red cells of a field look like; they are its inner standard.

    Parameters
    ----------
    level : float
        Median absorbance of a red cell, summed over the channels.
    nucleus : tuple of float
        Median and 90th percentile of :func:`nucleus_map` in red cells.
    tint : ndarray, shape (2,), float64
        Mean share of red and of green in the absorbance, 0 to 1.
    whitening : ndarray, shape (2, 2), float64
        Takes a difference of tint to units of its standard deviation.
    diameter : float
        Median diameter in pixels; 0 where fewer than four red cells are seen.
    """

    level: float
    nucleus: tuple[float, float]
    tint: npt.NDArray[np.float64]
    whitening: npt.NDArray[np.float64]
    diameter: float


_STANDARD = RedCells(0.3, (0.0, 0.05), np.array([0.27, 0.46]), np.eye(2) / 0.08, 0.0)
"""Red cells of an ordinary stain, for fields that show none."""


def red_cells(density: Float32, nuclei: Float32) -> RedCells:
    """Measure the red cells of a field.

    Parameters
    ----------
    density : ndarray, shape (height, width, 3), float32
        From :func:`absorbance`.
    nuclei : ndarray, shape (height, width), float32
        From :func:`nucleus_map`.

    Returns
    -------
    RedCells
        Those of an ordinary stain where fewer than 50 pixels look like red cells.
    """
    total = density.sum(axis=2)
    stained = total[total > 0.06]
    typical = float(np.median(nuclei[total > 0.06])) if stained.size > 50 else 0.0
    cut = max(0.4 * _top(nuclei), 1.6 * typical)
    near = cv2.dilate((nuclei > cut).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    level = float(np.median(stained)) if stained.size > 50 else 0.0
    red = (total > max(0.06, 0.5 * level)) & ~near
    if red.sum() < 50:
        return _STANDARD
    level = float(np.median(total[red]))
    tint, whitening = _tint(density[red], total[red], level)
    low, high = np.percentile(nuclei[red], (50, 90))
    return RedCells(level, (float(low), float(high)), tint, whitening, _diameter(cv2.GaussianBlur(total, (0, 0), 1.0) > 0.5 * level, near))


def _top(nuclei: Float32) -> float:
    """Level of the darkest nuclei of a field, at most 0.7."""
    return min(float(np.percentile(nuclei[::2, ::2], 99.5)), 0.7)


def _tint(
    density: npt.NDArray[np.float32], total: npt.NDArray[np.float32], level: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean tint and whitening matrix of red cells, twice trimmed of what is unlike them."""
    shares = (density[:, :2] / np.maximum(total, 0.3 * level)[:, None]).astype(np.float64)
    mean = np.median(shares, axis=0)
    covariance = np.cov((shares - mean).T) + 1e-4 * np.eye(2)
    for _ in range(2):
        whitening = np.linalg.cholesky(np.linalg.inv(covariance))
        kept = shares[(((shares - mean) @ whitening) ** 2).sum(axis=1) < 6]
        mean = kept.mean(axis=0)
        covariance = 1.3 * np.cov((kept - mean).T) + 4e-4 * np.eye(2)
    return mean, np.linalg.cholesky(np.linalg.inv(covariance))


def _diameter(stained: npt.NDArray[np.bool_], near: npt.NDArray[np.bool_]) -> float:
    """Diameter of red cells: the median peak of the distance to the slide, weighed by area."""
    slide = (~stained).astype(np.uint8)
    _, holes, stats, _ = cv2.connectedComponentsWithStats(slide, connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    depth = cv2.distanceTransform(np.pad(slide, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    deepest = ndimage.maximum(depth, holes, np.arange(len(area)))
    pallor = np.pi * deepest**2 > _ROUND * area
    pallor[0] = False
    pallor &= deepest < 3.5 * float(np.median(deepest[pallor & (area > 8)])) if pallor.any() else False
    filled = stained | pallor[holes]
    distance = cv2.distanceTransform(np.pad(filled, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    peaks = (distance == cv2.dilate(distance, np.ones((7, 7), np.uint8))) & (distance > 2) & ~near
    radii = _apart(np.argwhere(peaks), distance[peaks])
    if radii.size < 4:
        return 0.0
    weight = np.cumsum(radii**2)
    return min(2 * float(radii[np.searchsorted(weight, weight[-1] / 2)]), max(stained.shape) / 4)


def _apart(places: npt.NDArray[np.intp], radii: Float32) -> Float32:
    """Radii, ascending, of the discs whose centre lies in no larger disc that is kept."""
    order = np.argsort(-radii, kind="stable")[:1000]
    places, radii = places[order], radii[order]
    kept = np.ones(len(radii), bool)
    for i in range(len(radii)):
        if kept[i]:
            near = ((places[i + 1 :] - places[i]) ** 2).sum(axis=1) < radii[i] ** 2
            kept[i + 1 :] &= ~near
    return radii[kept][::-1]


def unlike_red_cells(density: Float32, red: RedCells) -> Float32:
    """How far the tint of a pixel is from that of red cells.

    Parameters
    ----------
    density : ndarray, shape (height, width, 3), float32
        From :func:`absorbance`.
    red : RedCells
        Of this field.

    Returns
    -------
    ndarray, shape (height, width), float32
        Mahalanobis distance, 0 and above, in standard deviations.
    """
    total = np.maximum(density.sum(axis=2), 0.3 * red.level)
    first, second = (density[..., i] / total - np.float32(red.tint[i]) for i in (0, 1))
    m = red.whitening.astype(np.float32)
    result: Float32 = np.hypot(first * m[0, 0] + second * m[1, 0], first * m[0, 1] + second * m[1, 1])
    return result
