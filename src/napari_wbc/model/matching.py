"""Which cells of one table are those of another."""

from __future__ import annotations

from collections.abc import Sequence

from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import iou_matrix

__all__ = ["SAME", "counterparts"]

SAME = 0.9
"""IoU from which a box is that of the same cell; formats round."""


def counterparts(cells: Sequence[Cell], known: Sequence[Cell]) -> list[Cell | None]:
    """The known cell that each of some cells of the same field is: by its id, else by a box of IoU 0.9.

    Parameters
    ----------
    cells, known : sequence of Cell
        Ids are unique in each.

    Returns
    -------
    list of Cell or None
        None where a cell is new; none of ``known`` comes twice.
    """
    left = {cell.cell_id: cell for cell in known}
    found = [left.pop(cell.cell_id, None) for cell in cells]
    for i, cell in enumerate(cells):
        if found[i] is None and left:
            others = list(left.values())
            overlaps = iou_matrix([cell.detection.bbox], [one.detection.bbox for one in others])[0]
            if overlaps.max() >= SAME:
                found[i] = left.pop(others[int(overlaps.argmax())].cell_id)
    return found
