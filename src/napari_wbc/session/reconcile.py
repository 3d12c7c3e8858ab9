"""From what a Shapes layer holds to the table it means.

Identity lives in the table, never in the layer: a drawn shape has no id, a pasted one has
somebody else's, an edited features table may hold anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import Taxonomy

TOLERANCE = 0.01
"""Pixels by which a shape may differ from a cell that did not move; napari keeps float32."""


@dataclass(frozen=True, slots=True)
class ShapeRow:
    """One shape as read from a layer.

    Parameters
    ----------
    cell_id : str
        As the layer's features say; it may be empty, unknown or a copy.
    label : str
        As the layer's features say; it may be no label at all.
    bbox : BBox
        In pixels of the field.
    outline : Outline, optional
        None for an upright rectangle.
    """

    cell_id: str
    label: str
    bbox: BBox
    outline: Outline | None = None


def reconcile(
    table: CellTable,
    rows: Sequence[ShapeRow],
    fov_id: str,
    taxonomy: Taxonomy,
    *,
    annotator: str = "",
    when: str = "",
) -> CellTable:
    """The table that a field's shapes mean.

    A shape with a known id that moved keeps the id and loses outline and prediction; one
    without an id, with an unknown one or with one that an earlier shape holds, is a new cell;
    a cell without a shape is gone; a label that differs from the cell's is an annotation; a
    label that the taxonomy does not have is ignored.

    ``rows`` are all shapes of the layer of the field ``fov_id``; cells of other fields are left
    alone. ``annotator`` and ``when`` are those of new annotations. If nothing changed, ``table``
    itself is returned.
    """
    seen: set[str] = set()
    fresh: list[Cell] = []
    for row in rows:
        cell = table.get(row.cell_id)
        # A pasted shape has the id of another one, which comes first and keeps it.
        if cell is None or cell.fov_id != fov_id or row.cell_id in seen:
            fresh.append(Cell.new(fov_id, Detection(row.bbox, row.outline, drawn=True)))
            continue
        seen.add(row.cell_id)
        now = cell
        if _moved(cell.detection, row):
            # Who located the cell stays.
            finder = cell.detection.located_by
            now = cell.moved(Detection(row.bbox, row.outline, drawn=True, located_by=finder))
        if row.label != cell.label and row.label in taxonomy.labels:
            now = now.annotated(Annotation(row.label, annotator, when))
        if now is not cell:
            fresh.append(now)
    gone = [cell.cell_id for cell in table.of_field(fov_id) if cell.cell_id not in seen]
    if not fresh and not gone:
        return table
    return table.without(gone).with_cells(fresh) if gone else table.with_cells(fresh)


def _moved(detection: Detection, row: ShapeRow) -> bool:
    if detection.bbox is row.bbox and detection.outline is row.outline:
        return False
    old = _points(detection.bbox, detection.outline)
    new = _points(row.bbox, row.outline)
    return len(old) != len(new) or bool(np.abs(np.subtract(old, new)).max() > TOLERANCE)


def _points(bbox: BBox, outline: Outline | None) -> tuple[tuple[float, float], ...]:
    """All vertices of an outline, or else two corners of a box, (row, col)."""
    return outline.vertices if outline else ((bbox.top, bbox.left), (bbox.bottom, bbox.right))
