"""A seeded synthetic blood smear with ground truth, for demos, sample data and tests.

Invariant: one seed, one picture. Cells are drawn in optical density, which adds where they
overlap (Beer-Lambert), each in its own window. Nothing here is fit to judge a classifier.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.model.geometry import BBox, Outline

__all__ = ["FIVE_CLASSES", "NORMAL_MIX", "SmearField", "SyntheticCell", "synthetic_slide", "synthetic_smear"]

FloatImage: TypeAlias = npt.NDArray[np.float32]
FloatArray: TypeAlias = npt.NDArray[np.floating]
Color: TypeAlias = tuple[float, float, float]  # optical density in red, green and blue; 0 is clear

FIVE_CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil")
"""The leukocytes of healthy blood, from common to rare."""

NORMAL_MIX: Mapping[str, float] = MappingProxyType(dict(zip(FIVE_CLASSES, (60, 28, 7, 4, 1), strict=True)))
"""Per cent of each leukocyte in healthy blood."""


@dataclass(frozen=True, slots=True)
class SyntheticCell:
    """One drawn leukocyte.

    Parameters
    ----------
    cell_class : str
        A name of :data:`~napari_wbc.model.taxonomy.EIGHT_CLASSES`.
    outline : Outline
        Outline of the whole cell, 32 vertices, (row, col), pixel ``i`` covers ``[i, i + 1)``.
    """

    cell_class: str
    outline: Outline

    @property
    def bbox(self) -> BBox:
        """Box of the outline, half open, in pixels."""
        return self.outline.bbox


@dataclass(frozen=True, slots=True, eq=False)
class SmearField:
    """One field of view and what is truly in it.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB, 0 to 255.
    cells : tuple of SyntheticCell
        The leukocytes; red cells and platelets are drawn, but not listed.
    cell_mask, nucleus_mask : ndarray, shape (height, width), int32
        0 is background, ``i`` the ``i``-th of ``cells``, counted from 1.
    """

    image: npt.NDArray[np.uint8]
    cells: tuple[SyntheticCell, ...]
    cell_mask: npt.NDArray[np.int32]
    nucleus_mask: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Look:
    """How a class looks; lengths are shares of the cell's radius, unless said otherwise.

    The nucleus is a row of lobes along an arc, each a short sausage, joined by strands: one fat
    lobe is a lymphocyte's, lobes with strands nearly as thick are a monocyte's horseshoe.
    """

    diameter: tuple[float, float]  # pixels at scale 1, least and most, as in the other pairs
    lobes: tuple[int, int]
    lobe: tuple[float, float]  # half the width of a lobe
    strand: float  # width of a strand, as a share of the lobe's
    arc: float  # radius of the arc
    span: tuple[float, float]  # radians from the first lobe to the last
    cytoplasm: Color
    granule: Color = (0.0, 0.0, 0.0)
    granules: int = 0
    granule_size: float = 1.0  # pixels at scale 1
    veil: float = 0.15  # how much of the granules shows over the nucleus, 0 to 1
    nucleus: Color = (1.05, 1.75, 0.42)
    chromatin: float = 0.13  # spread of the nucleus's density about its mean
    vacuoles: tuple[int, int] = (0, 0)


_LOOKS: Mapping[str, _Look] = MappingProxyType(
    {
        "neutrophil": _Look(
            (98, 120), (3, 5), (0.19, 0.28), 0.24, 0.50, (3.0, 4.3), (0.13, 0.24, 0.10),
            granule=(0.18, 0.30, 0.12), granules=550, granule_size=0.9, chromatin=0.16,
        ),
        "eosinophil": _Look(
            (100, 122), (2, 2), (0.33, 0.40), 0.26, 0.48, (2.1, 2.9), (0.15, 0.36, 0.27),
            granule=(0.09, 0.52, 0.43), granules=480, granule_size=1.7, chromatin=0.14,
        ),
        "basophil": _Look(
            (92, 112), (2, 3), (0.36, 0.46), 0.80, 0.36, (1.8, 3.0), (0.42, 0.60, 0.18),
            granule=(0.95, 1.30, 0.42), granules=190, granule_size=2.1, veil=0.7, nucleus=(0.85, 1.30, 0.36),
        ),
        "lymphocyte": _Look(
            (75, 95), (1, 1), (0.74, 0.84), 1.0, 0.60, (0, 0), (0.52, 0.40, 0.08), nucleus=(1.15, 1.80, 0.42),
        ),
        "monocyte": _Look(
            (112, 130), (3, 4), (0.35, 0.42), 0.92, 0.48, (1.8, 3.6), (0.36, 0.40, 0.13),
            granule=(0.16, 0.24, 0.06), granules=350, granule_size=0.8,
            nucleus=(0.86, 1.40, 0.36), chromatin=0.20, vacuoles=(0, 7),
        ),
        "immature granulocyte": _Look(
            (108, 130), (2, 2), (0.48, 0.56), 1.0, 0.24, (0.9, 1.8), (0.30, 0.42, 0.14),
            granule=(0.42, 0.70, 0.22), granules=320, granule_size=1.1, veil=0.3, nucleus=(0.92, 1.55, 0.38),
        ),
        "erythroblast": _Look(
            (64, 80), (1, 1), (0.46, 0.58), 1.0, 0.60, (0, 0), (0.34, 0.42, 0.20), nucleus=(1.40, 2.10, 0.60),
        ),
    }
)  # fmt: skip

_RED_CELL: Color = (0.13, 0.33, 0.26)
_PLATELET: Color = (0.42, 0.66, 0.20)


@dataclass(frozen=True, slots=True)
class _Body:
    """A closed shape of radius ``r(a) = radius * (1 + sum over k of size_k * cos(k * a + phase_k))``.

    ``k`` counts from 2, so that the waves do not move the centre.
    """

    centre: tuple[float, float]
    radius: float
    waves: tuple[tuple[float, float], ...]

    @classmethod
    def random(cls, rng: np.random.Generator, radius: float, rough: float) -> _Body:
        """A body about (0, 0), more irregular for a greater ``rough``."""
        sizes = rough * rng.uniform(-1, 1, 4) / (1, 2, 3, 4)
        return cls((0.0, 0.0), radius, tuple(zip(sizes, rng.uniform(0, 2 * np.pi, 4), strict=True)))

    def moved(self, centre: npt.ArrayLike) -> _Body:
        """The body about another centre, (row, col)."""
        row, col = np.asarray(centre, float)
        return replace(self, centre=(float(row), float(col)))

    def radius_at(self, angle: FloatArray) -> FloatArray:
        """Radius in pixels at angles in radians, any shape."""
        waves = (size * np.cos(k * angle + phase) for k, (size, phase) in enumerate(self.waves, 2))
        return self.radius * sum(waves, np.ones_like(angle))

    def edge(self, angle: FloatArray) -> FloatArray:
        """FloatArray (row, col) of the edge relative to the centre, shape (N, 2), at N angles."""
        points: FloatArray = self.radius_at(angle) * np.stack([np.sin(angle), np.cos(angle)])
        return points.T

    def outline(self) -> Outline:
        """The shape as a polygon of 32 vertices."""
        angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        return Outline.from_array(np.asarray(self.centre) + self.edge(angle))


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """The part of a field about a body: pixels down and right of its centre, and below its edge."""

    where: tuple[slice, slice]
    down: FloatImage
    right: FloatImage
    depth: FloatImage


class _Canvas:
    """The optical density of one field while it is drawn."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int], scale: float) -> None:
        self.rng, self.shape, self.scale = rng, shape, scale
        self.density: FloatImage = np.zeros((*shape, 3), np.float32)

    @property
    def standard_fields(self) -> float:
        """Area of the field, in fields of 480 x 640 pixels at scale 1."""
        return self.shape[0] * self.shape[1] / (480 * 640 * self.scale**2)

    def window(self, body: _Body) -> _Window:
        """The part of the field that a body may touch."""
        reach = 1.2 * body.radius + 3 * self.scale + 3
        rows, cols = (
            slice(max(0, int(middle - reach)), min(size, int(middle + reach) + 1))
            for middle, size in zip(body.centre, self.shape, strict=True)
        )
        down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - body.centre[0])
        right = np.arange(cols.start, cols.stop, dtype=np.float32)[None, :] + np.float32(0.5 - body.centre[1])
        depth = body.radius_at(np.arctan2(down, right)) - np.hypot(down, right)
        return _Window((rows, cols), down, right, depth.astype(np.float32))

    def noise(self, like: FloatImage, size: float) -> FloatImage:
        """Smooth noise of mean 0 and spread 1, with features of ``size`` pixels at scale 1."""
        sigma = max(size * self.scale, 0.5)
        white = self.rng.standard_normal(like.shape, np.float32)
        noise: FloatImage = cv2.GaussianBlur(white, (0, 0), sigma) * np.float32(2 * np.sqrt(np.pi) * sigma)
        return noise

    def dots(self, like: FloatImage, per_pixel: float, size: float) -> FloatImage:
        """Round dots, 0 to 1, of a radius of ``size`` pixels at scale 1."""
        sigma = max(size * self.scale, 0.5)
        centres = np.zeros(like.shape, np.float32)
        at = self.rng.integers(0, centres.size, self.rng.poisson(per_pixel * centres.size))
        np.add.at(centres.ravel(), at, self.rng.uniform(0.7, 1.3, at.size).astype(np.float32))
        peaks = cv2.GaussianBlur(centres, (0, 0), sigma) * np.float32(2 * np.pi * sigma**2)
        dots: FloatImage = np.clip(peaks, 0, 1)
        return dots

    def add(self, window: _Window, amount: FloatArray, color: Color) -> None:
        """Lay ``amount`` times a stain over a window."""
        self.density[window.where] += amount[..., None] * np.asarray(color, np.float32)


