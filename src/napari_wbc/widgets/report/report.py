"""The report of the open project: what stands in it, where it goes, and who signs it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, SpinBox
from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QInputDialog, QWidget

from napari_wbc.errors import WbcError
from napari_wbc.layers.field import FieldView
from napari_wbc.model.audit import MAX_CELLS
from napari_wbc.model.blood_count import MAX_WBC
from napari_wbc.model.reference import SEXES
from napari_wbc.pipeline.lab_report.choice import Choice, choice_key, kept_choice
from napari_wbc.pipeline.lab_report.pool import pool_name
from napari_wbc.pipeline.lab_report.project import open_points_steps, workspace_report_steps
from napari_wbc.pipeline.lab_report.settings import USUAL
from napari_wbc.pipeline.lab_report.write import Reported
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import Workspace
from napari_wbc.widgets.qt.files import ask_folder
from napari_wbc.widgets.qt.form import form
from napari_wbc.widgets.qt.layout import allow, button, column, folded, primary, row
from napari_wbc.widgets.qt.panel import Panel, guarded, relay
from napari_wbc.widgets.qt.progress import JobBar
from napari_wbc.widgets.report.rules import CountingRules
from napari_wbc.widgets.report.signature import SignatureWatch

WRITE_TIP = "Write the report to a folder (HTML to print, JSON, CSV, FHIR), and show it"
SIGN_TIP = "Sign the report: a later change of a label or a setting breaks the signature visibly"
POOL_TIP = "They are films of one blood: one report counts them all"
ANYBODY = "not said"


class ReportPanel(Panel, QWidget):
    """Write the report of the open project, or sign it."""

    said = Signal(str)
    warned = Signal(str)
    noted = Signal(str)

    def __init__(self, session: Session, view: FieldView) -> None:
        super().__init__()
        self._session = session
        self._view = view
        self.specimen = LineEdit(label="Specimen", tooltip="Number of the specimen")
        self.wbc = FloatSpinBox(
            label="WBC, 10⁹/L",
            min=0,
            max=MAX_WBC,
            step=0.1,
            tooltip="White cell count of the same blood, for absolute counts",
        )
        self.corrected = CheckBox(
            text="WBC already corrected for nucleated red cells",
            tooltip="The analyser corrected it already; it is never corrected twice",
        )
        self.sex = ComboBox(label="Sex", choices=(ANYBODY, *SEXES))
        self.age = FloatSpinBox(
            label="Age, years",
            min=-1,
            max=149,
            value=-1,
            step=1,
            tooltip="Of the patient, for the reference intervals",
        )
        self.target = SpinBox(
            label="Cells to count",
            min=1,
            max=MAX_CELLS,
            value=USUAL.cells,
            tooltip="100, 200, 400 or your own",
        )
        self.masked = CheckBox(
            text="Anonymise",
            tooltip="Name neither slide nor specimen in this report",
        )
        self.pool = CheckBox(
            text="All slides of the project as one",
            tooltip=POOL_TIP,
        )
        self.heat = CheckBox(
            text="Show where the model looks (heat)",
            tooltip="Heat over the cells on the page, by Grad-CAM",
        )
        self.rules = CountingRules()
        # The lowest value stands for none.
        self.wbc.native.setSpecialValueText("not given")
        self.age.native.setSpecialValueText(ANYBODY)
        # As exact as what the shell takes.
        for exact in (self.wbc, self.age):
            exact.native.setDecimals(3)
        self._fields: dict[str, Any] = {
            "specimen": self.specimen,
            "wbc": self.wbc,
            "wbc_corrected": self.corrected,
            "sex": self.sex,
            "age": self.age,
            "target": self.target,
            **self.rules.fields,
        }
        self._start = self._values()
        self._may_sign = False
        """Whether nothing is open, so that the name is asked for next."""
        own = [field for name, field in self._fields.items() if name not in self.rules.fields]
        self.form = form(*own, self.masked, self.heat, self.pool)
        act = partial(guarded, self.warned.emit)
        self.write = primary(button("Report…", "", act(self.write_report)))
        self.sign = button("Sign…", "", act(self.sign_report))
        self.jobs = JobBar("Report")
        relay(self.jobs, self)
        self.jobs.running_changed.connect(self._show_possible)
        self.jobs.running_changed.connect(self._ask_name)
        folds = folded("Counting rules", self.rules.form.native)
        column(self, self.form.native, folds, row(self.write, self.sign), self.jobs)
        self.listen(self._show_possible, session.slide_changed)
        self.listen(self._show_slide, session.slide_changed)
        self.pool.changed.connect(self._show_kept)
        self.at_release(self.jobs.cancel)
        self.signature = self.own(SignatureWatch(session, self))
        relay(self.signature, self)
        self._show_possible()

    @property
    def choice(self) -> Choice:
        """What the form says; nothing where it is as usual."""
        given: dict[str, Any] = {}
        for name, value in self._values().items():
            if value != self._start[name]:
                given[name] = str(value) if isinstance(value, Path) else value
        return Choice(**given)

    def write_report(self, sign: str = "") -> None:
        """Ask for a folder, write the report there, and show it."""
        workspace = self._project()
        folder = ask_folder(self, "Write the report to a folder", "report")
        if folder is None:
            return
        self._save()
        steps = partial(
            workspace_report_steps,
            workspace,
            folder,
            self.choice,
            # The form shows all that was chosen before.
            anew=True,
            masked=self.masked.value,
            heat=self.heat.value,
            sign=sign,
            read=self._view.read,
            **self._subject(),
        )
        self.jobs.start(steps, partial(self._on_written, signed=bool(sign)))

    def sign_report(self) -> None:
        """Say what is missing; if nothing is, ask who signs, then write the signed report."""
        workspace = self._project()
        self._save()
        steps = partial(open_points_steps, workspace, self.choice, **self._subject())
        self.jobs.start(steps, self._on_checked)

    def _project(self) -> Workspace:
        workspace = self._session.workspace
        if workspace is None:
            raise WbcError("A report needs a project. An image that is not from a file has none.")
        return workspace

    def _save(self) -> None:
        """See that the last labels are in the project, which reports read in a thread."""
        self._view.settle()
        if not self._session.flush():
            raise WbcError(self._session.saved.sentence)

    def _subject(self) -> dict[str, Any]:
        """What the report is of."""
        pool = self.pool.value
        slide = "" if pool else self._session.slide.name
        return {"slide": slide, "pool": pool, "reading": self._session.reading}

    def _on_checked(self, points: tuple[str, ...]) -> None:
        self._may_sign = not points
        if points:
            self.warned.emit(f"The report cannot be signed yet: {'; '.join(points)}.")

    def _ask_name(self, running: bool) -> None:
        # The next job can begin only when the last one has ended.
        if running or not self._may_sign:
            return
        self._may_sign = False
        name, ok = QInputDialog.getText(self, "Sign", "Name:", text=self._session.reader)
        if ok and name.strip():
            guarded(self.warned.emit, self.write_report)(name.strip())

    def _values(self) -> dict[str, object]:
        return {name: field.value for name, field in self._fields.items()}

    def _show_slide(self, *_slide: object) -> None:
        """A slide is anonymised or pooled by nobody yet."""
        self.masked.value = False
        self.pool.value = False
        several = len(self._slides) > 1
        self.pool.enabled = several
        self.pool.tooltip = POOL_TIP if several else f"{POOL_TIP}. This project has one slide."
        self._show_kept()

    @property
    def _slides(self) -> list[str]:
        workspace = self._session.workspace
        return [slide.name for slide in workspace.slides()] if workspace else []

    def _show_kept(self, *_pool: object) -> None:
        """Show what was chosen for what is reported: what was for another is of another patient."""
        session = self._session
        name = pool_name(self._slides) if self.pool.value else session.slide.name
        note = session.workspace.get(choice_key(name)) if session.workspace else None
        given = kept_choice(note).given
        for field_name, field in self._fields.items():
            try:
                field.value = given.get(field_name, self._start[field_name])
            # The shell takes numbers that this form has no room for.
            except ValueError:
                field.value = self._start[field_name]

    def _on_written(self, reports: tuple[Reported, ...], *, signed: bool) -> None:
        lines: list[str] = []
        self.signature.read()
        for each in reports:
            critical = "; ".join(alarm.text for alarm in each.report.critical)
            if critical:
                lines.append(f"{each.report.slide}: critical: {critical}.")
            if each.broken:
                lines.append(f"{each.report.slide}: {each.broken}")
        page = reports[0].folder / "report.html"
        done = "signed and written" if signed else "written"
        lines.append(f"The report is {done}: {page}")
        self.said.emit(" ".join(lines))
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))

    def _show_possible(self, *_what: object) -> None:
        reason = ""
        if not self._session.slide.fields:
            reason = "No slide is open. Open one on the page Slide."
        elif self.jobs.running:
            reason = "A report is being written."
        allow(self.write, WRITE_TIP, reason)
        allow(self.sign, SIGN_TIP, reason)
