"""Names of the slide and of the field in view, and warnings about them, above the panels."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QLabel, QWidget

from napari_wbc.layers.field import FieldView
from napari_wbc.measure.agreement import CONSENSUS
from napari_wbc.model.stain_alarm import stain_alarm
from napari_wbc.model.table import CellTable, diff
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import column, plain, text_label
from napari_wbc.widgets.qt.panel import Panel

ON_DARK, ON_LIGHT = "#ffb000", "#7a4300"
"""Colours of warnings, with a contrast of 7 and more to napari's dark and light theme."""


class SlideHeader(Panel, QWidget):
    """Name of the slide and of the field in view, and warnings.

    One where the model does not know the slide's stain, one where another image hides the field,
    and one where cells have changed since the report was signed.
    """

    def __init__(self, session: Session, view: FieldView) -> None:
        super().__init__()
        self._session = session
        self._view = view
        self.name = text_label()
        self.stain = text_label(wrap=True)
        self.warning = text_label(wrap=True)
        self.signature = text_label(wrap=True)
        self._warnings = (self.stain, self.warning, self.signature)
        self.name.setStyleSheet("font-weight: bold")
        for label in (self.name, *self._warnings):
            # A long name is cut; it does not widen the window.
            label.setMinimumWidth(1)
        column(self, self.name, *self._warnings, spacing=1).setContentsMargins(6, 2, 6, 2)
        layers = view.viewer.layers.events
        self.listen(self.refresh, session.slide_changed, session.field_changed)
        self.listen(self._refresh_stain, session.slide_changed)
        self.listen(self._on_changed, session.changed)
        self.listen(self.refresh, layers.inserted, layers.removed, layers.reordered)
        self._show_theme()
        self.refresh()
        self._refresh_stain()
        self.show_signature("")

    def show_signature(self, text: str) -> None:
        """Show why the signed report is not of the cells as they are now; empty where it is."""
        self._warn(self.signature, text)

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        # A label, which a person gives every second, changes nothing about the stain.
        change = diff(old, new)
        predicted = any(
            before.prediction is not after.prediction or before.candidate != after.candidate
            for before, after in change.changed
        )
        if change.added or change.removed or predicted:
            self._refresh_stain()

    def changeEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Warn in a colour that can be read in napari's theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._show_theme()

    def _show_theme(self) -> None:
        dark = self.palette().windowText().color().lightness() > 127
        style = f"color: {ON_DARK if dark else ON_LIGHT}"
        for warning in self._warnings:
            # Setting a style changes the style, which is heard here again.
            if warning.styleSheet() != style:
                warning.setStyleSheet(style)

    def _refresh_stain(self, *_what: object) -> None:
        self._warn(self.stain, stain_alarm(self._session.table.values()))

    def refresh(self, *_what: object) -> None:
        """Show the names; the clock calls it too, as napari has no one signal for hidden layers."""
        slide, field = self._session.slide, self._session.field
        if not slide.fields or field is None:
            self._show(self.name, "No slide is open")
        else:
            number = slide.fields.index(field) + 1
            text = f"{slide.name}  ·  {field.path.name}  ({number} of {len(slide.fields)})"
            self._show(self.name, text + self._reader)
        self.name.setToolTip(plain(str(field.path)) if field else "")
        self._warn(self.warning, self._view.unseen)

    @property
    def _reader(self) -> str:
        """Whose labels are shown, if they are not the first reader's."""
        reading = self._session.reading
        if reading == CONSENSUS:
            return "  ·  consensus of the readers"
        return f"  ·  blind reading: {reading}" if reading else ""

    def _warn(self, label: QLabel, text: str) -> None:
        self._show(label, text)
        label.setVisible(bool(text))

    @staticmethod
    def _show(label: Any, text: str) -> None:
        # Setting a text lays the whole window out anew.
        if label.text() != text:
            label.setText(text)
