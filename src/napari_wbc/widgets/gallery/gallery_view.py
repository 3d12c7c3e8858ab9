"""The thumbnails of a slide by label: which are shown, where they lie, and what stays in view.

Invariant: it changes neither cells nor selection.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qtpy.QtCore import QEvent, QPoint, QRect, Qt
from qtpy.QtGui import QHelpEvent, QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QAbstractScrollArea, QToolTip

from napari_wbc.model.cell import Cell
from napari_wbc.model.table import CellTable, diff
from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.arrange import Group, Keep, arranged, rearranged
from napari_wbc.widgets.gallery.grid import HEADER, Grid, Item, Span
from napari_wbc.widgets.gallery.headers import ink, paint_frame, paint_header
from napari_wbc.widgets.gallery.tiles import Tiles
from napari_wbc.widgets.qt.described import described
from napari_wbc.widgets.qt.panel import Panel
from napari_wbc.widgets.qt.thumbnails import Thumbnails

TILES = (48, 64, 80, 96, 112, 128, 160, 192)
"""Sides of a thumbnail that can be chosen, in pixels."""
MAX_FRAME_S = 0.02
"""Time for tiles in one frame; the next frame draws the others, so that scrolling stays smooth."""


class Anchor(NamedTuple):
    """A cell, or the header of a group where ``cell_id`` is empty, and its row in the viewport."""

    label: str
    cell_id: str
    y: int


class GalleryView(Panel, QAbstractScrollArea):
    """The thumbnails of a slide by label, as a picture that follows the session."""

    def __init__(self, session: Session, thumbnails: Thumbnails, heats: Heats) -> None:
        super().__init__()
        self._session = session
        self._thumbnails = thumbnails
        self._heats = heats
        self._tiles = Tiles(thumbnails, session.taxonomy, heats)
        self._order = "confidence"
        self._tile = 96
        self._keep: Keep | None = None
        self._collapsed: set[str] = set()
        self._table = CellTable()
        self.groups = tuple[Group, ...]()
        """The cells that are shown, by label."""
        self._grid = Grid((), self._tile, 0)
        # Where the last layout scrolled to, and the anchor that stayed in its row.
        self._anchor_at: tuple[int, Anchor] | None = None
        # Cells to be framed: selected ones, those in a rubber band, and the current one.
        self._selected = frozenset(session.selection)
        self._banded = frozenset[str]()
        self._current = next(iter(session.selection), "")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Always on: a bar that comes and goes would change the width, and with it the columns.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setAccessibleName("Gallery of cells")
        self.at_release(self._show_nothing)
        self.listen(self._repaint, thumbnails.ready, heats.changed)
        self.listen(self._on_changed, session.changed)
        self.listen(self._on_slide, session.slide_changed)
        self.listen(self._on_selection, session.selection_changed)
        self._arrange()

    def show_parts(self, parts: tuple[str, ...]) -> None:
        """Show these pictures (``CELL``, ``HEAT``, ``OVERLAY``) of each cell side by side."""
        self._tiles.show(parts)
        self._lay_out(self.groups)

    def set_order(self, order: str) -> None:
        """Sort the cells in another order; the view stays on the same groups.

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
        self._lay_out(self.groups)

    def collapse(self, label: str, collapsed: bool = True) -> None:
        """Show only the header of a group, or its cells again."""
        others = self._collapsed - {label}
        self._collapsed = others | {label} if collapsed else others
        group = self._group_of(label)
        if group is not None:
            # The header stays under the mouse; one that was held at the top stays at the top.
            y = self._grid.rect(Item(group, HEADER)).top - self._scroll
            self._lay_out(self.groups, [Anchor(label, "", max(0, y))])

    def reveal(self, cell_id: str) -> None:
        """Scroll as little as brings a cell, or the header of its collapsed group, into view."""
        item = self._item_of(cell_id)
        if item is not None:
            rect = self._grid.rect(item)
            lowest = rect.bottom + self._grid.gap - self.viewport().height()
            # The header of the group lies over the top of the viewport.
            highest = rect.top - self._grid.header - self._grid.gap
            self.verticalScrollBar().setValue(min(max(self._scroll, lowest), highest))

    def _show_nothing(self) -> None:
        """Show no cell any more, and ask for no more thumbnails."""
        self._thumbnails.cancel()
        self._table = CellTable()
        self._lay_out(())

    def _arrange(self) -> None:
        self._table = self._session.table
        taxonomy = self._session.taxonomy
        self._lay_out(arranged(self._table, taxonomy, order=self._order, keep=self._keep))

    def _lay_out(
        self,
        groups: tuple[Group, ...],
        anchors: Sequence[Anchor] | None = None,
        *,
        hold: bool = False,
    ) -> None:
        """Show groups; the first anchor that is still shown stays in its row."""
        scroll = self._scroll
        if anchors is None:
            anchors = self._in_view()
            # The last anchor first, unless someone has scrolled: undo brings back the same view.
            if self._anchor_at is not None and self._anchor_at[0] == scroll:
                anchors.insert(0, self._anchor_at[1])
        self.groups = groups
        view = self.viewport()
        self._grid = Grid(
            tuple(len(group.cell_ids) for group in groups),
            self._tile,
            view.width(),
            self.fontMetrics().height() + 10,
            collapsed=frozenset(i for i, g in enumerate(groups) if g.label in self._collapsed),
            across=len(self._tiles.parts),
        )
        self._tiles.resize(self._tile, self.devicePixelRatioF())
        anchor, scroll = self._anchored(anchors, scroll)
        bar = self.verticalScrollBar()
        room = self._room()
        bar.setSingleStep(self._tile // 2)
        bar.setPageStep(max(1, view.height() - self._grid.header))
        # The range before the value, which Qt cuts to the range. To hold the anchor in its row may
        # leave room below the last cell.
        bar.setRange(0, max(room, scroll) if hold else room)
        bar.setValue(scroll)
        self._anchor_at = (scroll, anchor) if anchor else None
        view.update()

    def _room(self) -> int:
        return max(0, self._grid.height + self._grid.gap - int(self.viewport().height()))

    def _in_view(self) -> list[Anchor]:
        """The items in view, then the header of the first of them."""
        anchors = []
        spans = self._spans()
        for span in spans:
            group = self.groups[span.group]
            for i in range(span.start, span.stop):
                y = self._grid.rect(Item(span.group, i)).top - self._scroll
                anchors.append(Anchor(group.label, group.cell_ids[i], y))
        if spans:
            y = self._grid.rect(Item(spans[0].group, HEADER)).top - self._scroll
            anchors.append(Anchor(self.groups[spans[0].group].label, "", y))
        return anchors

    def _spans(self) -> list[Span]:
        return list(self._grid.visible(self._scroll, self._scroll + self.viewport().height()))

    def _anchored(self, anchors: Iterable[Anchor], scroll: int) -> tuple[Anchor | None, int]:
        """The first anchor that is still shown, and where to scroll so that it stays in its row."""
        members: dict[str, set[str]] = {}
        for anchor in anchors:
            label, cell_id, y = anchor
            group = self._group_of(label)
            if group is None or (cell_id and not self._grid.shown(group)):
                continue
            cell_ids = self.groups[group].cell_ids
            if label not in members:
                members[label] = set(cell_ids)
            if not cell_id:
                # At least the end of its group stays in view.
                area = self._grid.area(group)
                return None, area.top - max(y, self._grid.header - area.height)
            if cell_id in members[label]:
                top = self._grid.rect(Item(group, cell_ids.index(cell_id))).top
                return anchor, top - y
        return None, scroll

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        if old is not self._table:
            self._arrange()
            return
        taxonomy = self._session.taxonomy
        change = diff(old, new)
        groups = rearranged(self.groups, change, new, taxonomy, order=self._order, keep=self._keep)
        self._table = new
        # While cells are being located, the top of the list stays the top.
        growing = len(new) > len(old)
        anchors = () if growing and self._scroll == 0 else None
        self._lay_out(groups, anchors, hold=not growing)

    def _on_slide(self, _slide: object) -> None:
        self._thumbnails.clear()
        self._tiles.clear()
        self._arrange()
        self.verticalScrollBar().setValue(0)

    def _on_selection(self, cell_ids: tuple[str, ...]) -> None:
        self._selected = frozenset(cell_ids)
        self.viewport().update()

    def _repaint(self, *_what: object) -> None:
        self.viewport().update()

    @property
    def _scroll(self) -> int:
        return int(self.verticalScrollBar().value())

    def _group_of(self, label: str) -> int | None:
        return next((i for i, group in enumerate(self.groups) if group.label == label), None)

    def _item_of(self, cell_id: str) -> Item | None:
        cell = self._table.get(cell_id)
        group = None if cell is None else self._group_of(cell.label)
        if group is None or cell_id not in (cell_ids := self.groups[group].cell_ids):
            return None
        return Item(group, cell_ids.index(cell_id))

    def _id_of(self, item: Item) -> str:
        return self.groups[item.group].cell_ids[item.nth]

    def _header_top(self, group: int) -> int:
        """Row of a header in the viewport; that of the topmost group stays in view."""
        area = self._grid.area(group)
        return max(area.top, min(self._scroll, area.bottom - self._grid.header)) - self._scroll

    def _at(self, pos: QPoint) -> Item | None:
        """The item or header at a point of the viewport."""
        # The header that is held at the top lies over the cells of its group.
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
        return "" if group is None else self.groups[group].label

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 (Qt's name)
        """Fit the columns into the width."""
        super().resizeEvent(event)
        self._lay_out(self.groups)

    def scrollContentsBy(self, _dx: int, _dy: int) -> None:  # noqa: N802 (Qt's name)
        """Paint another part."""
        # Room that was held below the last cell is given up as it goes out of view.
        bar = self.verticalScrollBar()
        if bar.maximum() > max(self._room(), bar.value()):
            bar.setMaximum(max(self._room(), bar.value()))
        self.viewport().update()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw what is in view, and ask for the thumbnails that are missing."""
        painter = QPainter(self.viewport())
        spans = self._spans()
        self._paint_cells(painter, spans)
        # Over the cells, and the first one last: it may lie over the second.
        for span in reversed(spans):
            top = self._header_top(span.group)
            area = QRect(0, top, self._grid.width, self._grid.header)
            painter.fillRect(area, self.palette().color(self.viewport().backgroundRole()))
            collapsed = span.group in self._grid.collapsed
            group = self.groups[span.group]
            paint_header(painter, area, group, self._tiles, ink(self), collapsed=collapsed)
        if not any(group.cell_ids for group in self.groups):
            text = "No cell passes the filter." if self._table else "No cells yet."
            top = min(self._grid.height, self.viewport().height() // 2)
            painter.setPen(ink(self, 160))
            area = self.viewport().rect().adjusted(0, top, 0, 0)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
        painter.end()

    def _paint_cells(self, painter: QPainter, spans: Sequence[Span]) -> None:
        missing: list[Cell] = []
        color = ink(self)
        end = time.monotonic() + MAX_FRAME_S
        late = False
        for group, start, stop in spans:
            for i in range(start, stop):
                cell = self._table[self.groups[group].cell_ids[i]]
                rect = self._grid.rect(Item(group, i))
                tile = self._tiles.get(cell, draw=False)
                if tile is None and not late:
                    tile = self._tiles.get(cell)
                    late = time.monotonic() > end
                if tile is None:
                    missing.append(cell)
                    tile = self._tiles.empty(cell.label)
                painter.drawPixmap(rect.left, rect.top - self._scroll, tile)
                key = cell.cell_id
                chosen = key in self._selected or key in self._banded
                area = QRect(rect.left, rect.top - self._scroll, rect.width, rect.height)
                paint_frame(painter, area, color, chosen=chosen, current=key == self._current)
        if late and missing:
            # Their thumbnails may be there; the next frame draws them, or asks for them.
            self.viewport().update()
        else:
            self._thumbnails.want(missing)

    def viewportEvent(self, event: QEvent) -> bool:  # noqa: N802 (Qt's name)
        """Describe the cell under the mouse in a tooltip."""
        if event.type() != QEvent.Type.ToolTip:
            return bool(super().viewportEvent(event))
        help_event: QHelpEvent = event
        item = self._at(help_event.pos())
        cell = self._cell_at(help_event.pos())
        text = ""
        if cell is not None:
            text = described(cell, self._session, self._heats.get(cell.cell_id))
        if item is not None and item.nth == HEADER:
            text = "Click the triangle to hide or show these cells. Double-click to select them."
        QToolTip.showText(help_event.globalPos(), text, self)
        return True
