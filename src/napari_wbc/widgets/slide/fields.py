"""The list of the slide's fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from qtpy.QtWidgets import QListWidget
from superqt.utils import signals_blocked

from napari_wbc.model.slide import Slide
from napari_wbc.model.table import CellTable, diff
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.panel import Panel

DISAGREED = "\N{WARNING SIGN}"
"""Beside a field on which the cell finders disagree."""


class FieldList(Panel, QListWidget):
    """One row a field, with the number of its cells; click one to see it.

    A mark stands beside a field on which the cell finders disagree; its tooltip says how far.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._disagreements: Mapping[str, str] = {}
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

    def flag(self, disagreements: Mapping[str, str]) -> None:
        """Mark the fields, by id, on which the cell finders disagree; the texts say how far."""
        self._disagreements = disagreements
        self._show()

    def _on_slide(self, slide: Slide) -> None:
        self._disagreements = {}
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
        self._show()

    def _show(self) -> None:
        """Number of cells and mark beside the name of each field."""
        counts = Counter(cell.fov_id for cell in self._session.table.values())
        for i, field in enumerate(self._session.slide.fields):
            disagreement = self._disagreements.get(field.fov_id, "")
            text = field.path.name
            if counts[field.fov_id]:
                text += f"   ({counts[field.fov_id]})"
            if disagreement:
                text += f"   {DISAGREED}"
            item = self.item(i)
            if item is not None and (item.text(), item.toolTip()) != (text, disagreement):
                item.setText(text)
                item.setToolTip(disagreement)
