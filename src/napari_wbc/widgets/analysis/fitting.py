"""A box that a person draws around a cell becomes the cell's outline."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QObject, Signal

from napari_wbc.layers.field import FieldView
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.words import counted
from napari_wbc.pipeline.locate import fit_steps
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.panel import Panel, single_shot
from napari_wbc.widgets.qt.preferences import preference
from napari_wbc.widgets.qt.worker import LatestJob

AFTER_DRAWING_MS = 100
"""Time between two looks whether the person is still drawing the next box."""


class BoxFitter(Panel, QObject):
    """Outlines the cells that are drawn as boxes, each in a step of its own that undo takes back.

    A box in which no cell is seen stays, and so does one that was moved meanwhile.
    """

    noted = Signal(str)
    warned = Signal(str)

    def __init__(self, session: Session, view: FieldView, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._view = view
        self._waiting: dict[str, Cell] = {}
        """The boxes that were drawn in the field in view, by id."""
        self._outlined: Mapping[str, Detection] = {}
        self._job = LatestJob(self)
        self._job.returned.connect(self._on_outlined)
        self._job.failed.connect(self._on_failed)
        self._soon = single_shot(self, self._take, AFTER_DRAWING_MS)
        self.listen(self._on_changed, session.changed)
        self.listen(self._forget, session.slide_changed, session.field_changed)
        self.at_release(self._forget)

    @property
    def busy(self) -> bool:
        """Whether a box is being fitted."""
        return self._job.running or self._soon.isActive()

    def _forget(self, *_what: object) -> None:
        self._waiting.clear()
        self._outlined = {}
        self._soon.stop()
        self._job.cancel()

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        if self._outlined:
            self._soon.start()
        field = self._session.field
        change = diff(old, new)
        if not preference("review", "fit_boxes"):
            return
        # To split a cell makes boxes too, and takes the cell away.
        if self._session.cause != "human" or field is None or change.removed or change.changed:
            return
        for cell in change.added:
            detection = cell.detection
            if detection.drawn and detection.outline is None and cell.fov_id == field.fov_id:
                self._waiting[cell.cell_id] = cell
        if self._waiting:
            self._soon.stop()
            cells = tuple(self._waiting.values())
            read = self._view.read
            self._job.request(lambda: fit_steps(cells, field, read))

    def _on_outlined(self, outlined: Mapping[str, Detection]) -> None:
        self._outlined = outlined
        self._take()

    def _on_failed(self, why: str) -> None:
        # The next box that is drawn must not fail for those that are left as they are.
        self._waiting.clear()
        self.warned.emit(why)

    def _take(self) -> None:
        """Put the outlines in the place of the boxes, as soon as nothing is being drawn."""
        if self._view.drawing:
            self._soon.start()
            return
        # A new step would end redo; the next change of the table leads here again.
        if self._session.redoable:
            return
        cells: list[Cell] = []
        for cell_id, detection in self._outlined.items():
            box = self._waiting.get(cell_id)
            cell = self._session.table.get(cell_id)
            # Identity: whatever was moved has another detection.
            if box is not None and cell is not None and cell.detection is box.detection:
                cells.append(cell.moved(detection))
        self._waiting.clear()
        self._outlined = {}
        if not cells:
            return
        what = f"fit {counted(len(cells))} to the outline"
        # It completes what the person drew: what is drawn is classified as it lies in the end.
        if self._session.commit(self._session.table.with_cells(cells), what, "human"):
            self.noted.emit(
                f"Drew {counted(len(cells))}, fitted to the outline. Ctrl+Z gives the box back."
            )
