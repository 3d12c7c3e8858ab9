"""The gallery with its controls, for a dock of its own."""

from __future__ import annotations

from functools import partial

from qtpy.QtWidgets import QPushButton

from napari_wbc.session.heats import Heats
from napari_wbc.session.order import Filter
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.gallery import Gallery
from napari_wbc.widgets.gallery.tiles import CELL, HEAT, OVERLAY
from napari_wbc.widgets.qt.layout import TextLines, button, choice, column, row
from napari_wbc.widgets.qt.panel import DockPanel
from napari_wbc.widgets.qt.thumbnails import Thumbnails

ORDERS = {
    "least certain first": "confidence",
    "most unlike first": "unlikeness",
    "most certain first": "likeness",
    "as located": "field",
}
PARTS = {"cells": (CELL,), "cells and heat": (OVERLAY,), "cell, heat, both": (CELL, HEAT, OVERLAY)}
REVIEWED = {"all cells": None, "to review": False, "reviewed": True}


class GalleryPanel(DockPanel):
    """Order, filter and zoom above the gallery."""

    def __init__(self, session: Session, thumbnails: Thumbnails, heats: Heats) -> None:
        super().__init__()
        self.gallery = self.own(Gallery(session, thumbnails, heats))
        self.parts = choice(PARTS, "Pictures of each cell. The page Improve computes heat.")
        self.parts.currentTextChanged.connect(lambda name: self.gallery.show_parts(PARTS[name]))
        self.order = choice(ORDERS, "Which cells come first")
        self.order.currentTextChanged.connect(lambda name: self.gallery.set_order(ORDERS[name]))
        self.which = choice(REVIEWED, "Cells still to review, all, or reviewed cells")
        self.which.currentTextChanged.connect(self._on_which)
        larger = self._zoom_button("+", "Larger thumbnails (Ctrl and wheel)", 1)
        smaller = self._zoom_button("\N{MINUS SIGN}", "Smaller thumbnails (Ctrl and wheel)", -1)
        hint = TextLines(1)
        hint.setText("Select, then press a class key, or drag.")
        controls = row(self.order, self.which, self.parts, larger, smaller, hint, stretch=hint)
        column(self, controls, self.gallery, stretch=self.gallery, margin=2, spacing=2)

    def _zoom_button(self, text: str, tip: str, steps: int) -> QPushButton:
        push = button(text, tip, partial(self.gallery.zoom, steps))
        push.setFixedWidth(32)
        return push

    def _on_which(self, name: str) -> None:
        reviewed = REVIEWED[name]
        self.gallery.set_filter(None if reviewed is None else Filter(reviewed=reviewed).admits)
