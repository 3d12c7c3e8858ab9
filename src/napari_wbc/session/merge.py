"""New detections beside what a person has said."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import iou_matrix
from napari_wbc.model.table import CellTable

__all__ = ["merged"]


def merged(
    table: CellTable,
    found: Iterable[Cell],
    fov_ids: Iterable[str],
    *,
    rejected: Iterable[Cell] = (),
    overlap: float = 0.3,
) -> CellTable:
    """Replace the cells of fields by newly found ones, keeping what a person touched.

    Parameters
    ----------
    table : CellTable
        Before.
    found : iterable of Cell
        New cells of the fields.
    fov_ids : iterable of str
        Fields that were searched.
    rejected : iterable of Cell
        Cells that a person took out.
    overlap : float
        Intersection over union above which a new cell is one that a person has labelled, drawn, moved or
        taken out, and is left out; 0 to 1.

    Examples
    --------
    >>> merged(CellTable(), [], ["a.png"])
    CellTable(0 cells)
    """
    fields, new = dict.fromkeys(fov_ids), list(found)
    kept = [cell for cell in table.values() if cell.fov_id in fields and cell.touched]
    kept += [cell for cell in rejected if cell.fov_id in fields]
    fresh: list[Cell] = []
    for fov_id in fields:
        here = [cell for cell in new if cell.fov_id == fov_id]
        said = [cell.detection.bbox for cell in kept if cell.fov_id == fov_id]
        known = iou_matrix((cell.detection.bbox for cell in here), said)
        taken = known.max(axis=1, initial=0) > overlap if said else np.zeros(len(here), dtype=bool)
        fresh += [cell for cell, known_already in zip(here, taken, strict=True) if not known_already]
    gone = [cell.cell_id for cell in table.values() if cell.fov_id in fields and not cell.touched]
    return table.without(gone).with_cells(fresh)
