"""What is known of a cell, in words."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from napari_wbc.model.cell import Cell
from napari_wbc.session.session import Session

if TYPE_CHECKING:
    pass

__all__ = ["FIRST", "described"]


def described(cell: Cell, session: Session) -> str:
    """What is known of a cell, as rich text without markup from names."""
    lines = [cell.label]
    if cell.annotation is not None:
        lines.append(f"said by {cell.annotation.annotator or 'a person'}")
    elif cell.prediction is not None:
        lines.append("said by the model")
    if cell.prediction is not None:
        lines.append(f"model: {cell.prediction.cell_class} {cell.prediction.confidence:.0%}")
        if cell.prediction.unlikeness is not None and cell.prediction.unlikeness > 1:
            lines.append("unlike the cells the model was trained on")
    field = next((field for field in session.slide.fields if field.fov_id == cell.fov_id), None)
    lines.append(f"field: {cell.fov_id if field is None else field.path.name}")
    return f"<p style='white-space:pre'>{'<br>'.join(map(html.escape, lines))}</p>"


FIRST = "First reader"
"""How the first reader's reading, whose name is empty, is called on screen."""
