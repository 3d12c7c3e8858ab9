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
from napari_wbc.train.paste import Paster, painted

_MIN_VISIBLE_SHARE = 0.25
"""Share of a cell's area that must be in a window for the cell to count."""
_MIN_CELL_SIDE = 5.0
"""Shorter side in pixels of a cell that counts."""
_MAX_ENLARGEMENT = 2.0
"""Of a field, as a factor."""


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
    size : int
        Side of a canvas in pixels.
    smallest, largest : float
        Side of the cells in pixels, as far as the field is large enough ...
    typical : float
        ... drawn most often about here (a triangle over its logarithm), or log-uniformly if 0.
    mosaic : float
        Share of canvases with four windows, 0 to 1.
    stretch : float
        Largest relative change of the aspect.
    paste : float
        Mean number of cells that are pasted into a window, 0 or more.
    lamp : float
        Largest relative change of the light across a window, and of each channel, 0 to 1.
    degrade : float
        Share of the canvases that lose detail, by a coarser grid of pixels or by JPEG, 0 to 1.
    """

    fields: Sequence[TrainingField]
    size: int
    smallest: float = 20.0
    largest: float = 300.0
    mosaic: float = 0.5
    stretch: float = 0.1
    typical: float = 0.0
    paste: float = 0.0
    lamp: float = 0.0
    degrade: float = 0.0

    def draw(self, count: int, rng: np.random.Generator) -> Iterator[Canvas]:
        """Draw canvases; sources are drawn evenly, and the fields of a source."""
        # By name, so that a seed draws the same in whatever order the sources come.
        by_source: dict[str, list[TrainingField]] = {}
        for field in sorted(self.fields, key=lambda field: field.source):
            by_source.setdefault(field.source, []).append(field)
        members = list(by_source.values())
        for _ in range(count):
            yield self._canvas(members, rng)

    def _canvas(
        self, members: Sequence[Sequence[TrainingField]], rng: np.random.Generator
    ) -> Canvas:
        n = self.size
        rows = cols = [0, n]
        if rng.random() < self.mosaic:
            rows = [0, int(rng.integers(n // 4, n - n // 4)), n]
            cols = [0, int(rng.integers(n // 4, n - n // 4)), n]
        image = np.empty((n, n, 3), np.uint8)
        boxes: list[npt.NDArray[np.float64]] = []
        labels: list[int] = []
        masks: list[npt.NDArray[np.uint8]] = []
        for top, bottom in pairwise(rows):
            for left, right in pairwise(cols):
                source = members[int(rng.integers(len(members)))]
                field = source[int(rng.integers(len(source)))]
                part, outlines, part_labels = self._window(field, (bottom - top, right - left), rng)
                place = slice(top, bottom), slice(left, right)
                image[place] = part
                corner = np.array([top, left])
                for ring, label in zip(outlines, part_labels, strict=True):
                    cell = self._cell(ring + corner, place)
                    if cell is not None:
                        boxes.append(cell[0])
                        labels.append(label)
                        masks.append(cell[1])
        if self.degrade and rng.random() < self.degrade:
            image = _degraded(image, rng)
        # Reshaped, since a canvas may have no cell.
        return Canvas(
            image,
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(labels, np.int64),
            np.array(masks, np.uint8).reshape(-1, n, n),
        )

    def _window(
        self, field: TrainingField, shape: tuple[int, int], rng: np.random.Generator
    ) -> tuple[RgbImage, list[npt.NDArray[np.float64]], list[int]]:
        """A window of a field at a random scale, turned, with the outlines and labels in it."""
        turned = rng.random() < 0.5
        shape = shape[::-1] if turned else shape
        sides = np.array(field.image.shape[:2])
        ring = field.outlines[rng.integers(len(field.outlines))] if field.outlines else None
        cell_side = float(np.ptp(ring, axis=0).max()) if ring is not None else 0.25 * sides.min()
        # The field must fill the window, whatever size its cells get by that: nothing is padded.
        filling = float(np.max(np.array(shape) / sides))
        min_scale = max(min(self.smallest / cell_side, _MAX_ENLARGEMENT), filling)
        max_scale = max(min(self.largest / cell_side, _MAX_ENLARGEMENT), min_scale)
        scale = self._scale(min_scale, max_scale, cell_side, rng)
        ratio = np.exp(rng.uniform(-1, 1) * np.log1p(self.stretch) / 2)
        extent = np.rint(np.array(shape) / (scale * np.array([ratio, 1 / ratio])))
        extent = np.clip(extent, 1, sides).astype(int)
        room = sides - extent
        # Most windows show the chosen cell; the others are anywhere, and may show none.
        if ring is not None and rng.random() < 0.8:
            center = (ring.min(axis=0) + ring.max(axis=0)) / 2
            corner = np.rint(center - extent * rng.uniform(0.05, 0.95, 2))
            corner = np.clip(corner, 0, room).astype(int)
        else:
            corner = np.array([rng.integers(r + 1) for r in room])
        cut = field.image[corner[0] : corner[0] + extent[0], corner[1] : corner[1] + extent[1]]
        # INTER_AREA takes the mean when it shrinks, but enlarges to blocks.
        interpolation = cv2.INTER_AREA if extent[0] > shape[0] else cv2.INTER_LINEAR
        part = cv2.resize(cut, shape[::-1], interpolation=interpolation)
        rings = [(outline - corner) * (np.array(shape) / extent) for outline in field.outlines]
        labels = list(field.labels)
        if self.paste:
            paster = Paster(self.fields, self.paste)
            part, pasted = paster.paste(part, rings, max(scale * cell_side, 8.0), rng)
            rings += pasted
            labels += [paster.label] * len(pasted)
        if self.lamp:
            part = _lit(part, self.lamp, rng)
        for axis in (0, 1):
            if rng.random() < 0.5:
                part = np.flip(part, axis)
                for ring_ in rings:
                    ring_[:, axis] = shape[axis] - ring_[:, axis]
        if turned:
            part = part.transpose(1, 0, 2)
            rings = [r[:, ::-1] for r in rings]
        return part, rings, labels

    def _scale(self, low: float, high: float, cell_side: float, rng: np.random.Generator) -> float:
        """Pixels of the canvas a pixel of the field, ``low`` to ``high``."""
        first, last = np.log(low), np.log(high)
        if not self.typical or last <= first:
            return float(np.exp(rng.uniform(first, last)))
        mode = np.clip(np.log(self.typical / cell_side), first, last)
        return float(np.exp(rng.triangular(first, mode, last)))

    def _cell(
        self, ring: npt.NDArray[np.float64], place: tuple[slice, slice]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]] | None:
        """Box and mask of a cell in its window; None for one that hardly shows."""
        low = np.array([place[0].start, place[1].start])
        high = np.array([place[0].stop, place[1].stop])
        first, last = ring.min(axis=0), ring.max(axis=0)
        # Most red cells of a field are in no window of it, and to paint them takes time.
        if (last <= low).any() or (first >= high).any():
            return None
        mask = painted(ring, (self.size, self.size))
        shown = np.zeros_like(mask)
        shown[place] = mask[place]
        if shown.sum() < max(1.0, _MIN_VISIBLE_SHARE * cv2.contourArea(ring.astype(np.float32))):
            return None
        # A cell that the window cuts has the box of the part that shows.
        if (first < low).any() or (last > high).any():
            pixels = np.argwhere(shown).astype(np.float64)
            first, last = pixels.min(axis=0), pixels.max(axis=0) + 1
        if (last - first).min() < _MIN_CELL_SIDE:
            return None
        return np.concatenate([first, last]), shown


def _lit(part: RgbImage, most: float, rng: np.random.Generator) -> RgbImage:
    """A window under a lamp that is a little uneven and not quite white."""
    strength = most * rng.random()
    down, across = rng.uniform(-strength, strength, 2)
    rows = np.linspace(-1, 1, part.shape[0], dtype=np.float32)[:, None]
    cols = np.linspace(-1, 1, part.shape[1], dtype=np.float32)
    light = 1 + down * rows + across * cols
    gain = 1 + rng.uniform(-strength, strength / 2, 3)
    lit = part * light[..., None] * gain.astype(np.float32)
    return np.asarray(np.clip(np.rint(lit), 0, 255), np.uint8)


def _degraded(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """A canvas as a coarser camera or a smaller file would give it."""
    if rng.random() < 0.5:
        side = round(image.shape[0] / rng.uniform(1.1, 2.5))
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        way = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=way))
    if rng.random() < 0.5:
        quality = int(rng.integers(25, 90))
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return image
