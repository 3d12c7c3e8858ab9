"""Drawing of the gallery: the header of a group, and the frame of a selected cell."""

from __future__ import annotations

from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygon
from qtpy.QtWidgets import QWidget

from napari_wbc.widgets.gallery.arrange import Group
from napari_wbc.widgets.gallery.tiles import Tiles

OPEN = ((8, -3), (18, -3), (13, 4))
CLOSED = ((10, -5), (16, 0), (10, 5))
"""Corners of the triangle in a header, in pixels from the left and from the middle."""


def ink(widget: QWidget, alpha: int = 255) -> QColor:
    """Text colour of a widget in the theme of napari, of an opacity from 0 to 255."""
    return _faded(QColor(widget.palette().color(widget.foregroundRole())), alpha)


def paint_frame(
    painter: QPainter, area: QRect, color: QColor, *, chosen: bool, current: bool
) -> None:
    """Frame a tile that is selected or in a rubber band, and dot that from which keys start."""
    if chosen:
        pen = QPen(color, 3)
        # Qt's default join would cut the corners of the frame.
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        painter.drawRect(area.adjusted(-3, -3, 2, 2))
    if current:
        painter.setPen(QPen(color, 1, Qt.PenStyle.DotLine))
        painter.drawRect(area.adjusted(-5, -5, 4, 4))


def paint_header(
    painter: QPainter, area: QRect, group: Group, tiles: Tiles, color: QColor, *, collapsed: bool
) -> None:
    """Draw the header of a group: triangle, colour, short name, label and number of cells."""
    painter.fillRect(area.adjusted(0, 0, 0, -1), _faded(color, 34))
    middle = area.top() + area.height() // 2
    corners = [QPoint(x, middle + y) for x, y in (CLOSED if collapsed else OPEN)]
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(_faded(color, 200 if group.cell_ids else 90))
    painter.drawPolygon(QPolygon(corners))
    # A brush that is left would fill the frames that are drawn next.
    painter.setBrush(Qt.BrushStyle.NoBrush)
    swatch = QRect(area.height(), middle - 7, 14, 14)
    painter.fillRect(swatch, tiles.color(group.label))
    painter.setPen(_faded(color, 160))
    painter.drawRect(swatch)
    painter.setPen(_faded(color, 255 if group.cell_ids else 140))
    line = Qt.AlignmentFlag.AlignVCenter
    left = area.height() + 22
    font = painter.font()
    font.setBold(True)
    painter.setFont(font)
    painter.drawText(area.adjusted(left, 0, 0, 0), line, tiles.short(group.label))
    font.setBold(False)
    painter.setFont(font)
    # A column of its own for the short names, three wide letters wide.
    left += 10 + painter.fontMetrics().horizontalAdvance("WWW")
    painter.drawText(area.adjusted(left, 0, 0, 0), line, group.label)
    left += painter.fontMetrics().horizontalAdvance(group.label + "  ")
    painter.setPen(_faded(color, 150))
    painter.drawText(area.adjusted(left, 0, 0, 0), line, f"{len(group.cell_ids):,}")


def _faded(color: QColor, alpha: int) -> QColor:
    faded = QColor(color)
    faded.setAlpha(alpha)
    return faded
