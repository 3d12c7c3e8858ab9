"""Boxes and outlines on one field of view.

Invariant: every :class:`BBox` has finite corners and a positive area; every
:class:`Outline` has at least three finite vertices and a bounding box.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError

MAX_VERTICES = 5000
"""Of an outline; one that follows every pixel of a cell has a few hundred."""


@dataclass(frozen=True, slots=True)
class BBox:
    """A half-open box in pixels.

    Raises
    ------
    WbcError
        If an edge is not finite, or not ``top < bottom`` and ``left < right``.

    Examples
    --------
    >>> BBox(0, 0, 10, 20).area
    200
    >>> BBox(0, 0, 10, 10).iou(BBox(0, 5, 10, 15))
    0.3333333333333333
    """

    top: float
    left: float
    bottom: float
    right: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.edges)):
            raise WbcError(f"Box {self.edges} has an edge that is not finite; give four numbers.")
        if self.bottom <= self.top or self.right <= self.left:
            raise WbcError(
                f"Box {self.edges} is empty; bottom must exceed top and right must exceed left."
            )

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """``top, left, bottom, right``, in pixels."""
        return self.top, self.left, self.bottom, self.right

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.right - self.left

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.height * self.width

    @property
    def center(self) -> tuple[float, float]:
        """Centre as (row, col)."""
        return (self.top + self.bottom) / 2, (self.left + self.right) / 2

    def iou(self, other: BBox) -> float:
        """Intersection over union with another box, 0 to 1."""
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        width = min(self.right, other.right) - max(self.left, other.left)
        if height <= 0 or width <= 0:
            return 0.0
        shared = height * width
        return shared / (self.area + other.area - shared)

    def clipped(self, height: float, width: float) -> BBox:
        """The part inside a field of ``height`` x ``width`` pixels.

        Raises
        ------
        WbcError
            If nothing of the box lies inside.
        """
        return BBox(
            max(self.top, 0), max(self.left, 0), min(self.bottom, height), min(self.right, width)
        )

    def corners(self) -> npt.NDArray[np.float64]:
        """The four corners, clockwise from top left, shape (4, 2), (row, col)."""
        top, left, bottom, right = map(float, self.edges)
        return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])

    @classmethod
    def around(cls, points: npt.ArrayLike) -> BBox:
        """The smallest box around points of shape (N, 2), (row, col)."""
        array = np.asarray(points, dtype=float)
        if array.ndim != 2 or array.shape[1] != 2 or not len(array):
            raise WbcError(f"A box needs points of shape (N, 2), not {array.shape}.")
        top, left = array.min(axis=0)
        bottom, right = array.max(axis=0)
        return cls(float(top), float(left), float(bottom), float(right))


@dataclass(frozen=True, slots=True)
class Outline:
    """A closed polygon around a cell, its last vertex joined to its first.

    It has 3 to :data:`MAX_VERTICES` vertices, (row, col) in pixels, in the coordinates of
    :class:`BBox`.
    """

    vertices: tuple[tuple[float, float], ...]
    bbox: BBox = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.vertices) < 3:
            raise WbcError(f"An outline needs at least 3 vertices, not {len(self.vertices)}.")
        if len(self.vertices) > MAX_VERTICES:
            raise WbcError(
                f"An outline of {len(self.vertices):,} vertices has more than {MAX_VERTICES:,}; "
                "simplify it."
            )
        rows, cols = zip(*self.vertices, strict=True)
        # min and max look past NaN, a sum does not.
        if not math.isfinite(sum(rows) + sum(cols)):
            raise WbcError("An outline has a vertex that is not finite; give finite numbers.")
        # The class is frozen, and the box is asked for at every redraw, so it is kept.
        object.__setattr__(self, "bbox", BBox(min(rows), min(cols), max(rows), max(cols)))

    @classmethod
    def from_array(cls, points: npt.ArrayLike) -> Outline:
        """Make an outline of points of shape (N, 2), (row, col)."""
        array = np.asarray(points, dtype=float)
        if array.ndim != 2 or array.shape[1] != 2:
            raise WbcError(f"An outline needs points of shape (N, 2), not {array.shape}.")
        return cls(tuple(map(tuple, array.tolist())))

    def array(self) -> npt.NDArray[np.float64]:
        """The vertices, shape (N, 2), (row, col)."""
        return np.array(self.vertices, dtype=float)


def iou_matrix(first: Iterable[BBox], second: Iterable[BBox]) -> npt.NDArray[np.float64]:
    """Intersection over union of every pair of N and M boxes; either may be none.

    Returns
    -------
    ndarray, shape (N, M), 0 to 1

    Examples
    --------
    >>> iou_matrix([], [BBox(0, 0, 1, 1)]).shape
    (0, 1)
    """
    a = _edges(first)
    b = _edges(second)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    area_a = np.prod(a[:, 2:] - a[:, :2], axis=1)
    area_b = np.prod(b[:, 2:] - b[:, :2], axis=1)
    result: npt.NDArray[np.float64] = shared / (area_a[:, None] + area_b[None, :] - shared)
    return result


def _edges(boxes: Iterable[BBox]) -> npt.NDArray[np.float64]:
    # Of no boxes too, the shape is (0, 4).
    return np.array([box.edges for box in boxes], dtype=float).reshape(-1, 4)
