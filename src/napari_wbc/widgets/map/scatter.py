"""Points on a plane that mouse and keys reach: lasso, click, zoom, pan, hover.

Invariant: it selects nothing itself. It says which points a person meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from qtpy.QtGui import (
    QColor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPen,
    QPixmap,
    QPolygonF,
    QWheelEvent,
)
from qtpy.QtWidgets import QApplication

from napari_wbc.widgets.map.kinds import Places, beside
from napari_wbc.widgets.map.scatter_view import REACH, ScatterView
from napari_wbc.widgets.qt.keys import ARROWS, Action, Key, KeyTaker, Modifier
from napari_wbc.widgets.qt.thumbnails import SIDE

ZOOM_STEP = 1.25
"""How much a key, or a notch of the wheel, zooms."""
PAN_STEP = 40.0
"""Pixels that a key pans."""
PLAIN_OR_SHIFT = (Modifier.NoModifier, Modifier.ShiftModifier)
FILL = Qt.FillRule.WindingFill
"""What is painted as the inside of a lasso, and what is chosen."""

Card: TypeAlias = tuple[QPixmap | None, tuple[str, ...]]
"""What is shown beside a point: its picture, None while it is being made, and lines of text."""


def enclosed(places: Places, lasso: Sequence[tuple[float, float]]) -> npt.NDArray[np.bool_]:
    """Which places a lasso goes round, shape (N,), bool.

    Parameters
    ----------
    lasso : sequence of (x, y)
        Corners of a polygon that closes itself. Where it crosses itself, all that it goes round is
        inside.

    Examples
    --------
    >>> enclosed(np.array([[1.0, 1.0], [9.0, 1.0]]), [(0, 0), (2, 0), (2, 2), (0, 2)]).tolist()
    [True, False]
    """
    polygon = QPolygonF([QPointF(x, y) for x, y in lasso])
    inside = [polygon.containsPoint(QPointF(x, y), FILL) for x, y in places.tolist()]
    return np.array(inside, bool)


class Scatter(KeyTaker, ScatterView):
    """Points that can be looked at, clicked and lassoed.

    Parameters
    ----------
    card : callable
        What is shown beside a point, by its number.
    """

    chosen = Signal(object, bool)
    """With the numbers of the points that were clicked or lassoed, and whether they are added."""
    activated = Signal(int)
    """With the number of the point that was double-clicked, or had Enter."""
    key_pressed = Signal(str)
    """With a plain key as napari names it, for the selected cells."""

    def __init__(self, card: Callable[[int], Card]) -> None:
        super().__init__()
        self._card = card
        self._lasso: list[QPointF] = []
        self._moved = False
        """Whether the mouse went so far that the lasso is no click."""
        self._adds = False
        self._dragged: QPointF | None = None
        self.pointed: int | None = None
        """The point whose card is shown: under the mouse, or where the keys have gone."""
        self._current: int | None = None
        """The point from which the arrow keys go on."""
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def point_at(self, point: int | None) -> None:
        """Show the card of a point; none where None."""
        if point != self.pointed:
            self.pointed = point
            self.update()

    def forget(self) -> None:
        """Drop the lasso, the card and the current point: the points are others now."""
        self._current = None
        self._cancel()
        self.point_at(None)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Begin a lasso with the left button, to pan with the others."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._lasso = [event.position()]
            self._moved = False
            self._adds = bool(event.modifiers() & Modifier.ShiftModifier)
        else:
            self._dragged = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        self.point_at(None)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw the lasso, pan, or show the card of what is under the mouse."""
        pos = event.position()
        if self._dragged is not None:
            self.pan(pos - self._dragged)
            self._dragged = pos
        elif self._lasso:
            # A hand that clicks shakes a little.
            distance = (pos - self._lasso[0]).manhattanLength()
            self._moved = self._moved or distance >= QApplication.startDragDistance()
            self._lasso.append(pos)
            self.update()
        else:
            self.point_at(self.at(pos))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Say what was lassoed or clicked."""
        if event.button() != Qt.MouseButton.LeftButton:
            self._dragged = None
            self.unsetCursor()
        elif lasso := self._lasso:
            self._cancel()
            if self._moved:
                inside = enclosed(self.on_screen(), [(pos.x(), pos.y()) for pos in lasso])
                self._choose(np.flatnonzero(inside).tolist(), self._adds)
            else:
                point = self.at(lasso[0])
                self._choose([] if point is None else [point], self._adds)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Go to what a point stands for."""
        point = self.at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and point is not None:
            self.activated.emit(point)
        else:
            # Beside all points, two quick clicks are two clicks.
            self.mousePressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802 (Qt's name)
        """Nothing is under the mouse."""
        self.point_at(None)
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 (Qt's name)
        """Zoom about the mouse."""
        # Qt counts eighths of a degree, and a notch of most wheels is 15 degrees.
        if turned := event.angleDelta().y():
            self.zoom(ZOOM_STEP ** (turned / 120), event.position())
            self.point_at(self.at(event.position()))
        event.accept()

    def _action(self, event: QKeyEvent) -> Action | None:
        """What a key does on the map, None for any other key."""
        key = event.key()
        # The number pad's own modifier says nothing.
        modifiers = event.modifiers() & ~Modifier.KeypadModifier
        if modifiers == Modifier.ControlModifier:
            if key in ARROWS:
                return partial(self.pan, QPointF(*ARROWS[key]) * -PAN_STEP)
            return self._choose_all if key == Key.Key_A else None
        if modifiers not in PLAIN_OR_SHIFT:
            return None
        if key in ARROWS:
            return partial(self._go, ARROWS[key], modifiers == Modifier.ShiftModifier)
        # A key that has nothing to act on goes on to the window.
        activate = None if self._current is None else partial(self.activated.emit, self._current)
        zoom_in = partial(self.zoom, ZOOM_STEP)
        actions: dict[int, Action | None] = {
            Key.Key_Home: self.reset,
            Key.Key_Plus: zoom_in,
            Key.Key_Equal: zoom_in,
            Key.Key_Minus: partial(self.zoom, 1 / ZOOM_STEP),
            Key.Key_Return: activate,
            Key.Key_Enter: activate,
            Key.Key_Escape: self._cancel if self._lasso else None,
        }
        return actions.get(key)

    def _go(self, direction: tuple[int, int], adds: bool) -> None:
        """Choose the next point to one side; the one nearest to the middle at first."""
        at = self.on_screen()
        if not np.isfinite(at).any():
            return
        # The current point is NaN when its cell has been deleted or moved.
        if self._current is None or not np.isfinite(at[self._current]).all():
            point = int(np.nanargmin(np.hypot(*(at - self._centre).T)))
        else:
            point = beside(at, self._current, direction)
        self._choose([point], adds)
        # Pan as little as brings the point into view.
        low = np.array((REACH, REACH))
        offset = np.clip(at[point], low, np.maximum(2 * self._centre - low, low)) - at[point]
        if offset.any():
            self.pan(QPointF(*offset))
        self.point_at(point)

    def _choose(self, points: list[int], adds: bool) -> None:
        if len(points) == 1:
            self._current = points[0]
        self.chosen.emit(points, adds)

    def _choose_all(self) -> None:
        self._choose(np.flatnonzero(np.isfinite(self.places[:, 0])).tolist(), adds=False)

    def _cancel(self) -> None:
        self._lasso = []
        self.update()

    def paint_over(self, painter: QPainter) -> None:
        """Paint the lasso, and the card beside its point."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._lasso and self._moved:
            ink = self.palette().windowText().color()
            wash = QColor(ink)
            wash.setAlpha(35)
            painter.setBrush(wash)
            painter.setPen(QPen(ink, 1.5, Qt.PenStyle.DashLine))
            painter.drawPolygon(QPolygonF(self._lasso), FILL)
        elif self.pointed is not None and self.pointed < len(self.places):
            self._paint_card(painter, self.pointed)

    def _paint_card(self, painter: QPainter, point: int) -> None:
        x, y = self.on_screen()[point].tolist()
        if not (np.isfinite(x) and self.rect().contains(round(x), round(y))):
            return
        picture, lines = self._card(point)
        metrics = painter.fontMetrics()
        width = max([SIDE, *(metrics.horizontalAdvance(line) for line in lines)]) + 12
        card = QRectF(x + 14, y + 14, width, SIDE + metrics.lineSpacing() * len(lines) + 14)
        # At the right and at the lower edge the card flips to the other side of its point.
        if card.right() > self.width():
            card.moveRight(x - 14)
        if card.bottom() > self.height():
            card.moveBottom(y - 14)
        card.moveTopLeft(QPointF(max(0.0, card.left()), max(0.0, card.top())))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(self.palette().windowText().color(), 2))
        painter.drawEllipse(QPointF(x, y), self.radius + 4, self.radius + 4)
        # The card is dark in every theme, so its text is white.
        painter.setPen(QPen(QColor(160, 160, 160), 1))
        painter.setBrush(QColor(20, 22, 26, 235))
        painter.drawRoundedRect(card, 4, 4)
        if picture is not None:
            frame = QRectF(card.left() + 6, card.top() + 6, SIDE, SIDE)
            painter.drawPixmap(frame, picture, QRectF(picture.rect()))
        painter.setPen(QColor("white"))
        text = card.adjusted(6, SIDE + 8, -4, 0)
        top_left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        painter.drawText(text, top_left, "\n".join(lines))
