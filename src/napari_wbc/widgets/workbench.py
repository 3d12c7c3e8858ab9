"""The workbench: from a slide to its differential with the mouse."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image, Shapes
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QLabel,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.layers.field import FIELDS_KEY, FieldView
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.pipeline.adapt import Adapted, adapt_slide_steps, adapted_name
from napari_wbc.pipeline.analyze import (
    SlideAnalysis,
    analysis_of,
    analyze_fields_steps,
    classify_table_steps,
)
from napari_wbc.pipeline.locate import preview_steps
from napari_wbc.pipeline.report import write_results
from napari_wbc.session.merge import merged
from napari_wbc.session.session import Session
from napari_wbc.widgets.adapt import AdaptButton, weights_folder
from napari_wbc.widgets.counts import CountsTable
from napari_wbc.widgets.detect import DetectorChoice, DetectorWidget
from napari_wbc.widgets.fields import FieldList
from napari_wbc.widgets.keys import bind_keys
from napari_wbc.widgets.layout import group, row
from napari_wbc.widgets.model import ModelWidget
from napari_wbc.widgets.progress import JobBar
from napari_wbc.widgets.review import ReviewWidget
from napari_wbc.widgets.worker import LatestJob

__all__ = ["Workbench"]

READ_EVERY_MS = 2000
"""napari's Features table edits in place without a signal, so the layer is also read by the clock."""


