"""Selecting cells in the gallery, and its keys."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent, QShowEvent
from qtpy.QtWidgets import QAbstractSlider

from napari_wbc.model.table import CellTable
from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.gallery_view import GalleryView
from napari_wbc.widgets.gallery.grid import Item
from napari_wbc.widgets.qt.keys import ARROWS, Action, Key, KeyTaker, Modifier
from napari_wbc.widgets.qt.thumbnails import Thumbnails

PAGES = {
    Key.Key_PageUp: QAbstractSlider.SliderAction.SliderPageStepSub,
    Key.Key_PageDown: QAbstractSlider.SliderAction.SliderPageStepAdd,
}


class SelectingGallery(KeyTaker, GalleryView):
    """A gallery in which keys select cells.

    The *current* cell is where keys start from, and the *pivot* is where a selection with Shift
    began.
    """

    cell_activated = Signal(str)
    """With the id of the cell to go to: double-clicked, or Enter."""
    key_pressed = Signal(str)
    """With a plain key as napari names it, for the selected cells."""

    def __init__(self, session: Session, thumbnails: Thumbnails, heats: Heats) -> None:
        super().__init__(session, thumbnails, heats)
        self._pivot = self._current
        # Takes the place of the current cell where that has gone to another group.
        self._next = ""
        # The label of the group under the mouse, until a key moves.
        self._hovered = ""
        self._selecting = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        in_step = old is self._table
        current = self._item_of(self._next or self._current)
        label = "" if current is None else self.groups[current.group].label
        neighbours: tuple[str, ...] = ()
        if current is not None:
            cell_ids = self.groups[current.group].cell_ids
            neighbours = (*cell_ids[current.nth :], *reversed(cell_ids[: current.nth]))
        super()._on_changed(old, new)
        if not in_step or current is None:
            return
        self._next = ""
        cell = new.get(self._current)
        if cell is None or cell.label != label:
            # The next key starts from the cell that moved up into the empty place.
            group = self._group_of(label)
            members = set() if group is None else set(self.groups[group].cell_ids)
            self._next = next((cell_id for cell_id in neighbours if cell_id in members), "")

    def _on_selection(self, cell_ids: tuple[str, ...]) -> None:
        super()._on_selection(cell_ids)
        # A selection made here is in view already, and scrolling would move it under the mouse.
        if cell_ids and not self._selecting:
            self._current = cell_ids[0]
            self._pivot = cell_ids[0]
            self._next = ""
            self.reveal(cell_ids[0])

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 (Qt's name)
        """Begin at the cell that was selected before the gallery was opened."""
        super().showEvent(event)
        self.reveal(self._current)

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
        """Select from the pivot to a cell."""
        start = self._item_of(self._pivot)
        end = self._item_of(cell_id)
        if end is not None:
            between = self._grid.between(end if start is None else start, end)
            self._select(map(self._id_of, between), cell_id, pivot=start is None)

    def _toggle(self, cell_id: str) -> None:
        others = [key for key in self._session.selection if key != cell_id]
        self._select(others if cell_id in self._selected else [cell_id, *others], cell_id)

    def _select_group(self, label: str) -> None:
        group = self._group_of(label)
        if group is not None:
            self._select(self.groups[group].cell_ids, self._current)

    def _move(self, columns: int, rows: int, extend: bool) -> None:
        target = self._item_of(self._next)
        if target is None:
            current = self._item_of(self._current)
            if current is None:
                target = self._grid.end()
            else:
                target = self._grid.beside(current, columns, rows)
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

    def _action(self, event: QKeyEvent) -> Action | None:
        """What a key does in the gallery itself, None for any other key."""
        key = event.key()
        # Qt marks the keys of the number pad, which do the same as the others.
        modifiers = event.modifiers() & ~Modifier.KeypadModifier
        extend = modifiers == Modifier.ShiftModifier
        item = self._item_of(self._current)
        label = self._hovered or ("" if item is None else self.groups[item.group].label)
        actions: dict[Key, Action] = {}
        if modifiers == Modifier.ControlModifier:
            actions = {
                Key.Key_A: lambda: self._select_group(label),
                Key.Key_Plus: lambda: self.zoom(1),
                # Plus without Shift on an American keyboard.
                Key.Key_Equal: lambda: self.zoom(1),
                Key.Key_Minus: lambda: self.zoom(-1),
            }
        elif modifiers in (Modifier.NoModifier, Modifier.ShiftModifier):
            scroll = self.verticalScrollBar().triggerAction
            actions = {
                **{arrow: partial(self._move, *step, extend) for arrow, step in ARROWS.items()},
                **{page: partial(scroll, action) for page, action in PAGES.items()},
                Key.Key_Home: lambda: self._go(self._grid.end(), extend),
                Key.Key_End: lambda: self._go(self._grid.end(last=True), extend),
                Key.Key_Minus: lambda: self.collapse(label),
                Key.Key_Plus: lambda: self.collapse(label, False),
                Key.Key_Equal: lambda: self.collapse(label, False),
            }
            if item is not None:
                actions[Key.Key_Return] = self._activate
                actions[Key.Key_Enter] = self._activate
        return actions.get(key)

    def _activate(self) -> None:
        self.cell_activated.emit(self._current)
