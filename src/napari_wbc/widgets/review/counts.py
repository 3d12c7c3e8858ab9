"""The differential, always in view: a table that follows the labels, with limits as bars."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from qtpy.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter
from qtpy.QtWidgets import QSizePolicy, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from napari_wbc.model.differential import differential, leukocytes, row_counts
from napari_wbc.model.taxonomy import CANDIDATE
from napari_wbc.model.words import counted
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import TextLines, column, swatch
from napari_wbc.widgets.qt.panel import Panel
from napari_wbc.widgets.qt.table import TextTable

ROW_HEIGHT = 16
LEAST_ROWS = 5
"""Room that is kept on a slide with few labels, so that a new class moves nothing."""
MOST_ROWS = 9
"""Rows up to which all are in view in the smallest window; of more, one scrolls."""
TIP = (
    "Click a row to select its cells. The limits are of counting alone (Clopper-Pearson): labels "
    "that nobody has reviewed can be wrong beyond them, and a report has none for these."
)
COLUMNS = ("class", "n", "%", "95 % limits")
NONE = "none: "
"""Begins the row that names the classes without cells."""
LIMITS = 3
"""Column of the limits."""
SCALE = 70
"""Length of 100 % on the scale beside the limits, in pixels."""
SPAN = Qt.ItemDataRole.UserRole
"""Of a cell of the table: its limits and percentage, 0 to 100, and the colour of the class."""


class Differential(Panel, QWidget):
    """The table, under a line that says how many cells are counted and reviewed."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.summary = TextLines(1)
        self.counts = self.own(CountsTable(session))
        column(self, self.summary, self.counts, stretch=self.counts, spacing=1)
        self.listen(self._refresh, session.changed)
        self._refresh()

    def _refresh(self, *_tables: object) -> None:
        table = self._session.table
        reviewed = sum(table.annotated_counts.values())
        total = leukocytes(table.label_counts, self._session.taxonomy)
        text = f"Differential of {counted(total, 'leukocyte')}"
        if table:
            text += f"  ·  {reviewed} of {counted(len(table))} reviewed"
        self.summary.setText(text)
        self._fit()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Follow the theme, in which the header of the table has its own height."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Be no taller than the rows need, so that a page gets the rest of the window."""
        self.counts.fit()
        self.setMaximumHeight(self.summary.sizeHint().height() + self.counts.maximumHeight() + 8)


