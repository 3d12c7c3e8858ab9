"""The docks beside the workbench: the gallery and the feature map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari
from qtpy.QtCore import QObject, Qt, Signal

from napari_wbc.pipeline.analysis import ReadField
from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.gallery_panel import GalleryPanel
from napari_wbc.widgets.map.feature_map import FeatureMapPanel
from napari_wbc.widgets.qt.input_guard import guard_inputs
from napari_wbc.widgets.qt.panel import Panel, relay
from napari_wbc.widgets.qt.thumbnails import Thumbnails

GALLERY, MAP = "WBC gallery", "WBC feature map"
MIN_HEIGHTS = {GALLERY: 200, MAP: 200}
"""Least height of a dock in pixels."""
LEAST_WIDTHS = {GALLERY: 520, MAP: 360}
"""What a dock needs at its side in pixels; panels know it only once they are shown."""


class Docks(Panel, QObject):
    """Makes a panel when its dock is opened, and passes its signals on.

    Parameters
    ----------
    weights : callable
        Name or file of the chosen classifier.
    """

    label_chosen = Signal(str, object)
    """With a label and a tuple of ids: the cells that were dragged to it."""
    cell_activated = Signal(str)
    """With the id of the cell to go to."""
    key_pressed = Signal(str)
    """With a plain key as napari names it, for the selected cells."""
    said = Signal(str)
    warned = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        session: Session,
        thumbnails: Thumbnails,
        heats: Heats,
        *,
        weights: Callable[[], str],
        read: ReadField,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._thumbnails = thumbnails
        self._heats = heats
        self._weights = weights
        self._read = read
        self.gallery: GalleryPanel | None = None
        self.map: FeatureMapPanel | None = None
        self._docks: dict[str, Any] = {}
        self.at_release(self._close)

    @property
    def busy(self) -> bool:
        """Whether a map is being made."""
        return self.map is not None and self.map.busy

    def open_gallery(self) -> None:
        """Show the gallery below the image."""
        if self.gallery is None:
            self.gallery = GalleryPanel(self._session, self._thumbnails, self._heats)
            gallery = self.gallery.gallery
            gallery.label_chosen.connect(self.label_chosen)
            gallery.cell_activated.connect(self.cell_activated)
            gallery.key_pressed.connect(self.key_pressed)
            self._dock(self.gallery, GALLERY)
        self._docks[GALLERY].show()
        self._docks[GALLERY].raise_()

    def open_map(self) -> None:
        """Show the feature map below the image, beside the gallery.

        Where the window is too narrow for both, each is a tab.
        """
        if self.map is None:
            self.map = FeatureMapPanel(self._session, self._thumbnails, self._weights, self._read)
            self.map.cell_activated.connect(self.cell_activated)
            self.map.key_pressed.connect(self.key_pressed)
            relay(self.map, self)
            self._dock(self.map, MAP)
        self._docks[MAP].show()
        self._docks[MAP].raise_()
        if self.map.feature_map is None and self._session.table:
            self.map.start()

    def _dock(self, panel: GalleryPanel | FeatureMapPanel, name: str) -> None:
        guard_inputs(panel)
        # Side by side, docks that need more width than there is would widen the window.
        others = [dock for dock in self._docks.values() if dock.isVisible()]
        crowded = bool(others) and others[0].width() < sum(LEAST_WIDTHS.values())
        dock = self._viewer.window.add_dock_widget(panel, name=name, area="bottom", tabify=crowded)
        # A dock below the image ends where the workbench begins, which keeps its whole height.
        dock.parent().setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        dock.setMinimumHeight(MIN_HEIGHTS[name])
        dock.destroyed.connect(lambda _dock=None: self._forget(name))
        self._docks[name] = dock

    def _forget(self, name: str) -> None:
        # The cross of a dock deletes it with its panel; the next opening makes both anew.
        del self._docks[name]
        if name == GALLERY:
            self.gallery = None
        else:
            self.map = None

    def _close(self) -> None:
        for panel in (self.gallery, self.map):
            if panel is not None:
                panel.release()
        for dock in self._docks.values():
            dock.close()
