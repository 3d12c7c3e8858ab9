"""A large working image in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.detect.base import RgbImage
from napari_wbc.imaging.stain import resized, white_balanced
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps

T = TypeVar("T")

OVERLAP = 160
"""Working pixels that neighbouring tiles share: five times the width of a red cell there, and more
than the widest leukocyte."""

_MARGIN = 2.0
"""Working pixels from an edge within which a box touches it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of an image, in its pixels."""

    top: int
    left: int
    bottom: int
    right: int

    def holds(self, boxes: npt.NDArray[np.float64], shape: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Which boxes touch no edge of the tile but the image's own, shape (N,).

        Boxes, shape (N, 4), are (top, left, bottom, right) in pixels of the image; ``shape`` is the
        image's (height, width).
        """
        # The image's own edges cut cells too, but there is no neighbour that has more of them.
        low = np.array([self.top or -np.inf, self.left or -np.inf]) + _MARGIN
        ends = zip((self.bottom, self.right), shape[:2], strict=True)
        high = np.array([np.inf if end == length else end for end, length in ends]) - _MARGIN
        return np.asarray(((boxes[:, :2] >= low) & (boxes[:, 2:] <= high)).all(axis=1))

    def mirrored(
        self, part: RgbImage, shape: Sequence[int], width: int
    ) -> tuple[RgbImage, npt.NDArray[np.int_]]:
        """Its pixels with a mirrored border where it ends at an edge of the image.

        Parameters
        ----------
        part : ndarray, shape (rows, cols, 3), uint8
            Pixels of the tile.
        shape : sequence of int
            Height and width of the image.
        width : int
            Of the border, in pixels.

        Returns
        -------
        part : ndarray, shape (rows + borders, cols + borders, 3), uint8
        corner : ndarray, shape (2,), int
            Where the tile begins in it: (row, col).
        """
        before = [0 if start else width for start in (self.top, self.left)]
        ends = zip((self.bottom, self.right), shape[:2], strict=True)
        after = [width if end == length else 0 for end, length in ends]
        border = (before[0], after[0], before[1], after[1])
        wider = np.asarray(cv2.copyMakeBorder(part, *border, cv2.BORDER_REFLECT), np.uint8)
        return wider, np.array(before)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def source(self, scale: float, shape: Sequence[int]) -> Tile:
        """What a tile of a working image shows of the field, in pixels of the field.

        ``scale`` is in working pixels a pixel of the field, ``shape`` the field's (height, width).
        """
        bottom = min(max(1, round(self.bottom / scale)), shape[0])
        right = min(max(1, round(self.right / scale)), shape[1])
        return Tile(int(self.top / scale), int(self.left / scale), bottom, right)

    @property
    def rows(self) -> slice:
        """Its rows in the image."""
        return slice(self.top, self.bottom)

    @property
    def cols(self) -> slice:
        """Its columns in the image."""
        return slice(self.left, self.right)


def tiles_of(shape: Sequence[int], side: int) -> Iterator[Tile]:
    """Tiles that cover an image, each cell up to :data:`OVERLAP` wholly in one of them.

    Parameters
    ----------
    shape : sequence of int
        Height and width of the image.
    side : int
        Longest side of a tile, above :data:`OVERLAP`; an image no longer is one tile.

    Yields
    ------
    Tile
        Row by row.

    Examples
    --------
    >>> [(tile.left, tile.right) for tile in tiles_of((100, 2000), 1280)]
    [(0, 1280), (720, 2000)]
    """
    for top, bottom in _spans(shape[0], side):
        for left, right in _spans(shape[1], side):
            yield Tile(top, left, bottom, right)


def _spans(length: int, side: int) -> Iterator[tuple[int, int]]:
    # Spread evenly, so that the last two tiles do not overlap by nearly all of a tile.
    count = 1 if length <= side else -(-(length - OVERLAP) // (side - OVERLAP))
    for i in range(count):
        start = round(i * (length - min(side, length)) / max(count - 1, 1))
        yield start, start + min(side, length)


def walk_steps(shape: Sequence[int], side: int, look: Callable[[Tile], T]) -> Steps[list[T]]:
    """Look at each of the :func:`tiles_of` an image, with a step between them."""
    tiles = list(tiles_of(shape, side))
    looks: list[T] = []
    for done, tile in enumerate(tiles):
        if done:
            yield Progress("locating", done, len(tiles))
        looks.append(look(tile))
    return looks


def tile_steps(
    image: RgbImage,
    scale: float,
    side: int,
    look: Callable[[RgbImage, Tile, Sequence[int], float], T],
) -> Steps[list[T]]:
    """Look at a field tile by tile, each scaled and white balanced on its own.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        The field; a large one is never scaled as a whole.
    scale : float
        Working pixels a pixel of the field.
    side : int
        Longest side of a tile, in working pixels.
    look : callable
        Takes the working pixels of a tile, the tile, the shape of the working image and the scale.
    """
    shape = working_shape(image.shape, scale)

    def look_at(tile: Tile) -> T:
        part = tile.source(scale, image.shape)
        work = white_balanced(resized(image[part.rows, part.cols], tile.size))
        return look(work, tile, shape, scale)

    return (yield from walk_steps(shape, side, look_at))


def working_shape(shape: Sequence[int], scale: float) -> tuple[int, int]:
    """Height and width of the working image of a field of (height, width) ``shape``."""
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def placed(
    cells: Sequence[Detection], tile: Tile, shape: Sequence[int], scale: float
) -> tuple[Detection, ...]:
    """Cells of a tile in pixels of the field, less those that the tile's edge cuts.

    ``shape`` is that of the working image, and ``scale`` working pixels a pixel of the field.
    """
    corner = np.array([tile.top, tile.left])
    boxes = np.array([cell.bbox.edges for cell in cells]).reshape(-1, 4)
    uncut = tile.holds(boxes + np.tile(corner, 2), shape)
    moved: list[Detection] = []
    for cell, whole in zip(cells, uncut, strict=True):
        if whole:
            outline = None
            if cell.outline is not None:
                outline = Outline.from_array((cell.outline.array() + corner) / scale)
            box = BBox.around((cell.bbox.corners() + corner) / scale)
            moved.append(replace(cell, bbox=box, outline=outline))
    return tuple(moved)


def distinct(cells: Sequence[Detection], overlap: float) -> list[Detection]:
    """Cells, the surest first, less those that share an IoU above ``overlap`` with a surer one."""
    # OpenCV's boxes are (x, y, width, height); the search by colour works without PyTorch.
    boxes = [(cell.bbox.left, cell.bbox.top, cell.bbox.width, cell.bbox.height) for cell in cells]
    kept = cv2.dnn.NMSBoxes(boxes, [cell.score for cell in cells], 0.0, overlap)
    return [cells[int(i)] for i in kept]
