"""Cells and failures in words, for tooltips and the status line."""

from __future__ import annotations

import html
from collections.abc import Sequence

from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.heat import Heat, methods_of
from napari_wbc.model.words import counted
from napari_wbc.session.session import Session

FIRST = "First reader"
"""Name on screen of the first reader's reading, whose own name is empty."""


def described(cell: Cell, session: Session, heat: Heat | None = None) -> str:
    """What is said of a cell and where it lies, as rich text; names of files are escaped."""
    lines = [cell.label]
    if cell.annotation is not None:
        lines.append(f"said by {cell.annotation.annotator or 'a person'}")
    elif cell.candidate:
        lines.append("the cell finders disagree, so it is not counted")
    elif cell.prediction is not None:
        lines.append("said by the model")
    if cell.prediction is not None:
        lines.append(f"model: {cell.prediction.cell_class} {cell.prediction.confidence:.0%}")
        if cell.prediction.unlikeness is not None and cell.prediction.unlikeness > 1:
            lines.append("unlike the cells the model was trained on")
    if heat is not None:
        lines.append(f"heat: {methods_of([heat])}, for {heat.target}")
    field = next((field for field in session.slide.fields if field.fov_id == cell.fov_id), None)
    lines.append(f"field: {cell.fov_id if field is None else field.path.name}")
    return f"<p style='white-space:pre'>{'<br>'.join(map(html.escape, lines))}</p>"


def failed_text(failures: Sequence[Failure], what: str = "field") -> str:
    """The end of a line: how many files or fields failed, and why the first did; empty for none."""
    if not failures:
        return ""
    n = len({failure.path for failure in failures})
    return f"; {counted(n, what)} failed: {failures[0].message}"
