"""Marks with their names and counts, line after line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qtpy.QtCore import QPointF, QRect, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wbc.widgets.map.kinds import Kind
from napari_wbc.widgets.map.scatter_view import draw_mark

__all__ = ["Legend"]

MOST_LINES = 5
"""Lines before the rest is only counted."""
RADIUS = 5.0
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
        if entries != self._entries:
            resized = len(entries) != len(self._entries)
            self._entries = entries
            self.setAccessibleName("Legend: " + ", ".join(self.texts))
            if resized:  # a count alone does not lay the window out anew
                self.updateGeometry()
            self.update()

    def hasHeightForWidth(self) -> bool:  # noqa: N802 (Qt's name)
        """It depends on the width how many lines there are."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802 (Qt's name)
        """Of the lines that are shown."""
        bottom = max((rect.bottom() + 1 for rect, *_ in self._laid_out(width)), default=0)
        return min(bottom, MOST_LINES * self._line)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for the entries at the width it has."""
        return QSize(200, self.heightForWidth(max(self.width(), 200)))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """One line."""
        return QSize(80, self._line if self._entries else 0)

    @property
    def _line(self) -> int:
        return max(int(self.fontMetrics().lineSpacing()) + 2, round(2 * RADIUS) + 6)

    def _laid_out(self, width: int) -> Iterator[tuple[QRect, Kind, str]]:
        """Where each entry stands, from left to right and line after line."""
        x = y = 0
        for kind, text in self._entries:
            wide = round(2 * RADIUS) + 8 + self.fontMetrics().horizontalAdvance(text)
            if x and x + wide > width:
                x, y = 0, y + self._line
            yield QRect(x, y, wide, self._line), kind, text
            x += wide + GAP

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw the entries; those that have no line are counted at the end of the last."""
        painter = QPainter(self)
        ink, left = self.palette().windowText().color(), 0
        room = min(self.height(), MOST_LINES * self._line)
        entries = list(self._laid_out(self.width()))
        left = sum(rect.bottom() >= room for rect, *_ in entries)
        more = f"and {left} more"
        wide = painter.fontMetrics().horizontalAdvance(more)
        last = [e for e in entries if e[0].bottom() < room]
        while left and last and last[-1][0].right() + GAP + wide > self.width():
            last.pop()
            left += 1
            more = f"and {left} more"
        for rect, kind, text in last:
            draw_mark(
                painter, kind, QPointF(rect.left() + RADIUS + 2, rect.center().y() + 0.5), RADIUS
            )
            painter.setPen(ink)
            painter.drawText(
                rect.adjusted(round(2 * RADIUS) + 7, 0, 8, 0), Qt.AlignmentFlag.AlignVCenter, text
            )
        if left:
            x, y = (last[-1][0].right() + GAP, last[-1][0].top()) if last else (0, 0)
            painter.setPen(ink)
            painter.drawText(QRect(x, y, wide + 8, self._line), Qt.AlignmentFlag.AlignVCenter, more)
