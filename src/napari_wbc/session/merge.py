"""New detections beside what a person has said."""

from __future__ import annotations

from collections.abc import Collection, Iterable

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
    said: Collection[str] = (),
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
    said : collection of str
        Ids of cells that somebody annotated elsewhere: in another reading of the slide.
    overlap : float
        Intersection over union above which a new cell is one that a person has labelled, drawn,
        moved or taken out, and is left out; 0 to 1.

    Examples
    --------
    >>> merged(CellTable(), [], ["a.png"])
    CellTable(0 cells)
    """
    fields, new = dict.fromkeys(fov_ids), list(found)
    kept = [c for c in table.values() if c.fov_id in fields and (c.touched or c.cell_id in said)]
    stay = {cell.cell_id for cell in kept}
    kept += [cell for cell in rejected if cell.fov_id in fields]
    fresh: list[Cell] = []
    for fov_id in fields:
        here = [cell for cell in new if cell.fov_id == fov_id]
        theirs = [cell.detection.bbox for cell in kept if cell.fov_id == fov_id]
        known = iou_matrix((cell.detection.bbox for cell in here), theirs)
        taken = (
            known.max(axis=1, initial=0) > overlap if theirs else np.zeros(len(here), dtype=bool)
        )
        fresh += [
            cell for cell, known_already in zip(here, taken, strict=True) if not known_already
        ]
    gone = [key for key, cell in table.items() if cell.fov_id in fields and key not in stay]
    return table.without(gone).with_cells(fresh)
