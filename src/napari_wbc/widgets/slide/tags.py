"""The short name of each cell's label, on a tag over the image.

napari's text has no background and is cut at the edge of the canvas, and it costs a Shapes layer
quadratic time at each change. So tags are painted on a clear widget that lies on the canvas.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QRectF, Qt
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen
from qtpy.QtWidgets import QWidget

from napari_wbc.layers.field import FieldView
from napari_wbc.layers.focus import camera_place
from napari_wbc.model.cell import Cell
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import on_color
from napari_wbc.widgets.qt.panel import Panel

LEAST_SIDE = 14.0
"""Pixels of the screen from which a cell has a tag; below, tags would hide the cells."""
OTHER = "#ffffff"
"""Colour of a label that the taxonomy does not have."""


class Tags(Panel, QWidget):
    """Tags on the canvas; the mouse goes through them.

    Parameters
    ----------
    canvas : QWidget
        Napari's canvas, on which they lie.
    """

    def __init__(self, canvas: QWidget, session: Session, view: FieldView) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self._session = session
        self._view = view
        self._placed: tuple[tuple[Cell, ...], npt.NDArray[np.float64]] = ((), np.zeros((0, 4)))
        self._font = QFont()
        self._font.setPixelSize(12)
        self._font.setBold(True)
        self._metrics = QFontMetricsF(self._font)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setGeometry(canvas.rect())
        canvas.installEventFilter(self)
        camera = view.viewer.scene.camera.events
        self.listen(self._look, session.changed, session.selection_changed, session.field_changed)
        self.listen(self._look, camera.center, camera.zoom)
        self.at_release(self._leave)
        self.lower()
        self.show()

    def eventFilter(self, canvas: Any, event: Any) -> bool:  # noqa: N802 (Qt's name)
        """Follow the canvas, which is drawn anew after whatever happens in the image."""
        if event.type() == QEvent.Type.Resize:
            self.setGeometry(canvas.rect())
        elif event.type() == QEvent.Type.Paint:
            self.update()
        return False

    def tags(self) -> list[tuple[Cell, QRectF]]:
        """The cells that have a tag now, and where each tag lies on the canvas."""
        view, viewer = self._view, self._view.viewer
        field, extent = self._session.field, view.extent
        layer = None if view.binding is None else view.binding.layer
        flat = viewer.dims.ndisplay == 2 and not viewer.canvas.grid.enabled
        if field is None or layer is None or not (layer.visible and view.ready and flat and extent):
            return []
        cells = self._session.table.of_field(field.fov_id)
        edges = self._edges(cells)
        # Corners of each box on the screen, whichever way the image is turned.
        corners = edges[:, [[0, 1], [0, 3], [2, 1], [2, 3]]] - 0.5
        on_screen = self._on_canvas(layer, viewer, corners)
        whole = np.array([[0, 0], [0, extent[1]], [extent[0], 0], extent]) - 0.5
        image = self._on_canvas(layer, viewer, whole)
        low = np.maximum(image.min(axis=0), 0)
        high = np.minimum(image.max(axis=0), [self.height(), self.width()])
        first, last = on_screen.min(axis=1), on_screen.max(axis=1)
        seen = (last > low).all(axis=1) & (first < high).all(axis=1)
        seen &= (last - first).max(axis=1) >= LEAST_SIDE
        height = self._metrics.height() + 2
        placed = []
        for i in np.flatnonzero(seen):
            width = self._metrics.horizontalAdvance(self._short(cells[i])) + 8
            # Above the cell, but inside the image.
            top = min(max(first[i, 0] - height - 1, low[0]), high[0] - height)
            left = min(max(first[i, 1], low[1]), high[1] - width)
            placed.append((cells[i], QRectF(round(left), round(top), round(width), round(height))))
        return placed

    def paintEvent(self, _event: Any) -> None:  # noqa: N802 (Qt's name)
        """Draw the tags, those of selected cells last and framed in white."""
        chosen = set(self._session.selection)
        taxonomy = self._session.taxonomy
        colors = taxonomy.colors
        painter = QPainter(self)
        painter.setFont(self._font)
        for cell, area in sorted(self.tags(), key=lambda tag: tag[0].cell_id in chosen):
            color = colors.get(taxonomy.row_of(cell.label), OTHER)
            selected = cell.cell_id in chosen
            painter.setPen(QPen(QColor("white" if selected else "black"), 2 if selected else 1))
            painter.setBrush(QColor(color))
            painter.drawRoundedRect(area.adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)
            painter.setPen(QColor(on_color(color)))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, self._short(cell))

    def _look(self, *_what: object) -> None:
        self.update()

    def _short(self, cell: Cell) -> str:
        return self._session.taxonomy.short_of(cell.label)

    def _edges(self, cells: tuple[Cell, ...]) -> npt.NDArray[np.float64]:
        """Top, left, bottom and right of cells, shape (N, 4), in pixels of the field."""
        if self._placed[0] is not cells:
            boxes = [cell.detection.bbox for cell in cells]
            edges = [(box.top, box.left, box.bottom, box.right) for box in boxes]
            self._placed = cells, np.array(edges, dtype=float).reshape(-1, 4)
        return self._placed[1]

    def _on_canvas(
        self, layer: Any, viewer: ViewerModel, points: npt.NDArray[Any]
    ) -> npt.NDArray[np.float64]:
        """Where points of the cells layer, (row, col), lie on the canvas, (y, x)."""
        origin = np.array(layer.data_to_world((0.0, 0.0))[-2:])
        down = np.array(layer.data_to_world((1.0, 0.0))[-2:]) - origin
        right = np.array(layer.data_to_world((0.0, 1.0))[-2:]) - origin
        world = origin + points[..., :1] * down + points[..., 1:] * right
        row, col, zoom = camera_place(viewer)
        middle = np.array([self.height(), self.width()]) / 2
        away: npt.NDArray[np.float64] = (world - [row, col]) * zoom
        return middle + away

    def _leave(self) -> None:
        # The canvas goes before the workbench where napari is closed.
        if isalive(self):
            self._canvas.removeEventFilter(self)
            self.hide()
            self.deleteLater()