def _cover(depth: FloatImage, softness: float) -> FloatImage:
    """How much of a pixel at ``depth`` is covered, 0 to 1, the edge ``softness`` pixels wide."""
    cover: FloatImage = np.clip(depth / np.float32(softness) + np.float32(0.5), 0, 1)
    return cover


def _ridge(depth: FloatImage, at: float, width: float) -> FloatImage:
    """A soft line along the edge, 1 at a depth of ``at`` and ``width`` pixels wide."""
    ridge: FloatImage = np.exp(-(((depth - np.float32(at)) / np.float32(width)) ** 2))
    return ridge


def _draw_red_cell(canvas: _Canvas, body: _Body) -> None:
    """A biconcave disc: paler at its centre, a little darker along its rim."""
    window, rng, scale = canvas.window(body), canvas.rng, canvas.scale
    depth = window.depth
    outwards = np.maximum(1 - depth / body.radius, 0) / rng.uniform(0.40, 0.58)
    pallor = rng.uniform(0.15, 0.8) * np.exp(-(outwards**3))
    thickness = rng.uniform(0.8, 1.15) * (1 - pallor + 0.15 * _ridge(depth, 4 * scale, 3 * scale))
    canvas.add(window, _cover(depth, 2 * scale) * thickness, _RED_CELL)


