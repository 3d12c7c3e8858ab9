"""The thumbnails of a slide by label, as a picture: what is shown, where it is, and what stays in view.

Invariant: it changes neither cells nor selection.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from qtpy.QtCore import QEvent, QPoint, QRect, Qt
from qtpy.QtGui import (
    QColor,
    QHelpEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygon,
    QResizeEvent,
)
from qtpy.QtWidgets import QAbstractScrollArea, QToolTip, QWidget

from napari_wbc.model.cell import Cell
from napari_wbc.model.table import CellTable, diff
from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.arrange import Group, Keep, arranged, rearranged
from napari_wbc.widgets.gallery.grid import HEADER, Grid, Item, Rect
from napari_wbc.widgets.gallery.tiles import Tiles
from napari_wbc.widgets.qt.described import described
from napari_wbc.widgets.qt.panel import Panel
from napari_wbc.widgets.qt.thumbnails import Thumbnails

__all__ = ["TILES", "Anchor", "GalleryView", "Gesture"]

TILES = (48, 64, 80, 96, 112, 128, 160, 192)
"""Sides of a thumbnail that can be chosen, in pixels."""
FRAME_SECONDS = 0.02
"""Tiles that cannot be drawn in this time are drawn in the next frame, so that scrolling stays smooth."""

Anchor: TypeAlias = tuple[str, str, int]
"""A label, the id of a cell (empty for the header of the group), and its row in the viewport."""


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
    banded: frozenset[str] = frozenset()
    target: str = ""
    """The label of the group that would take what is dragged, if any."""


class GalleryView(Panel, QAbstractScrollArea):
    """The thumbnails of a slide by label, as a picture that follows the session.

    Parameters
    ----------
    session : Session
        Whose table and selection are shown.
    thumbnails : Thumbnails
    heats : Heats, optional
        Where heat is looked for.
    parent : QWidget, optional
    """

    def __init__(
        self,
        session: Session,
        thumbnails: Thumbnails,
        heats: Heats | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._thumbnails, self._heats = session, thumbnails, heats
        self._tiles = Tiles(thumbnails, session.taxonomy, heats)
        self._order, self._tile = "confidence", 96
        self._keep: Keep | None = None
        self._collapsed: set[str] = set()
        self._table, self._groups = CellTable(), tuple[Group, ...]()
        self._grid = Grid((), self._tile, 0)
        self._held: list[
            tuple[int, Anchor]
        ] = []  # where it was scrolled to, and what stayed by that
        self._selected = frozenset(session.selection)
        self._current = self._pivot = next(iter(session.selection), "")
        self._next = ""  # takes the place of the current cell where that has gone to another group
        self._gesture: Gesture | None = None
        self._selecting = False
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setAccessibleName("Gallery of cells")
        self.at_release(self._show_nothing)
        self.listen(self._on_ready, thumbnails.ready)
        self.listen(self._on_changed, session.changed)
        self.listen(self._on_slide, session.slide_changed)
        self.listen(self._on_selection, session.selection_changed)
        if heats is not None:
            self.listen(self._on_ready, heats.changed)
        self._arrange()

    def _show_nothing(self) -> None:
        """Hold no cell any more, and ask for no more thumbnails."""
        self._thumbnails.cancel()
        self._cancel()
        self._table = CellTable()
        self._lay_out(())

    # What is shown

    @property
    def order(self) -> str:
        """How cells are sorted within their group; one of :data:`~napari_wbc.widgets.gallery.arrange.ORDERS`."""
        return self._order

    @property
    def groups(self) -> tuple[Group, ...]:
        """The cells that are shown, by label."""
        return self._groups

    @property
    def tile(self) -> int:
        """Side of a thumbnail in pixels; one of :data:`TILES`."""
        return self._tile

    def show_parts(self, parts: tuple[str, ...]) -> None:
        """Show these of each cell, side by side: :data:`~napari_wbc.widgets.gallery.tiles.CELL` and its like."""
        self._tiles.show(parts)
        self._lay_out(self._groups)

    def set_order(self, order: str) -> None:
        """Sort the cells another way; the view stays on the same groups.

        Raises
        ------
        WbcError
            If there is no such order.
        """
        groups = arranged(self._table, self._session.taxonomy, order=order, keep=self._keep)
        self._order = order
        self._lay_out(groups, ())

    def set_filter(self, keep: Keep | None) -> None:
        """Show only the cells that ``keep`` accepts; all where it is None."""
        self._keep = keep
        self._arrange()

    def zoom(self, steps: int) -> None:
        """Show larger thumbnails, or smaller ones where ``steps`` is negative."""
        place = TILES.index(self._tile) + steps
        self._tile = TILES[max(0, min(place, len(TILES) - 1))]
        self._lay_out(self._groups)

    def collapse(self, label: str, collapsed: bool = True) -> None:
        """Show only the header of a group, or its cells again."""
        (self._collapsed.add if collapsed else self._collapsed.discard)(label)
        group = self._group_of(label)
        if group is not None:
            y = self._grid.rect(Item(group, HEADER)).top - self._scroll
            self._lay_out(self._groups, [(label, "", max(0, y))])

    def reveal(self, cell_id: str) -> None:
        """Scroll as little as brings a cell into view; a hidden one is where its group's header is."""
        item = self._item_of(cell_id)
        if item is not None:
            rect, bar, grid = self._grid.rect(item), self.verticalScrollBar(), self._grid
            lowest, highest = (
                rect.bottom + grid.gap - self.viewport().height(),
                rect.top - grid.header - grid.gap,
            )
            if self._scroll > highest or self._scroll < lowest:
                bar.setValue(highest if self._scroll > highest else lowest)

    def _arrange(self) -> None:
        self._table = self._session.table
        self._lay_out(
            arranged(self._table, self._session.taxonomy, order=self._order, keep=self._keep)
        )

    def _lay_out(
        self,
        groups: tuple[Group, ...],
        anchors: Sequence[Anchor] | None = None,
        *,
        hold: bool = False,
    ) -> None:
        """Show groups; the first of the anchors that is still shown stays where it is.

        Parameters
        ----------
        groups : tuple of Group
        anchors : sequence of Anchor, optional
            By default what is in view, topmost first.
        hold : bool
            Whether it stays there even where that leaves room below the last cell.
        """
        scroll = self._scroll
        if anchors is None:
            # Without scrolling in between it is the one of last time, so that undo brings back the
            # view.
            anchors = [*(held for at, held in self._held if at == scroll), *self._in_view()]
        self._groups = groups
        hidden = frozenset(i for i, group in enumerate(groups) if group.label in self._collapsed)
        sizes = tuple(len(group.cell_ids) for group in groups)
        view = self.viewport()
        self._grid = Grid(
            sizes,
            self._tile,
            view.width(),
            self._header_height(),
            collapsed=hidden,
            across=len(self._tiles.parts),
        )
        self._tiles.resize(self._tile, self.devicePixelRatioF())
        anchor, scroll = self._anchored(anchors, scroll)
        bar, room = self.verticalScrollBar(), self._room()
        bar.setSingleStep(self._tile // 2)
        bar.setPageStep(max(1, view.height() - self._grid.header))
        bar.setRange(0, max(room, scroll) if hold else room)
        bar.setValue(scroll)
        self._held = [(scroll, anchor)] if anchor else []
        view.update()

    def _header_height(self) -> int:
        return int(self.fontMetrics().height()) + 10

    def _room(self) -> int:
        return max(0, self._grid.height + self._grid.gap - int(self.viewport().height()))

    def _in_view(self) -> list[Anchor]:
        """The items in view, then the header of the first of them, each with its row in the viewport."""
        spans = list(self._grid.visible(self._scroll, self._scroll + self.viewport().height()))
        found = [
            (
                self._groups[group].label,
                self._groups[group].cell_ids[i],
                self._grid.rect(Item(group, i)).top,
            )
            for group, start, stop in spans
            for i in range(start, stop)
        ]
        if spans:
            group = spans[0].group
            found.append((self._groups[group].label, "", self._grid.rect(Item(group, HEADER)).top))
        return [(label, cell_id, top - self._scroll) for label, cell_id, top in found]

    def _anchored(self, anchors: Iterable[Anchor], scroll: int) -> tuple[Anchor | None, int]:
        """The first anchor that is still shown, and where to scroll so that it stays in its row."""
        members: dict[str, set[str]] = {}
        for label, cell_id, y in anchors:
            group = self._group_of(label)
            if group is None or (cell_id and not self._grid.shown(group)):
                continue
            cell_ids = self._groups[group].cell_ids
            if label not in members:
                members[label] = set(cell_ids)
            if not cell_id:
                # At least the end of its group stays in view.
                area = self._grid.area(group)
                return None, area.top - max(y, self._grid.header - area.height)
            if cell_id in members[label]:
                top = self._grid.rect(Item(group, cell_ids.index(cell_id))).top
                return (label, cell_id, y), top - y
        return None, scroll

    # What it listens to

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        if old is not self._table:
            self._arrange()
            return
        after = self._after_current()
        taxonomy, order, keep = self._session.taxonomy, self._order, self._keep
        groups = rearranged(self._groups, diff(old, new), new, taxonomy, order=order, keep=keep)
        self._table = new
        # While cells are being found, the top of the list stays the top.
        growing = len(new) > len(old)
        anchors = () if growing and self._scroll == 0 else None
        self._lay_out(groups, anchors, hold=not growing)
        if after is not None:
            label, following = after
            if (cell := new.get(self._current)) is None or cell.label != label:
                group = self._group_of(label)
                here = set() if group is None else set(self._groups[group].cell_ids)
                self._next = next((cell_id for cell_id in following if cell_id in here), "")
            else:
                self._next = ""

    def _after_current(self) -> tuple[str, tuple[str, ...]] | None:
        """The label of the current cell, and its neighbours: those after it, then those before it."""
        item = self._item_of(self._next or self._current)
        if item is None:
            return None
        group = self._groups[item.group]
        return group.label, (*group.cell_ids[item.nth :], *reversed(group.cell_ids[: item.nth]))

    def _on_slide(self, _slide: object) -> None:
        self._cancel()
        self._thumbnails.clear()
        self._tiles.clear()
        self._arrange()
        self.verticalScrollBar().setValue(0)

    def _on_selection(self, cell_ids: tuple[str, ...]) -> None:
        self._selected = frozenset(cell_ids)
        if cell_ids and not self._selecting:
            self._current = self._pivot = cell_ids[0]
            self._next = ""
            self.reveal(cell_ids[0])
        self.viewport().update()

    def _on_ready(self, *_what: object) -> None:
        self.viewport().update()

    # Where things are

    @property
    def _scroll(self) -> int:
        return int(self.verticalScrollBar().value())

    def _group_of(self, label: str) -> int | None:
        return next((i for i, group in enumerate(self._groups) if group.label == label), None)

    def _item_of(self, cell_id: str) -> Item | None:
        cell = self._table.get(cell_id)
        group = None if cell is None else self._group_of(cell.label)
        if group is None or cell_id not in (cell_ids := self._groups[group].cell_ids):
            return None
        return Item(group, cell_ids.index(cell_id))

    def _id_of(self, item: Item) -> str:
        return self._groups[item.group].cell_ids[item.nth]

    def _header_top(self, group: int) -> int:
        """Row of a header in the viewport: the header of the topmost group stays in view with its cells."""
        area = self._grid.area(group)
        return max(area.top, min(self._scroll, area.bottom - self._grid.header)) - self._scroll

    def _at(self, pos: QPoint) -> Item | None:
        """The item or header at a point of the viewport."""
        top = self._grid.group_at(self._scroll)
        if top is not None and 0 <= pos.y() - self._header_top(top) < self._grid.header:
            return Item(top, HEADER)
        return self._grid.at(pos.x(), pos.y() + self._scroll)

    def _cell_at(self, pos: QPoint) -> Cell | None:
        item = self._at(pos)
        return None if item is None or item.nth == HEADER else self._table.get(self._id_of(item))

    def _label_at(self, pos: QPoint) -> str:
        """The label of the group at a point of the viewport, empty where there is none."""
        item = self._at(pos)
        group = self._grid.group_at(pos.y() + self._scroll) if item is None else item.group
        return "" if group is None else self._groups[group].label

    def _cancel(self) -> None:
        """End what the mouse does, without effect."""
        self._gesture = None
        self.viewport().unsetCursor()
        self.viewport().update()

    # Painting

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Fit the columns into the width."""
        super().resizeEvent(event)
        self._lay_out(self._groups)

    def scrollContentsBy(self, _dx: int, _dy: int) -> None:  # noqa: N802
        """Paint another part; room that was held below the last cell is given up as it goes out of view."""
        bar = self.verticalScrollBar()
        if bar.maximum() > max(self._room(), bar.value()):
            bar.setMaximum(max(self._room(), bar.value()))
        self.viewport().update()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw what is in view, and ask for the thumbnails that are missing."""
        view, scroll = self.viewport(), self._scroll
        painter = QPainter(view)
        spans = list(self._grid.visible(scroll, scroll + view.height()))
        missing: list[Cell] = []
        end, late = time.monotonic() + FRAME_SECONDS, False
        for group, start, stop in spans:
            for i in range(start, stop):
                cell = self._table[self._groups[group].cell_ids[i]]
                rect = self._grid.rect(Item(group, i))
                tile = self._tiles.get(cell, draw=False)
                if tile is None and not late:
                    tile = self._tiles.get(cell)
                    late = time.monotonic() > end
                if tile is None:
                    missing.append(cell)
                    tile = self._tiles.empty(cell.label)
                painter.drawPixmap(rect.left, rect.top - scroll, tile)
                self._paint_selection(painter, cell, rect)
        if late and missing:
            view.update()
        else:
            self._thumbnails.want(missing)
        for span in reversed(spans):  # the first one may lie over the second
            self._paint_header(painter, span.group)
        if not self._table or not any(group.cell_ids for group in self._groups):
            self._paint_empty(painter)
        if self._gesture is not None:
            self._paint_gesture(painter, self._gesture)
        painter.end()

    def _ink(self, alpha: int = 255) -> QColor:
        color = QColor(self.palette().color(self.foregroundRole()))
        color.setAlpha(alpha)
        return color

    def _paint_selection(self, painter: QPainter, cell: Cell, rect: Rect) -> None:
        gesture = self._gesture
        banded = gesture is not None and cell.cell_id in gesture.banded
        frame = QRect(rect.left, rect.top - self._scroll, rect.width, rect.height).adjusted(
            -4, -4, 3, 3
        )
        if banded or cell.cell_id in self._selected:
            pen = QPen(self._ink(), 3)
            pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
            painter.setPen(pen)
            painter.drawRect(frame.adjusted(1, 1, -1, -1))
        if cell.cell_id == self._current:
            painter.setPen(QPen(self._ink(), 1, Qt.PenStyle.DotLine))
            painter.drawRect(frame.adjusted(-1, -1, 1, 1))

    def _paint_header(self, painter: QPainter, group: int) -> None:
        shown, grid = self._groups[group], self._grid
        top, high = self._header_top(group), grid.header
        area = QRect(0, top, grid.width, high)
        painter.fillRect(area, self.palette().color(self.viewport().backgroundRole()))
        painter.fillRect(area.adjusted(0, 0, 0, -1), self._ink(34))
        middle, closed = top + high // 2, group in grid.collapsed
        points = [(10, -5), (16, 0), (10, 5)] if closed else [(8, -3), (18, -3), (13, 4)]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._ink(200 if shown.cell_ids else 90))
        painter.drawPolygon(QPolygon([QPoint(x, middle + y) for x, y in points]))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        swatch = QRect(high, middle - 7, 14, 14)
        painter.fillRect(swatch, self._tiles.color(shown.label))
        painter.setPen(self._ink(160))
        painter.drawRect(swatch)
        painter.setPen(self._ink(255 if shown.cell_ids else 140))
        line = Qt.AlignmentFlag.AlignVCenter
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(area.adjusted(high + 22, 0, 0, 0), line, self._tiles.short(shown.label))
        font.setBold(False)
        painter.setFont(font)
        indent = high + 32 + painter.fontMetrics().horizontalAdvance("WWW")
        painter.drawText(area.adjusted(indent, 0, 0, 0), line, shown.label)
        indent += painter.fontMetrics().horizontalAdvance(shown.label + "  ")
        painter.setPen(self._ink(150))
        painter.drawText(area.adjusted(indent, 0, 0, 0), line, f"{len(shown.cell_ids):,}")

    def _paint_empty(self, painter: QPainter) -> None:
        text = "No cell passes the filter." if self._table else "No cells yet."
        painter.setPen(self._ink(160))
        top = min(self._grid.height, self.viewport().height() // 2)
        painter.drawText(
            self.viewport().rect().adjusted(0, top, 0, 0), Qt.AlignmentFlag.AlignCenter, text
        )

    def _band(self, gesture: Gesture) -> QRect:
        """The rubber band, from the top left of all."""
        return QRect(gesture.start, gesture.now + QPoint(0, self._scroll)).normalized()

    def _paint_gesture(self, painter: QPainter, gesture: Gesture) -> None:
        wash = self._ink(40)
        painter.setPen(QPen(self._ink(), 2))
        if gesture.kind == "band":
            band = self._band(gesture).translated(0, -self._scroll)
            painter.fillRect(band, wash)
            painter.drawRect(band)
        elif gesture.kind == "drag":
            text = f"{len(self._selected)} selected"
            group = self._group_of(gesture.target)
            if group is not None:
                area, top = self._grid.area(group), self._header_top(group)
                shown = QRect(0, top, area.width, area.bottom - self._scroll - top).adjusted(
                    1, 1, -2, -2
                )
                painter.fillRect(shown, wash)
                painter.drawRect(shown)
                text += f" → {gesture.target}"
            wide = painter.fontMetrics().horizontalAdvance(text) + 16
            hint = QRect(gesture.now + QPoint(14, 14), gesture.now + QPoint(14 + wide, 38))
            hint.moveRight(min(hint.right(), self.viewport().width() - 2))
            painter.fillRect(hint, QColor(0, 0, 0, 220))
            painter.setPen(QColor("white"))
            painter.drawText(hint, Qt.AlignmentFlag.AlignCenter, text)

    def viewportEvent(self, event: QEvent) -> bool:  # noqa: N802
        """Tell about the cell under the mouse."""
        if event.type() != QEvent.Type.ToolTip:
            return bool(super().viewportEvent(event))
        help_event: QHelpEvent = event
        item, cell = self._at(help_event.pos()), self._cell_at(help_event.pos())
        text = "" if cell is None else described(cell, self._session)
        if item is not None and item.nth == HEADER:
            text = "Click the triangle to hide or show the cells; double-click to select them all."
        QToolTip.showText(help_event.globalPos(), text, self)
        return True
