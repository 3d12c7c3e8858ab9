"""Where a film is glass, thin, a monolayer or thick, by a coarse pass.

Invariant: the numbers are relative to the slide's own glass and red cells, so that light and stain
do not matter; the coarsest level that shows red cells at all is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

from napari_wbc.errors import WbcError
from napari_wbc.imaging.pyramid.base import Level, Pyramid, Region
from napari_wbc.imaging.stain import absorbance, total_absorbance
from napari_wbc.model.progress import Progress, Steps

Zone: TypeAlias = Literal["glass", "thin", "monolayer", "thick"]
ZONES: tuple[Zone, ...] = ("glass", "thin", "monolayer", "thick")
_FINEST = 6.0
"""Pixels across a red cell at the level that is looked at, at least."""
_BLOCK = 16
"""Red cells across a block, which is one zone."""
_SAMPLES = 5
"""Squared, the places that tell glass and red cells."""
_SAMPLE = 512
"""Pixels across such a place."""
_STAINED = 0.1
"""Total absorbance from which a pixel may be a red cell."""
_GLASS, _THIN, _THICK = 0.02, 0.12, 0.75
"""Share of a block that cells cover: below the first glass, below the next thin, above the last
thick."""
_OVERLAP = 0.2
"""Share of what is covered where cells lie on each other, above which it is thick."""


@dataclass(frozen=True, slots=True)
class Zones:
    """The zones of a slide.

    Parameters
    ----------
    side : int
        Of a block, in pixels of the slide.
    shape : (int, int)
        Height and width of the slide in pixels.
    kinds : ndarray, shape (rows, cols), uint8
        Index of each block's zone in :data:`ZONES`.
    """

    side: int
    shape: tuple[int, int]
    kinds: npt.NDArray[np.uint8]

    def share(self, zone: Zone) -> float:
        """Share of what is not glass that is a zone, 0 to 1; 0 where all is glass."""
        film = np.count_nonzero(self.kinds != ZONES.index("glass"))
        return np.count_nonzero(self.kinds == ZONES.index(zone)) / film if film else 0.0

    def area(self, zone: Zone) -> shapely.Geometry:
        """A zone as polygons in (x, y) pixels of the slide."""
        rows, cols = np.nonzero(self.kinds == ZONES.index(zone))
        bottom = np.minimum((rows + 1) * self.side, self.shape[0])
        right = np.minimum((cols + 1) * self.side, self.shape[1])
        return shapely.union_all(shapely.box(cols * self.side, rows * self.side, right, bottom))


def with_areas(zones: Zones, areas: Mapping[Zone, shapely.Geometry]) -> Zones:
    """Zones whose blocks are what areas say: those whose middle lies in none are glass."""
    kinds = np.zeros_like(zones.kinds)
    rows, cols = (np.indices(kinds.shape) + 0.5) * zones.side
    # Blocks at the edges are cut, and their middles may lie outside the slide.
    rows, cols = np.minimum(rows, zones.shape[0] - 0.5), np.minimum(cols, zones.shape[1] - 0.5)
    for zone, area in areas.items():
        kinds[shapely.contains_xy(area, cols, rows)] = ZONES.index(zone)
    return Zones(zones.side, zones.shape, kinds)


def zones_steps(pyramid: Pyramid, red_cell: float) -> Steps[Zones]:
    """Find the zones of a slide.

    Parameters
    ----------
    red_cell : float
        Diameter of a red cell in pixels of the slide, above 0.

    Raises
    ------
    ReadError
        If the slide cannot be read.
    WbcError
        If it shows nothing but glass.
    """
    number = _level(pyramid.levels, red_cell)
    level = pyramid.levels[number]
    samples = [pyramid.read(number, region) for region in _samples(level)]
    pixels = np.concatenate([sample.reshape(-1, 3) for sample in samples])
    # Glass is the brightest, also where it is only what shows between cells.
    white = np.percentile(pixels, 95, axis=0).astype(np.float32) + 1
    depth = _depth(pixels[None, ::7], white)
    stained = depth[depth > _STAINED]
    if len(stained) < 0.001 * depth.size:
        raise WbcError(f"{pyramid.path}: shows nothing but glass; choose a slide of a film.")
    red = float(np.median(stained))
    # Whole pixels of the level, so that blocks of the slide and of the level are the same.
    step = max(4, round(_BLOCK * red_cell / level.downsample))
    rows, cols = -(-level.height // step), -(-level.width // step)
    kinds = np.empty((rows, cols), np.uint8)
    for row in range(rows):
        bottom = min((row + 1) * step, level.height)
        strip = pyramid.read(number, Region(row * step, 0, bottom, level.width))
        depth = _depth(strip, white)
        starts = np.arange(0, level.width, step)
        covered = np.add.reduceat((depth > 0.5 * red).sum(axis=0), starts)
        deep = np.add.reduceat((depth > 1.6 * red).sum(axis=0), starts)
        widths = np.diff([*starts, level.width]) * (bottom - row * step)
        kinds[row] = _kinds(covered / widths, deep / np.maximum(covered, 1))
        yield Progress("finding the monolayer", row + 1, rows)
    return Zones(round(step * level.downsample), pyramid.levels[0].shape, kinds)


def _kinds(
    cover: npt.NDArray[np.float64], overlap: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    thick = (cover > _THICK) | (overlap > _OVERLAP)
    # Little is covered where a single cell lies, however deep it is.
    kinds = np.select([cover < _GLASS, cover < _THIN, thick], [0, 1, 3], 2)
    return kinds.astype(np.uint8)


def _level(levels: Sequence[Level], red_cell: float) -> int:
    """The coarsest level on which a red cell is wide enough."""
    enough = [n for n, level in enumerate(levels) if red_cell / level.downsample >= _FINEST]
    return enough[-1] if enough else 0


def _samples(level: Level) -> Iterator[Region]:
    height, width = (min(_SAMPLE, n) for n in level.shape)
    for down in (np.arange(_SAMPLES) + 0.5) / _SAMPLES:
        for right in (np.arange(_SAMPLES) + 0.5) / _SAMPLES:
            top = round(down * (level.height - height))
            left = round(right * (level.width - width))
            yield Region(top, left, top + height, left + width)


def _depth(
    pixels: npt.NDArray[np.uint8], white: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Total absorbance of each pixel under an even light."""
    return total_absorbance(absorbance(np.ascontiguousarray(pixels), white))
