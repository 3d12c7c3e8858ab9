"""The differential as a table that follows the labels."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal

from napari_wbc.model.differential import differential, row_counts
from napari_wbc.model.taxonomy import CANDIDATE
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import swatch
from napari_wbc.widgets.qt.panel import Panel
from napari_wbc.widgets.qt.table import TextTable

ROW_HEIGHT = 20
COLUMNS = ("class", "n", "%", "95 % limits")


class CountsTable(Panel, TextTable):
    """Count, percentage and 95 % limits of each class."""

    label_clicked = Signal(str)
    """With the label of the row that was clicked."""

    def __init__(self, session: Session) -> None:
        super().__init__(COLUMNS, ROW_HEIGHT)
        self._session = session
        self.setToolTip("Click a row to select its cells. Limits: Clopper-Pearson.")
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
            related = "not counted" if b.name == CANDIDATE else ""
            if b.per_100_wbc is not None and result.total:
                related = f"{b.per_100_wbc:.1f} per 100"
            rows.append((b.name, str(b.count), "", related))
        self.fill(rows)
        colors = session.taxonomy.colors
        for i, (name, *_numbers) in enumerate(rows):
            item: Any = self.item(i, 0)
            if name in colors and item.icon().isNull():
                item.setIcon(swatch(colors[name]))

    def _on_clicked(self, row: int, _column: int) -> None:
        item: Any = self.item(row, 0)
        session = self._session
        # The row of all leukocytes is no label.
        if item.text() in row_counts(session.table.label_counts, session.taxonomy):
            self.label_clicked.emit(item.text())
