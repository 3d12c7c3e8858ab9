"""The list of the slide's fields."""

from __future__ import annotations

from collections import Counter

from qtpy.QtWidgets import QListWidget
from superqt.utils import signals_blocked

from napari_wbc.model.slide import Slide
from napari_wbc.model.table import CellTable, diff
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.panel import Panel


class FieldList(Panel, QListWidget):
    """One row a field, with the number of its cells; click one to see it."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.setToolTip("Fields of the slide. Page Up and Page Down show the one before and after.")
        self.currentRowChanged.connect(self._on_row)
        self.listen(self._on_slide, session.slide_changed)
        self.listen(self._on_field, session.field_changed)
        self.listen(self._on_changed, session.changed)
        self._on_slide(session.slide)

    def step(self, by: int) -> None:
        """Show the field ``by`` rows further down; at the ends nothing happens."""
        row = self.currentRow() + by
        if 0 <= row < self.count():
            self.setCurrentRow(row)

    def _on_slide(self, slide: Slide) -> None:
        with signals_blocked(self):
            self.clear()
            for field in slide.fields:
                self.addItem(field.path.name)
        if self._session.field is not None:
            self._on_field(self._session.field.fov_id)

    def _on_field(self, fov_id: str) -> None:
        ids = [field.fov_id for field in self._session.slide.fields]
        with signals_blocked(self):
            self.setCurrentRow(ids.index(fov_id))

    def _on_row(self, row: int) -> None:
        if 0 <= row < len(self._session.slide.fields):
            self._session.show_field(self._session.slide.fields[row].fov_id)

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        step = diff(old, new)
        # A label changes no number of cells.
        if not step.added and not step.removed:
            return
        counts = Counter(cell.fov_id for cell in new.values())
        for i, field in enumerate(self._session.slide.fields):
            text = field.path.name
            if counts[field.fov_id]:
                text += f"   ({counts[field.fov_id]})"
            item = self.item(i)
            if item is not None and item.text() != text:
                item.setText(text)
