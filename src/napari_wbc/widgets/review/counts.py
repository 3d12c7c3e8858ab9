"""The differential as a table that follows the labels."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_wbc.model.differential import Differential, differential, row_counts
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import swatch
from napari_wbc.widgets.qt.panel import Panel

__all__ = ["CountsTable"]

ROW_HEIGHT = 20
COLUMNS = ("class", "n", "%", "95 % limits")


class CountsTable(Panel, QTableWidget):
    """Count, percentage and confidence limits by label.

    Parameters
    ----------
    session : Session
        Whose table is counted.
    parent : QWidget, optional
    """

    label_clicked = Signal(str)
    """With the label of the row that was clicked."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
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

    def value(self) -> Differential:
        """The differential that is shown."""
        return differential(self._session.slide.name, self._session.table, self._session.taxonomy)

    def _refresh(self, *_tables: object) -> None:
        shown = self.value()
        rows: list[tuple[str, ...]] = []
        for s in shown.shares:
            known = shown.total > 0
            rows.append(
                (
                    s.name,
                    str(s.count),
                    f"{s.percent:.1f}" if known else "",
                    f"{s.low:.1f} – {s.high:.1f}" if known else "",
                )
            )
        rows.append(("leukocytes", str(shown.total), "100" if shown.total else "", ""))
        for b in shown.beside:
            per = (
                f"{b.per_100_wbc:.1f} per 100" if b.per_100_wbc is not None and shown.total else ""
            )
            rows.append((b.name, str(b.count), "", per))
        self.setRowCount(len(rows))
        for i, row in enumerate(rows):
            self._fill(i, row)

    def _fill(self, i: int, row: tuple[str, ...]) -> None:
        for j, text in enumerate(row):
            item = self.item(i, j)
            if item is None:
                item = QTableWidgetItem()
                if j:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                elif row[0] in self._session.taxonomy.colors:
                    item.setIcon(swatch(self._session.taxonomy.colors[row[0]]))
                self.setItem(i, j, item)
            if item.text() != text:
                item.setText(text)

    def _on_clicked(self, row: int, _column: int) -> None:
        item: Any = self.item(row, 0)
        session = self._session
        if item.text() in row_counts(session.table.label_counts, session.taxonomy):
            self.label_clicked.emit(item.text())
