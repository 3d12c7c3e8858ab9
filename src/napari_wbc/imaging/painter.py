"""Painting single cells in optical density, for :mod:`napari_wbc.imaging.synthetic`.

Densities add where cells overlap (Beer-Lambert); each cell is drawn in its own window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.model.geometry import Outline

FloatImage: TypeAlias = npt.NDArray[np.float32]
FloatArray: TypeAlias = npt.NDArray[np.floating]
Color: TypeAlias = tuple[float, float, float]
"""Optical density in red, green and blue; 0 is clear."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a class looks; lengths are shares of the cell's radius, unless said otherwise.

    The nucleus is a row of lobes along an arc, each a short sausage, joined by strands: one fat
    lobe is a lymphocyte's, lobes with strands nearly as thick are a monocyte's horseshoe.
    """

    # Pixels at scale 1, least and most, as in the other pairs.
    diameter: tuple[float, float]
    lobes: tuple[int, int]
    # Half the width of a lobe.
    lobe: tuple[float, float]
    # Width of a strand, as a share of the lobe's.
    strand: float
    # Radius of the arc.
    arc: float
    # Radians from the first lobe to the last.
    span: tuple[float, float]
    cytoplasm: Color
    granule: Color = (0.0, 0.0, 0.0)
    granules: int = 0
    # Pixels at scale 1.
    granule_size: float = 1.0
    # How much of the granules shows over the nucleus, 0 to 1.
    veil: float = 0.15
    nucleus: Color = (1.05, 1.75, 0.42)
    # Spread of the nucleus's density about its mean.
    chromatin: float = 0.13
    vacuoles: tuple[int, int] = (0, 0)


LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "neutrophil": Look(
            (98, 120), (3, 5), (0.19, 0.28), 0.24, 0.50, (3.0, 4.3), (0.13, 0.24, 0.10),
            granule=(0.18, 0.30, 0.12), granules=550, granule_size=0.9, chromatin=0.16,
        ),
        "eosinophil": Look(
            (100, 122), (2, 2), (0.33, 0.40), 0.26, 0.48, (2.1, 2.9), (0.15, 0.36, 0.27),
            granule=(0.09, 0.52, 0.43), granules=480, granule_size=1.7, chromatin=0.14,
        ),
        "basophil": Look(
            (92, 112), (2, 3), (0.36, 0.46), 0.80, 0.36, (1.8, 3.0), (0.42, 0.60, 0.18),
            granule=(0.95, 1.30, 0.42), granules=190, granule_size=2.1, veil=0.7,
            nucleus=(0.85, 1.30, 0.36),
        ),
        "lymphocyte": Look(
            (75, 95), (1, 1), (0.74, 0.84), 1.0, 0.60, (0, 0), (0.52, 0.40, 0.08),
            nucleus=(1.15, 1.80, 0.42),
        ),
        "monocyte": Look(
            (112, 130), (3, 4), (0.35, 0.42), 0.92, 0.48, (1.8, 3.6), (0.36, 0.40, 0.13),
            granule=(0.16, 0.24, 0.06), granules=350, granule_size=0.8,
            nucleus=(0.86, 1.40, 0.36), chromatin=0.20, vacuoles=(0, 7),
        ),
        "immature granulocyte": Look(
            (108, 130), (2, 2), (0.48, 0.56), 1.0, 0.24, (0.9, 1.8), (0.30, 0.42, 0.14),
            granule=(0.42, 0.70, 0.22), granules=320, granule_size=1.1, veil=0.3,
            nucleus=(0.92, 1.55, 0.38),
        ),
        "erythroblast": Look(
            (64, 80), (1, 1), (0.46, 0.58), 1.0, 0.60, (0, 0), (0.34, 0.42, 0.20),
            nucleus=(1.40, 2.10, 0.60),
        ),
    }
)  # fmt: skip

_RED_CELL: Color = (0.13, 0.33, 0.26)
_PLATELET: Color = (0.42, 0.66, 0.20)


@dataclass(frozen=True, slots=True)
class Body:
    """A closed shape of radius ``radius * (1 + sum over k of size_k * cos(k * angle + phase_k))``.

    ``k`` counts from 2, so that the waves do not move the centre.
    """

    centre: tuple[float, float]
    radius: float
    waves: tuple[tuple[float, float], ...]

    @classmethod
    def random(cls, rng: np.random.Generator, radius: float, rough: float) -> Body:
        """A body about (0, 0), more irregular for a greater ``rough``."""
        sizes = rough * rng.uniform(-1, 1, 4) / (1, 2, 3, 4)
        return cls((0.0, 0.0), radius, tuple(zip(sizes, rng.uniform(0, 2 * np.pi, 4), strict=True)))

    def moved(self, centre: npt.ArrayLike) -> Body:
        """The body about another centre, (row, col)."""
        row, col = np.asarray(centre, float)
        return replace(self, centre=(float(row), float(col)))

    def radius_at(self, angle: FloatArray) -> FloatArray:
        """Radius in pixels at angles in radians, any shape."""
        share = np.ones_like(angle)
        for k, (size, phase) in enumerate(self.waves, 2):
            share = share + size * np.cos(k * angle + phase)
        return self.radius * share

    def edge(self, angle: FloatArray) -> FloatArray:
        """(row, col) of the edge relative to the centre, shape (N, 2), at N angles."""
        return np.asarray((self.radius_at(angle) * np.stack([np.sin(angle), np.cos(angle)])).T)

    def outline(self) -> Outline:
        """The shape as a polygon of 32 vertices."""
        angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        return Outline.from_array(np.asarray(self.centre) + self.edge(angle))


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The part of a field about a body: pixels down and right of its centre, and below its edge."""

    where: tuple[slice, slice]
    down: FloatImage
    right: FloatImage
    depth: FloatImage


