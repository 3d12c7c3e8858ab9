"""Stain and light: from pixels to how much each stain absorbs.

Invariant: no function changes its arrays; images are RGB of shape (height, width, 3), maps are
float32 of shape (height, width), and nothing here knows of white cells' boxes or classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError

__all__ = [
    "RedCells",
    "absorbance",
    "checked_rgb",
    "even_light",
    "eyepiece",
    "field_absorbance",
    "illumination",
    "nucleus_map",
    "red_cells",
    "total_absorbance",
    "transmitted",
    "unlike_red_cells",
    "white_balanced",
]

Rgb: TypeAlias = npt.NDArray[np.uint8]
Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_GRID = 64
"""Longer side, in pixels, of the thumbnail that the light is fitted on."""
_STAINED = 0.06
"""Total absorbance above which a pixel may be more than empty slide."""
_BLACK = 0.55
"""Absorbance of every channel from which a pixel is black."""
_AROUND = 0.45
"""Cytoplasm may reach this share of the side of the largest nucleus beyond the larger ones."""
_LOG = np.log10(np.arange(1, 257)).astype(np.float32)
"""Logarithm of each grey value plus 1."""


def checked_rgb(image: npt.NDArray[np.uint8]) -> Rgb:
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
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise WbcError(
            f"Cells are sought in RGB images of uint8 with shape (height, width, 3), not "
            f"{array.dtype} with shape {array.shape}; convert the image first."
        )
    return array


def illumination(image: Rgb, quantile: float = 0.85) -> Float32:
    """Light that would reach the camera through an empty slide.

    Two smooth surfaces a channel, fitted to the logarithm of a thumbnail: a quadratic one by
    quantile regression, which cells, that only darken, hardly move; then a quartic one to
    the pixels that the first takes for slide. They follow vignetting and colour casts, but
    not single cells, however large.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB, 0 to 255. Nearly black pixels (outside the round field of an eyepiece) are left
        out of the fit.
    quantile : float
        Share of pixels below the first surface, 0.5 to 1.

    Returns
    -------
    ndarray, shape (height, width, 3), float32
        1 to 256, in the units of the image plus 1.

    Examples
    --------
    >>> grey = np.full((40, 60, 3), 199, np.uint8)
    >>> bool(np.allclose(illumination(grey), 200, atol=1))
    True
    """
    full = cv2.resize(
        _light_grid(image, quantile), image.shape[1::-1], interpolation=cv2.INTER_LINEAR
    )
    result: Float32 = np.clip(np.exp(full), 1.0, 256.0).reshape(image.shape)
    return result


def even_light(image: Rgb) -> Rgb:
    """The field as if under even white light, quickly; the black around an eyepiece stays.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB, 0 to 255.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        As ``transmitted(absorbance(image))``, but for rounding.
    """
    gain = 255 / np.clip(np.exp(_light_grid(image, 0.85)), 1.0, 256.0)
    full = cv2.resize(gain, image.shape[1::-1], interpolation=cv2.INTER_LINEAR).reshape(image.shape)
    brighter = cv2.add(image, (1, 1, 1, 0), dtype=cv2.CV_32F).reshape(image.shape)
    result: Rgb = cv2.convertScaleAbs(cv2.multiply(brighter, full)).reshape(image.shape)
    return result


def _light_grid(image: Rgb, quantile: float) -> Float32:
    """Logarithm of :func:`illumination` on a thumbnail."""
    height, width = image.shape[:2]
    scale = min(1.0, _GRID / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    log = np.log(cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float64) + 1.0)
    rows, cols = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in log.shape[:2])
    y, x = (grid.ravel() for grid in np.meshgrid(rows, cols, indexing="ij"))
    surface: Float32 = (
        _light(x, y, log.reshape(-1, 3), quantile).reshape(log.shape).astype(np.float32)
    )
    return surface


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
    second = first
    for depth in (0.25, 0.15):
        weight = lit / (1 + np.exp(np.clip(-(rest + depth) / (0.2 * depth), -50, 50)))
        second = first + basis @ _ridge(basis, log - first, weight, 5e-3)
        rest = brightness - second.sum(axis=1)
    return second


def _ridge(basis: Float64, values: Float64, weight: Float64, stiffness: float) -> Float64:
    """Coefficients of a weighted least-squares fit, all but the constant held small."""
    left = (basis * weight[:, None]).T
    ridge = np.diag([1e-9, *[stiffness] * (basis.shape[1] - 1)]) * (weight.sum() + 1e-9)
    result: Float64 = np.linalg.solve(left @ basis + ridge, left @ values)
    return result


def absorbance(image: Rgb, light: Float32 | None = None) -> Float32:
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
        ``log10(light / (image + 1))``: 0 on empty slide, about 1 in a dark nucleus, below 0
        where a pixel is brighter than the light.
    """
    light = illumination(image) if light is None else light
    result: Float32 = np.log10(light) - _LOG[image]
    return result


def transmitted(density: Float32) -> Rgb:
    """What even white light is left by an absorbance, shape (height, width, 3), uint8, 0 to 255."""
    result: Rgb = np.clip(np.rint(255 * np.power(10.0, -density)), 0, 255).astype(np.uint8)
    return result


def field_absorbance(image: Rgb) -> Float32:
    """:func:`absorbance` of a field, 0 where the black around an eyepiece is."""
    density = absorbance(image)
    density[eyepiece(density)] = 0
    return density


def white_balanced(image: Rgb) -> Rgb:
    """The field as if under even white light, shape (height, width, 3), uint8, 0 to 255."""
    return transmitted(field_absorbance(image))


