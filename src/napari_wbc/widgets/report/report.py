"""The report of the open project: what stands in it, where it goes, and who signs it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSpinBox, LineEdit, SpinBox
from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_wbc.errors import WbcError
from napari_wbc.layers.field import FieldView
from napari_wbc.model.blood_count import WbcCount
from napari_wbc.model.policy import Policy
from napari_wbc.model.reference import Subject
from napari_wbc.model.target import Target
from napari_wbc.pipeline.lab_report.project import workspace_report_steps
from napari_wbc.pipeline.lab_report.reference import settings_of
from napari_wbc.pipeline.lab_report.settings import Settings
from napari_wbc.pipeline.lab_report.write import Reported
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import allow, button, column, primary, row
from napari_wbc.widgets.qt.panel import Panel, guarded
from napari_wbc.widgets.qt.progress import JobBar

WRITE_TIP = "Write the report to a folder (HTML to print, JSON, CSV, FHIR), and show it"
SIGN_TIP = "Sign the report: a later change of a label or a setting breaks the signature visibly"
ANYBODY = "not said"


class ReportPanel(Panel, QWidget):
    """Write the report of the open project, or sign it."""

    said = Signal(str)

    def __init__(self, session: Session, view: FieldView) -> None:
        super().__init__()
        self._session = session
        self._view = view
        self.specimen = LineEdit(label="Specimen", tooltip="Number of the specimen")
        self.wbc = FloatSpinBox(
            label="WBC, 10⁹/L",
            min=0,
            max=1000,
            step=0.1,
            tooltip="White cell count of the same blood, for absolute counts",
        )
        self.corrected = CheckBox(
            text="WBC is corrected for nucleated red cells",
            tooltip="The analyser corrected it already; it is never corrected twice",
        )
        self.sex = ComboBox(label="Sex", choices=(ANYBODY, "female", "male"))
        self.age = SpinBox(
            label="Age, years",
            min=-1,
            max=130,
            value=-1,
            tooltip="Of the patient, for the reference intervals",
        )
        self.target = SpinBox(
            label="Cells to count",
            min=1,
            max=10_000,
            value=100,
            tooltip="100, 200, 400 or your own",
        )
        # The lowest value stands for none.
        self.wbc.native.setSpecialValueText("not given")
        self.age.native.setSpecialValueText(ANYBODY)
        self._fields: dict[str, Any] = {
            "specimen": self.specimen,
            "wbc": self.wbc,
            "corrected": self.corrected,
            "sex": self.sex,
            "age": self.age,
            "target": self.target,
        }
        self._start = self._values()
        self.form = Container(widgets=tuple(self._fields.values()))
        self.form.margins = (0, 0, 0, 0)
        act = partial(guarded, self.said.emit)
        self.write = primary(button("Report…", "", act(self.write_report)))
        self.sign = button("Sign…", "", act(self.sign_report))
        self.jobs = JobBar()
        self.jobs.said.connect(self.said)
        self.jobs.running_changed.connect(self._show_possible)
        column(self, self.form.native, row(self.write, self.sign), self.jobs)
        self.listen(self._show_possible, session.slide_changed)
        self.listen(self._show_kept, session.slide_changed)
        self.at_release(self.jobs.cancel)
        self._show_possible()

    def settings(self) -> Settings:
        """What the form says.

        Raises
        ------
        WbcError
            If a value makes no sense.
        """
        wbc = self.wbc.value
        sex = "" if self.sex.value == ANYBODY else self.sex.value
        age = None if self.age.value < 0 else float(self.age.value)
        return settings_of(
            policy=Policy(),
            wbc=WbcCount(wbc, self.corrected.value) if wbc else None,
            specimen=self.specimen.value,
            subject=Subject(sex, age),
            target=Target(self.target.value, None),
        )

    def write_report(self, sign: str = "") -> None:
        """Ask for a folder, write the report there, and show it."""
        session, settings = self._session, self.settings()
        if session.workspace is None:
            raise WbcError("A report needs a project. An image that is not from a file has none.")
        folder = QFileDialog.getExistingDirectory(self, "Write the report to a folder")
        if not folder:
            return
        self._view.settle()
        session.note(self._key, self._values())
        # The report reads the project in a thread, so the last labels have to be in it.
        if not session.flush():
            raise WbcError(session.saved.sentence)
        steps = partial(
            workspace_report_steps,
            session.workspace,
            Path(folder),
            settings,
            slide=session.slide.name,
            reading=session.reading,
            sign=sign,
            read=self._view.read,
        )
        self.jobs.start(steps, self._on_written)

    def sign_report(self) -> None:
        """Ask who signs, then write the signed report."""
        name, ok = QInputDialog.getText(self, "Sign", "Name:", text=self._session.reader)
        if ok and name.strip():
            self.write_report(name.strip())

    @property
    def _key(self) -> str:
        """Of the note of what the form says of the open slide."""
        return f"report/{self._session.slide.name}"

    def _values(self) -> dict[str, object]:
        return {name: self._fields[name].value for name in self._fields}

    def _show_kept(self, *_slide: object) -> None:
        """Show what was said of this slide: what was said of another is of another patient."""
        workspace = self._session.workspace
        kept = workspace.get(self._key) if workspace is not None else None
        for name, field in self._fields.items():
            value = kept.get(name, self._start[name]) if isinstance(kept, dict) else None
            try:
                field.value = self._start[name] if value is None else value
            # A project may be anybody's.
            except (ValueError, TypeError):
                field.value = self._start[name]

    def _on_written(self, reports: tuple[Reported, ...]) -> None:
        lines: list[str] = []
        for each in reports:
            critical = "; ".join(alarm.text for alarm in each.report.critical)
            if critical:
                lines.append(f"{each.report.slide}: critical: {critical}.")
            if each.broken:
                lines.append(f"{each.report.slide}: {each.broken}")
        page = reports[0].folder / "report.html"
        lines.append(f"The report is written: {page}")
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