def _draw_platelet(canvas: _Canvas, body: _Body) -> None:
    """A small purple granular disc with a hazy edge."""
    window = canvas.window(body)
    texture = 0.45 + 0.9 * canvas.dots(window.depth, 0.06 / canvas.scale**2, 1.3)
    canvas.add(window, _cover(window.depth, 5 * canvas.scale) * texture, _PLATELET)


def _nucleus_depth(canvas: _Canvas, look: _Look, body: _Body, window: _Window) -> FloatImage:
    """Pixels below the edge of the nucleus, shape of the window; lobes and strands run together."""
    rng, radius = canvas.rng, body.radius
    n_lobes = int(rng.integers(*look.lobes, endpoint=True))
    lobes = rng.uniform(*look.span) * np.linspace(-0.5, 0.5, n_lobes) + rng.uniform(0, 2 * np.pi)
    ends = np.repeat(lobes, 2) + np.tile([-0.15, 0.15], n_lobes) + rng.normal(0, 0.06, 2 * n_lobes)
    points = look.arc * radius * np.stack([np.sin(ends), np.cos(ends)], axis=1)
    points *= np.repeat(rng.uniform(0.8, 1.2, n_lobes), 2)[:, None]
    points += rng.normal(0, 0.05 * radius, 2) - points.mean(axis=0)
    half_widths = radius * np.repeat(rng.uniform(*look.lobe, n_lobes), 2)
    half_widths[1::2] *= look.strand
    ripple, blend = 1.5 * canvas.scale, 0.03 * radius
    down = window.down + ripple * canvas.noise(window.depth, 9)
    right = window.right + ripple * canvas.noise(window.depth, 9)
    total = np.full_like(window.depth, 1e-30)
    for start, stop, half_width in zip(points, points[1:], half_widths, strict=False):
        along = stop - start
        onto = (down - start[0]) * along[0] + (right - start[1]) * along[1]
        share = np.clip(onto / (along @ along), 0, 1)
        away = np.hypot(down - start[0] - share * along[0], right - start[1] - share * along[1])
        total += np.exp(np.clip((half_width - away) / blend, -60, 60))
    depth: FloatImage = np.minimum(blend * np.log(total), window.depth - 0.05 * radius).astype(np.float32)
    return depth


