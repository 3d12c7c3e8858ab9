"""Cells of one laboratory pasted into the windows of another.

A cell finder that has seen each cell only on its own film learns that film. Pasted cells come with
decoys, which are pieces of fields without a leukocyte pasted in the same way, so that a pasted edge
tells nothing (Dwibedi et al. 2017; Ghiasi et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.detect.base import RgbImage
from napari_wbc.train.fields import TrainingField

Ring = npt.NDArray[np.float64]

_SMALLEST = 20.0
"""Side in pixels of a cell that is worth pasting."""
_TRIES = 6
"""Places that are tried for a cell."""
_CROWDED = 0.1
"""Share of the windows that are given many cells ..."""
_CROWD = 8.0
"""... which is about so many."""
_COVER = 0.4
"""Share of a window that pasted cells may cover."""
_TOUCH = 0.85
"""Cells may come as near as this share of the sum of their radii, so that some touch."""


@dataclass(frozen=True, slots=True)
class Paster:
    """Pastes cells and decoys.

    Parameters
    ----------
    fields : sequence of TrainingField
        Where cells and decoys are cut out.
    rate : float
        Mean number of cells a window, 0 or more; decoys are as many.
    label : int
        Of the leukocytes, which are the cells that are pasted.
    """

    fields: Sequence[TrainingField]
    rate: float
    label: int = 1

    def paste(
        self, image: RgbImage, rings: Sequence[Ring], side: float, rng: np.random.Generator
    ) -> tuple[RgbImage, list[Ring]]:
        """A window with pasted cells.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8
            A window, which is not changed.
        rings : sequence of ndarray, each of shape (n, 2), (row, col)
            Outlines of the cells that it has already.
        side : float
            Typical side of a leukocyte in it, in pixels.

        Returns
        -------
        image : ndarray
            A copy.
        pasted : list of ndarray
            Outlines of the pasted cells.
        """
        image = image.copy()
        crowded = rng.random() < _CROWDED
        count = int(rng.poisson(_CROWD if crowded else self.rate))
        count = min(count, int(_COVER * image.shape[0] * image.shape[1] / side**2))
        circles = [_circle(ring) for ring in rings]
        pasted: list[Ring] = []
        for is_cell in rng.permutation([True] * count + [False] * int(rng.poisson(self.rate))):
            size = side * float(np.exp(rng.uniform(-0.35, 0.35)))
            place = _place(image.shape, size / 2, circles, rng)
            if place is None:
                continue
            circles.append((*place, size / 2))
            piece = self._cell(size, rng) if is_cell else self._decoy(size, rng)
            if piece is None:
                continue
            part, ring = piece
            # Half a side of room around the cell was cut with it.
            corner = np.rint(np.array(place) - np.array(part.shape[:2]) / 2).astype(int)
            _blend(image, part, ring, corner, rng)
            if is_cell:
                pasted.append(ring + corner)
        return image, pasted

    def _cell(self, size: float, rng: np.random.Generator) -> tuple[RgbImage, Ring] | None:
        """A cell of some field, turned, as large as asked for, with its outline in the piece."""
        for _ in range(_TRIES):
            field = self.fields[int(rng.integers(len(self.fields)))]
            if not field.outlines:
                continue
            i = int(rng.integers(len(field.outlines)))
            ring = field.outlines[i]
            length = float(np.ptp(ring, axis=0).max())
            inside = (ring >= 0).all() and (ring <= field.image.shape[:2]).all()
            if field.labels[i] == self.label and inside and length >= _SMALLEST:
                return _turned(field.image, ring, size / length, rng)
        return None

    def _decoy(self, size: float, rng: np.random.Generator) -> tuple[RgbImage, Ring] | None:
        """A piece of some field without a leukocyte, with an ellipse for its outline."""
        angles = np.arange(32) * (2 * np.pi / 32)
        unit = np.stack([np.sin(angles), np.cos(angles)], axis=-1) / 2
        for _ in range(_TRIES):
            field = self.fields[int(rng.integers(len(self.fields)))]
            shape = np.array(field.image.shape[:2])
            # As large in its field as a leukocyte is, so that it holds whole red cells.
            own = [float(np.ptp(ring, axis=0).max()) for ring in field.outlines]
            length = float(np.median(own)) if own else 0.25 * float(shape.min())
            if length < _SMALLEST or (shape < 1.2 * length).any():
                continue
            center = rng.uniform(0.6 * length, shape - 0.6 * length)
            clear = True
            for ring in field.outlines:
                row, col, radius = _circle(ring)
                clear &= float(np.hypot(center[0] - row, center[1] - col)) > radius + length / 2
            if clear:
                ring = center + unit * length * rng.uniform(0.7, 1.0, 2)
                return _turned(field.image, ring, size / length, rng)
        return None


def painted(ring: Ring, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """1 inside an outline and 0 elsewhere, in an image of (height, width) ``shape``."""
    mask = np.zeros(shape, np.uint8)
    # OpenCV takes (x, y) with pixel centres at whole numbers, here in sixteenths of a pixel.
    cv2.fillPoly(mask, [np.rint((ring[:, ::-1] - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask


def _circle(ring: Ring) -> tuple[float, float, float]:
    """Row, column and radius of a circle about as large as an outline."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    row, col = (low + high) / 2
    return float(row), float(col), float((high - low).mean() / 2)


