"""All cells of the slide as thumbnails by label, to look through and to relabel with the mouse.

Invariant: the gallery changes no cell. It shows the session's table and selection, and tells which
label a person chose for which cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from qtpy.QtCore import QEvent, QPoint, QRect, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_wbc.model.words import counted
from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.grid import HEADER, Rect
from napari_wbc.widgets.gallery.headers import ink
from napari_wbc.widgets.gallery.selecting import SelectingGallery
from napari_wbc.widgets.qt.keys import Action, Key, Modifier
from napari_wbc.widgets.qt.thumbnails import Thumbnails

EDGE = 32
"""A drag this near to the upper or lower edge scrolls, in pixels."""
SCROLL_EVERY_MS = 30


@dataclass(frozen=True)
class Gesture:
    """What the mouse does while its button is down."""

    start: QPoint
    """Where it went down, from the top left of all."""
    now: QPoint
    """Where it is in the viewport."""
    cell_id: str = ""
    """The cell it went down on, if any."""
    was_selected: bool = False
    adds: bool = False
    kind: str = ""
    """Empty until the mouse moves, then ``drag`` or ``band``."""
    target: str = ""
    """The label of the group that would take the dragged cells, if any."""


class Gallery(SelectingGallery):
    """Look through the cells of a slide, select them and drag them to another label."""

    label_chosen = Signal(str, object)
    """With a label and the tuple of ids of the cells that were dragged to it."""

    def __init__(self, session: Session, thumbnails: Thumbnails, heats: Heats) -> None:
        super().__init__(session, thumbnails, heats)
        self._gesture: Gesture | None = None
        self._scroller = QTimer(self)
        self._scroller.setInterval(SCROLL_EVERY_MS)
        self._scroller.timeout.connect(self._auto_scroll)
        # Otherwise Qt sends moves with a button down only, and keys need the group under the mouse.
        self.viewport().setMouseTracking(True)
        self.listen(self._cancel, session.slide_changed)
        self.at_release(self._cancel)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Select, or begin a rubber band or a drag."""
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        pos = event.pos()
        item = self._at(pos)
        cell = self._cell_at(pos)
        if item is not None and item.nth == HEADER and pos.x() < self._grid.header:
            label = self.groups[item.group].label
            self.collapse(label, label not in self._collapsed)
            return
        adds = bool(event.modifiers() & Modifier.ControlModifier)
        extends = bool(event.modifiers() & Modifier.ShiftModifier)
        start = pos + QPoint(0, self._scroll)
        if cell is None:
            self._gesture = Gesture(start, pos, adds=adds)
            return
        cell_id = cell.cell_id
        was_selected = cell_id in self._selected
        if extends:
            self._select_to(cell_id)
        elif adds:
            self._toggle(cell_id)
        elif not was_selected:
            self._select([cell_id], cell_id)
        # A selected cell stays selected with the others: they may be about to be dragged.
        waits = was_selected and not adds and not extends
        self._gesture = Gesture(start, pos, cell_id, waits, adds)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Drag the selected cells, or draw a rubber band."""
        pos = event.pos()
        gesture = self._gesture
        self._hovered = self._label_at(pos)
        if gesture is None:
            return
        moved = (pos + QPoint(0, self._scroll) - gesture.start).manhattanLength()
        # A hand that clicks moves the mouse by a few pixels.
        if not gesture.kind and moved >= QApplication.startDragDistance():
            kind = "drag" if gesture.cell_id in self._selected else "band"
            gesture = replace(gesture, kind=kind)
            if kind == "drag":
                self.viewport().setCursor(Qt.CursorShape.ClosedHandCursor)
            self._scroller.start()
        self._gesture = replace(gesture, now=pos)
        self._follow()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """End a click, a rubber band or a drag."""
        if event.button() != Qt.MouseButton.LeftButton or self._gesture is None:
            event.ignore()
            return
        # The table may have changed since the last move.
        self._follow()
        gesture = self._gesture
        banded = self._in_band(gesture) if gesture.kind == "band" else []
        self._cancel()
        if gesture.kind == "drag":
            self._drop(gesture)
        elif gesture.kind == "band":
            existing = self._session.selection if gesture.adds else ()
            self._select([*existing, *banded])
        elif gesture.was_selected:
            self._select([gesture.cell_id], gesture.cell_id)
        elif not gesture.cell_id and not gesture.adds:
            self._select(())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Go to a cell; on a header, select its group."""
        item = self._at(event.pos())
        cell = self._cell_at(event.pos())
        if cell is not None:
            self.cell_activated.emit(cell.cell_id)
        elif item is not None and event.pos().x() >= self._grid.header:
            self._select_group(self.groups[item.group].label)
        else:
            # Qt sends a double click in place of the second press, also on the triangle.
            self.mousePressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802 (Qt's name)
        """Forget what the mouse was over."""
        self._hovered = ""
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 (Qt's name)
        """Scroll, or zoom with Ctrl."""
        turned = event.angleDelta().y()
        if event.modifiers() & Modifier.ControlModifier and turned:
            self.zoom(1 if turned > 0 else -1)
            event.accept()
        else:
            super().wheelEvent(event)

    def _action(self, event: QKeyEvent) -> Action | None:
        if self._gesture is not None and event.key() == Key.Key_Escape:
            return self._cancel
        return super()._action(event)

    def _band(self, gesture: Gesture) -> QRect:
        """The rubber band, from the top left of all."""
        return QRect(gesture.start, gesture.now + QPoint(0, self._scroll)).normalized()

    def _in_band(self, gesture: Gesture) -> list[str]:
        band = self._band(gesture)
        area = Rect(band.left(), band.top(), band.width(), band.height())
        return [self._id_of(item) for item in self._grid.inside(area)]

    def _follow(self) -> None:
        """See which cells the rubber band meets, or which group the mouse is over."""
        gesture = self._gesture
        if gesture is None or not gesture.kind:
            return
        if gesture.kind == "band":
            self._banded = frozenset(self._in_band(gesture))
        else:
            inside = self.viewport().rect().contains(gesture.now)
            label = self._label_at(gesture.now) if inside else ""
            cell = self._table.get(gesture.cell_id)
            takes = label in self._session.taxonomy.labels
            moves = cell is not None and cell.label != label
            self._gesture = replace(gesture, target=label if takes and moves else "")
        self.viewport().update()

    def _auto_scroll(self) -> None:
        if self._gesture is None:
            self._scroller.stop()
            return
        y = self._gesture.now.y()
        # The farther beyond the edge, the faster.
        past = min(0, y - EDGE) + max(0, y - (self.viewport().height() - EDGE))
        if past:
            self.verticalScrollBar().setValue(self._scroll + past)
            self._follow()

    def _drop(self, gesture: Gesture) -> None:
        if not gesture.target:
            return
        dropped = []
        for key in self._session.selection:
            cell = self._table.get(key)
            if cell is not None and cell.label != gesture.target:
                dropped.append(key)
        self.label_chosen.emit(gesture.target, tuple(dropped))

    def _cancel(self, *_slide: object) -> None:
        """End what the mouse does, without effect."""
        self._gesture = None
        self._banded = frozenset()
        self.viewport().unsetCursor()
        self.viewport().update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw the gallery, and the rubber band or the drag over it."""
        super().paintEvent(event)
        gesture = self._gesture
        if gesture is None or not gesture.kind:
            return
        painter = QPainter(self.viewport())
        painter.setPen(QPen(ink(self), 2))
        if gesture.kind == "band":
            self._paint_area(painter, self._band(gesture).translated(0, -self._scroll))
        else:
            self._paint_drag(painter, gesture)
        painter.end()

    def _paint_area(self, painter: QPainter, area: QRect) -> None:
        painter.fillRect(area, ink(self, 40))
        painter.drawRect(area)

    def _paint_drag(self, painter: QPainter, gesture: Gesture) -> None:
        text = counted(len(self._selected))
        group = self._group_of(gesture.target)
        if group is not None:
            area = self._grid.area(group)
            top = self._header_top(group)
            shown = QRect(0, top, area.width, area.bottom - self._scroll - top)
            self._paint_area(painter, shown.adjusted(1, 1, -2, -2))
            text += f" → {gesture.target}"
        wide = painter.fontMetrics().horizontalAdvance(text) + 16
        # Below and beside the mouse, whose pointer would hide it.
        hint = QRect(gesture.now + QPoint(14, 14), gesture.now + QPoint(14 + wide, 38))
        hint.moveRight(min(hint.right(), self.viewport().width() - 2))
        painter.fillRect(hint, QColor(0, 0, 0, 220))
        painter.setPen(QColor("white"))
        painter.drawText(hint, Qt.AlignmentFlag.AlignCenter, text)
