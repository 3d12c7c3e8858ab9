"""Marks with their names and counts, line after line."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRect, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wbc.widgets.map.kinds import Kind
from napari_wbc.widgets.map.scatter_view import draw_mark

MAX_LINES = 5
"""Entries on further lines are only counted."""
RADIUS = 5
GAP = 12


class Legend(QWidget):
    """A legend that takes the lines it needs for its width."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: tuple[tuple[Kind, str], ...] = ()
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    @property
    def texts(self) -> tuple[str, ...]:
        """The entries as they are read."""
        return tuple(text for _kind, text in self._entries)

    def show_kinds(self, kinds: Sequence[Kind], counts: Sequence[int]) -> None:
        """Show kinds with how many points are of each."""
        entries = tuple((kind, f"{kind.name} {n:,}") for kind, n in zip(kinds, counts, strict=True))
        if entries == self._entries:
            return
        resized = len(entries) != len(self._entries)
        self._entries = entries
        self.setAccessibleName("Legend: " + ", ".join(self.texts))
        # Counts change with every key that labels a cell, and a new layout of the window is slow.
        if resized:
            self.updateGeometry()
        self.update()

    def hasHeightForWidth(self) -> bool:  # noqa: N802 (Qt's name)
        """The number of lines depends on the width."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802 (Qt's name)
        """Height of the lines that are shown."""
        rects = self._laid_out(width)
        return min(rects[-1].bottom() + 1, MAX_LINES * self._line) if rects else 0

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for the entries at the present width."""
        return QSize(200, self.heightForWidth(max(self.width(), 200)))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """One line."""
        return QSize(80, self._line if self._entries else 0)

    @property
    def _line(self) -> int:
        return max(int(self.fontMetrics().lineSpacing()) + 2, 2 * RADIUS + 6)

    def _laid_out(self, width: int) -> list[QRect]:
        """Where each entry stands, from left to right and line after line."""
        rects = []
        x = 0
        y = 0
        for text in self.texts:
            needed = 2 * RADIUS + 8 + self.fontMetrics().horizontalAdvance(text)
            if x and x + needed > width:
                x = 0
                y += self._line
            rects.append(QRect(x, y, needed, self._line))
            x += needed + GAP
        return rects

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw the entries, and how many have no room."""
        painter = QPainter(self)
        rects = self._laid_out(self.width())
        room = min(self.height(), MAX_LINES * self._line)
        shown = sum(rect.bottom() < room for rect in rects)
        # Entries make way until the count of the others stands beside the last that is shown.
        more = self._more(shown)
        needed = GAP + painter.fontMetrics().horizontalAdvance(more)
        while more and shown and rects[shown - 1].right() + needed > self.width():
            shown -= 1
            more = self._more(shown)
        ink = self.palette().windowText().color()
        for rect, (kind, text) in zip(rects[:shown], self._entries[:shown], strict=True):
            middle = QPointF(rect.left() + RADIUS + 2, rect.center().y() + 0.5)
            draw_mark(painter, kind, middle, RADIUS)
            painter.setPen(ink)
            place = rect.adjusted(2 * RADIUS + 7, 0, 8, 0)
            painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, text)
        painter.setPen(ink)
        place = QRect(0, 0, self.width(), self._line)
        if shown:
            place.moveTopLeft(rects[shown - 1].topRight())
            place.translate(GAP, 0)
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, more)

    def _more(self, shown: int) -> str:
        hidden = len(self._entries) - shown
        return f"and {hidden} more" if hidden else ""
