"""The panels of the workbench, where they stand in its window, and how they are released."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari
from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QCheckBox

from napari_wbc.layers.field import FieldView
from napari_wbc.session.heats import Heats
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Session
from napari_wbc.widgets.analysis.analysis import AnalysisPanel
from napari_wbc.widgets.analysis.explain import ExplainPanel
from napari_wbc.widgets.analysis.fitting import BoxFitter
from napari_wbc.widgets.docks import Docks
from napari_wbc.widgets.loop.train import TrainPanel
from napari_wbc.widgets.qt.input_guard import canvas_of, guard_inputs, order_tabs
from napari_wbc.widgets.qt.layout import FOCUS_RINGS, TextLines, button, column, group, primary, row
from napari_wbc.widgets.qt.messages import Messages
from napari_wbc.widgets.qt.panel import DockPanel, guarded
from napari_wbc.widgets.qt.thumbnails import Thumbnails
from napari_wbc.widgets.report.report import ReportPanel
from napari_wbc.widgets.review.counts import Differential
from napari_wbc.widgets.review.queue import QueuePanel
from napari_wbc.widgets.review.ranking import Ranking
from napari_wbc.widgets.review.readers import ReadersPanel
from napari_wbc.widgets.review.references import ReferencePanel
from napari_wbc.widgets.review.review import ReviewWidget
from napari_wbc.widgets.slide.fields import FieldList
from napari_wbc.widgets.slide.follow import Follower
from napari_wbc.widgets.slide.header import SlideHeader
from napari_wbc.widgets.slide.place import PlaceKeeper
from napari_wbc.widgets.slide.project import ProjectPanel
from napari_wbc.widgets.slide.tags import Tags
from napari_wbc.widgets.steps import StepTabs

START = (
    "A folder is one slide, its images are the fields. Open a folder, drop images into napari, or "
    "try the sample."
)


EXPORT_TIP = "Write cells, outlines, differential and overlays to a folder (Alt+E)"


class WorkbenchPanels(DockPanel):
    """All panels of the workbench, not connected to one another yet."""

    def __init__(self, viewer: napari.viewer.Viewer, session: Session) -> None:
        super().__init__()
        self.viewer = viewer
        self.session = session
        self._window_gone = False
        self._released = False
        self.tags: Tags | None = None
        """None until the panel is shown in napari's window."""
        # What comes first is released last: the project is written after the view has taken in the
        # last edits, and the view does that when no panel listens any more.
        self.project = self.own(ProjectPanel(session))
        self.view = FieldView(viewer, session)
        self.at_release(self._close_view)
        self.queue = ReviewQueue(session)
        self.at_release(self.queue.close)
        self.place = PlaceKeeper(session, self.view, self.queue)
        self.follower = Follower(
            session,
            self.view,
            self.queue,
            self.place,
            opening=lambda: self.project.opening,
            parent=self,
        )
        self.own(self.follower)
        self.loader = self.follower.loader
        self.heats = Heats(session)
        self.at_release(self.heats.close)
        self.status = Messages()
        self._make_panels()
        self._lay_out()
        guard_inputs(self)
        self.setStyleSheet(FOCUS_RINGS)
        # Qt no longer calls a method of an object that is being deleted, but it calls a lambda.
        self.destroyed.connect(lambda _self=None: self.release(window_gone=True))

    def _make_panels(self) -> None:
        session = self.session
        tip = "A folder is one slide, its images are the fields"
        self._open_folder = primary(button("Open folder…", tip))
        self._open_film = button("Open film…", "A scanned film: a whole slide in one file")
        self._use_image = button("Use open image")
        self._sample = button("Open sample", "A drawn blood film, to try everything on")
        self.start = TextLines(3)
        self.start.setText(START)
        self.fields = self.own(FieldList(session))
        self.analysis = self.own(AnalysisPanel(session, self.view))
        self.fitter = self.own(BoxFitter(session, self.view, self))
        self.detector = self.analysis.detector
        self.model = self.analysis.model
        self.jobs = self.analysis.jobs
        self.thumbnails = Thumbnails(self.view.read, self.follower.field_of, self)
        self.at_release(self.thumbnails.cancel)
        self.review = self.own(ReviewWidget(session))
        self.queue_panel = self.own(QueuePanel(session, self.queue))
        weights = self.model.value
        read = self.view.read
        self.ranking = self.own(Ranking(session, self.queue, weights, read, self))
        fields = self.follower.field_of
        self.references = self.own(
            ReferencePanel(session, self.thumbnails, self.heats, read=read, fields=fields)
        )
        self.explain = self.own(ExplainPanel(session, self.view, self.heats, weights))
        self.readers = self.own(ReadersPanel(session))
        detector = self.detector.weights
        self.train = self.own(TrainPanel(session, lambda: self.project.path, weights, detector))
        self.differential = self.own(Differential(session))
        self.counts = self.differential.counts
        self.report = self.own(ReportPanel(session, self.view))
        self.export = button("Export…")
        self.docks = self.own(
            Docks(self.viewer, session, self.thumbnails, self.heats, weights=weights, read=read)
        )
        self.header = self.own(SlideHeader(session, self.view))
        self.report.signature.changed.connect(self.header.show_signature)
        self.keep_zoom = QCheckBox("Keep the zoom from field to field")
        self.keep_zoom.setToolTip("If not, Page Up and Page Down show the whole field")
        self.keep_zoom.toggled.connect(self.follower.keep_zoom)

    def _lay_out(self) -> None:
        self.tabs = StepTabs()
        opened = row(self._open_folder, self._open_film, self._use_image, self._sample)
        self.tabs.add_step(
            "1 Slide",
            "Open a slide or a project, and choose who reads",
            self.start,
            opened,
            self.project,
            self.fields,
            self.keep_zoom,
            stretch=self.fields,
        )
        self.tabs.add_step("2 Find", "Locate and classify the cells", self.analysis)
        self.references.put_below(self.review.grid)
        self.tabs.add_step(
            "3 Review",
            "Check cells one after the other, and correct them",
            self.queue_panel,
            self.references,
            self.review,
            self.queue_panel.only,
        )
        self.tabs.add_step(
            "4 Report",
            "Report and export the slide, and compare two readers",
            group("Report", self.report),
            self.export,
            group("Two readers", self.readers),
        )
        self.improve = StepTabs()
        self.improve.add_step("Explain", "Why a cell is called what it is", self.explain)
        self.improve.add_step("Train", "Train, compare and adopt models", self.train)
        self.tabs.addTab(self.improve, "Improve")
        self.tabs.setTabToolTip(self.tabs.count() - 1, "Explain the model, and make it better")
        top = row(self.header, self.project.state, stretch=self.header)
        # As high as its text, also beside a warning of several lines.
        top.layout().setAlignment(self.project.state, Qt.AlignmentFlag.AlignTop)
        layout = column(self, top, self.tabs, self.differential, self.status, spacing=4)
        # napari's title of a dock lies over the first pixels below it.
        layout.setContentsMargins(2, 4, 6, 0)

    def showEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Tag the cells on the canvas, which is there as soon as the panel is docked."""
        super().showEvent(event)
        canvas = canvas_of(self)
        if self.tags is None and canvas is not None and not self._released:
            order_tabs(canvas, self.tabs.tabBar(), self)
            self.tags = self.own(Tags(canvas, self.session, self.view))

    def release(self, *, window_gone: bool = False) -> None:
        """Stop work, take the last edits in, write them, unbind keys; the second call does nothing.

        With ``window_gone`` the canvas may be gone too, and layers are not drawn anew.
        """
        self._window_gone = window_gone
        self._released = True
        super().release()

    def _close_view(self) -> None:
        self.view.close(window_gone=self._window_gone)

    @property
    def busy(self) -> bool:
        """Whether anything is opened, read, computed or trained at this moment."""
        return (
            self.follower.busy
            or self.analysis.busy
            or self.fitter.busy
            or self.project.busy
            or self.readers.jobs.running
            or self.report.jobs.running
            or self.report.signature.busy
            or self.explain.jobs.running
            or self.train.busy
            or self.ranking.running
            or self.docks.busy
            or self.thumbnails.running
            or self.references.busy
        )

    def _guarded(self, action: Callable[..., Any]) -> Callable[..., None]:
        return guarded(self.status.warn, action)

    def _hear(self, panel: QObject) -> None:
        """Show what a panel says, warns of and notes."""
        for name, show in (
            ("said", self.status.tell),
            ("warned", self.status.warn),
            ("noted", self.status.say),
        ):
            if hasattr(panel, name):
                getattr(panel, name).connect(show)

    def say(self, text: str) -> None:
        """Show feedback to what a person did just now."""
        self.status.say(text)
