"""Light and stain: from pixels to how much each stain absorbs.

Invariant: no function changes its arrays. Images are uint8 RGB, 0 to 255, and densities (absorbance
of each channel) float32, of shape (height, width, 3); maps are float32 of shape (height, width).
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError

Rgb: TypeAlias = npt.NDArray[np.uint8]
Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_THUMBNAIL = 64
"""Longer side, in pixels, of the thumbnail that the light is fitted on."""
_SLIDE_QUANTILE = 0.85
"""Share of the pixels below the first surface of light: slide is among the brightest of a field."""
_BLACK = 0.55
"""Absorbance of every channel from which a pixel is black."""
_LOG = np.log10(np.arange(1, 257)).astype(np.float32)
"""Logarithm of each grey value plus 1."""


def checked_rgb(image: npt.NDArray[np.uint8]) -> Rgb:
    """The image itself, if it is a uint8 RGB image of shape (height, width, 3).

    Raises
    ------
    WbcError
        If it is anything else.
    """
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise WbcError(
            f"A field is an RGB image of uint8 with shape (height, width, 3), not "
            f"{array.dtype} with shape {array.shape}; convert the image first."
        )
    return array


def rescaled(image: Rgb, scale: float) -> Rgb:
    """An image at another size: ``scale`` (above 0) pixels to a pixel; each side is 1 or more."""
    height = max(1, round(image.shape[0] * scale))
    width = max(1, round(image.shape[1] * scale))
    return resized(image, (height, width))


def resized(image: Rgb, shape: tuple[int, int]) -> Rgb:
    """An image of (height, width) ``shape``, each 1 or more."""
    if image.shape[:2] == shape:
        return image
    # Only INTER_AREA averages all that a pixel covers; enlarging, it would repeat pixels.
    smaller = shape[0] * shape[1] < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=interpolation), np.uint8)


def illumination(image: Rgb) -> Float32:
    """Light that would reach the camera through an empty slide.

    Two smooth surfaces a channel, fitted to the logarithm of a thumbnail: a quadratic one by
    quantile regression, which cells, that only darken, hardly move; then a quartic one to
    the pixels that the first takes for slide. They follow vignetting and colour casts, but
    not single cells, however large. Nearly black pixels (outside the round field of an eyepiece)
    are left out of the fit.

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
    full = cv2.resize(_light_grid(image), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(np.exp(full), 1.0, 256.0).reshape(image.shape))


def even_light(image: Rgb) -> Rgb:
    """The field as if under even white light; the black around an eyepiece stays.

    It is ``transmitted(absorbance(image))``, but for rounding, and quicker.
    """
    # OpenCV in place of power and logarithm of every pixel: this runs on each field of a slide.
    gain = 255 / np.clip(np.exp(_light_grid(image)), 1.0, 256.0)
    full = cv2.resize(gain, image.shape[1::-1], interpolation=cv2.INTER_LINEAR).reshape(image.shape)
    # Light is measured in units of the image plus 1, see illumination.
    brighter = cv2.add(image, (1, 1, 1, 0), dtype=cv2.CV_32F).reshape(image.shape)
    return np.asarray(cv2.convertScaleAbs(cv2.multiply(brighter, full)).reshape(image.shape))


def _light_grid(image: Rgb) -> Float32:
    """Logarithm of :func:`illumination` on a thumbnail."""
    scale = min(1.0, _THUMBNAIL / max(image.shape[:2]))
    log = np.log(rescaled(image, scale).astype(np.float64) + 1.0)
    # A single pixel lies in the middle, at 0.
    rows, cols = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in log.shape[:2])
    y, x = np.meshgrid(rows, cols, indexing="ij")
    light = _light(x.ravel(), y.ravel(), log.reshape(-1, 3))
    return light.reshape(log.shape).astype(np.float32)


