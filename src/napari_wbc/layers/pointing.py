"""The mouse on the cells layer: a click selects, a drag moves the picture, a box is drawn once.

napari's select tool moves whatever shape a drag starts on, so that a hand that only wants to pan
changes an outline. Here a person has to ask for that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Shapes

from napari_wbc.layers.cells import shape_ids
from napari_wbc.layers.focus import camera_place, center_on
from napari_wbc.model.cell import Cell
from napari_wbc.session.session import Session

STILL = 4.0
"""Pixels of the screen that the hand may tremble during a click."""
DRAWN_BY_DRAG = ("ADD_RECTANGLE", "ADD_ELLIPSE")


class Pointing:
    """Gives a cells layer its mouse; ``reshaping`` says if a drag moves cells, as in napari."""

    def __init__(self, viewer: ViewerModel, layer: Shapes, reshaping: Callable[[], bool]) -> None:
        self._viewer = viewer
        self._reshaping = reshaping
        mode = layer._modeclass
        self._select = layer._drag_modes[mode.SELECT]
        tools: dict[Any, Any] = {mode.SELECT: self._point}
        for name in DRAWN_BY_DRAG:
            draw = layer._drag_modes[mode[name]]
            tools[mode[name]] = _Once(draw)
        # Of this layer alone: napari keeps what its tools do in a table of the class.
        layer._drag_modes = {**layer._drag_modes, **tools}

    def _point(self, layer: Shapes, event: Any) -> Generator[None, None, None]:
        """Select the cell that is clicked; move the picture while it is dragged."""
        under_cursor = layer.get_value(event.position, world=True)
        # A hidden layer has nothing under the cursor.
        if under_cursor is None:
            return
        shape, _vertex = under_cursor
        if self._reshaping() or shape is None:
            yield from self._select(layer, event)
            return
        pressed = np.array(event.pos, dtype=float)
        held = _place(event)
        more = bool({"Shift", "Control"} & set(map(str, event.modifiers)))
        moved = False
        yield
        while event.type == "mouse_move":
            moved = moved or bool(np.abs(np.array(event.pos) - pressed).max() >= STILL)
            if moved:
                row, col = camera_place(self._viewer)[:2] + held - _place(event)
                center_on(self._viewer, (float(row), float(col)))
            yield
        if not moved:
            # With a modifier, a click adds a shape to those that are selected, or takes it out.
            layer.selected_data = set(layer.selected_data) ^ {shape} if more else {shape}


class _Once:
    """One of napari's tools that draw by a drag, after which cells can be selected again."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def __call__(self, layer: Shapes, event: Any) -> Generator[None, None, None]:
        steps = self._draw(layer, event)
        for _ in steps:
            yield
            # A key has ended it, and napari would go on to move what is not there.
            if not layer._is_creating:
                steps.close()
                break
        layer.mode = "select"


def give_up(layer: Shapes) -> None:
    """End what is being drawn; a box that is being dragged becomes no cell."""
    index = layer._moving_value[0]
    if layer._is_creating and index is not None and layer._mode.name in DRAWN_BY_DRAG:
        layer._is_creating = False
        layer.selected_data = {index}
        layer.remove_selected()
    else:
        layer._finish_drawing()


def _place(event: Any) -> Any:
    """Where the cursor is in the world, (row, col)."""
    return np.array(event.position, dtype=float)[list(event.dims_displayed[-2:])]


def tell_under_cursor(layer: Shapes, session: Session) -> None:
    """Let napari's status bar say class and confidence of the cell under the cursor."""
    plain = layer.get_status

    # napari calls it from a thread of its own; the session's table never changes, it is replaced.
    def get_status(position: Any = None, **how: Any) -> dict[str, str]:
        status: dict[str, str] = plain(position, **how)
        if position is None:
            return status
        shape, _vertex = layer.get_value(position, **how) or (None, None)
        ids = shape_ids(layer)
        cell = session.table.get(ids[shape]) if shape is not None and shape < len(ids) else None
        if cell is not None:
            status["value"] = under_cursor(cell)
            status["coordinates"] = f"{status['coords']}: {status['value']}"
        return status

    layer.get_status = get_status


def under_cursor(cell: Cell) -> str:
    """Class and confidence of a cell, in one line.

    Examples
    --------
    >>> from napari_wbc.model.cell import Detection, Prediction
    >>> from napari_wbc.model.geometry import BBox
    >>> cell = Cell.new("field", Detection(BBox(0, 0, 9, 9)))
    >>> under_cursor(cell.predicted(Prediction(("monocyte", "blast"), (0.9, 0.1))))
    'monocyte 90 %'
    """
    said = cell.prediction
    if said is None:
        return cell.label
    if cell.annotation is None and cell.label == said.cell_class:
        return f"{cell.label} {100 * said.confidence:.0f} %"
    return f"{cell.label} (model: {said.cell_class} {100 * said.confidence:.0f} %)"