def _draw_leukocyte(canvas: _Canvas, look: _Look, body: _Body) -> tuple[_Window, npt.NDArray[np.bool_]]:
    """Draw one leukocyte; return its window and where in it the nucleus lies."""
    window, rng, scale = canvas.window(body), canvas.rng, canvas.scale
    depth, area = window.depth, np.pi * body.radius**2
    below = _nucleus_depth(canvas, look, body, window)
    cell, nucleus = _cover(depth, 1.5 * scale), _cover(below, 2 * scale)
    holes = canvas.dots(depth, rng.uniform(*look.vacuoles) / area, 2.4)
    texture = 1 + 0.10 * canvas.noise(depth, 5) + 0.2 * _ridge(depth, 0, 2.5 * scale) - 0.8 * holes
    canvas.add(window, cell * (1 - nucleus) * texture, look.cytoplasm)
    granules = canvas.dots(depth, look.granules / area, look.granule_size)
    canvas.add(window, cell * (1 - (1 - look.veil) * nucleus) * granules, look.granule)
    chromatin = 1 + look.chromatin * (canvas.noise(depth, 1.6) + 0.6 * canvas.noise(depth, 5))
    chromatin = np.clip(chromatin + 0.15 * _ridge(below, 1.5 * scale, 1.5 * scale), 0.3, 2)
    canvas.add(window, nucleus * chromatin * rng.uniform(0.9, 1.1), look.nucleus)
    return window, below > 0


def _closeness(body: _Body, others: Iterable[_Body]) -> float:
    """Distance to the nearest body over the sum of both radii: below 1 they overlap."""
    ratios = (math.dist(body.centre, other.centre) / (body.radius + other.radius) for other in others)
    return min(ratios, default=math.inf)


def _place(rng: np.random.Generator, bodies: Iterable[_Body], shape: tuple[int, int]) -> list[_Body]:
    """Put bodies wholly inside a field, apart or edge to edge."""
    placed: list[_Body] = []
    for body in bodies:
        margin = 1.11 * body.radius + 1
        room = np.asarray(shape) - 2 * margin
        for _ in range(500 if room.min() > 0 else 0):
            partner = placed[int(rng.integers(len(placed)))] if placed and rng.random() < 0.2 else None
            centre = margin + rng.random(2) * room
            if partner is not None:
                angle = rng.uniform(0, 2 * np.pi, 1)
                centre = partner.centre + (partner.edge(angle) - 0.98 * body.edge(angle + np.pi))[0]
            moved = body.moved(centre)
            inside = all(margin <= at <= size - margin for at, size in zip(moved.centre, shape, strict=True))
            if inside and _closeness(moved, (other for other in placed if other is not partner)) > 1.12:
                placed.append(moved)
                break
        else:
            raise WbcError(
                f"Leukocyte {len(placed) + 1} has no room in a field of {shape[0]} x {shape[1]} pixels; "
                "ask for fewer, for a larger field or for a smaller scale."
            )
    return placed


