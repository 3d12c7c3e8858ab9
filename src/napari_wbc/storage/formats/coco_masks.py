"""COCO's masks, runs of pixels down the columns, and the outlines of their pixels.

All is done with whole runs, never with pixels: a mask of a few runs may cover a large image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_wbc.errors import WbcError
from napari_wbc.files.json_fields import Record
from napari_wbc.model.geometry import MAX_VERTICES

Ints = npt.NDArray[np.int64]
MAX_RUNS = 5000
"""Of one mask; that of a cell has a few hundred."""
MAX_COLUMNS = 100_000
"""That one mask goes over."""
MAX_DIGITS = 7
"""Characters of a number in COCO's text."""


class Mask(NamedTuple):
    """The pixels of a cell, as ranges of them counted down the columns of its image."""

    edges: Ints
    """Where each range begins and ends, rising, shape (2 N,)."""
    height: int
    """Of the image."""
    columns: int
    """Number of columns from the first pixel to the last."""


def read_mask(rle: Record, height: int, width: int) -> Mask:
    """Read a mask of an image, its runs as a list or in COCO's text."""
    counts = _counts(rle.get("counts"))
    if rle.get("size") != [height, width]:
        raise WbcError("the size of a mask is not that of its image; export it again.")
    # First, so that the sum of them is no larger than an integer of 64 bits.
    if counts.min() < 0 or counts.max() > height * width or counts.sum() != height * width:
        raise WbcError(f"a mask of {len(counts)} runs does not fit its image; export it again.")
    # The first run is of what is around the mask, every second one of the mask.
    places, times = np.unique(np.cumsum(counts)[: len(counts) // 2 * 2], return_counts=True)
    # Where a range of no pixel is, or where two touch, one ends where one begins.
    edges = places[times % 2 == 1]
    if not len(edges):
        raise WbcError("a mask has no pixel; remove the annotation.")
    columns = int((edges[-1] - 1) // height - edges[0] // height) + 1
    if columns > MAX_COLUMNS:
        raise WbcError(f"a mask goes over {columns:,} columns; export a polygon.")
    return Mask(edges, height, columns)


def mask_ring(mask: Mask) -> npt.NDArray[np.float64]:
    """Pixel edges around the largest part of a mask, shape (N, 2), (x, y).

    Pixels that share an edge are of one part; of its holes nothing is told.
    """
    edges, height = mask.edges, mask.height
    # Ranges go on in the next column, so they are cut where a column ends.
    column = edges[0] // height
    cuts = np.union1d(edges, np.arange(column, column + mask.columns) * height)
    start = cuts[:-1]
    filled = np.searchsorted(edges, start, side="right") % 2 == 1
    start = start[filled]
    end = cuts[1:][filled]
    largest = _largest(start, end, height)
    left, top = np.divmod(start[largest], height)
    return _ring(left, top, top + (end - start)[largest])


def _largest(start: Ints, end: Ints, height: int) -> npt.NDArray[np.bool_]:
    """Which ranges, each within a column, are of the part with the most pixels."""
    # Beside a range are those ranges that it would overlap if it were one column farther.
    first = np.searchsorted(end, start + height, side="right")
    last = np.searchsorted(start, end + height, side="left")
    n_beside = np.maximum(last - first, 0)
    one = np.repeat(np.arange(len(start)), n_beside)
    other = np.arange(len(one)) + np.repeat(first - np.cumsum(n_beside) + n_beside, n_beside)
    shape = (len(start), len(start))
    joined = coo_array((np.ones(len(one), bool), (one, other)), shape=shape)
    part = connected_components(joined, directed=False)[1]
    pixels = np.bincount(part, weights=end - start)
    result: npt.NDArray[np.bool_] = part == pixels.argmax()
    return result


def _ring(left: Ints, top: Ints, bottom: Ints) -> npt.NDArray[np.float64]:
    """The outer edge of ranges that are one part, from corner to corner."""
    x, y, diagonal = _corners(left, top, bottom)
    # Each corner ends one edge along its row and one along its column, so in the order of rows, as
    # in that of columns, the corners are pairs. Where two pixels touch at a corner, two ends of
    # edges meet in each direction; they go on around what is outside, as a hole is no outline.
    at = np.repeat(np.arange(len(x)), np.where(diagonal, 2, 1))
    second = np.r_[False, at[1:] == at[:-1]]
    beside = _partners(np.lexsort((second, x[at], y[at])))
    below = _partners(np.lexsort((second ^ (diagonal[at] > 0), y[at], x[at])))
    ring: list[int] = []
    # The uppermost corner of the first column is on the outer edge.
    corner = begin = int(np.lexsort((y[at], x[at]))[0])
    while not ring or corner != begin:
        other = int(beside[corner])
        ring += (corner, other)
        corner = int(below[other])
        if len(ring) > MAX_VERTICES:
            raise WbcError(
                f"the outline of a mask has more than {MAX_VERTICES:,} corners; export a polygon."
            )
    return np.stack([x[at[ring]], y[at[ring]]], axis=1).astype(float)


def _corners(left: Ints, top: Ints, bottom: Ints) -> tuple[Ints, Ints, Ints]:
    """Corners of the edge of ranges: x, y, and where two pixels only touch, 1 or -1.

    1 where the upper left and the lower right pixel touch, -1 where the others do, 0 elsewhere.
    """
    x = np.concatenate([left, left, left + 1, left + 1])
    y = np.concatenate([top, bottom, top, bottom])
    n = len(left)
    # By corner: ranges that begin there and end there, at their left and at their right.
    places, place = np.unique(np.stack([x, y], axis=1), axis=0, return_inverse=True)
    ends = np.repeat([1, -1, 1, -1], n)
    count = np.bincount(place, minlength=len(places))
    total = np.bincount(place, weights=ends, minlength=len(places))
    to_left = np.repeat([0, 0, 1, 1], n)
    of_left = np.bincount(place, weights=ends * to_left, minlength=len(places)).astype(np.int64)
    # Two ranges side by side that both begin or both end there make a straight edge.
    touch = (count == 2) & (total == 0)
    corner = (count == 1) | touch
    # In the column at the left of the place a range ends there: that is the upper left pixel.
    diagonal = np.where(touch, -of_left, 0)
    return places[corner, 0], places[corner, 1], diagonal[corner]


def _partners(order: Ints) -> Ints:
    """By number, the other one of each pair in an order."""
    partners = np.empty_like(order)
    partners[order[0::2]] = order[1::2]
    partners[order[1::2]] = order[0::2]
    return partners


def _counts(counts: object) -> Ints:
    """The lengths of the runs of a mask, as a list or in COCO's text."""
    if isinstance(counts, str) and len(counts) <= MAX_DIGITS * MAX_RUNS:
        lengths = _decoded(counts)
    elif isinstance(counts, list | str) and len(counts) > MAX_RUNS:
        raise WbcError(f"a mask has more than {MAX_RUNS:,} runs; export a polygon.")
    elif isinstance(counts, list) and counts and set(map(type, counts)) == {int}:
        try:
            lengths = np.array(counts, np.int64)
        except OverflowError as error:
            raise WbcError("a run of a mask is too long; export it again.") from error
    else:
        raise WbcError(
            "the counts of a mask are neither a text nor whole numbers; export it again."
        )
    if len(lengths) > MAX_RUNS:
        raise WbcError(f"a mask has more than {MAX_RUNS:,} runs; export a polygon.")
    return lengths


def _decoded(text: str) -> Ints:
    """Run lengths from COCO's text, as ``rleFrString`` of its API reads them.

    Five bits a character, the sixth says that more follow; from the fourth number on each is the
    difference from the one before the last.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    codes -= 48
    last = codes & 32 == 0
    ends = np.flatnonzero(last)
    begins = np.r_[0, ends[:-1] + 1]
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not last[-1]:
        raise WbcError("the counts of a mask are not as COCO writes them; export it again.")
    digits = ends - begins + 1
    if digits.max() > MAX_DIGITS:
        raise WbcError("the counts of a mask are not as COCO writes them; export it again.")
    place = np.arange(len(codes)) - np.repeat(begins, digits)
    counts = np.add.reduceat((codes & 31) << 5 * place, begins)
    # The highest bit that was read is the sign.
    counts -= np.where(codes[ends] & 16, 1 << 5 * digits, 0)
    for start in (1, 2):
        counts[start::2] = np.cumsum(counts[start::2])
    return counts