class Workbench(QWidget):
    """Open a slide, locate, classify, review and count its leukocytes.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    session : Session, optional
        A new one where None.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, session: Session | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = session or Session()
        self.view = FieldView(napari_viewer, self.session, getpass.getuser)
        self._loader, self._previewer = LatestJob(self), LatestJob(self)
        self._build()
        self._connect()
        self._found: SlideAnalysis | None = None
        self._parameters: dict[str, Any] = {}
        self._bound: Shapes | None = None
        self._unbind_layer: Callable[[], None] = lambda: None
        label = self._guarded(self.label_selected)
        self._keys: dict[str, Callable[[], Any]] = {
            "Control-Z": self.undo,
            "Control-Shift-Z": self.redo,
            "PageDown": partial(self.fields.step, 1),
            "PageUp": partial(self.fields.step, -1),
        }
        self._keys |= {key: partial(label, name) for key, name in self.session.taxonomy.keys.items()}
        self._unbind_viewer = bind_keys(napari_viewer, self._keys)
        self._open = True
        self._clock = QTimer(self)
        self._clock.timeout.connect(self.view.pull)
        self._clock.start(READ_EVERY_MS)
        self._say("Open a folder of fields, or use the image that is open.")

    def _build(self) -> None:
        self.export = QPushButton("Export…")
        self.export.setToolTip("Write cells, outlines, differential and overlays to a folder")
        self._open_folder = QPushButton("Open folder…")
        self._open_folder.setToolTip("A folder is one slide, its images are the fields")
        self._use_image = QPushButton("Use open image")
        self._use_image.setToolTip("Take the selected image layer as a slide")
        self.fields = FieldList(self.session)
        self.fields.setMaximumHeight(90)
        self.detector = DetectorWidget()
        self.model = ModelWidget(self.session.taxonomy)
        self.adapt = AdaptButton()
        self.run = QPushButton("Analyze slide")
        self.run.setToolTip(
            "Locate and classify the cells of every field; cells that you labelled, drew or moved are kept"
        )
        self.run_field = QPushButton("This field")
        self.run_field.setToolTip("Locate and classify the cells of the field in view")
        self.classify = QPushButton("Classify drawn")
        self.classify.setToolTip("Classify the cells that were drawn or moved")
        self.jobs = JobBar()
        self.review = ReviewWidget(self.session)
        self.counts = CountsTable(self.session)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setTextFormat(Qt.TextFormat.PlainText)  # it tells names from foreign files
        layout = QVBoxLayout(self)
        layout.addWidget(group("Slide", row(self._open_folder, self._use_image), self.fields))
        run = row(self.run, self.run_field, self.classify)
        model = row(self.model, self.adapt)
        layout.addWidget(group("Locate and classify", self.detector, model, run, self.jobs))
        layout.addWidget(group("Review", self.review))
        layout.addWidget(group("Differential", self.counts, self.export), stretch=1)
        layout.addWidget(self.status)

    def _connect(self) -> None:
        self._open_folder.clicked.connect(self._ask_folder)
        self._use_image.clicked.connect(self._guarded(self._open_active))
        self.run.clicked.connect(self._guarded(lambda: self.analyze(self._slide().fields)))
        self.run_field.clicked.connect(self._guarded(self._analyze_field))
        self.classify.clicked.connect(self._guarded(self._classify_drawn))
        self.adapt.clicked.connect(self._guarded(self._adapt))
        self.export.clicked.connect(self._guarded(self._ask_export))
        self.jobs.said.connect(self._say)
        self.model.said.connect(self._say)
        self.jobs.running_changed.connect(self._set_running)
        self._loader.returned.connect(self._on_loaded)
        self._loader.failed.connect(self._say)
        self._previewer.returned.connect(self._on_preview)
        self._previewer.failed.connect(self._say)
        self.detector.changed.connect(self._preview)
        self.detector.preview_toggled.connect(self._preview)
        self.review.label_chosen.connect(self._guarded(self.label_selected))
        self.review.undo_chosen.connect(self.undo)
        self.review.redo_chosen.connect(self.redo)
        self.counts.label_clicked.connect(self._guarded(self.show_label))
        self.session.field_changed.connect(self._on_field)
        self.viewer.layers.events.inserted.connect(self._on_layer)
        self.destroyed.connect(
            lambda _gone=None: self.release()
        )  # Qt would not call a method of what is gone

    def changeEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Let go when napari closes the dock, which takes this widget out and sends no close event."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
            self.deleteLater()

    def closeEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Let go of viewer and session."""
        self.release()
        super().closeEvent(event)

    def release(self) -> None:
        """Stop work, take the last edits in, unbind keys; the second call does nothing.

        It may come when Qt has destroyed the widgets, so it touches none.
        """
        if not self._open:
            return
        self._open = False
        for job in (self.jobs, self._loader, self._previewer):
            job.cancel()
        self.viewer.layers.events.inserted.disconnect(self._on_layer)
        self._bind_cells(None)
        self._unbind_viewer()
        for widget in (self.counts, self.review, self.fields):
            widget.close_session()
        self.session.field_changed.disconnect(self._on_field)
        self.view.close()

    @property
    def busy(self) -> bool:
        """Whether anything is read, previewed, analyzed or classified at this moment."""
        return any(job.running for job in (self.jobs, self._loader, self._previewer))

    def open_slide(self, slide: Slide) -> None:
        """Open a slide from files."""
        if not self._may_leave():
            return
        self.jobs.cancel()
        self._found = None
        self.view.open_slide(slide)
        self._say(f"{slide.name}: {len(slide.fields)} fields")

    def open_layer(self, layer: Image) -> None:
        """Open an image layer as a slide."""
        if not self._may_leave():
            return
        self.view.open_layer(layer)
        self.jobs.cancel()
        self._found = None
        self._say(f"{self.session.slide.name}: {len(self.session.slide.fields)} fields")

    def analyze(self, fields: tuple[FieldOfView, ...]) -> None:
        """Locate and classify the cells of fields of the open slide."""
        choice, weights = self.detector.value(), self.model.value()
        slide = Slide(self.session.slide.name, fields)
        self.jobs.start(
            lambda: analyze_fields_steps(
                slide, choice.name, choice.preset, choice.parameters, weights=weights, read=self.view.read
            ),
            partial(self._on_analyzed, self.session.slide, choice),
        )

    def export_to(self, folder: Path) -> None:
        """Write the slide as it is now: cells, outlines, differential, overlays."""
        self.view.settle()
        table, taxonomy = self.session.table, self.session.taxonomy
        found = self._found
        analysis = analysis_of(
            self.session.slide,
            table,
            detector=found.detector if found else "by hand",
            parameters=self._parameters if found else {},
            failures=found.failures if found else (),
            blood_cells=found.blood_cells if found else {},
        )

        def done(written: Path) -> None:
            self.session.mark_saved(table)
            self._say(f"{len(table)} cells written to {written}")

        self.jobs.start(lambda: write_results(analysis, folder, taxonomy, read=self.view.read), done)

    def label_selected(self, label: str) -> None:
        """Give the selected cells a label."""
        self.view.settle()
        n = self.view.label_selected(label)
        missed = "Select a cell first: click it, or drag a box around several."
        self._say(f"{n} cells: {label}" if n else missed)
        self._on_selection()

    def undo(self) -> None:
        """Take the last change back."""
        self.view.settle()
        what = self.session.undo()
        self._say(f"Undone: {what}" if what else "Nothing to undo.")

    def redo(self) -> None:
        """Do again what was taken back."""
        self.view.settle()
        what = self.session.redo()
        self._say(f"Done again: {what}" if what else "Nothing to redo.")

    def show_label(self, label: str) -> None:
        """Select the cells of a label, in this field or else in the next that has any."""
        cells = [cell for cell in self.session.table.values() if cell.label == label]
        if not cells:
            self._say(f"No cell is labelled {label}.")
            return
        here = self.session.field
        if here is None or here.fov_id not in {cell.fov_id for cell in cells}:
            self.session.show_field(cells[0].fov_id)
        shown = self.session.field
        chosen = {cell.cell_id for cell in cells if shown is not None and cell.fov_id == shown.fov_id}
        self.view.select(chosen)
        self._on_selection()
        fields = len({cell.fov_id for cell in cells})
        self._say(f"{label}: {len(chosen)} here, {len(cells)} in {fields} fields")

    def _slide(self) -> Slide:
        if not self.session.slide.fields:
            self._open_active()
        return self.session.slide

    def _open_active(self) -> None:
        active = self.viewer.layers.selection.active
        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        if not images:
            raise WbcError("No image is open; open a folder or drop an image into the window.")
        self.open_layer(next((layer for layer in images if layer == active), images[-1]))

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a slide: a folder of fields")
        if folder:
            self._guarded(lambda: self.open_slide(open_slide(folder)))()

    def _ask_export(self) -> None:
        if not self.session.slide.fields:
            raise WbcError("No slide is open; open a folder of fields first.")
        folder = QFileDialog.getExistingDirectory(self, "Export to a folder")
        if folder:
            self.export_to(Path(folder))

    def _may_leave(self) -> bool:
        """Ask before what people did is dropped."""
        self.view.settle()
        n = self.session.unsaved
        if not n:
            return True
        text = f"{n} cells were labelled, drawn, moved or deleted and are not exported. Drop that?"
        answer = QMessageBox.question(self, "Open another slide", text)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _analyze_field(self) -> None:
        self._slide()
        field = self.session.field
        if field is not None:
            self.analyze((field,))

    def _classify_drawn(self) -> None:
        self.view.settle()
        table, slide, weights = self.session.table, self.session.slide, self.model.value()
        self.jobs.start(
            lambda: classify_table_steps(slide, table, weights=weights, read=self.view.read),
            self._on_classified,
        )

    def _on_classified(self, found: tuple[Cell, ...]) -> None:
        self.view.settle()
        now = [(self.session.table.get(cell.cell_id), cell) for cell in found]
        same = [a.predicted(b.prediction) for a, b in now if a is not None and a.detection == b.detection]
        self.session.commit(self.session.table.with_cells(same), "classify drawn cells", by_model=True)
        self._say(f"{len(same)} cells classified")

    def _adapt(self) -> None:
        slide, choice, weights = self._slide(), self.detector.value(), self.model.value()
        self.view.settle()
        table, folder, name = self.session.table, weights_folder(), adapted_name(slide.name, datetime.now())
        self.jobs.start(
            lambda: adapt_slide_steps(
                slide,
                table,
                folder,
                weights=weights,
                name=name,
                detector=choice.name,
                preset=choice.preset,
                parameters=choice.parameters,
                read=self.view.read,
            ),
            partial(self._on_adapted, slide, choice),
        )

    def _on_adapted(
        self, slide: Slide, choice: DetectorChoice, result: tuple[SlideAnalysis | None, Adapted]
    ) -> None:
        found, adapted = result
        if found is not None:
            self._on_analyzed(slide, choice, found)
        self.model.choose(str(adapted.weights))
        failed = f"; {len(adapted.failures)} files failed" if adapted.failures else ""
        self._say(
            f"{adapted.weights.stem} is adapted to {adapted.cells} cells and chosen{failed}. Next: Analyze "
            "slide again, and compare by Undo and Redo before you trust it. Research use only."
        )

    def _on_analyzed(self, slide: Slide, choice: DetectorChoice, found: SlideAnalysis) -> None:
        if self.session.slide != slide:
            return
        self.view.settle()
        self._found, self._parameters = found, choice.parameters
        failed = {failure.path for failure in found.failures}
        searched = [field.fov_id for field in found.slide.fields if field.path not in failed]
        self.session.commit(
            merged(self.session.table, found.table.values(), searched), "analyze", by_model=True
        )
        self._bind_cells(self.view.ensure_cells().layer)
        text = f"{len(found.table)} cells in {len(searched)} fields"
        if failed:
            text += f"; {len(failed)} files failed: {found.failures[0].message}"
        for name in sorted({name for counts in found.blood_cells.values() for name in counts}):
            text += f"; {sum(counts.get(name, 0) for counts in found.blood_cells.values())} {name}s"
        if not found.classified:
            text += f"; located by {found.detector} and not classified, since PyTorch cannot be loaded"
        self._say(text)

    def _set_running(self, running: bool) -> None:
        for button in (self.run, self.run_field, self.classify, self.adapt, self.export):
            button.setEnabled(not running)

    def _on_field(self, fov_id: str) -> None:
        field = next(f for f in self.session.slide.fields if f.fov_id == fov_id)
        self._previewer.cancel()
        self._loader.request(partial(_load_steps, field, self.view.read))

    def _on_loaded(self, loaded: tuple[FieldOfView, npt.NDArray[np.uint8] | None, str]) -> None:
        field, pixels, error = loaded
        if field != self.session.field:
            return
        if pixels is None:
            self._say(error)
            self.view.blank(field)
        else:
            self.view.show(field, pixels)
        self._bind_cells(self.view.ensure_cells().layer)
        self._preview()

    def _on_layer(self, event: Any) -> None:
        layer = event.value
        if isinstance(layer, Image) and FIELDS_KEY in layer.metadata:
            self._guarded(self.open_layer)(layer)

    def _preview(self, _choice: object = None) -> None:
        field = self.session.field
        if not self.detector.preview.isChecked() or field is None:
            self._previewer.cancel()
            self.view.clear_preview()
            return
        choice = self.detector.value()
        self._previewer.request(
            lambda: preview_steps(self.view.read(field), choice.name, choice.preset, choice.parameters)
        )

    def _on_preview(self, detections: tuple[Detection, ...]) -> None:
        self.view.preview(detections)
        self._say(f"Preview: {len(detections)} cells")

    def _bind_cells(self, layer: Shapes | None) -> None:
        """Keys and selection follow the cells layer, whose own keys would come first."""
        if self._bound is layer:
            return
        if self._bound is not None:
            self._bound.events.highlight.disconnect(self._on_selection)
            self._unbind_layer()
        self._bound = layer
        if layer is not None:
            layer.events.highlight.connect(self._on_selection)
            self._unbind_layer = bind_keys(layer, self._keys)

    def _on_selection(self, _event: Any = None) -> None:
        self.review.show_selection(self.view.selected())

    def _guarded(self, action: Callable[..., Any]) -> Callable[..., None]:
        """An action whose WbcError is told in the status line."""

        def act(*args: Any) -> None:
            try:
                action(*(a for a in args if not isinstance(a, bool)))
            except WbcError as error:
                self._say(str(error))

        return act

    def _say(self, text: str) -> None:
        self.status.setText(text)


def _load_steps(
    field: FieldOfView, read: Callable[[FieldOfView], npt.NDArray[np.uint8]]
) -> Steps[tuple[FieldOfView, npt.NDArray[np.uint8] | None, str]]:
    yield Progress("reading", 0, 1)
    try:
        return field, read(field), ""
    except ReadError as error:
        return field, None, str(error)