def _place(
    shape: tuple[int, ...],
    radius: float,
    circles: Sequence[tuple[float, float, float]],
    rng: np.random.Generator,
) -> tuple[float, float] | None:
    """A centre for a cell, also at the edge of the window, that covers no other cell."""
    for _ in range(_TRIES):
        row, col = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        free = True
        for other_row, other_col, other_radius in circles:
            apart = float(np.hypot(row - other_row, col - other_col))
            free &= apart > _TOUCH * (radius + other_radius)
        if free:
            return row, col
    return None


def _turned(
    image: RgbImage, ring: Ring, scale: float, rng: np.random.Generator
) -> tuple[RgbImage, Ring]:
    """A piece around an outline, scaled, mirrored and turned, and the outline in it."""
    center = (ring.min(axis=0) + ring.max(axis=0)) / 2
    side = max(4, round(1.5 * scale * float(np.ptp(ring, axis=0).max())))
    angle = rng.uniform(0, 2 * np.pi)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if rng.random() < 0.5:
        turn = turn @ np.diag([1.0, -1.0])
    shift = side / 2 - turn @ center
    # Shrinking is by the mean first, since warpAffine reads four pixels only.
    reduction = max(1, int(0.75 / scale))
    if reduction > 1:
        size = (image.shape[1] // reduction, image.shape[0] // reduction)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    # OpenCV takes (x, y) with pixel centres at whole numbers.
    flipped = turn[::-1, ::-1] * reduction
    offset = shift[::-1] + turn[::-1, ::-1].sum(axis=1) * reduction * 0.5 - 0.5
    part = cv2.warpAffine(
        image, np.column_stack([flipped, offset]), (side, side), borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(part), ring @ turn.T + shift


def _blend(
    image: RgbImage,
    part: RgbImage,
    ring: Ring,
    corner: npt.NDArray[np.int_],
    rng: np.random.Generator,
) -> None:
    """Put a piece into an image where its outline says, with a soft edge."""
    mask = 255 * painted(ring, part.shape[:2])
    width = part.shape[0]
    soft = max(0.6, width * float(rng.uniform(0.01, 0.04)))
    # A little more than the cell, since outlines run through its rim.
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=max(1, round(0.02 * width)))
    alpha = cv2.GaussianBlur(grown, (0, 0), soft).astype(np.float32)[..., None] / 255
    top, left = np.maximum(corner, 0)
    bottom = min(corner[0] + width, image.shape[0])
    right = min(corner[1] + width, image.shape[1])
    if bottom <= top or right <= left:
        return
    own = np.s_[top - corner[0] : bottom - corner[0], left - corner[1] : right - corner[1]]
    place = image[top:bottom, left:right]
    mixed = place + alpha[own] * (part[own].astype(np.float32) - place)
    image[top:bottom, left:right] = np.rint(mixed).astype(np.uint8)
