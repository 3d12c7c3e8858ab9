"""The workbench: from a slide to its differential, with the mouse or the keyboard."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QMessageBox, QPushButton, QTabWidget, QVBoxLayout, QWidget

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.layers.field import FieldView
from napari_wbc.layers.placed import kind_of
from napari_wbc.layers.slide_layer import FIELDS_KEY, NAME_KEY, PROJECT_KEY, SAMPLE_KEY, content_of
from napari_wbc.measure.agreement import CONSENSUS
from napari_wbc.model.cell import Annotation
from napari_wbc.model.slide import Slide
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.words import counted
from napari_wbc.pipeline.library import start_taxonomy
from napari_wbc.session.heats import Heats
from napari_wbc.session.opening import OtherClasses, add_classes
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Loaded, Session
from napari_wbc.widgets.analysis.analysis import AnalysisPanel
from napari_wbc.widgets.analysis.explain import ExplainPanel
from napari_wbc.widgets.docks import Docks
from napari_wbc.widgets.gallery.gallery_panel import GalleryPanel
from napari_wbc.widgets.loop.train import TrainPanel
from napari_wbc.widgets.qt.input_guard import guard_inputs
from napari_wbc.widgets.qt.layout import TextLines, group, row, scrolled
from napari_wbc.widgets.qt.panel import DockPanel
from napari_wbc.widgets.qt.thumbnails import Thumbnails
from napari_wbc.widgets.review.actions import ReviewActions
from napari_wbc.widgets.review.counts import CountsTable
from napari_wbc.widgets.review.key_choice import (
    KeysDialog,
    keep_keys,
    with_free_keys,
    with_kept_keys,
)
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

__all__ = ["Workbench"]

READ_EVERY_MS = 2000
"""napari's Features table edits in place without a signal, so the layer is also read by the clock."""