def _scatter(
    canvas: _Canvas, wanted: int, radius: tuple[float, float], taken: Sequence[_Body], overlapping: float
) -> list[_Body]:
    """Bodies all over a field, of a ``radius`` at scale 1, clear of those ``taken``; some overlap."""
    rng, found = canvas.rng, list[_Body]()
    for _ in range(6 * wanted):
        if len(found) == wanted:
            break
        body = _Body.random(rng, canvas.scale * rng.uniform(*radius), 0.09)
        body = body.moved(rng.uniform(-body.radius, np.asarray(canvas.shape) + body.radius))
        spacing = 0.6 if rng.random() < overlapping else 1.0
        if _closeness(body, taken) > 1 and _closeness(body, found) > spacing:
            found.append(body)
    return found


class _Microscope:
    """Stain, light and camera, the same for every field of a slide; light from grey to cream."""

    def __init__(self, rng: np.random.Generator) -> None:
        cream = rng.uniform() * np.array([20, 5, -14])
        self.glass = rng.uniform(0.94, 1) * (np.array([226, 226, 224]) + cream)  # 0 to 255, shape (3,), RGB
        self.stain = rng.uniform(0.9, 1.1) * rng.uniform(0.95, 1.05, 3)  # strength, about 1, shape (3,), RGB
        self.vignette = rng.uniform(0.04, 0.12)
        self.blur = rng.uniform(0.6, 1.1)
        self.noise = rng.uniform(0.8, 1.6)

    def photograph(self, canvas: _Canvas) -> npt.NDArray[np.uint8]:
        """The picture of a density, uint8 RGB of shape (height, width, 3)."""
        down, right = (np.linspace(-1, 1, size) - canvas.rng.normal(0, 0.2) for size in canvas.shape)
        light = 1 - self.vignette * (down[:, None, None] ** 2 + right[None, :, None] ** 2) / 2
        through = np.exp(-canvas.density * self.stain.astype(np.float32))
        sharp = through * (light * self.glass).astype(np.float32)
        blurred = cv2.GaussianBlur(sharp, (0, 0), max(self.blur * canvas.scale, 0.3))
        noise = self.noise * canvas.rng.standard_normal(sharp.shape, np.float32)
        picture: npt.NDArray[np.uint8] = np.clip(blurred + noise + 0.5, 0, 255).astype(np.uint8)
        return picture


def _draw_field(canvas: _Canvas, microscope: _Microscope, classes: Sequence[str]) -> SmearField:
    """Draw one field with a leukocyte of each class named."""
    rng, shape, scale = canvas.rng, canvas.shape, canvas.scale
    radii = (scale * rng.uniform(*_LOOKS[name].diameter) / 2 for name in classes)
    placed = _place(rng, (_Body.random(rng, radius, 0.05) for radius in radii), shape)
    n_red = round(rng.uniform(34, 50) * canvas.standard_fields)
    red_cells = _scatter(canvas, n_red, (30, 37.5), placed, 0.25)
    for body in red_cells:
        _draw_red_cell(canvas, body)
    n_platelets = int(rng.poisson(4 * canvas.standard_fields))
    for body in _scatter(canvas, n_platelets, (6, 10), [*placed, *red_cells], 0.0):
        _draw_platelet(canvas, body)
    cell_mask, nucleus_mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for label, (name, body) in enumerate(zip(classes, placed, strict=True), 1):
        window, nucleus = _draw_leukocyte(canvas, _LOOKS[name], body)
        own = (window.depth > 0) & (cell_mask[window.where] == 0)
        cell_mask[window.where][own] = label
        nucleus_mask[window.where][own & nucleus] = label
    cells = tuple(SyntheticCell(name, body.outline()) for name, body in zip(classes, placed, strict=True))
    return SmearField(microscope.photograph(canvas), cells, cell_mask, nucleus_mask)


def _checked(seed: int, shape: tuple[int, int], scale: float, classes: Iterable[str]) -> _Canvas:
    """An empty field, if the arguments make sense."""
    if seed < 0:
        raise WbcError(f"Seed {seed} is negative; give 0 or more.")
    if len(shape) != 2 or min(shape) < 1:
        raise WbcError(f"A field of shape {shape} has no pixels; give (height, width), each at least 1.")
    if not 0.2 <= scale <= 10:
        raise WbcError(f"Scale {scale} is outside 0.2 to 10; 1 draws red cells about 67 pixels wide.")
    unknown = sorted(set(classes) - set(_LOOKS))
    if unknown:
        raise WbcError(f"No leukocyte is called {', '.join(unknown)}; choose from {', '.join(_LOOKS)}.")
    return _Canvas(np.random.default_rng(seed), shape, scale)


