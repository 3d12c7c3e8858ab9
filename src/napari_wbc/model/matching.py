"""Which cells of one table are those of another."""

from __future__ import annotations

from collections.abc import Sequence

from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import iou_matrix

SAME = 0.9
"""Least IoU of two boxes of the same cell, 0 to 1; below 1 since formats round to pixels."""


def counterparts(cells: Sequence[Cell], known: Sequence[Cell]) -> list[Cell | None]:
    """The known cell that each of some cells of one field is: by its id, else by its box.

    Ids are unique in each. It is None where a cell is new; none of ``known`` comes twice.
    """
    free = {cell.cell_id: cell for cell in known}
    # All ids first: a cell that moved onto another's place must not take the other's match.
    matches = [free.pop(cell.cell_id, None) for cell in cells]
    for i, cell in enumerate(cells):
        if matches[i] is None and free:
            boxes = [other.detection.bbox for other in free.values()]
            overlaps = iou_matrix([cell.detection.bbox], boxes)[0]
            if overlaps.max() >= SAME:
                matches[i] = free.pop(list(free)[int(overlaps.argmax())])
    return matches
