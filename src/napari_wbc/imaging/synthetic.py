"""A seeded synthetic blood smear with ground truth, for demos, sample data and tests.

Invariant: one seed, one picture. Cells are drawn in optical density, which adds where they
overlap (Beer-Lambert), each in its own window. Nothing here is fit to judge a classifier.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.imaging.painter import (
    LOOKS,
    Body,
    Canvas,
    FloatArray,
    draw_leukocyte,
    draw_platelet,
    draw_red_cell,
)
from napari_wbc.model.geometry import BBox, Outline

FIVE_CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil")
"""The leukocytes of healthy blood, from common to rare."""

NORMAL_MIX: Mapping[str, float] = MappingProxyType(
    dict(zip(FIVE_CLASSES, (60, 28, 7, 4, 1), strict=True))
)
"""Per cent of each leukocyte in healthy blood."""

_MAX_TRIES = 500
"""Places that are tried for a leukocyte before a field counts as full."""


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


def _closeness(body: Body, others: Iterable[Body]) -> float:
    """Distance to the nearest body over the sum of both radii: below 1 they overlap."""
    closest = math.inf
    for other in others:
        distance = math.dist(body.centre, other.centre)
        closest = min(closest, distance / (body.radius + other.radius))
    return closest


def _drawn_centre(
    rng: np.random.Generator, body: Body, partner: Body | None, margin: float, room: FloatArray
) -> FloatArray:
    """A centre at random, or one that lays the body edge to edge with its partner."""
    # Drawn even where a partner makes it needless: the numbers that follow depend on it.
    centre: FloatArray = margin + rng.random(2) * room
    if partner is None:
        return centre
    angle = rng.uniform(0, 2 * np.pi, 1)
    beside = partner.edge(angle) - 0.98 * body.edge(angle + np.pi)
    return np.asarray(partner.centre + beside[0])


def _place(canvas: Canvas, classes: Sequence[str]) -> list[Body]:
    """Bodies of leukocytes wholly inside a field, apart or edge to edge."""
    rng = canvas.rng
    shape = canvas.shape
    placed: list[Body] = []
    for name in classes:
        # Drawn one after another: the order of random numbers is part of what a seed means.
        radius = canvas.scale * rng.uniform(*LOOKS[name].diameter) / 2
        body = Body.random(rng, radius, 0.05)
        # A body reaches up to 1.11 times its radius, by its waves.
        margin = 1.11 * body.radius + 1
        room = np.asarray(shape) - 2 * margin
        for _ in range(_MAX_TRIES if room.min() > 0 else 0):
            partner = None
            # One in five touches another cell, as happens in real smears.
            if placed and rng.random() < 0.2:
                partner = placed[int(rng.integers(len(placed)))]
            moved = body.moved(_drawn_centre(rng, body, partner, margin, room))
            low = min(moved.centre)
            inside = low >= margin and all(np.less_equal(moved.centre, np.asarray(shape) - margin))
            others = [other for other in placed if other is not partner]
            if inside and _closeness(moved, others) > 1.12:
                placed.append(moved)
                break
        else:
            raise WbcError(
                f"Leukocyte {len(placed) + 1} has no room in a field of {shape[0]} x {shape[1]} "
                "pixels; ask for fewer, for a larger field or for a smaller scale."
            )
    return placed


def _scatter(
    canvas: Canvas, wanted: int, radius: tuple[float, float], taken: Sequence[Body], overlap: float
) -> list[Body]:
    """Bodies all over a field, of a ``radius`` at scale 1, clear of ``taken``; some overlap."""
    rng = canvas.rng
    bodies: list[Body] = []
    # A crowded field may have no room for all of them: six tries each, then fewer are drawn.
    for _ in range(6 * wanted):
        if len(bodies) == wanted:
            break
        body = Body.random(rng, canvas.scale * rng.uniform(*radius), 0.09)
        body = body.moved(rng.uniform(-body.radius, np.asarray(canvas.shape) + body.radius))
        spacing = 0.6 if rng.random() < overlap else 1.0
        if _closeness(body, taken) > 1 and _closeness(body, bodies) > spacing:
            bodies.append(body)
    return bodies


class _Microscope:
    """Stain, light and camera, the same for every field of a slide; light from grey to cream."""

    def __init__(self, rng: np.random.Generator) -> None:
        cream = rng.uniform() * np.array([20, 5, -14])
        # Colour of bare glass, RGB, 0 to 255.
        self.glass = rng.uniform(0.94, 1) * (np.array([226, 226, 224]) + cream)
        # Strength of the stain in each channel, about 1.
        self.stain = rng.uniform(0.9, 1.1) * rng.uniform(0.95, 1.05, 3)
        self.vignette = rng.uniform(0.04, 0.12)
        self.blur = rng.uniform(0.6, 1.1)
        self.noise = rng.uniform(0.8, 1.6)

    def photograph(self, canvas: Canvas) -> npt.NDArray[np.uint8]:
        """The picture of a density, uint8 RGB of shape (height, width, 3)."""
        # The lamp's middle is never quite the field's.
        down = np.linspace(-1, 1, canvas.shape[0]) - canvas.rng.normal(0, 0.2)
        right = np.linspace(-1, 1, canvas.shape[1]) - canvas.rng.normal(0, 0.2)
        light = 1 - self.vignette * (down[:, None, None] ** 2 + right[None, :, None] ** 2) / 2
        through = np.exp(-canvas.density * self.stain.astype(np.float32))
        # Optics blur light, the sensor adds noise to it: in this order.
        sharp = through * (light * self.glass).astype(np.float32)
        blurred = cv2.GaussianBlur(sharp, (0, 0), max(self.blur * canvas.scale, 0.3))
        noise = self.noise * canvas.rng.standard_normal(sharp.shape, np.float32)
        return np.asarray(np.clip(blurred + noise + 0.5, 0, 255).astype(np.uint8))


def _draw_field(canvas: Canvas, microscope: _Microscope, classes: Sequence[str]) -> SmearField:
    """Draw one field with a leukocyte of each class named."""
    rng = canvas.rng
    shape = canvas.shape
    placed = _place(canvas, classes)
    n_red = round(rng.uniform(34, 50) * canvas.standard_fields)
    red_cells = _scatter(canvas, n_red, (30, 37.5), placed, 0.25)
    for body in red_cells:
        draw_red_cell(canvas, body)
    n_platelets = int(rng.poisson(4 * canvas.standard_fields))
    for body in _scatter(canvas, n_platelets, (6, 10), [*placed, *red_cells], 0.0):
        draw_platelet(canvas, body)
    cell_mask = np.zeros(shape, np.int32)
    nucleus_mask = np.zeros(shape, np.int32)
    cells = []
    for label, (name, body) in enumerate(zip(classes, placed, strict=True), 1):
        window, nucleus = draw_leukocyte(canvas, LOOKS[name], body)
        # A pixel that two cells cover belongs to the first.
        free = (window.depth > 0) & (cell_mask[window.where] == 0)
        cell_mask[window.where][free] = label
        nucleus_mask[window.where][free & nucleus] = label
        cells.append(SyntheticCell(name, body.outline()))
    return SmearField(microscope.photograph(canvas), tuple(cells), cell_mask, nucleus_mask)


def _checked(seed: int, shape: tuple[int, int], scale: float, classes: Iterable[str]) -> Canvas:
    """An empty field, if the arguments make sense."""
    if seed < 0:
        raise WbcError(f"Seed {seed} is negative; give 0 or more.")
    if len(shape) != 2 or min(shape) < 1:
        raise WbcError(
            f"A field of shape {shape} has no pixels; give (height, width), each at least 1."
        )
    if not 0.2 <= scale <= 10:
        raise WbcError(
            f"Scale {scale} is outside 0.2 to 10; 1 draws red cells about 67 pixels wide."
        )
    unknown = sorted(set(classes) - set(LOOKS))
    if unknown:
        raise WbcError(
            f"No leukocyte is called {', '.join(unknown)}; choose from {', '.join(LOOKS)}."
        )
    return Canvas(np.random.default_rng(seed), shape, scale)


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
        raise WbcError(
            f"Cannot draw {n_leukocytes} leukocytes of {len(classes)} classes; give 0 or more."
        )
    dealt: list[str] = []
    while len(dealt) < n_leukocytes:
        dealt += [classes[index] for index in canvas.rng.permutation(len(classes))]
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

    Raises
    ------
    WbcError
        If an argument makes no sense, or the leukocytes have no room in a field.
    """
    rng = _checked(seed, shape, scale, mix).rng
    shares = np.array(list(mix.values()), float)
    if not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
        raise WbcError(
            f"Mix {dict(mix)} is no mix of classes; give shares of 0 or more, not all 0."
        )
    low, high = per_field
    if n_fields < 0 or not 0 <= low <= high:
        raise WbcError(
            f"Cannot draw {n_fields} fields of {low} to {high} leukocytes; give 0 or more."
        )
    microscope = _Microscope(rng)
    names = np.array(list(mix))
    fields = []
    # Each field has random numbers of its own: the first fields do not depend on how many follow.
    for field_rng in rng.spawn(n_fields):
        n_leukocytes = field_rng.integers(low, high, endpoint=True)
        dealt = field_rng.choice(names, n_leukocytes, p=shares / shares.sum()).tolist()
        fields.append(_draw_field(Canvas(field_rng, shape, scale), microscope, dealt))
    return tuple(fields)
