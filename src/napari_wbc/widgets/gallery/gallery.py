"""All cells of the slide as thumbnails, grouped by label, to look through and to relabel.

Invariant: the gallery changes no cell. It shows the session's table and selection, and says which
label a person chose for which cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from qtpy.QtCore import QEvent, QPoint, Qt, QTimer, Signal
from qtpy.QtGui import (
    QKeyEvent,
    QMouseEvent,
    QWheelEvent,
)
from qtpy.QtWidgets import QAbstractSlider, QApplication, QWidget

from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.gallery_view import GalleryView, Gesture
from napari_wbc.widgets.gallery.grid import HEADER, Item, Rect
from napari_wbc.widgets.qt.keys import Key, Modifier, key_name
from napari_wbc.widgets.qt.thumbnails import Thumbnails

__all__ = ["Gallery"]

EDGE = 32
"""While dragging, the gallery scrolls where the mouse is this near to its upper or lower edge, in pixels."""
SCROLL_EVERY_MS = 30
Event = QEvent.Type
ARROWS = {Key.Key_Left: (-1, 0), Key.Key_Right: (1, 0), Key.Key_Up: (0, -1), Key.Key_Down: (0, 1)}
PAGES = {
    Key.Key_PageUp: QAbstractSlider.SliderAction.SliderPageStepSub,
    Key.Key_PageDown: QAbstractSlider.SliderAction.SliderPageStepAdd,
}


class Gallery(GalleryView):
    """Look through the cells of a slide, select them and choose labels for them.

    Parameters
    ----------
    session : Session
        Whose table and selection are shown.
    thumbnails : Thumbnails
    heats : Heats, optional
        Where heat is looked for.
    parent : QWidget, optional
    """

    label_chosen = Signal(str, object)
    """With a label and the tuple of ids of the cells that were dragged to it."""
    cell_activated = Signal(str)
    """With the id of the cell to go to: double-clicked, or Enter."""
    key_pressed = Signal(str)
    """With a plain key as napari names it, for the selected cells."""

    def __init__(
        self,
        session: Session,
        thumbnails: Thumbnails,
        heats: Heats | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(session, thumbnails, heats, parent)
        self._hovered = ""  # label of the group under the mouse, while the mouse was used last
        self._scroller = QTimer(self)
        self._scroller.setInterval(SCROLL_EVERY_MS)
        self._scroller.timeout.connect(self._auto_scroll)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)

    # Selecting

    def _select(self, cell_ids: Iterable[str], current: str = "", *, pivot: bool = True) -> None:
        """Select cells, the current one first."""
        chosen = list(cell_ids)
        if current not in chosen and chosen:
            current = chosen[0]
        self._current = current or self._current
        self._next = ""
        if pivot:
            self._pivot = self._current
        self._selecting = True
        try:
            self._session.select([current, *chosen] if chosen else ())
        finally:
            self._selecting = False
        self.viewport().update()

    def _select_to(self, cell_id: str) -> None:
        """Select from where the selection began to a cell."""
        start, end = self._item_of(self._pivot), self._item_of(cell_id)
        if end is not None:
            between = self._grid.between(end if start is None else start, end)
            self._select(map(self._id_of, between), cell_id, pivot=start is None)

    def _toggle(self, cell_id: str) -> None:
        chosen = [key for key in self._session.selection if key != cell_id]
        self._select(chosen if cell_id in self._selected else [cell_id, *chosen], cell_id)

    def _select_group(self, label: str) -> None:
        group = self._group_of(label)
        if group is not None:
            self._select(self._groups[group].cell_ids, self._current)

    def _move(self, columns: int, rows: int, extend: bool) -> None:
        target = self._item_of(self._next)
        if target is None:
            here = self._item_of(self._current)
            target = self._grid.end() if here is None else self._grid.beside(here, columns, rows)
        self._go(target, extend)

    def _go(self, target: Item | None, extend: bool) -> None:
        """Make an item the current one, and select it or all up to it."""
        if target is not None:
            self._hovered = ""
            cell_id = self._id_of(target)
            if extend:
                self._select_to(cell_id)
            else:
                self._select([cell_id], cell_id)
            self.reveal(cell_id)

    # Keys

    def event(self, event: QEvent) -> bool:
        """Take the keys that are the gallery's before a shortcut of the window does."""
        if event.type() == Event.ShortcutOverride and (self._action(event) or key_name(event)):
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Move, scroll, select and zoom; say which other plain key was pressed."""
        if action := self._action(event):
            action()
        elif name := key_name(event):
            self.key_pressed.emit(name)
        else:
            event.ignore()

    def _action(self, event: QKeyEvent) -> Any:
        """What a key does in the gallery itself, None for any other key."""
        key, modifiers = event.key(), event.modifiers() & ~Modifier.KeypadModifier
        extend = modifiers == Modifier.ShiftModifier
        item = self._item_of(self._current)
        label = self._hovered or ("" if item is None else self._groups[item.group].label)
        if modifiers == Modifier.ControlModifier:
            return {
                Key.Key_A: lambda: self._select_group(label),
                Key.Key_Plus: lambda: self.zoom(1),
                Key.Key_Equal: lambda: self.zoom(1),
                Key.Key_Minus: lambda: self.zoom(-1),
            }.get(key)
        if key in ARROWS and (extend or modifiers == Modifier.NoModifier):
            return lambda: self._move(*ARROWS[key], extend)
        if key in (Key.Key_Home, Key.Key_End):
            return lambda: self._go(self._grid.end(last=key == Key.Key_End), extend)
        if modifiers not in (Modifier.NoModifier, Modifier.ShiftModifier):
            return None
        if key in PAGES:
            return lambda: self.verticalScrollBar().triggerAction(PAGES[key])
        return {
            Key.Key_Return: self._activate if item else None,
            Key.Key_Enter: self._activate if item else None,
            Key.Key_Escape: self._cancel if self._gesture else None,
            Key.Key_Minus: lambda: self.collapse(label),
            Key.Key_Plus: lambda: self.collapse(label, False),
            Key.Key_Equal: lambda: self.collapse(label, False),
        }.get(key)

    def _activate(self) -> None:
        self.cell_activated.emit(self._current)

    # Mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Select, or begin a rubber band or a drag."""
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        pos, modifiers = event.pos(), event.modifiers()
        item, cell = self._at(pos), self._cell_at(pos)
        if item is not None and item.nth == HEADER and pos.x() < self._grid.header:
            label = self._groups[item.group].label
            self.collapse(label, label not in self._collapsed)
            return
        adds = bool(modifiers & Modifier.ControlModifier)
        start = pos + QPoint(0, self._scroll)
        if cell is None:
            self._gesture = Gesture(start, pos, adds=adds)
            return
        cell_id = cell.cell_id
        was_selected = cell_id in self._selected
        if modifiers & Modifier.ShiftModifier:
            self._select_to(cell_id)
        elif adds:
            self._toggle(cell_id)
        elif not was_selected:
            self._select([cell_id], cell_id)
        plain = not adds and not modifiers & Modifier.ShiftModifier
        self._gesture = Gesture(start, pos, cell_id, was_selected and plain, adds)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Drag the selected cells, or draw a rubber band."""
        pos, gesture = event.pos(), self._gesture
        self._hovered = self._label_at(pos)
        if gesture is None:
            return
        moved = (pos + QPoint(0, self._scroll) - gesture.start).manhattanLength()
        if not gesture.kind and moved >= QApplication.startDragDistance():
            kind = "drag" if gesture.cell_id in self._selected else "band"
            gesture = replace(gesture, kind=kind)
            if kind == "drag":
                self.viewport().setCursor(Qt.CursorShape.ClosedHandCursor)
            self._scroller.start()
        self._gesture = replace(gesture, now=pos)
        self._follow()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """End a click, a rubber band or a drag."""
        gesture = self._gesture
        if event.button() != Qt.MouseButton.LeftButton or gesture is None:
            event.ignore()
            return
        self._follow()
        gesture = self._gesture or gesture
        self._cancel()
        if gesture.kind == "drag":
            self._drop(gesture)
        elif gesture.kind == "band":
            kept = self._session.selection if gesture.adds else ()
            self._select([*kept, *self._banded(gesture)])
        elif gesture.was_selected:
            self._select([gesture.cell_id], gesture.cell_id)
        elif not gesture.cell_id and not gesture.adds:
            self._select(())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Go to a cell; on a header, select its group."""
        item, cell = self._at(event.pos()), self._cell_at(event.pos())
        if cell is not None:
            self.cell_activated.emit(cell.cell_id)
        elif item is not None and event.pos().x() >= self._grid.header:
            self._select_group(self._groups[item.group].label)
        else:
            self.mousePressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802
        """Forget what the mouse was over."""
        self._hovered = ""
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Scroll, or zoom with Ctrl."""
        turned = event.angleDelta().y()
        if event.modifiers() & Modifier.ControlModifier and turned:
            self.zoom(1 if turned > 0 else -1)
            event.accept()
        else:
            super().wheelEvent(event)

    def _banded(self, gesture: Gesture) -> list[str]:
        band = self._band(gesture)
        area = Rect(band.left(), band.top(), band.width(), band.height())
        return [self._id_of(item) for item in self._grid.inside(area)]

    def _follow(self) -> None:
        """See what the rubber band meets, or which group the mouse is over."""
        gesture = self._gesture
        if gesture is None or not gesture.kind:
            return
        if gesture.kind == "band":
            self._gesture = replace(gesture, banded=frozenset(self._banded(gesture)))
        else:
            inside = self.viewport().rect().contains(gesture.now)
            label = self._label_at(gesture.now) if inside else ""
            cell = self._table.get(gesture.cell_id)
            known = label in self._session.taxonomy.labels
            taken = known and cell is not None and cell.label != label
            self._gesture = replace(gesture, target=label if taken else "")
        self.viewport().update()

    def _auto_scroll(self) -> None:
        if self._gesture is None:
            self._scroller.stop()
        else:
            y, bar = self._gesture.now.y(), self.verticalScrollBar()
            past = min(0, y - EDGE) + max(0, y - (self.viewport().height() - EDGE))
            if past:
                bar.setValue(self._scroll + past)
                self._follow()

    def _drop(self, gesture: Gesture) -> None:
        if gesture.target:
            cells = [self._table[key] for key in self._session.selection if key in self._table]
            dropped = tuple(cell.cell_id for cell in cells if cell.label != gesture.target)
            self.label_chosen.emit(gesture.target, dropped)
