"""New detections beside the cells that a person labelled, drew or moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import BBox, iou_matrix
from napari_wbc.model.matching import MAX_OVERLAP
from napari_wbc.model.table import CellTable


def merged(
    table: CellTable,
    detected: Iterable[Cell],
    fov_ids: Iterable[str],
    *,
    rejected: Iterable[Cell] = (),
    annotated: Collection[str] = (),
    landed: Collection[str] = (),
) -> CellTable:
    """Replace the cells of fields by newly detected ones, keeping what a person touched.

    Parameters
    ----------
    detected : iterable of Cell
        New cells; those that overlap a cell of a person are left out.
    fov_ids : iterable of str
        Fields that were searched; new cells of others are left out.
    rejected : iterable of Cell
        Cells that a person took out.
    annotated : collection of str
        Ids of cells that somebody annotated elsewhere: in another reading of the slide.
    landed : collection of str
        Ids of cells that stay, since they came of an earlier part of the same search.

    Examples
    --------
    >>> merged(CellTable(), [], ["a.png"])
    CellTable(0 cells)
    """
    searched = dict.fromkeys(fov_ids)
    by_field: defaultdict[str, list[Cell]] = defaultdict(list)
    for cell in detected:
        by_field[cell.fov_id].append(cell)
    gone = []
    blocking: defaultdict[str, list[BBox]] = defaultdict(list)
    for cell_id, cell in table.items():
        if cell.touched or cell_id in annotated:
            blocking[cell.fov_id].append(cell.detection.bbox)
        elif cell.fov_id in searched and cell_id not in landed:
            gone.append(cell_id)
    # What a person took out is not to come back with a new search.
    for cell in rejected:
        blocking[cell.fov_id].append(cell.detection.bbox)
    fresh: list[Cell] = []
    for fov_id in searched:
        cells = by_field[fov_id]
        overlaps = iou_matrix((cell.detection.bbox for cell in cells), blocking[fov_id])
        highest = overlaps.max(axis=1, initial=0)
        fresh += [cell for cell, iou in zip(cells, highest, strict=True) if iou <= MAX_OVERLAP]
    return table.without(gone).with_cells(fresh)
