"""Points on a plane that mouse and keys reach: lasso, click, zoom, pan, hover.

Invariant: it selects nothing itself. It says which points a person meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
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

from napari_wbc.widgets.map.kinds import beside, enclosed
from napari_wbc.widgets.map.scatter_view import REACH, ScatterView
from napari_wbc.widgets.qt.keys import key_name
from napari_wbc.widgets.qt.thumbnails import SIDE

__all__ = ["Card", "Scatter"]

STEP = 1.25
"""How much a key, or a notch of the wheel, zooms."""
PAN = 40.0
"""Pixels that a key pans."""
Key, Modifier, Button = Qt.Key, Qt.KeyboardModifier, Qt.MouseButton
ARROWS = {Key.Key_Left: (-1, 0), Key.Key_Right: (1, 0), Key.Key_Up: (0, -1), Key.Key_Down: (0, 1)}

Card: TypeAlias = tuple[QPixmap | None, tuple[str, ...]]
"""What is shown beside a point: its picture, None while it is being made, and lines of text."""


class Scatter(ScatterView):
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
        self._moved = self._adds = False
        self._dragged: QPointF | None = None
        self.pointed: int | None = None
        """The point whose card is shown: under the mouse, or where the keys have gone."""
        self._here: int | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def point_at(self, here: int | None) -> None:
        """Show the card of a point; none where None."""
        if here != self.pointed:
            self.pointed = here
            self.update()

    def forget(self) -> None:
        """Let go of the lasso and of the point that is looked at: there are other points."""
        self._here = None
        self._cancel()
        self.point_at(None)

    # Mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Begin a lasso with the left button, to pan with the others."""
        if event.button() == Button.LeftButton:
            self._lasso, self._moved = [event.position()], False
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
            apart = (pos - self._lasso[0]).manhattanLength()
            self._moved = self._moved or apart >= QApplication.startDragDistance()
            self._lasso.append(pos)
            self.update()
        else:
            self.point_at(self.at(pos))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Say what was lassoed or clicked."""
        if event.button() != Button.LeftButton:
            self._dragged = None
            self.unsetCursor()
        elif self._lasso:
            lasso, moved = self._lasso, self._moved
            self._cancel()
            if moved:
                inside = enclosed(self.on_screen(), [(p.x(), p.y()) for p in lasso])
                self._choose(np.flatnonzero(inside).tolist(), self._adds)
            else:
                hit = self.at(lasso[0])
                self._choose([] if hit is None else [hit], self._adds)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Go to what a point stands for."""
        hit = self.at(event.position())
        if event.button() == Button.LeftButton and hit is not None:
            self.activated.emit(hit)
        else:
            self.mousePressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802 (Qt's name)
        """Nothing is under the mouse."""
        self.point_at(None)
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 (Qt's name)
        """Zoom about the mouse."""
        if turned := event.angleDelta().y():
            self.zoom(STEP ** (turned / 120), event.position())
            self.point_at(self.at(event.position()))
        event.accept()

    # Keys

    def event(self, event: QEvent) -> bool:
        """Take the keys that are the map's before a shortcut of the window does."""
        if event.type() == QEvent.Type.ShortcutOverride and (
            self._action(event) or key_name(event)
        ):
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 (Qt's name)
        """Move from point to point, zoom, pan; say which other plain key was pressed."""
        if action := self._action(event):
            action()
        elif name := key_name(event):
            self.key_pressed.emit(name)
        else:
            event.ignore()

    def _action(self, event: QKeyEvent) -> Callable[[], object] | None:
        """What a key does here, None for any other key."""
        key, modifiers = event.key(), event.modifiers() & ~Modifier.KeypadModifier
        if key in ARROWS:
            x, y = ARROWS[key]
            if modifiers == Modifier.ControlModifier:
                return lambda: self.pan(QPointF(-PAN * x, -PAN * y))
            if modifiers in (Modifier.NoModifier, Modifier.ShiftModifier):
                return lambda: self._go((x, y), modifiers == Modifier.ShiftModifier)
            return None
        if key == Key.Key_A and modifiers == Modifier.ControlModifier:
            return lambda: self._choose(
                np.flatnonzero(np.isfinite(self.places[:, 0])).tolist(), False
            )
        if modifiers not in (Modifier.NoModifier, Modifier.ShiftModifier):
            return None
        here, lasso = self._here, self._lasso
        actions: dict[int, Callable[[], object] | None] = {
            Key.Key_Home: self.reset,
            Key.Key_Plus: lambda: self.zoom(STEP),
            Key.Key_Equal: lambda: self.zoom(STEP),
            Key.Key_Minus: lambda: self.zoom(1 / STEP),
            Key.Key_Return: None if here is None else lambda: self.activated.emit(here),
            Key.Key_Enter: None if here is None else lambda: self.activated.emit(here),
            Key.Key_Escape: self._cancel if lasso else None,
        }
        return actions.get(key)

    def _go(self, direction: tuple[int, int], adds: bool) -> None:
        """Choose the next point to one side; the one nearest to the middle at first."""
        at = self.on_screen()
        if not np.isfinite(at).any():
            return
        if self._here is None or not np.isfinite(at[self._here]).all():
            middle = self._centre()
            here = int(np.nanargmin(np.hypot(*(at - (middle.x(), middle.y())).T)))
        else:
            here = beside(at, self._here, direction)
        self._choose([here], adds)
        self._reveal(at[here])
        self.point_at(here)

    def _reveal(self, at: np.ndarray) -> None:
        """Pan as little as brings a place of the screen into view."""
        low = np.array((REACH, REACH))
        by = np.clip(at, low, np.maximum((self.width(), self.height()) - low, low)) - at
        if by.any():
            self.pan(QPointF(*by))

    def _choose(self, points: list[int], adds: bool) -> None:
        if len(points) == 1:
            self._here = points[0]
        self.chosen.emit(points, adds)

    def _cancel(self) -> None:
        self._lasso = []
        self.update()

    # Painting

    def paint_over(self, painter: QPainter) -> None:
        """Paint the lasso, and the card beside its point."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._lasso and self._moved:
            ink = self.palette().windowText().color()
            wash = QColor(ink)
            wash.setAlpha(35)
            painter.setBrush(wash)
            painter.setPen(QPen(ink, 1.5, Qt.PenStyle.DashLine))
            painter.drawPolygon(QPolygonF(self._lasso), Qt.FillRule.WindingFill)
        elif self.pointed is not None and self.pointed < len(self.places):
            self._paint_card(painter, self.pointed)

    def _paint_card(self, painter: QPainter, point: int) -> None:
        x, y = self.on_screen()[point].tolist()
        if not (np.isfinite(x) and self.rect().contains(round(x), round(y))):
            return
        picture, lines = self._card(point)
        metrics = painter.fontMetrics()
        high = metrics.lineSpacing()
        wide = max([SIDE, *(metrics.horizontalAdvance(line) for line in lines)]) + 12
        card = QRectF(x + 14, y + 14, wide, SIDE + high * len(lines) + 14)
        if card.right() > self.width():
            card.moveRight(x - 14)
        if card.bottom() > self.height():
            card.moveBottom(y - 14)
        card.moveLeft(max(0.0, card.left()))
        card.moveTop(max(0.0, card.top()))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(self.palette().windowText().color(), 2))
        painter.drawEllipse(QPointF(x, y), self.radius + 4, self.radius + 4)
        painter.setPen(QPen(QColor(160, 160, 160), 1))
        painter.setBrush(QColor(20, 22, 26, 235))
        painter.drawRoundedRect(card, 4, 4)
        frame = QRectF(card.left() + 6, card.top() + 6, SIDE, SIDE)
        if picture is not None:
            painter.drawPixmap(frame, picture, QRectF(picture.rect()))
        painter.setPen(QColor("white"))
        text = card.adjusted(6, SIDE + 8, -4, 0)
        painter.drawText(
            text, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, "\n".join(lines)
        )
