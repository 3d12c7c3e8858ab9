"""Canvases: windows of training fields at random scales, with their cells.

A canvas shows one window, or four of different fields and scales around a random point, so that
small cells are seen as often as large ones and nothing is ever padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.detect.base import RgbImage
from napari_wbc.train.fields import TrainingField

__all__ = ["Canvas", "CanvasMaker"]

_VISIBLE = 0.25
"""Share of a cell's area that must be in a window for the cell to count."""
_SMALLEST = 5.0
"""Shorter side in pixels of a cell that counts."""
_ENLARGED = 2.0
"""Most that a field is enlarged."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """One training image.

    Parameters
    ----------
    image : ndarray, shape (size, size, 3), uint8
    boxes : ndarray, shape (N, 4), float32
        (top, left, bottom, right).
    labels : ndarray, shape (N,), int64
    masks : ndarray, shape (N, size, size), uint8
        0 and 1.
    """

    image: RgbImage
    boxes: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    masks: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CanvasMaker:
    """Draws canvases.

    Parameters
    ----------
    fields : sequence of TrainingField
    size : int
        Side of a canvas in pixels.
    smallest, largest : float
        Side of the cells in pixels, drawn log-uniformly, as far as the field is large enough.
    mosaic : float
        Share of canvases with four windows, 0 to 1.
    stretch : float
        Largest relative change of the aspect.
    """

    fields: Sequence[TrainingField]
    size: int
    smallest: float = 20.0
    largest: float = 300.0
    mosaic: float = 0.5
    stretch: float = 0.1

    def draw(self, count: int, rng: np.random.Generator) -> Iterator[Canvas]:
        """Draw canvases; sources are drawn evenly, and the fields of a source."""
        sources = np.unique([field.source for field in self.fields])
        members = [[f for f in self.fields if f.source == source] for source in sources]
        for _ in range(count):
            yield self._canvas(members, rng)

    def _canvas(
        self, members: Sequence[Sequence[TrainingField]], rng: np.random.Generator
    ) -> Canvas:
        n = self.size
        rows = cols = [0, n]
        if rng.random() < self.mosaic:
            rows, cols = ([0, int(rng.integers(n // 4, n - n // 4)), n] for _ in range(2))
        image = np.empty((n, n, 3), np.uint8)
        rings: list[tuple[npt.NDArray[np.float64], int, tuple[slice, slice]]] = []
        for top, bottom in pairwise(rows):
            for left, right in pairwise(cols):
                source = members[int(rng.integers(len(members)))]
                field = source[int(rng.integers(len(source)))]
                part, outlines = self._window(field, (bottom - top, right - left), rng)
                place = slice(top, bottom), slice(left, right)
                image[place] = part
                corner = np.array([top, left])
                rings += [
                    (ring + corner, label, place)
                    for ring, label in zip(outlines, field.labels, strict=True)
                ]
        cells = [cell for cell in (self._cell(*ring) for ring in rings) if cell is not None]
        return Canvas(
            image,
            np.array([box for box, _, _ in cells], np.float32).reshape(-1, 4),
            np.array([label for _, label, _ in cells], np.int64),
            np.array([mask for _, _, mask in cells], np.uint8).reshape(-1, n, n),
        )

    def _window(
        self, field: TrainingField, shape: tuple[int, int], rng: np.random.Generator
    ) -> tuple[RgbImage, list[npt.NDArray[np.float64]]]:
        """A window of a field at a random scale, turned, with the field's outlines."""
        turned = rng.random() < 0.5
        shape = shape[::-1] if turned else shape
        high = np.array(field.image.shape[:2])
        ring = field.outlines[rng.integers(len(field.outlines))] if field.outlines else None
        native = float(np.ptp(ring, axis=0).max()) if ring is not None else 0.25 * high.min()
        low_scale = float(np.max(np.array(shape) / high))
        low = max(min(self.smallest / native, _ENLARGED), low_scale)
        top = max(min(self.largest / native, _ENLARGED), low)
        scale = np.exp(rng.uniform(np.log(low), np.log(top)))
        ratio = np.exp(rng.uniform(-1, 1) * np.log1p(self.stretch) / 2)
        extent = np.clip(np.rint(np.array(shape) / (scale * np.array([ratio, 1 / ratio]))), 1, high)
        extent = extent.astype(int)
        room = high - extent
        if ring is not None and rng.random() < 0.8:
            center = (ring.min(axis=0) + ring.max(axis=0)) / 2
            corner = np.clip(np.rint(center - extent * rng.uniform(0.05, 0.95, 2)), 0, room).astype(
                int
            )
        else:
            corner = np.array([rng.integers(r + 1) for r in room])
        cut = field.image[corner[0] : corner[0] + extent[0], corner[1] : corner[1] + extent[1]]
        shrinks = extent[0] > shape[0]
        part = cv2.resize(
            cut, shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        rings = [(outline - corner) * (np.array(shape) / extent) for outline in field.outlines]
        for axis in (0, 1):
            if rng.random() < 0.5:
                part = np.flip(part, axis)
                for r in rings:
                    r[:, axis] = shape[axis] - r[:, axis]
        if turned:
            part = part.transpose(1, 0, 2)
            rings = [r[:, ::-1] for r in rings]
        return part, rings

    def _cell(
        self, ring: npt.NDArray[np.float64], label: int, place: tuple[slice, slice]
    ) -> tuple[npt.NDArray[np.float64], int, npt.NDArray[np.uint8]] | None:
        """Box, label and mask of a cell in its window; None for one that hardly shows."""
        low, high = np.array([s.start for s in place]), np.array([s.stop for s in place])
        mask = np.zeros((self.size, self.size), np.uint8)
        cv2.fillPoly(mask, [np.rint((ring[:, ::-1] - 0.5) * 16).astype(np.int32)], 1, shift=4)
        shown = np.zeros_like(mask)
        shown[place] = mask[place]
        if shown.sum() < max(1.0, _VISIBLE * cv2.contourArea(ring.astype(np.float32))):
            return None
        first, last = ring.min(axis=0), ring.max(axis=0)
        if (first < low).any() or (last > high).any():
            pixels = np.argwhere(shown).astype(np.float64)
            first, last = pixels.min(axis=0), pixels.max(axis=0) + 1
        return (
            (np.concatenate([first, last]), label, shown)
            if (last - first).min() >= _SMALLEST
            else None
        )