class Workbench(DockPanel):
    """Open a slide, locate, classify, review and count its leukocytes.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    session : Session, optional
        A new one where None.
    project : OtherClasses, optional
        To open at once; where None, the slide that an earlier workbench left behind in the viewer
        is opened.
    """

    reopen_wanted = Signal(object, object)
    """With a taxonomy and an OtherClasses or None: every panel shows the classes, so a workbench of other
    classes has to take the place of this one."""

    def __init__(
        self,
        napari_viewer: napari.viewer.Viewer,
        session: Session | None = None,
        *,
        project: OtherClasses | None = None,
    ) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = session or Session(start_taxonomy())
        self.session.taxonomy = with_kept_keys(self.session.taxonomy)
        self.session.taxonomy, self._taken_keys = with_free_keys(self.session.taxonomy)
        self.session.reader = self.session.reader or user_name()
        self._window_gone = False
        # What comes first is released last: the project is written when the view has taken in the
        # last edits, and the view does so when no panel listens any more.
        self.project = self.own(ProjectPanel(self.session))
        self.view = FieldView(napari_viewer, self.session)
        self.at_release(self._close_view)
        self.queue = ReviewQueue(self.session)
        self.at_release(self.queue.close)
        self.place = PlaceKeeper(self.session, self.view, self.queue)
        self.follower = self.own(
            Follower(
                self.session,
                self.view,
                self.queue,
                self.place,
                opening=lambda: self.project.opening,
                parent=self,
            )
        )
        self.loader = self.follower.loader
        self.heats = Heats(self.session)
        self.at_release(self.heats.close)
        self._consensus: dict[str, Annotation] = {}
        self._then: Callable[[], Any] | None = None
        self._build()
        self.actions = ReviewActions(self.session, self.view, self.queue, self.say)
        self._connect()
        self.follower.bind_keys(self._key_table())
        self._clock = QTimer(self)
        self._clock.timeout.connect(self.view.pull)
        self._clock.timeout.connect(self.place.keep)
        self._clock.timeout.connect(self.header.refresh)
        self._clock.start(READ_EVERY_MS)
        self._gallery_soon = QTimer(self)
        self._gallery_soon.setSingleShot(True)
        self._gallery_soon.setInterval(0)
        self._gallery_soon.timeout.connect(self.docks.open_gallery)
        self.at_release(self._gallery_soon.stop)
        self.at_release(self._clock.stop)
        self.at_release(self.place.keep)
        self.say("Open a folder of fields, or use the image that is open.")
        self._guarded(self._go_on)(project)
        if self._taken_keys:
            self.say(f"{self._taken_keys} Choose another key in Classes…")

    def _go_on(self, project: OtherClasses | None) -> None:
        """Open a project, or else the slide that an earlier workbench showed."""
        left = self.view.left_behind()
        if project is None:
            if left is not None:
                self.open_layer(left)
            return
        if left is not None:
            self.view.let_go(left)
        if isinstance(project.slide, str):
            self.open_project(project.path, project.slide, project.reading)
        else:
            self.open_slide(project.slide)

    def _build(self) -> None:
        session = self.session
        self._open_folder = QPushButton("Open folder…")
        self._open_folder.setToolTip("A folder is one slide, its images are the fields")
        self._use_image = QPushButton("Use open image")
        self._use_image.setToolTip("Take the selected image layer as a slide")
        self.fields = self.own(FieldList(session))
        self.fields.setMaximumHeight(90)
        self.analysis = self.own(AnalysisPanel(session, self.view))
        self.detector, self.model, self.jobs = (
            self.analysis.detector,
            self.analysis.model,
            self.analysis.jobs,
        )
        self.thumbnails = Thumbnails(self.view.read, self.follower.field_of, self)
        self.at_release(self.thumbnails.cancel)
        self.review = self.own(ReviewWidget(session))
        self.queue_panel = self.own(QueuePanel(session, self.queue))
        self.ranking = self.own(
            Ranking(session, self.queue, self.model.value, self.view.read, self)
        )
        self.references = self.own(ReferencePanel(session, self.thumbnails, self.heats))
        self.explain = self.own(ExplainPanel(session, self.view, self.heats, self.model.value))
        self.readers = self.own(ReadersPanel(session))
        self.train = self.own(
            TrainPanel(session, lambda: self.project.path, self.model.value, self.detector.weights)
        )
        self.counts = self.own(CountsTable(session))
        self.counts.setMinimumHeight(120)
        self.export = QPushButton("Export…")
        self.export.setToolTip("Write cells, outlines, differential and overlays to a folder")
        self.docks = self.own(
            Docks(
                self.viewer,
                session,
                self.thumbnails,
                self.heats,
                weights=self.model.value,
                read=self.view.read,
            )
        )
        self.header = self.own(SlideHeader(session, self.view))
        self.status = TextLines(3)
        self.tabs = QTabWidget()
        self.tabs.addTab(self.analysis, "Locate and classify")
        self.tabs.addTab(group("", self.queue_panel, self.references, self.review), "Review")
        self.tabs.addTab(self.explain, "Explain")
        self.tabs.addTab(self.readers, "Two readers")
        self.tabs.addTab(self.train, "Train")
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.addWidget(
            group("Slide", self.project, row(self._open_folder, self._use_image), self.fields)
        )
        layout.addWidget(self.tabs)
        layout.addWidget(group("Differential", self.counts, self.export), stretch=1)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.addWidget(self.header)
        outside.addWidget(scrolled(inside))
        outside.addWidget(self.status)
        guard_inputs(self)

    def _connect(self) -> None:
        guarded, actions, panel = self._guarded, self.actions, self.analysis
        for button, action in (
            (self._open_folder, self._ask_folder),
            (self._use_image, self._open_active),
            (panel.run, lambda: self._with_slide(panel.analyze_slide)),
            (panel.run_field, lambda: self._with_slide(panel.analyze_field)),
            (panel.classify, lambda: self._with_slide(panel.classify_drawn)),
            (panel.adapt, lambda: self._with_slide(panel.adapt_to_slide)),
            (self.export, self._ask_export),
            (self.review.gallery, self.docks.open_gallery),
            (self.explain.map, self.docks.open_map),
        ):
            button.clicked.connect(guarded(action))
        for speaker in (
            panel,
            self.project,
            self.readers,
            self.explain,
            self.train,
            self.ranking,
            self.docks,
        ):
            speaker.said.connect(self.say)
        panel.analyzed.connect(self._on_analyzed)
        panel.running_changed.connect(lambda running: self.export.setEnabled(not running))
        self.project.opened.connect(self._on_opened)
        self.project.has_others.connect(self._on_others)
        self.project.wanted.connect(guarded(lambda wanted: self.open_project(*wanted)))
        self.readers.consensus_found.connect(guarded(self._keep_consensus))
        self.train.model_wanted.connect(guarded(self.model.choose))
        self.train.detectors_changed.connect(self.detector.refresh)
        self.train.project_wanted.connect(guarded(self.open_project))
        self.follower.said.connect(self.say)
        self.follower.cell_shown.connect(self.references.show_cell)
        self.follower.field_left.connect(panel.previewer.cancel)
        self.follower.field_shown.connect(self.explain.show_field)
        self.follower.field_shown.connect(panel.preview)
        self.review.label_chosen.connect(guarded(actions.label))
        self.review.keys.clicked.connect(guarded(self._choose_keys))
        self.review.undo_chosen.connect(guarded(actions.undo))
        self.review.redo_chosen.connect(guarded(actions.redo))
        self.review.draw_chosen.connect(lambda on: self._use_tool(partial(actions.draw, on)))
        self.review.reshape_chosen.connect(lambda on: self._use_tool(partial(actions.reshape, on)))
        self.listen(self.review.show_tool, self.view.tool_changed)
        self.review.split_chosen.connect(guarded(actions.split))
        self.review.join_chosen.connect(guarded(actions.join))
        self.review.delete_chosen.connect(guarded(actions.delete))
        self.queue_panel.accept_chosen.connect(guarded(actions.accept))
        self.queue_panel.ranks_wanted.connect(guarded(self.ranking.find))
        self.ranking.ended.connect(self.queue_panel.stop_waiting)
        self.docks.label_chosen.connect(guarded(actions.label))
        self.docks.cell_activated.connect(guarded(actions.go_to))
        self.docks.key_pressed.connect(self._on_key)
        self.readers.cell_chosen.connect(guarded(actions.go_to))
        self.counts.label_clicked.connect(guarded(actions.show_label))
        self.listen(self.say, self.session.refused, self.view.edited)
        self.listen(self._on_layer, self.viewer.layers.events.inserted)
        self.destroyed.connect(
            lambda _gone=None: self.release(window_gone=True)
        )  # Qt would not call a method of what is gone

    def _key_table(self) -> dict[str, Callable[[], Any]]:
        actions, guarded = self.actions, self._guarded
        keys: dict[str, Callable[[], Any]] = {
            "Control-Z": guarded(actions.undo),
            "Control-Shift-Z": guarded(actions.redo),
            "Escape": self.view.give_up,
            "PageDown": partial(self.fields.step, 1),
            "PageUp": partial(self.fields.step, -1),
            "Enter": guarded(actions.accept),
            ".": guarded(self.queue.skip),
            ",": guarded(self.queue.back),
            "K": guarded(actions.split),
            "J": guarded(actions.join),
            "Delete": guarded(actions.delete),
            "Backspace": guarded(actions.delete),
        }
        label = guarded(actions.label)
        for key, name in self.session.taxonomy.keys.items():
            keys.setdefault(key.upper(), partial(label, name))
        return keys

    def _choose_keys(self) -> None:
        dialog = KeysDialog(self.session.taxonomy, self)
        if dialog.exec():
            self.use_classes(dialog.taxonomy)

    def use_classes(self, taxonomy: Taxonomy) -> None:
        """Take other keys, or a taxonomy with more classes, for which the workbench is opened anew."""
        if taxonomy.names == self.session.taxonomy.names:
            self.use_keys(taxonomy)
            return
        if not self._may_end():
            return
        self.view.settle()
        project = add_classes(self.session, taxonomy)
        if self._may_leave():
            keep_keys(taxonomy)
            self._reopen(taxonomy, project)

    def _may_end(self) -> bool:
        """Ask before the workbench is opened anew, which ends what is running."""
        if not (self.train.busy or self.analysis.busy):
            return True
        text = "Other classes need the workbench opened anew, which ends what is running. Go on?"
        answer = QMessageBox.question(self, "Other classes", text)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _on_others(self, other: OtherClasses) -> None:
        if self._may_end():
            self._reopen(other.taxonomy, other)
        else:
            self.view.use_files()
            self.project.go_back()

    def _reopen(self, taxonomy: Taxonomy, project: OtherClasses | None) -> None:
        # Not at once: what asked for it is a part of what goes.
        QTimer.singleShot(0, lambda: self.reopen_wanted.emit(taxonomy, project))

    def use_keys(self, taxonomy: Taxonomy) -> None:
        """Bind the keys of a taxonomy of the same classes, and remember them."""
        self.session.taxonomy = taxonomy
        keep_keys(taxonomy)
        self.review.show_keys()
        self.follower.bind_keys(self._key_table())

    def release(self, *, window_gone: bool = False) -> None:
        """Stop work, take the last edits in, write them, unbind keys; the second call does nothing.

        Parameters
        ----------
        window_gone : bool
            Whether the canvas may be gone too, so that layers are not to be drawn anew.
        """
        self._window_gone = window_gone
        super().release()

    def _close_view(self) -> None:
        self.view.close(window_gone=self._window_gone)

    @property
    def busy(self) -> bool:
        """Whether anything is opened, read, previewed, analyzed or classified at this moment."""
        return (
            self.follower.busy
            or self._gallery_soon.isActive()
            or self.analysis.busy
            or self.project.busy
            or self.readers.jobs.running
            or self.explain.jobs.running
            or self.train.busy
            or self.ranking.running
            or self.docks.busy
            or self.thumbnails.running
        )

    def open_slide(self, slide: Slide) -> None:
        """Open a slide from files, with what its project knows of it."""
        if not self._may_leave():
            return
        self.view.use_files()
        self.project.open_slide(slide)

    def open_layer(self, layer: Image) -> bool:
        """Open an image layer as a slide; returns whether the person let the slide before go.

        Raises
        ------
        WbcError
            If the layer is not one image. The slide stays open, with all that runs.
        """
        content = content_of(layer)
        stays = layer == self.view.image_layer and content.slide == self.session.slide
        if not self._may_leave(ask=not stays):
            return False
        slide, project = self.view.use_layer(layer, content), layer.metadata.get(PROJECT_KEY)
        if project:
            self.project.open_project(Path(project), str(layer.metadata.get(NAME_KEY, "")))
        else:
            self.project.open_slide(slide, self.view.kept(layer))
        return True

    def open_project(self, path: Path, slide: str = "", reading: str = "") -> None:
        """Open a project file, at its first slide and the first reader where none are named."""
        if not self._may_leave():
            return
        self.view.use_files()
        self.project.open_project(path, slide, reading)

    @property
    def gallery_panel(self) -> GalleryPanel | None:
        """The gallery, None before it is opened."""
        return self.docks.gallery

    def export_to(self, folder: Path) -> None:
        """Write the slide as it is now: cells, outlines, differential, overlays."""
        self.analysis.export_to(folder)

    def label_selected(self, label: str) -> None:
        """Give the selected cells a label."""
        self.actions.label(label)

    def _with_slide(self, action: Callable[[], Any]) -> None:
        """Do something with the slide that is seen; where none is open, with the image that is, once it is.

        Raises
        ------
        WbcError
            If there is no image, or another one hides that of the slide.
        """
        if not self.session.slide.fields:
            self._then = action
            opened = False
            try:
                opened = self._open_active()
            finally:
                if not opened:
                    self._then = None
            return
        self.view.check_seen()
        action()

    def _use_tool(self, choose: Callable[[], None]) -> None:
        self._guarded(choose)()
        layer = self.view.binding.layer if self.view.binding else None
        self.review.show_tool(str(layer.mode) if layer is not None else "")
        self.review.reshape.setChecked(self.view.reshaping)

    def _open_active(self) -> bool:
        """Open the selected image; returns whether the person let it be opened."""
        active = self.viewer.layers.selection.active
        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        if not images:
            raise WbcError("No image is open; open a folder or drop an image into the window.")
        return self.open_layer(next((layer for layer in images if layer == active), images[-1]))

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a slide: a folder of fields")
        if folder:
            self.open_slide(open_slide(folder))

    def _ask_export(self) -> None:
        if not self.session.slide.fields:
            raise WbcError("No slide is open; open a folder of fields first.")
        folder = QFileDialog.getExistingDirectory(self, "Export to a folder")
        if folder:
            self.export_to(Path(folder))

    def _may_leave(self, *, ask: bool = True) -> bool:
        """Take the last edits in, and ask before what could not be saved is dropped."""
        self.view.settle()
        self.place.keep()
        if self.project.opening:
            raise WbcError("A project is still being opened; wait a moment.")
        if ask and not self.project.may_leave():
            return False
        self.loader.cancel()  # its fields are of the slide that is left
        self.analysis.forget()
        self.explain.jobs.cancel()
        return True

    def _on_opened(self, loaded: Loaded) -> None:
        """Go back to the place where the project was left."""
        self.thumbnails.clear()
        self.session.reader = loaded.reading or user_name()
        then, self._then = self._then, None
        slide = loaded.slide
        as_left = "it" if len(loaded.table) == 1 else "them"
        known = f", {counted(len(loaded.table))} as you left {as_left}" if loaded.table else ""
        n = len(slide.fields)
        self.say(f"{slide.name}: {counted(n, 'field')}{known}" if n else "No slide is open.")
        self._open_gallery_soon()
        self.place.restore(loaded)
        if self.queue.current:
            self.tabs.setCurrentIndex(1)
        agreed, self._consensus = self._consensus, {}
        if agreed and loaded.reading == CONSENSUS:
            self._write_consensus(agreed)
        if then is not None and slide.fields:
            self._guarded(then)()

    def _keep_consensus(self, agreed: dict[str, Annotation]) -> None:
        """Open the reading that holds what two readers say together, and write it there."""
        self._consensus = agreed
        self.project.read_as(CONSENSUS)

    def _write_consensus(self, agreed: dict[str, Annotation]) -> None:
        table = self.session.table
        cells = [table[key].annotated(said) for key, said in agreed.items() if key in table]
        if self.session.commit(table.with_cells(cells), "consensus"):
            self.say(
                f"Consensus on {counted(len(cells))}, kept as a reading of its own. Undo takes it back."
            )

    def _on_analyzed(self) -> None:
        self.follower.bind_cells(self.view.ensure_cells().layer)
        self._open_gallery_soon()

    def _open_gallery_soon(self) -> None:
        """Open the gallery in a turn of its own, so that the window answers in between."""
        if self.session.table:
            self._gallery_soon.start()

    def _on_key(self, key: str) -> None:
        """A key in the gallery or on the map."""
        action = self.follower.keys.get(key.upper() if len(key) == 1 else key)
        if action is not None:
            with self.actions.by_thumbnails():
                action()

    def _on_layer(self, event: Any) -> None:
        layer = event.value
        if not isinstance(layer, Image) or kind_of(layer):
            return
        if FIELDS_KEY in layer.metadata or SAMPLE_KEY in layer.metadata:
            self._guarded(self.open_layer)(layer)

    def _guarded(self, action: Callable[..., Any]) -> Callable[..., None]:
        """An action whose WbcError is told in the status line."""

        def act(*args: Any) -> None:
            try:
                action(*(a for a in args if not isinstance(a, bool)))
            except WbcError as error:
                self.say(str(error))

        return act

    def say(self, text: str) -> None:
        """Tell the person at the screen one line."""
        self.status.setText(text)


def user_name() -> str:
    """Who is logged in; empty where the system does not know, as in some containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
