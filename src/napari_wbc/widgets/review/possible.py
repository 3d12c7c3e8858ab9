"""Which classes a cell may be of, once enough cells of its slide are reviewed."""

from __future__ import annotations

from napari_wbc.model.cell import Cell
from napari_wbc.model.prediction_sets import Calibration, calibrated
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.kept_audit import audit_key, kept_audit
from napari_wbc.session.session import Session


class PossibleClasses:
    """The possible classes of cells of the open slide."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._of: CellTable | None = None
        self._calibration: Calibration | None = None

    def text(self, cell: Cell) -> str:
        """The possible classes of a cell that nobody has reviewed; empty if nothing tells them."""
        if cell.prediction is None or cell.annotation is not None:
            return ""
        calibration = self._calibrated()
        return " or ".join(calibration.possible(cell.prediction)) if calibration else ""

    def _calibrated(self) -> Calibration | None:
        table = self._session.table
        # Sorting all cells of a slide takes a while, and each change makes a new table.
        if self._of is not table:
            self._of = table
            workspace = self._session.workspace
            note = workspace.get(audit_key(self._session.slide.name)) if workspace else None
            self._calibration = calibrated(table, kept_audit(note))
        return self._calibration
