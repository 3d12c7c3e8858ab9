"""A cell finder on a whole slide: what its windows show, tile by tile, put together at the end.

Invariant: what is kept of a tile does not depend on other tiles, and what is put together does not
depend on the tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_wbc.detect.base import Located, RgbImage
from napari_wbc.detect.film_plan import Block, FilmPlan, has_contrast
from napari_wbc.detect.look import Seen
from napari_wbc.detect.mask_rcnn import LEUKOCYTE, DetectorPreset, MaskRcnnDetector
from napari_wbc.detect.pair import PairDetector
from napari_wbc.detect.tiled import Tile
from napari_wbc.imaging.pyramid.base import Pyramid
from napari_wbc.imaging.stain import resized, white_balanced
from napari_wbc.model.cell import Detection
from napari_wbc.model.progress import Progress, Steps

_TOGETHER = 400
"""Boxes that are judged at once; those that touch are never parted."""
_MARGIN = 2.0
"""Pixels of the slide by which an outline may reach over its box."""


@runtime_checkable
class WindowFinder(Protocol):
    """A cell finder that looks through windows."""

    @property
    def name(self) -> str:
        """As :attr:`Detector.name`."""

    def see(self, work: RgbImage, tile: Tile, shape: Sequence[int], scale: float) -> Seen:
        """What it sees in one window.

        Parameters
        ----------
        work : ndarray, shape (rows, cols, 3), uint8
            The window's part of the working image, under even white light.
        tile : Tile
            Where the window lies in the working image, whose (height, width) is ``shape``.
        scale : float
            Working pixels a pixel of the field.
        """

    def gather(self, seen: Sequence[Seen], shape: Sequence[int]) -> Located:
        """Cells and candidates of a field of (height, width) ``shape``, each once."""


def preset_of(finder: WindowFinder) -> DetectorPreset:
    """At which scale, and through which windows, a cell finder looks."""
    if isinstance(finder, (MaskRcnnDetector, PairDetector)):
        return finder.preset
    return DetectorPreset()


def see_block_steps(
    finder: WindowFinder, pyramid: Pyramid, plan: FilmPlan, block: Block, progress: Progress
) -> Steps[Seen]:
    """What a cell finder sees in one tile, with a step after each window.

    Red cells and platelets, which are millions on a slide, are not kept.

    Raises
    ------
    ReadError
        If the tile cannot be read.
    """
    image = pyramid.read(0, block.region)
    seen: list[Seen] = []
    for window in block.windows:
        work = white_balanced(window_of(image, block, plan, window))
        if has_contrast(work):
            seen.append(_kept(finder, finder.see(work, window, plan.working, plan.scale)))
        yield progress
    return Seen.joined(seen)


def window_of(image: RgbImage, block: Block, plan: FilmPlan, window: Tile) -> RgbImage:
    """A window of the working image, of the pixels of its tile, shape (height, width, 3)."""
    return resized(source_of(image, block, plan, window), window.size)


def source_of(image: RgbImage, block: Block, plan: FilmPlan, window: Tile) -> RgbImage:
    """What a window shows, in pixels of the slide, of the pixels of its tile."""
    part = plan.source(window)
    corner = block.region
    rows = slice(part.top - corner.top, part.bottom - corner.top)
    cols = slice(part.left - corner.left, part.right - corner.left)
    return image[rows, cols]


def _kept(finder: WindowFinder, seen: Seen) -> Seen:
    """What can become a leukocyte or a candidate, of what is seen in a window."""
    if not isinstance(finder, (MaskRcnnDetector, PairDetector)):
        return seen
    label = finder.classes.index(LEUKOCYTE) + 1
    possible = (seen.look.labels == label) & (seen.look.scores >= finder.least)
    return Seen(seen.look.part(possible), seen.coloured)


def gather(finder: WindowFinder, seen: Sequence[Seen], shape: Sequence[int]) -> Located:
    """Cells and candidates of a slide, the surest first, each once, of what its tiles show.

    It is what :meth:`WindowFinder.gather` gives of all at once, in time that grows with the number
    of cells and not with its square: only boxes that touch matter to each other.
    """
    every = Seen.joined(seen)
    cells: list[Detection] = []
    for looks, colours in _apart(every):
        part = Seen(every.look.part(looks), tuple(every.coloured[i] for i in colours))
        cells += finder.gather([part], shape).cells
    return Located(surest_first(cells))


def parted(seen: Seen, unseen: shapely.Geometry) -> tuple[Seen, Seen]:
    """What is seen parted in two: what tiles to come cannot change, and all else.

    Parameters
    ----------
    unseen : shapely.Geometry
        In (x, y) pixels of the slide: what the tiles to come show, with their halo.

    Returns
    -------
    Seen, Seen
        Cells gathered of either are cells gathered of both at once.
    """
    edges = _edges(seen)
    if not len(edges):
        return seen, seen
    boxes = _boxes(edges)
    groups = _touching(boxes)
    shapely.prepare(unseen)
    open_groups = np.unique(groups[shapely.intersects(unseen, boxes)])
    waits = np.isin(groups, open_groups)
    n_looks = len(seen.look.boxes)

    def part(chosen: npt.NDArray[np.bool_]) -> Seen:
        places = np.flatnonzero(chosen[n_looks:])
        return Seen(seen.look.part(chosen[:n_looks]), tuple(seen.coloured[i] for i in places))

    return part(~waits), part(waits)


def surest_first(cells: Iterable[Detection]) -> tuple[Detection, ...]:
    """Cells in the order of :func:`gather`."""
    return tuple(sorted(cells, key=_surest_first))


def _surest_first(cell: Detection) -> tuple[float, float, float]:
    # Place parts the equally sure.
    return -cell.score, cell.bbox.top, cell.bbox.left


def _apart(seen: Seen) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Places in the look and in the colours of groups of boxes, no two groups of which touch."""
    edges = _edges(seen)
    n_looks = len(seen.look.boxes)
    if not len(edges):
        return
    groups = _touching(_boxes(edges))
    # Clumps in order of place, and several small ones together.
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    bins = np.cumsum(counts) // _TOGETHER
    for chosen in np.split(order, np.flatnonzero(np.diff(bins[groups[order]])) + 1):
        # By place, so that the order of tiles does not show.
        inside = chosen[np.lexsort(edges[chosen].T)]
        yield inside[inside < n_looks], inside[inside >= n_looks] - n_looks


def _edges(seen: Seen) -> npt.NDArray[np.float64]:
    """Boxes of looks, then of colours, shape (N, 4): top, left, bottom, right."""
    coloured = np.array([cell.bbox.edges for cell in seen.coloured]).reshape(-1, 4)
    return np.concatenate([seen.look.boxes, coloured])


def _boxes(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.object_]:
    """What outlines of boxes may reach, as polygons in (x, y)."""
    top, left, bottom, right = edges.T
    boxes: npt.NDArray[np.object_] = shapely.box(
        left - _MARGIN, top - _MARGIN, right + _MARGIN, bottom + _MARGIN
    )
    return boxes


def _touching(boxes: npt.NDArray[np.object_]) -> npt.NDArray[np.intp]:
    """Number of the clump of each box; boxes that touch, also through others, are one clump."""
    first, second = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(boxes),) * 2)
    return np.asarray(connected_components(links, directed=False)[1], np.intp)
