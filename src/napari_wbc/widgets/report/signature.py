"""Whether the report that was signed is still of the cells as they are now."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QObject, Signal

from napari_wbc.errors import WbcError
from napari_wbc.model.audit import Audit
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.kept_audit import audit_key, kept_audit
from napari_wbc.pipeline.lab_report.content import cells_sha256
from napari_wbc.pipeline.lab_report.sign import Signed, note_key, signed_versions
from napari_wbc.session.session import Session
from napari_wbc.storage.codec import parts_of, with_parts
from napari_wbc.widgets.qt.panel import Panel, single_shot
from napari_wbc.widgets.qt.worker import LatestJob

SETTLED_MS = 300
"""Cells are compared with the signed ones when they have not changed for this long."""
AMEND = "Sign again on the page Report to make an amended report."


class SignatureWatch(Panel, QObject):
    """Compares the cells with those that were signed, after each change."""

    warned = Signal(str)
    """With what a person must know at once: a change has broken the signature."""
    changed = Signal(str)
    """With what to show as long as the signature is broken; empty where it holds."""

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._signed: Signed | None = None
        self._holds = False
        """Whether the last comparison found the signed cells."""
        self._job = LatestJob(self)
        self._job.returned.connect(self._on_compared)
        self._job.failed.connect(self.warned)
        self._soon = single_shot(self, self._compare, SETTLED_MS)
        self.listen(self.read, session.slide_changed)
        self.listen(self._on_changed, session.changed)
        self.at_release(self._job.cancel)
        self.at_release(self._soon.stop)

    @property
    def busy(self) -> bool:
        """Whether cells are being compared, or about to be."""
        return self._job.running or self._soon.isActive()

    def read(self, *_slide: object) -> None:
        """Take the last signed version from the project."""
        self._signed, self._holds = None, False
        self.changed.emit("")
        workspace = self._session.workspace
        if workspace is None:
            return
        key = note_key(self._session.slide.name, self._session.reading)
        try:
            versions = signed_versions(workspace.get(key))
        except WbcError as error:
            self.warned.emit(str(error))
            return
        if versions:
            self._signed = versions[-1]
            self._soon.start()

    def _on_changed(self, *_tables: object) -> None:
        if self._signed is not None:
            self._soon.start()

    def _compare(self) -> None:
        workspace = self._session.workspace
        if self._signed is None or workspace is None:
            return
        audit = kept_audit(workspace.get(audit_key(self._session.slide.name)))
        self._job.request(partial(_compare_steps, self._session.table, audit, self._signed))

    def _on_compared(self, result: tuple[Signed, bool]) -> None:
        signed, holds = result
        # The slide may have been left meanwhile.
        if signed is not self._signed:
            return
        held, self._holds = self._holds, holds
        text = ""
        if not holds:
            name = signed.signatures[-1].name
            text = f"Changed since {name} signed. {AMEND}"
        self.changed.emit(text)
        if held and not holds:
            self.warned.emit(text)


def _compare_steps(
    table: CellTable, audit: Audit | None, signed: Signed
) -> Steps[tuple[Signed, bool]]:
    yield Progress("comparing with the signed report", 0, 1)
    # As the project gives them back, of which the report was made: whole numbers are decimal there.
    kept = CellTable(with_parts(cell.cell_id, None, parts_of(cell)) for cell in table.values())
    return signed, cells_sha256(kept, audit) == signed.cells_sha256
