"""The gallery with its controls, for a dock of its own."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QVBoxLayout

from napari_wbc.session.heats import Heats
from napari_wbc.session.order import Filter
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.arrange import ORDERS
from napari_wbc.widgets.gallery.gallery import Gallery
from napari_wbc.widgets.gallery.tiles import CELL, HEAT, OVERLAY
from napari_wbc.widgets.qt.layout import row
from napari_wbc.widgets.qt.panel import DockPanel
from napari_wbc.widgets.qt.thumbnails import Thumbnails

__all__ = ["GalleryPanel"]

NAMES = dict(
    zip(
        ("least certain first", "most unlike first", "most certain first", "as found"),
        ORDERS,
        strict=True,
    )
)
PARTS = {
    "cells": (CELL,),
    "cells and heat": (OVERLAY,),
    "cell, heat, both": (CELL, HEAT, OVERLAY),
}
WHICH = {"all cells": None, "to review": False, "reviewed": True}


class GalleryPanel(DockPanel):
    """Order, filter and zoom above the gallery.

    Parameters
    ----------
    session : Session
    thumbnails : Thumbnails
    heats : Heats
        Where heat is looked for.
    """

    def __init__(self, session: Session, thumbnails: Thumbnails, heats: Heats) -> None:
        super().__init__()
        self.gallery = self.own(Gallery(session, thumbnails, heats))
        self.parts = QComboBox()
        self.parts.addItems(list(PARTS))
        self.parts.setToolTip("What is shown of each cell; heat is found in the tab Explain")
        self.parts.currentTextChanged.connect(lambda name: self.gallery.show_parts(PARTS[name]))
        self.order, self.which = QComboBox(), QComboBox()
        self.order.addItems(list(NAMES))
        self.which.addItems(list(WHICH))
        self.order.currentTextChanged.connect(lambda name: self.gallery.set_order(NAMES[name]))
        self.which.currentTextChanged.connect(self._on_which)
        larger, smaller = QPushButton("+"), QPushButton("−")  # noqa: RUF001, the sign of minus
        larger.setToolTip("Larger (Ctrl and wheel)")
        smaller.setToolTip("Smaller (Ctrl and wheel)")
        larger.clicked.connect(lambda: self.gallery.zoom(1))
        smaller.clicked.connect(lambda: self.gallery.zoom(-1))
        for button in (larger, smaller):
            button.setFixedWidth(32)
        hint = QLabel("Click, drag a box, or drag cells to a class; or press a class's key")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.setSpacing(2)
        layout.addWidget(row(self.order, self.which, self.parts, larger, smaller, hint))
        layout.addWidget(self.gallery, stretch=1)

    def _on_which(self, name: str) -> None:
        reviewed = WHICH[name]
        self.gallery.set_filter(None if reviewed is None else Filter(reviewed=reviewed).admits)