class Canvas:
    """The optical density of one field while it is drawn."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int], scale: float) -> None:
        self.rng = rng
        self.shape = shape
        self.scale = scale
        self.density: FloatImage = np.zeros((*shape, 3), np.float32)

    @property
    def standard_fields(self) -> float:
        """Area of the field, in fields of 480 x 640 pixels at scale 1."""
        return self.shape[0] * self.shape[1] / (480 * 640 * self.scale**2)

    def window(self, body: Body) -> Window:
        """The part of the field that a body may touch."""
        # The waves of a body and the softness of its edge reach a little beyond its radius.
        reach = 1.2 * body.radius + 3 * self.scale + 3
        rows = _span(body.centre[0], reach, self.shape[0])
        cols = _span(body.centre[1], reach, self.shape[1])
        # Pixel i covers [i, i + 1), so its middle lies at i + 0.5.
        row_offset = np.float32(0.5 - body.centre[0])
        col_offset = np.float32(0.5 - body.centre[1])
        down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + row_offset
        right = np.arange(cols.start, cols.stop, dtype=np.float32)[None, :] + col_offset
        depth = body.radius_at(np.arctan2(down, right)) - np.hypot(down, right)
        return Window((rows, cols), down, right, depth.astype(np.float32))

    def noise(self, like: FloatImage, size: float) -> FloatImage:
        """Smooth noise of mean 0 and spread 1, with features of ``size`` pixels at scale 1."""
        sigma = max(size * self.scale, 0.5)
        white = self.rng.standard_normal(like.shape, np.float32)
        # A Gaussian blur divides the spread of white noise by 2 sqrt(pi) sigma.
        spread = np.float32(2 * np.sqrt(np.pi) * sigma)
        return np.asarray(cv2.GaussianBlur(white, (0, 0), sigma) * spread)

    def dots(self, like: FloatImage, per_pixel: float, size: float) -> FloatImage:
        """Round dots, 0 to 1, of a radius of ``size`` pixels at scale 1."""
        sigma = max(size * self.scale, 0.5)
        centres = np.zeros(like.shape, np.float32)
        at = self.rng.integers(0, centres.size, self.rng.poisson(per_pixel * centres.size))
        # Not "+=": two dots on one pixel add up.
        np.add.at(centres.ravel(), at, self.rng.uniform(0.7, 1.3, at.size).astype(np.float32))
        # A blurred dot of weight 1 is 1 / (2 pi sigma^2) high.
        peaks = cv2.GaussianBlur(centres, (0, 0), sigma) * np.float32(2 * np.pi * sigma**2)
        return np.asarray(np.clip(peaks, 0, 1))

    def add(self, window: Window, amount: FloatArray, color: Color) -> None:
        """Lay ``amount`` times a stain over a window."""
        self.density[window.where] += amount[..., None] * np.asarray(color, np.float32)


def _span(middle: float, reach: float, size: int) -> slice:
    """Pixels within reach of a place, along one side of a field."""
    return slice(max(0, int(middle - reach)), min(size, int(middle + reach) + 1))


def _cover(depth: FloatImage, softness: float) -> FloatImage:
    """How much of a pixel at ``depth`` is covered, 0 to 1, the edge ``softness`` pixels wide."""
    return np.asarray(np.clip(depth / np.float32(softness) + np.float32(0.5), 0, 1))


def _ridge(depth: FloatImage, at: float, width: float) -> FloatImage:
    """A soft line along the edge, 1 at a depth of ``at`` and ``width`` pixels wide."""
    return np.asarray(np.exp(-(((depth - np.float32(at)) / np.float32(width)) ** 2)))


def draw_red_cell(canvas: Canvas, body: Body) -> None:
    """A biconcave disc: paler at its centre, a little darker along its rim."""
    window = canvas.window(body)
    rng = canvas.rng
    scale = canvas.scale
    depth = window.depth
    outwards = np.maximum(1 - depth / body.radius, 0) / rng.uniform(0.40, 0.58)
    pallor = rng.uniform(0.15, 0.8) * np.exp(-(outwards**3))
    thickness = rng.uniform(0.8, 1.15) * (1 - pallor + 0.15 * _ridge(depth, 4 * scale, 3 * scale))
    canvas.add(window, _cover(depth, 2 * scale) * thickness, _RED_CELL)


def draw_platelet(canvas: Canvas, body: Body) -> None:
    """A small purple granular disc with a hazy edge."""
    window = canvas.window(body)
    texture = 0.45 + 0.9 * canvas.dots(window.depth, 0.06 / canvas.scale**2, 1.3)
    canvas.add(window, _cover(window.depth, 5 * canvas.scale) * texture, _PLATELET)


def _nucleus_depth(canvas: Canvas, look: Look, body: Body, window: Window) -> FloatImage:
    """Pixels below the edge of the nucleus, shape of the window; lobes and strands run together."""
    rng = canvas.rng
    radius = body.radius
    n_lobes = int(rng.integers(*look.lobes, endpoint=True))
    lobes = rng.uniform(*look.span) * np.linspace(-0.5, 0.5, n_lobes) + rng.uniform(0, 2 * np.pi)
    # Each lobe is a sausage with two ends, so segments between points are lobe and strand in turns.
    ends = np.repeat(lobes, 2) + np.tile([-0.15, 0.15], n_lobes) + rng.normal(0, 0.06, 2 * n_lobes)
    points = look.arc * radius * np.stack([np.sin(ends), np.cos(ends)], axis=1)
    points *= np.repeat(rng.uniform(0.8, 1.2, n_lobes), 2)[:, None]
    points += rng.normal(0, 0.05 * radius, 2) - points.mean(axis=0)
    half_widths = radius * np.repeat(rng.uniform(*look.lobe, n_lobes), 2)
    half_widths[1::2] *= look.strand
    ripple = 1.5 * canvas.scale
    blend = 0.03 * radius
    # Places are shifted by noise, which ripples the edge.
    down = window.down + ripple * canvas.noise(window.depth, 9)
    right = window.right + ripple * canvas.noise(window.depth, 9)
    # Logarithm of a sum of exponentials: a smooth maximum, in which segments run together.
    total = np.full_like(window.depth, 1e-30)
    for start, stop, half_width in zip(points, points[1:], half_widths, strict=False):
        along = stop - start
        onto = (down - start[0]) * along[0] + (right - start[1]) * along[1]
        share = np.clip(onto / (along @ along), 0, 1)
        away = np.hypot(down - start[0] - share * along[0], right - start[1] - share * along[1])
        total += np.exp(np.clip((half_width - away) / blend, -60, 60))
    inside_cell = window.depth - 0.05 * radius
    return np.asarray(np.minimum(blend * np.log(total), inside_cell).astype(np.float32))


def draw_leukocyte(canvas: Canvas, look: Look, body: Body) -> tuple[Window, npt.NDArray[np.bool_]]:
    """Draw one leukocyte; return its window and where in it the nucleus lies."""
    window = canvas.window(body)
    rng = canvas.rng
    scale = canvas.scale
    depth = window.depth
    area = np.pi * body.radius**2
    below = _nucleus_depth(canvas, look, body, window)
    cell = _cover(depth, 1.5 * scale)
    nucleus = _cover(below, 2 * scale)
    holes = canvas.dots(depth, rng.uniform(*look.vacuoles) / area, 2.4)
    texture = 1 + 0.10 * canvas.noise(depth, 5) + 0.2 * _ridge(depth, 0, 2.5 * scale) - 0.8 * holes
    canvas.add(window, cell * (1 - nucleus) * texture, look.cytoplasm)
    granules = canvas.dots(depth, look.granules / area, look.granule_size)
    canvas.add(window, cell * (1 - (1 - look.veil) * nucleus) * granules, look.granule)
    chromatin = 1 + look.chromatin * (canvas.noise(depth, 1.6) + 0.6 * canvas.noise(depth, 5))
    chromatin = np.clip(chromatin + 0.15 * _ridge(below, 1.5 * scale, 1.5 * scale), 0.3, 2)
    canvas.add(window, nucleus * chromatin * rng.uniform(0.9, 1.1), look.nucleus)
    return window, below > 0