def synthetic_smear(
    seed: int = 0,
    *,
    shape: tuple[int, int] = (480, 640),
    n_leukocytes: int | None = None,
    classes: Sequence[str] = FIVE_CLASSES,
    scale: float = 1.0,
) -> SmearField:
    """Draw one field of a stained blood smear.

    Parameters
    ----------
    seed : int
        At least 0; the same seed and arguments give the same pixels.
    shape : (height, width)
        Of the field, in pixels.
    n_leukocytes : int, optional
        How many leukocytes, all wholly inside; by default 1 to 4 in 480 x 640 pixels at scale 1,
        in proportion elsewhere, none where the field is at most 150 pixels high or wide.
    classes : sequence of str
        Classes of the leukocytes, dealt in shuffled rounds: as many leukocytes as classes show
        each class once. ``immature granulocyte`` and ``erythroblast`` can be drawn too.
    scale : float
        0.2 to 10; 1 draws red cells about 67 pixels and neutrophils about 110 pixels wide.

    Returns
    -------
    SmearField

    Raises
    ------
    WbcError
        If an argument makes no sense, or the leukocytes have no room in the field.

    Examples
    --------
    >>> field = synthetic_smear(seed=1, shape=(160, 200), n_leukocytes=1, classes=["monocyte"])
    >>> field.image.shape, field.image.dtype.name, [cell.cell_class for cell in field.cells]
    ((160, 200, 3), 'uint8', ['monocyte'])
    """
    canvas = _checked(seed, shape, scale, classes)
    if n_leukocytes is None:
        roomy = bool(classes) and min(shape) > 150 * scale
        n_leukocytes = round(canvas.rng.uniform(0.5, 4.5) * canvas.standard_fields) if roomy else 0
    if n_leukocytes < 0 or (n_leukocytes and not classes):
        raise WbcError(f"Cannot draw {n_leukocytes} leukocytes of {len(classes)} classes; give 0 or more.")
    rounds = -(-n_leukocytes // max(len(classes), 1))
    dealt = [classes[index] for _ in range(rounds) for index in canvas.rng.permutation(len(classes))]
    return _draw_field(canvas, _Microscope(canvas.rng), dealt[:n_leukocytes])


def synthetic_slide(
    seed: int = 0,
    n_fields: int = 10,
    *,
    mix: Mapping[str, float] = NORMAL_MIX,
    per_field: tuple[int, int] = (1, 3),
    shape: tuple[int, int] = (480, 640),
    scale: float = 1.0,
) -> tuple[SmearField, ...]:
    """Draw the fields of one slide: one stain and one microscope, classes as in blood.

    Parameters
    ----------
    seed, shape, scale
        As in :func:`synthetic_smear`.
    n_fields : int
        How many fields, at least 0.
    mix : mapping of str to float
        Share of each class, in any unit; by default :data:`NORMAL_MIX`.
    per_field : (int, int)
        Fewest and most leukocytes of a field.

    Returns
    -------
    tuple of SmearField

    Raises
    ------
    WbcError
        If an argument makes no sense, or the leukocytes have no room in a field.
    """
    rng = _checked(seed, shape, scale, mix).rng
    shares = np.array(list(mix.values()), float)
    if not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
        raise WbcError(f"Mix {dict(mix)} is no mix of classes; give shares of 0 or more, not all 0.")
    low, high = per_field
    if n_fields < 0 or not 0 <= low <= high:
        raise WbcError(f"Cannot draw {n_fields} fields of {low} to {high} leukocytes; give 0 or more.")
    microscope, names = _Microscope(rng), np.array(list(mix))
    fields = []
    for own in rng.spawn(n_fields):
        dealt = own.choice(names, own.integers(low, high, endpoint=True), p=shares / shares.sum()).tolist()
        fields.append(_draw_field(_Canvas(own, shape, scale), microscope, dealt))
    return tuple(fields)
