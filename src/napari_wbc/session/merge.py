"""New detections beside the cells that a person labelled, drew or moved."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import BBox, iou_matrix
from napari_wbc.model.table import CellTable

__all__ = ["merged"]


def merged(
    table: CellTable,
    detected: Iterable[Cell],
    fov_ids: Iterable[str],
    *,
    rejected: Iterable[Cell] = (),
    annotated: Collection[str] = (),
    overlap: float = 0.3,
) -> CellTable:
    """Replace the cells of fields by newly detected ones, keeping what a person touched.

    Parameters
    ----------
    detected : iterable of Cell
        New cells.
    fov_ids : iterable of str
        Fields that were searched; new cells of others are left out.
    rejected : iterable of Cell
        Cells that a person took out.
    annotated : collection of str
        Ids of cells that somebody annotated elsewhere: in another reading of the slide.
    overlap : float
        Intersection over union above which a new cell is one that a person has labelled, drawn,
        moved or taken out, and is left out; 0 to 1.

    Examples
    --------
    >>> merged(CellTable(), [], ["a.png"])
    CellTable(0 cells)
    """
    by_field: dict[str, list[Cell]] = {fov_id: [] for fov_id in fov_ids}
    for cell in detected:
        if cell.fov_id in by_field:
            by_field[cell.fov_id].append(cell)
    gone = []
    blocking: dict[str, list[BBox]] = {fov_id: [] for fov_id in by_field}
    for cell_id, cell in table.items():
        if cell.fov_id not in by_field:
            continue
        if cell.touched or cell_id in annotated:
            blocking[cell.fov_id].append(cell.detection.bbox)
        else:
            gone.append(cell_id)
    for cell in rejected:
        if cell.fov_id in by_field:
            blocking[cell.fov_id].append(cell.detection.bbox)
    fresh: list[Cell] = []
    for fov_id, cells in by_field.items():
        overlaps = iou_matrix((cell.detection.bbox for cell in cells), blocking[fov_id])
        highest = overlaps.max(axis=1, initial=0)
        fresh += [cell for cell, iou in zip(cells, highest, strict=True) if iou <= overlap]
    return table.without(gone).with_cells(fresh)