def _light(x: Float64, y: Float64, log: Float64) -> Float64:
    """Logarithm of the light at places x and y, each -1 to 1, shape (n, 3)."""
    # Products of powers of x and y up to the fourth degree, low degrees first.
    columns: list[Float64] = []
    for degree in range(5):
        columns += [x**power * y ** (degree - power) for power in range(degree + 1)]
    basis = np.stack(columns, axis=-1)
    brightness = log.sum(axis=1)
    # At least a quarter of the brightest on average over the channels: darker are nuclei and the
    # eyepiece's border.
    lit = (brightness > brightness.max() - 3 * np.log(4.0)).astype(np.float64)
    weight = lit
    # Quantile regression by iteratively reweighted least squares. The floor of 0.03 keeps pixels
    # that lie on the surface from taking all of the weight.
    for _ in range(12):
        first = basis[:, :6] @ _ridge(basis[:, :6], log, weight, 2e-2)
        residual = brightness - first.sum(axis=1)
        side = np.where(residual > 0, _SLIDE_QUANTILE, 1 - _SLIDE_QUANTILE)
        weight = lit * side / np.maximum(np.abs(residual), 0.03)
    # The quartic surface bends enough to follow a cell, so it sees what is taken for slide alone:
    # pixels no more than this depth below the surface, with a soft edge.
    second = first
    for depth in (0.25, 0.15):
        weight = lit / (1 + np.exp(np.clip(-(residual + depth) / (0.2 * depth), -50, 50)))
        second = first + basis @ _ridge(basis, log - first, weight, 5e-3)
        residual = brightness - second.sum(axis=1)
    return second


def _ridge(basis: Float64, values: Float64, weight: Float64, stiffness: float) -> Float64:
    """Coefficients of a weighted least-squares fit, all but the constant held small."""
    weighted = (basis * weight[:, None]).T
    ridge = np.diag([1e-9, *[stiffness] * (basis.shape[1] - 1)]) * (weight.sum() + 1e-9)
    return np.asarray(np.linalg.solve(weighted @ basis + ridge, weighted @ values))


def absorbance(image: Rgb, light: Float32 | None = None) -> Float32:
    """Optical density of each channel against the light of an empty slide.

    Parameters
    ----------
    light : ndarray, shape (height, width, 3), float32, optional
        From :func:`illumination`, else estimated.

    Returns
    -------
    ndarray, shape (height, width, 3), float32
        ``log10(light / (image + 1))``: 0 on empty slide, about 1 in a dark nucleus, below 0
        where a pixel is brighter than the light.
    """
    light = illumination(image) if light is None else light
    # A table of 256 logarithms: computing one of each pixel takes several times as long.
    return np.asarray(np.log10(light) - _LOG[image])


def transmitted(density: Float32) -> Rgb:
    """What an absorbance leaves of even white light, an image."""
    return np.asarray(np.clip(np.rint(255 * np.power(10.0, -density)), 0, 255).astype(np.uint8))


def field_absorbance(image: Rgb) -> Float32:
    """:func:`absorbance` of a field, 0 where the black around an eyepiece is."""
    density = absorbance(image)
    density[eyepiece(density)] = 0
    return density


def white_balanced(image: Rgb) -> Rgb:
    """The field as if under even white light."""
    return transmitted(field_absorbance(image))


def black_pixels(density: Float32) -> Rgb:
    """1 where every channel absorbs more than 0.55, else 0; shape (height, width), uint8.

    A nucleus is dark too, but lets blue light through.
    """
    least = cv2.min(cv2.min(density[..., 0], density[..., 1]), density[..., 2])
    return np.asarray((least > _BLACK).astype(np.uint8))


def eyepiece(density: Float32) -> Mask:
    """Where no light comes through: the black around the round field of an eyepiece.

    Returns
    -------
    ndarray, shape (height, width), bool
        Black parts at the border that cover 1 % of the image or more, with a margin.
    """
    black = black_pixels(density)
    # A dark cell at the border is black too, but covers less than 1 % of the field.
    count, labels, stats, _ = cv2.connectedComponentsWithStats(black)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    around = np.zeros(count, np.uint8)
    around[edge] = stats[edge, cv2.CC_STAT_AREA] >= 0.01 * black.size
    around[0] = 0
    return np.asarray(cv2.dilate(around[labels], np.ones((15, 15), np.uint8)) > 0)


def total_absorbance(density: Float32) -> Float32:
    """Absorbance summed over the channels, shape (height, width), float32."""
    return np.asarray(cv2.transform(density, np.ones((1, 3), np.float32)))


def nucleus_map(density: Float32) -> Float32:
    """How much a pixel absorbs like a stained nucleus.

    Nuclei take up azure dyes, which absorb red and green; haemoglobin absorbs blue and
    green. So red and green count for a nucleus, and blue against it.

    Returns
    -------
    ndarray, shape (height, width), float32
        About 0 on empty slide, -0.1 to 0.2 in red cells, 0.1 to 0.2 in cytoplasm, 0.2 to 1
        in nuclei.
    """
    return np.asarray(cv2.transform(density, np.array([[1.0, 1.0, -1.5]], np.float32)))
