"""Keeps viewer and panels together: field in view, selected cells, cell under review."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_wbc.layers.focus import restore_camera
from napari_wbc.model.slide import FieldOfView
from napari_wbc.widgets.qt.keys import bind_keys
from napari_wbc.widgets.qt.panel import Panel, single_shot
from napari_wbc.widgets.slide.loading import FieldLoader, Read

if TYPE_CHECKING:
    from napari.layers import Shapes

    from napari_wbc.layers.field import FieldView
    from napari_wbc.session.queue import ReviewQueue
    from napari_wbc.session.session import Session
    from napari_wbc.widgets.slide.place import PlaceKeeper


class Follower(Panel, QObject):
    """The viewer follows a choice in the panels, and the panels follow one in the viewer.

    While ``opening()`` is true, fields of the slide before are not shown.
    """

    said = Signal(str)
    warned = Signal(str)
    cell_shown = Signal(str)
    """With the id of the cell under review or the only one selected; empty for none."""
    field_left = Signal()
    """Before another field is read."""
    field_shown = Signal()
    """After a field is on screen, or could not be read."""

    def __init__(
        self,
        session: Session,
        view: FieldView,
        queue: ReviewQueue,
        place: PlaceKeeper,
        *,
        opening: Callable[[], bool],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._session, self._view, self._queue, self._place = session, view, queue, place
        self._opening = opening
        self.loader = FieldLoader(view, self)
        self.keys: dict[str, Callable[[], Any]] = {}
        self._choosing = False
        self._keeps_zoom = False
        self._current = ""
        """The cell under review, as the queue last told it."""
        self._turned = False
        """Whether a person turned to the field that comes into view."""
        self._soon = single_shot(self, self._finish)
        self._bound: Shapes | None = None
        self._viewer_links, self._cells_links = self.own(Panel()), self.own(Panel())
        self.loader.loaded.connect(self._on_loaded)
        self.listen(self._on_field, session.field_changed)
        self.listen(self._on_chosen, session.selection_changed)
        self.listen(self._on_current, queue.current_changed)
        self.at_release(self._soon.stop)
        self.at_release(self.loader.cancel)

    @property
    def busy(self) -> bool:
        """Whether a field is being read, or its cells are about to be shown."""
        return self.loader.running or self._soon.isActive()

    def keep_zoom(self, on: bool) -> None:
        """Show a field that a person turns to at the zoom of the one before, or else as a whole."""
        self._keeps_zoom = on

    def bind_keys(self, keys: dict[str, Callable[[], Any]]) -> None:
        """Bind keys on the viewer, and on the cells layer, whose own keys would come first."""
        # Unbinding puts back the keys of before, so the layer, bound last, is unbound first.
        layer = self._bound
        self.bind_cells(None)
        self._viewer_links.release()
        self.keys = keys
        self._viewer_links.at_release(bind_keys(self._view.viewer, keys))
        self.bind_cells(layer)

    def bind_cells(self, layer: Shapes | None) -> None:
        """Keys and selection follow this cells layer."""
        if self._bound is layer:
            return
        self._cells_links.release()
        self._bound = layer
        if layer is not None:
            self._cells_links.listen(self._on_highlight, layer.events.highlight)
            self._cells_links.at_release(bind_keys(layer, self.keys))

    def field_of(self, fov_id: str) -> FieldOfView | None:
        """A field of the open slide."""
        return next((field for field in self._session.slide.fields if field.fov_id == fov_id), None)

    def _on_current(self, cell_id: str) -> None:
        """Show the next cell of the queue in the middle, enlarged."""
        before, self._current = self._current, cell_id
        self.cell_shown.emit(cell_id)
        self._view.enlarge(cell_id)
        self._look_ahead()
        # A review that was done before its slide was opened again is no news.
        if before and self._queue.done and self._queue.position[1]:
            self.said.emit("The review is done: no cell is left in it.")

    def _on_chosen(self, cell_ids: tuple[str, ...]) -> None:
        """Show the field of the first selected cell, and select the cells in the viewer."""
        table = self._session.table
        cells = [table[key] for key in cell_ids if key in table]
        if not self._choosing:
            with self._choose():
                if cells:
                    self._session.show_field(cells[0].fov_id)
                self._view.select(cell_ids, center=cell_ids[:1] != (self._queue.current,))
        if len(cells) == 1:
            self.cell_shown.emit(cells[0].cell_id)
        elif not cells:
            self.cell_shown.emit(self._queue.current)

    def _on_highlight(self, _event: Any = None) -> None:
        """Take over a selection made in the viewer, unless it is the same in this field."""
        if self._choosing or self._view.pushing:
            return
        table, field, chosen = self._session.table, self._session.field, self._session.selection
        shown = self._view.selected()
        # Cells of other fields cannot be selected in the viewer, and are left out here.
        in_field = set()
        for cell_id in chosen:
            if field and cell_id in table and table[cell_id].fov_id == field.fov_id:
                in_field.add(cell_id)
        if set(shown) != in_field and all(key in table for key in shown):
            with self._choose():
                self._session.select(shown)

    @contextmanager
    def _choose(self) -> Iterator[None]:
        """Ignore the signals of viewer and session while one of them follows the other."""
        self._choosing = True
        try:
            yield
        finally:
            self._choosing = False

    def _on_field(self, fov_id: str) -> None:
        field, table = self.field_of(fov_id), self._session.table
        # While another slide is opened, the one that is left shows no more fields.
        if self._opening():
            return
        assert field is not None
        self.field_left.emit()
        # The queue tells its next cell only after it has shown the field. An image that a person
        # opens as a slide stays as it was zoomed.
        by_queue = self._queue.current != self._current
        self._turned = self._view.begun and not self._choosing and not by_queue
        if not self._choosing:
            # A person who turns to another field is done with the cells of the one before.
            chosen = self._session.selection
            self._session.select(k for k in chosen if k in table and table[k].fov_id == fov_id)
        self.loader.load(field)

    def _on_loaded(self, read: Read) -> None:
        field, pixels, error = read
        if field != self._session.field or self._opening():
            return
        if pixels is None:
            self.warned.emit(error)
            self._view.blank(field)
        else:
            self._view.show(field, pixels, cells=self._view.binding is not None)
        if self._view.binding is None:
            # napari takes long to add the first cells layer, so the window answers in between.
            self._soon.start()
        else:
            self._finish()

    def _finish(self) -> None:
        """Show the cells of a field whose image is there."""
        if self._opening() or self._session.field is None:
            return
        self.bind_cells(self._view.ensure_cells().layer)
        self.field_shown.emit()
        if self._place.camera is not None:
            restore_camera(self._view.viewer, self._place.camera)
            self._place.camera = None
            return
        chosen = self._session.selection
        if self._turned and not chosen:
            if not self._keeps_zoom:
                self._view.viewer.reset_view()
        elif chosen[:1] in ((), (self._queue.current,)):
            self._view.enlarge(self._queue.current)

    def _look_ahead(self) -> None:
        """Read the field of the cell that the queue has next, so that it is on screen at once."""
        following, table = self._queue.following, self._session.table
        field = self.field_of(table[following].fov_id) if following in table else None
        if field is not None and field != self._session.field:
            self.loader.look_ahead(field)