class LimitBars(QStyledItemDelegate):
    """Draws the limits of a share as a bar on a scale of 0 to 100 %, at the right of their text."""

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Draw the text, the bar, and a line at the share itself."""
        span = index.data(SPAN)
        area: QRect = option.rect
        # The row has the colour of a selection up to its end.
        text = QStyleOptionViewItem(option)
        text.rect = area.adjusted(0, 0, -SCALE - 4, 0)
        super().paint(painter, text, index)
        if span is None:
            return
        low, percent, high, color = span
        left, top, height = area.right() - SCALE, area.top() + 5, area.height() - 10
        painter.fillRect(QRect(left, area.center().y(), SCALE, 1), QColor("#80808080"))
        width = max(2, round((high - low) * SCALE / 100))
        bar = QRect(left + round(low * SCALE / 100), top, width, height)
        painter.fillRect(bar, QColor(color))
        share = left + round(percent * SCALE / 100) - 1
        # In the colour of the text, since a class may be as dark as the theme.
        painter.fillRect(QRect(share, top - 2, 2, height + 4), option.palette.text().color())

    def sizeHint(  # noqa: N802 (Qt's name)
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        """Room for the text and the scale."""
        return super().sizeHint(option, index) + QSize(SCALE + 4, 0)


class Row(NamedTuple):
    """A row of the table: its texts, and the colour and limits of its class if it has some."""

    texts: tuple[str, str, str, str]
    color: str = ""
    span: tuple[float, float, float, str] | None = None
    tip: str = ""


class CountsTable(Panel, TextTable):
    """Count, percentage and 95 % limits of each class with cells; one row names the others."""

    label_clicked = Signal(str)
    """With the label of the row that was clicked."""

    def __init__(self, session: Session) -> None:
        super().__init__(COLUMNS, ROW_HEIGHT)
        self._session = session
        self.setItemDelegateForColumn(LIMITS, LimitBars(self))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._rows: list[Row] = []
        self.setToolTip(TIP)
        self.cellClicked.connect(self._on_clicked)
        self.listen(self._refresh, session.changed)
        self._refresh()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for all rows."""
        return QSize(super().sizeHint().width(), self._height(self._roomy_rows))

    @property
    def _roomy_rows(self) -> int:
        rows: int = self.rowCount()
        return max(rows, LEAST_ROWS)

    def _height(self, rows: int) -> int:
        header: int = self.horizontalHeader().sizeHint().height()
        frame: int = self.frameWidth()
        return header + rows * ROW_HEIGHT + 2 * frame

    def fit(self) -> None:
        """Be as tall as the rows need, at least for most slides."""
        self.setMinimumHeight(self._height(min(self._roomy_rows, MOST_ROWS)))
        self.setMaximumHeight(self._height(self._roomy_rows))

    def _refresh(self, *_tables: object) -> None:
        session = self._session
        result = differential(session.slide.name, session.table, session.taxonomy)
        colors = session.taxonomy.colors
        rows: list[Row] = []
        for s in result.shares:
            if s.count:
                texts = (s.name, str(s.count), f"{s.percent:.1f}", f"{s.low:.1f} – {s.high:.1f}")
                span = (s.low, s.percent, s.high, colors[s.name])
                rows.append(Row(texts, colors[s.name], span))
        rows.append(Row(("leukocytes", str(result.total), "100" if result.total else "", "")))
        for b in result.beside:
            related = "not counted" if b.name == CANDIDATE else ""
            if b.per_100_wbc is not None and math.isfinite(b.per_100_wbc):
                related = f"{b.per_100_wbc:.1f} per 100"
            if b.count:
                rows.append(Row((b.name, str(b.count), "", related), colors.get(b.name, "")))
        none = [s.name for s in result.shares if not s.count]
        none += [b.name for b in result.beside if not b.count]
        if none:
            text = f"{NONE}{', '.join(none)}"
            highest = max((s.high for s in result.shares if not s.count), default=0.0)
            # Who counts none of a class has not shown that there is none.
            may = f". Of each class up to {highest:.1f} % are possible" if result.total else ""
            rows.append(Row((text, "0", "", ""), tip=f"{text}{may}."))
        self._show(rows, folds=bool(none))

    def _show(self, rows: list[Row], *, folds: bool) -> None:
        """Show rows; with ``folds``, the last one is a single line of text."""
        before, self._rows = self._rows, rows
        self.fill([row.texts for row in rows])
        for i, row in enumerate(rows):
            # Qt lays out anew what is set again, and a key changes few rows.
            if i < len(before) and row == before[i]:
                continue
            item: Any = self.item(i, 0)
            item.setIcon(swatch(row.color) if row.color else QIcon())
            item.setToolTip(row.tip)
            limits: Any = self.item(i, LIMITS)
            limits.setData(SPAN, row.span)
        last = len(rows) - 1
        for i in range(len(rows)):
            wanted = len(COLUMNS) if folds and i == last else 1
            if self.columnSpan(i, 0) != wanted:
                self.setSpan(i, 0, 1, wanted)
        if len(before) != len(rows):
            self.fit()

    def _on_clicked(self, row: int, _column: int) -> None:
        item: Any = self.item(row, 0)
        session = self._session
        # The row of all leukocytes is no label.
        if item.text() in row_counts(session.table.label_counts, session.taxonomy):
            self.label_clicked.emit(item.text())
