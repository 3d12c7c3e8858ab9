"""How a whole slide is looked at: at which scale, through which windows, tile by tile.

Invariant: windows lie on one grid of the slide, whatever the tiles. A tile is only what is read and
worked on at once, so that the same cells are found for tiles of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import shapely

from napari_wbc.detect.mask_rcnn import MOST_ENLARGED, DetectorPreset
from napari_wbc.detect.tiled import Tile, tiles_of, working_shape
from napari_wbc.errors import WbcError
from napari_wbc.imaging.magnification import red_cell_diameters
from napari_wbc.imaging.pyramid.base import Pyramid, Region
from napari_wbc.imaging.stain import Rgb
from napari_wbc.model.progress import Progress, Steps

Order: TypeAlias = Literal["meander", "random"]
ORDERS: tuple[Order, ...] = ("meander", "random")
"""As a person counts, or a random sample of the slide."""
SIDES = (256, 8192)
"""Of a tile, in pixels of the slide."""
RED_CELL = 7.2
"""Micrometres across a red cell on a dried film."""
_SAMPLES = 64
"""Places of a slide where red cells are measured."""
_FAR = 1.5
"""Factor between red cells and a pixel size from which on these differ; people's red cells do not
differ so much."""
_ENOUGH = 7
"""Sure measurements after which no more are made."""
_SAMPLE = 1024
"""Pixels of the slide across such a place."""


@dataclass(frozen=True, slots=True)
class Block:
    """A tile of a slide: the windows whose middles lie in it.

    Parameters
    ----------
    row, col : int
        Place of the tile.
    windows : tuple of Tile
        In pixels of the working image of the whole slide.
    region : Region
        What all windows show, in pixels of the slide: the tile and a halo.
    """

    row: int
    col: int
    windows: tuple[Tile, ...]
    region: Region


@dataclass(frozen=True, slots=True)
class FilmPlan:
    """Scale and windows of a slide.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the slide in pixels.
    scale : float
        Working pixels a pixel of the slide, the same everywhere.
    window : int
        Side of a window in working pixels.
    note : str
        How far red cells and the pixel size of the file differ, in words; empty if they agree.
    """

    shape: tuple[int, int]
    scale: float
    window: int
    note: str = ""

    @property
    def working(self) -> tuple[int, int]:
        """Height and width of the working image, which is never made as a whole."""
        return working_shape(self.shape, self.scale)

    def windows(self) -> Iterator[Tile]:
        """All windows, row by row; neighbours overlap by more than a cell."""
        return tiles_of(self.working, self.window)

    def source(self, window: Tile) -> Tile:
        """What a window shows, in pixels of the slide."""
        return window.source(self.scale, self.shape)

    def blocks(
        self,
        side: int = 2048,
        *,
        area: shapely.Geometry | None = None,
        order: Order = "meander",
        seed: int = 0,
    ) -> tuple[Block, ...]:
        """The tiles of the slide in the order in which they are worked on.

        Parameters
        ----------
        side : int
            Of a tile in pixels of the slide, within :data:`SIDES`.
        area : shapely.Geometry, optional
            In (x, y) pixels of the slide; windows that do not touch it are left out.
        order : {'meander', 'random'}
        seed : int
            Of the random order.

        Raises
        ------
        WbcError
            If the side or the order is none.
        """
        if not SIDES[0] <= side <= SIDES[1]:
            raise WbcError(f"Tiles of {side} pixels; choose {SIDES[0]} to {SIDES[1]}.")
        if order not in ORDERS:
            raise WbcError(f"No order of tiles {order!r}; choose {' or '.join(ORDERS)}.")
        grouped: dict[tuple[int, int], list[Tile]] = {}
        if area is not None:
            shapely.prepare(area)
        for window in self.windows():
            part = self.source(window)
            box = shapely.box(part.left, part.top, part.right, part.bottom)
            if area is not None and not shapely.intersects(area, box):
                continue
            place = (part.top + part.bottom) // 2 // side, (part.left + part.right) // 2 // side
            grouped.setdefault(place, []).append(window)
        places = sorted(grouped, key=_meander)
        if order == "random":
            places = [places[i] for i in np.random.default_rng(seed).permutation(len(places))]
        return tuple(self._block(place, grouped[place]) for place in places)

    def _block(self, place: tuple[int, int], windows: list[Tile]) -> Block:
        parts = [self.source(window) for window in windows]
        region = Region(
            min(part.top for part in parts),
            min(part.left for part in parts),
            max(part.bottom for part in parts),
            max(part.right for part in parts),
        )
        return Block(*place, tuple(windows), region)


def _meander(place: tuple[int, int]) -> tuple[int, int]:
    row, col = place
    return row, -col if row % 2 else col


def plan_steps(pyramid: Pyramid, preset: DetectorPreset) -> Steps[FilmPlan]:
    """Choose the scale of a slide, once: by sampled red cells, or else its pixel size.

    Raises
    ------
    WbcError
        If no red cells are seen and the file does not tell its pixel size.
    """
    level = pyramid.levels[0]
    samples = list(_samples(level.shape))
    diameters: list[float] = []
    unsure: list[float] = []
    for done, region in enumerate(samples, start=1):
        image = pyramid.read(0, region)
        # Much of a scan is glass, which takes long to be told from red cells at every scale.
        measured = red_cell_diameters(image) if has_contrast(image) else ()
        (diameters if len(measured) == 1 else unsure).extend(measured)
        yield Progress("measuring red cells", done, len(samples))
        if len(diameters) == _ENOUGH:
            break
    note = ""
    # Pixel sizes are often those of another objective; what is on the glass is not.
    if diameters:
        diameter = float(np.median(diameters))
        note = _difference(diameter, pyramid.pixel_size)
    elif pyramid.pixel_size:
        diameter = RED_CELL / pyramid.pixel_size
    elif unsure:
        diameter = float(np.median(unsure))
    else:
        raise WbcError(
            f"{pyramid.path}: no red cells are seen where this slide was sampled, and it does not "
            "say its pixel size, so cells cannot be sized; choose a slide of a film."
        )
    scale = min(preset.red_cell / diameter, MOST_ENLARGED)
    return FilmPlan(level.shape, scale, preset.tile, note)


def _difference(diameter: float, pixel_size: float | None) -> str:
    """What to tell where red cells are far from what the pixel size of a file makes of them."""
    told = RED_CELL / pixel_size if pixel_size else diameter
    if 1 / _FAR < diameter / told < _FAR:
        return ""
    return (
        f"Red cells are {diameter:.0f} pixels wide, but {told:.0f} by the pixel size in the file "
        f"({pixel_size:g} micrometres), which seems wrong; cells are sized by the red cells."
    )


def _samples(shape: tuple[int, int]) -> Iterator[Region]:
    """Places all over a slide, the same ones each time, those of the middle first."""
    height, width = (min(_SAMPLE, n) for n in shape)
    # A golden-section walk spreads places evenly however many are asked for.
    shares = (0.5 + np.outer(np.arange(_SAMPLES), [0.7548776662466927, 0.5698402909980532])) % 1
    for down, right in shares.tolist():
        top, left = round(down * (shape[0] - height)), round(right * (shape[1] - width))
        yield Region(top, left, top + height, left + width)


def has_contrast(image: Rgb) -> bool:
    """Whether a window shows more than bare glass.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        Under even light.
    """
    # A lymphocyte alone covers some 0.2 % of a window; every cell absorbs green.
    green = image[::4, ::4, 1]
    glass = np.percentile(green, 90)
    return bool(np.count_nonzero(green < glass - 25) > 0.0005 * green.size)
