"""Which cells of one table are those of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import iou_matrix

SAME = 0.9
"""Least IoU of two boxes of the same cell, 0 to 1; below 1 since formats round to pixels."""
MAX_OVERLAP = 0.3
"""IoU above which a cell that is found again, or was moved by hand, is the one that is there."""
MANY = 2000
"""Cells of a field among which copies are looked for by whole pixels alone, to be done in time."""
AT_ONCE = 4_000_000
"""Pairs of boxes that are compared at once."""
MAX_PAIRS = 1_000_000
"""Pairs of cells of a field that overlap; cells that touch have a few each."""
DOUBTFUL = 0.1, 0.5
"""IoU between which it is not clear whether two boxes are of one cell, or of two that touch."""


def counterparts(
    cells: Sequence[Cell], known: Sequence[Cell], least: float = SAME
) -> list[Cell | None]:
    """The known cell that each of some cells of one field is: by its id, else by its box.

    Ids are unique in each. It is None where a cell is new; none of ``known`` comes twice. Of boxes
    those that overlap most are matched first.

    Parameters
    ----------
    least : float
        IoU of boxes that are of one cell, 0 to 1.
    """
    free = {cell.cell_id: cell for cell in known}
    # All ids first: a cell that moved onto another's place must not take the other's match.
    matches = [free.pop(cell.cell_id, None) for cell in cells]
    new = [i for i, match in enumerate(matches) if match is None]
    others = list(free.values())
    if not new or not others:
        return matches
    pairs = _pairs([cells[i] for i in new], others, least)
    taken = set[int]()
    for _overlap, row, column in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])):
        if matches[new[row]] is None and column not in taken:
            matches[new[row]] = others[column]
            taken.add(column)
    return matches


def same_places(cells: Sequence[Cell]) -> list[tuple[int, int]]:
    """Cells of one field whose box another has: the index of the first one, and of the copy."""
    if len(cells) > MANY:
        firsts: dict[tuple[int, ...], int] = {}
        copies: list[tuple[int, int]] = []
        for i, cell in enumerate(cells):
            first = firsts.setdefault(tuple(map(round, cell.detection.bbox.edges)), i)
            if first < i:
                copies.append((first, i))
        return copies
    first_of: dict[int, int] = {}
    for _overlap, one, other in _pairs(cells, cells, SAME):
        if one < other and one not in first_of:
            first_of.setdefault(other, one)
    return [(first, copy) for copy, first in first_of.items()]


def same_box(cell: Cell, other: Cell) -> bool:
    """Whether two boxes are one, which a format may have rounded to pixels."""
    edges = zip(cell.detection.bbox.edges, other.detection.bbox.edges, strict=True)
    # Of a small box a pixel is more than the overlap allows.
    rounded = all(abs(one - another) <= 0.5 + 1e-6 for one, another in edges)
    return rounded or cell.detection.bbox.iou(other.detection.bbox) >= SAME


def overlap_with(cell: Cell, others: Sequence[Cell]) -> float:
    """The highest IoU of a cell with one of others, 0 to 1."""
    boxes = [other.detection.bbox for other in others]
    return float(iou_matrix([cell.detection.bbox], boxes).max(initial=0))


def _pairs(
    cells: Sequence[Cell], others: Sequence[Cell], least: float
) -> list[tuple[float, int, int]]:
    """Pairs that overlap by an IoU or more: the IoU and both indices, in the order of these."""
    boxes = [other.detection.bbox for other in others]
    pairs: list[tuple[float, int, int]] = []
    # In parts, since the overlaps of all with all could fill the memory.
    step = max(1, AT_ONCE // max(1, len(others)))
    for start in range(0, len(cells), step):
        part = [cell.detection.bbox for cell in cells[start : start + step]]
        overlaps = iou_matrix(part, boxes)
        if len(pairs) + np.count_nonzero(overlaps >= least) > MAX_PAIRS:
            raise WbcError(
                f"{cells[0].fov_id[:80]}: too many of its {len(cells):,} cells lie on one another "
                "to be told apart; check them."
            )
        for row, column in np.argwhere(overlaps >= least).tolist():
            pairs.append((float(overlaps[row, column]), start + row, column))
    return pairs
