"""The differential as a table that follows the labels."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_wbc.model.differential import differential, row_counts
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import swatch
from napari_wbc.widgets.qt.panel import Panel

__all__ = ["CountsTable"]

ROW_HEIGHT = 20
COLUMNS = ("class", "n", "%", "95 % limits")


class CountsTable(Panel, QTableWidget):
    """Count, percentage and 95 % limits of each class.

    Parameters
    ----------
    session : Session
        Whose table is counted.
    """

    label_clicked = Signal(str)
    """With the label of the row that was clicked."""

    def __init__(self, session: Session) -> None:
        super().__init__(0, len(COLUMNS))
        self._session = session
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setToolTip("Click a row to select its cells. Limits: Clopper-Pearson.")
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.verticalHeader().setMinimumSectionSize(ROW_HEIGHT)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.cellClicked.connect(self._on_clicked)
        self.listen(self._refresh, session.changed)
        self._refresh()

    def _refresh(self, *_tables: object) -> None:
        session = self._session
        result = differential(session.slide.name, session.table, session.taxonomy)
        rows: list[tuple[str, ...]] = []
        # Without a leukocyte there is no percentage: it would be 0 of 0.
        for s in result.shares:
            numbers = (f"{s.percent:.1f}", f"{s.low:.1f} – {s.high:.1f}")
            rows.append((s.name, str(s.count), *(numbers if result.total else ("", ""))))
        rows.append(("leukocytes", str(result.total), "100" if result.total else "", ""))
        for b in result.beside:
            related = ""
            if b.per_100_wbc is not None and result.total:
                related = f"{b.per_100_wbc:.1f} per 100"
            rows.append((b.name, str(b.count), "", related))
        self.setRowCount(len(rows))
        for i, row in enumerate(rows):
            self._fill(i, row)

    def _fill(self, i: int, row: tuple[str, ...]) -> None:
        colors = self._session.taxonomy.colors
        for j, text in enumerate(row):
            item = self.item(i, j)
            if item is None:
                item = QTableWidgetItem()
                if j:
                    right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    item.setTextAlignment(right)
                elif text in colors:
                    item.setIcon(swatch(colors[text]))
                self.setItem(i, j, item)
            # Qt lays the columns out anew for each text that is set, and a key changes few of them.
            if item.text() != text:
                item.setText(text)

    def _on_clicked(self, row: int, _column: int) -> None:
        item: Any = self.item(row, 0)
        session = self._session
        # The row of all leukocytes is no label.
        if item.text() in row_counts(session.table.label_counts, session.taxonomy):
            self.label_clicked.emit(item.text())
