"""The workbench: from a slide to its differential with the mouse."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.layers.field import FIELDS_KEY, FieldView
from napari_wbc.model.progress import Progress
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.pipeline.analyze import (
    SlideAnalysis,
    analyze_fields_steps,
    classify_table_steps,
    make_detector,
    preview_steps,
)
from napari_wbc.session.merge import merged
from napari_wbc.session.session import Session
from napari_wbc.widgets.counts import CountsTable
from napari_wbc.widgets.detect import DetectorWidget
from napari_wbc.widgets.fields import FieldList
from napari_wbc.widgets.review import ReviewWidget
from napari_wbc.widgets.worker import Job, LatestJob

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
        self._job, self._loader, self._previewer = Job(self), LatestJob(self), LatestJob(self)
        self._build()
        self._connect()
        self._clock = QTimer(self)
        self._clock.timeout.connect(self.view.pull)
        self._clock.start(READ_EVERY_MS)
        self._say("Open a folder of fields, or use the image that is open.")

    def _build(self) -> None:
        self._open_folder = QPushButton("Open folder…")
        self._open_folder.setToolTip("A folder is one slide, its images are the fields")
        self._use_image = QPushButton("Use open image")
        self._use_image.setToolTip("Take the selected image layer as a slide")
        self.fields = FieldList(self.session)
        self.fields.setMaximumHeight(110)
        self.detector = DetectorWidget()
        self.run = QPushButton("Analyze slide")
        self.run.setToolTip("Locate and classify the cells of every field; what people said is kept")
        self.run_field = QPushButton("This field")
        self.run_field.setToolTip("Locate and classify the cells of the field in view")
        self.classify = QPushButton("Classify drawn")
        self.classify.setToolTip("Classify the cells that were drawn or moved")
        self.cancel = QPushButton("Cancel")
        self.bar = QProgressBar()
        self.bar.setFormat("%v / %m")
        self.review = ReviewWidget(self.session)
        self.counts = CountsTable(self.session)
        self.status = QLabel()
        self.status.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(_group("Slide", _row(self._open_folder, self._use_image), self.fields))
        layout.addWidget(
            _group(
                "Locate and classify",
                self.detector,
                _row(self.run, self.run_field, self.classify),
                _row(self.bar, self.cancel),
            )
        )
        layout.addWidget(_group("Review", self.review))
        layout.addWidget(_group("Differential", self.counts), stretch=1)
        layout.addWidget(self.status)
        self._set_running(False)

    def _connect(self) -> None:
        self._open_folder.clicked.connect(self._ask_folder)
        self._use_image.clicked.connect(self._guarded(self._open_active))
        self.run.clicked.connect(self._guarded(lambda: self.analyze(self._slide().fields)))
        self.run_field.clicked.connect(self._guarded(self._analyze_field))
        self.classify.clicked.connect(self._guarded(self._classify_drawn))
        self.cancel.clicked.connect(self._job.cancel)
        self._done: Callable[[Any], Any] = lambda _result: None
        self._job.returned.connect(lambda result: self._done(result))
        self._job.progressed.connect(self._on_progress)
        self._job.failed.connect(self._say)
        self._job.finished.connect(partial(self._set_running, False))
        self._loader.returned.connect(self._on_loaded)
        self._loader.failed.connect(self._say)
        self._previewer.returned.connect(self._on_preview)
        self._previewer.failed.connect(self._say)
        self.detector.changed.connect(lambda _choice: self._preview())
        self.detector.preview_toggled.connect(lambda _on: self._preview())
        self.review.label_chosen.connect(self._guarded(self.label_selected))
        self.counts.label_clicked.connect(self._guarded(self.show_label))
        self.session.field_changed.connect(self._on_field)
        self.viewer.layers.events.inserted.connect(self._on_layer)
        self._keys: dict[str, Callable[[], Any]] = {
            key: partial(self._guarded(self.label_selected), label)
            for key, label in self.session.taxonomy.keys.items()
        }
        self._keys |= {
            "Control-Z": self.session.undo,
            "Control-Shift-Z": self.session.redo,
            "PageDown": partial(self.fields.step, 1),
            "PageUp": partial(self.fields.step, -1),
        }
        for key, action in self._keys.items():
            self.viewer.bind_key(key, _key_handler(action), overwrite=True)

    def closeEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Let go of viewer and session."""
        self.release()
        super().closeEvent(event)

    def release(self) -> None:
        """Stop work, take the last edits in, unbind keys; the second call does nothing."""
        if not self._clock.isActive():
            return
        self._clock.stop()
        for job in (self._job, self._loader, self._previewer):
            job.cancel()
        self.viewer.layers.events.inserted.disconnect(self._on_layer)
        self._bind_cells(None)
        self.view.close()
        for key in self._keys:
            self.viewer.bind_key(key, None)
        for widget in (self.counts, self.review, self.fields):
            widget.close_session()
        self.session.field_changed.disconnect(self._on_field)

    def open_slide(self, slide: Slide) -> None:
        """Open a slide from files."""
        self._job.cancel()
        self.view.open_slide(slide)
        self._say(f"{slide.name}: {len(slide.fields)} fields")

    def open_layer(self, layer: Image) -> None:
        """Open an image layer as a slide."""
        self._job.cancel()
        self.view.open_layer(layer)
        self._say(f"{self.session.slide.name}: {len(self.session.slide.fields)} fields")

    def analyze(self, fields: tuple[FieldOfView, ...]) -> None:
        """Locate and classify the cells of fields of the open slide."""
        self.view.pull()
        choice = self.detector.value()
        slide = Slide(self.session.slide.name, fields)
        detector = make_detector(choice.name, choice.preset, choice.parameters)
        self._start(
            lambda: analyze_fields_steps(slide, detector, read=self.view.read),
            partial(self._on_analyzed, self.session.slide),
        )

    def label_selected(self, label: str) -> None:
        """Give the selected cells a label."""
        self.view.pull()
        n = self.view.label_selected(label)
        self._say(f"{n} cells: {label}" if n else "Select a cell first: click it, or drag a box around several.")
        self._on_selection()

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
        layer = active if isinstance(active, Image) else (images[-1] if images else None)
        if layer is None:
            raise WbcError("No image is open; open a folder or drop an image into the window.")
        self.open_layer(layer)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a slide: a folder of fields")
        if folder:
            self._guarded(lambda: self.open_slide(open_slide(folder)))()

    def _analyze_field(self) -> None:
        self._slide()
        field = self.session.field
        if field is not None:
            self.analyze((field,))

    def _classify_drawn(self) -> None:
        self.view.pull()
        table, slide = self.session.table, self.session.slide
        self._start(
            lambda: classify_table_steps(slide, table, read=self.view.read),
            lambda cells: self.session.commit(
                self.session.table.with_cells(c for c in cells if c.cell_id in self.session.table),
                "classify drawn cells",
            ),
        )

    def _start(self, steps: Callable[[], Any], done: Callable[[Any], Any]) -> None:
        self._job.start(steps)
        self._done = done
        self._set_running(True)

    def _on_analyzed(self, slide: Slide, found: SlideAnalysis) -> None:
        if self.session.slide != slide:
            return
        self.view.pull()
        failed = {failure.path for failure in found.failures}
        searched = [field.fov_id for field in found.slide.fields if field.path not in failed]
        self.session.commit(merged(self.session.table, found.table.values(), searched), "analyze")
        text = f"{len(found.table)} cells in {len(searched)} fields"
        if failed:
            text += f"; {len(failed)} files failed: {found.failures[0].message}"
        self._say(text)

    def _on_progress(self, progress: Progress) -> None:
        self.bar.setMaximum(progress.total)
        self.bar.setValue(progress.done)
        self._say(progress.note or progress.step)

    def _set_running(self, running: bool) -> None:
        for button in (self.run, self.run_field, self.classify):
            button.setEnabled(not running)
        self.cancel.setEnabled(running)
        if not running:
            self.bar.setMaximum(max(1, self.bar.maximum()))
            self.bar.reset()

    def _on_field(self, fov_id: str) -> None:
        field = next(f for f in self.session.slide.fields if f.fov_id == fov_id)
        self._loader.request(partial(_load_steps, field, self.view.read))

    def _on_loaded(self, loaded: Any) -> None:
        field, pixels = loaded
        if field == self.session.field:
            self.view.show(field, pixels)
            self._bind_cells(self.view.ensure_cells().layer)
            self._preview()

    def _on_layer(self, event: Any) -> None:
        layer = event.value
        if isinstance(layer, Image) and FIELDS_KEY in layer.metadata and layer is not self.view.image_layer:
            QTimer.singleShot(0, self._guarded(partial(self.open_layer, layer)))

    def _preview(self) -> None:
        field = self.session.field
        if not self.detector.preview.isChecked() or field is None:
            self.view.clear_preview()
            return
        choice = self.detector.value()
        self._previewer.request(
            lambda: preview_steps(self.view.read(field), choice.name, choice.preset, choice.parameters)
        )

    def _on_preview(self, detections: Any) -> None:
        if self.detector.preview.isChecked():
            self.view.preview(detections)
            self._say(f"Preview: {len(detections)} cells")

    _bound: Any = None

    def _bind_cells(self, layer: Any) -> None:
        """Keys and selection follow the cells layer, whose own keys would come first."""
        if self._bound is layer:
            return
        if self._bound is not None:
            self._bound.events.highlight.disconnect(self._on_selection)
            for key in self._keys:
                self._bound.bind_key(key, None)
        self._bound = layer
        if layer is not None:
            layer.events.highlight.connect(self._on_selection)
            for key, action in self._keys.items():
                layer.bind_key(key, _key_handler(action), overwrite=True)

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


def _load_steps(field: FieldOfView, read: Callable[[FieldOfView], Any]) -> Any:
    yield Progress("reading", 0, 1)
    return field, read(field)


def _key_handler(action: Callable[[], Any]) -> Callable[[Any], None]:
    def handle(_target: Any) -> None:
        action()

    return handle


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row


def _group(title: str, *widgets: QWidget) -> QGroupBox:
    group = QGroupBox(title)
    layout = QVBoxLayout(group)
    layout.setContentsMargins(6, 6, 6, 6)
    for widget in widgets:
        layout.addWidget(widget)
    return group