def eyepiece(density: Float32) -> Mask:
    """Where no light comes through: the black around the round field of an eyepiece.

    Parameters
    ----------
    density : ndarray, shape (height, width, 3), float32
        From :func:`absorbance`.

    Returns
    -------
    ndarray, shape (height, width), bool
        Black parts at the border that cover 1 % of the image or more, with a margin.
    """
    black = (cv2.min(cv2.min(density[..., 0], density[..., 1]), density[..., 2]) > _BLACK).astype(
        np.uint8
    )
    count, labels, stats, _ = cv2.connectedComponentsWithStats(black)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    around = np.zeros(count, np.uint8)
    around[edge] = stats[edge, cv2.CC_STAT_AREA] >= 0.01 * black.size
    around[0] = 0
    result: Mask = cv2.dilate(around[labels], np.ones((15, 15), np.uint8)) > 0
    return result


def total_absorbance(density: Float32) -> Float32:
    """Absorbance summed over the channels, shape (height, width), float32."""
    result: Float32 = cv2.transform(density, np.ones((1, 3), np.float32))
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
        About 0 on empty slide, -0.1 to 0.2 in red cells, 0.1 to 0.2 in cytoplasm, 0.2 to 1
        in nuclei.
    """
    result: Float32 = cv2.transform(density, np.array([[1.0, 1.0, -1.5]], np.float32))
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
        Those of an ordinary stain where fewer than 50 pixels, or than 0.5 % of the image,
        look like red cells.
    """
    total = total_absorbance(density)
    stained = total > _STAINED
    if np.count_nonzero(stained) < 50:
        return _STANDARD
    top = min(float(np.percentile(nuclei[::2, ::2], 99.5)), 0.7)
    cut = max(0.4 * top, 1.6 * float(np.median(nuclei[stained])))
    near = _near((nuclei > cut).astype(np.uint8))
    red = (total > max(_STAINED, 0.5 * float(np.median(total[stained])))) & ~near
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
    if count > 1:
        area = stats[:, cv2.CC_STAT_AREA]
        area[0] = 0
        away = (area < area.max() / 4)[labels].astype(np.uint8)
        near |= cv2.distanceTransform(away, cv2.DIST_L2, 3) < _AROUND * float(np.sqrt(area.max()))
    return near


def _tint(density: Float32, level: float) -> tuple[Float64, Float64]:
    """Mean tint and whitening matrix of red cells, twice trimmed of what is unlike them."""
    colors = density[:: max(1, len(density) // 20_000)].astype(np.float64)
    shares = colors[:, :2] / np.maximum(colors @ np.ones(3), 0.3 * level)[:, None]
    mean = np.median(shares, axis=0)
    covariance = np.cov((shares - mean).T) + 1e-4 * np.eye(2)
    for _ in range(2):
        whitening = np.linalg.cholesky(np.linalg.inv(covariance))
        kept = shares[(((shares - mean) @ whitening) ** 2).sum(axis=1) < 6]
        if len(kept) < 10:
            break
        mean = kept.mean(axis=0)
        covariance = 1.3 * np.cov((kept - mean).T) + 4e-4 * np.eye(2)
    return mean, np.linalg.cholesky(np.linalg.inv(covariance))


def _diameter(stained: Mask, near: Mask) -> float:
    """Diameter of red cells: the median of the discs that fill them, weighed by area."""
    distance = _depth(stained | _pallor(stained))
    peaks = (distance == cv2.dilate(distance, np.ones((7, 7), np.uint8))) & (distance > 2) & ~near
    radii = _apart(np.argwhere(peaks), distance[peaks])
    if len(radii) < 4:
        return 0.0
    weight = np.cumsum(radii**2)
    return min(
        2 * float(radii[np.searchsorted(weight, weight[-1] / 2)]), float(max(stained.shape)) / 4
    )


def _depth(mask: Mask) -> Float32:
    """Distance of each pixel of a mask to its outside, the image's edge included."""
    padded = np.pad(mask.astype(np.uint8), 1)
    result: Float32 = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return result


def _pallor(stained: Mask) -> Mask:
    """The pale centres of red cells: round holes, none far larger than the others."""
    _, holes, stats, _ = cv2.connectedComponentsWithStats(
        (~stained).astype(np.uint8), connectivity=4
    )
    area = stats[:, cv2.CC_STAT_AREA]
    deepest = np.zeros(len(area), np.float32)
    np.maximum.at(deepest, holes[~stained], _depth(~stained)[~stained])
    pale = np.pi * deepest**2 > 0.5 * area
    pale[0] = False
    if (pale & (area > 8)).any():
        pale &= deepest < 3.5 * float(np.median(deepest[pale & (area > 8)]))
    result: Mask = pale[holes]
    return result


def _apart(places: npt.NDArray[np.intp], radii: Float32) -> Float32:
    """Radii, ascending, of the discs whose centre lies in no larger disc that is kept."""
    order = np.argsort(-radii, kind="stable")[:800]
    places, radii = places[order], radii[order]
    kept = np.ones(len(radii), bool)
    for i in range(len(radii)):
        if kept[i]:
            kept[i + 1 :] &= ((places[i + 1 :] - places[i]) ** 2).sum(axis=1) >= radii[i] ** 2
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
    total = np.maximum(total_absorbance(density), 0.3 * red.level)
    first, second = (density[..., i] / total - np.float32(red.tint[i]) for i in (0, 1))
    m = red.whitening.astype(np.float32)
    result: Float32 = cv2.magnitude(
        first * m[0, 0] + second * m[1, 0], first * m[0, 1] + second * m[1, 1]
    )
    return result
