"""The workbench: from a slide to its differential, with the mouse or the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QInputDialog

from napari_wbc.detect.regions import detections_of
from napari_wbc.errors import WbcError
from napari_wbc.imaging.pyramid.opening import FILM_SUFFIXES
from napari_wbc.imaging.read import open_slide
from napari_wbc.layers.placed import kind_of
from napari_wbc.layers.planes import layer_of, planes_of
from napari_wbc.layers.slide_layer import FIELDS_KEY, NAME_KEY, PROJECT_KEY, SAMPLE_KEY, content_of
from napari_wbc.measure.agreement import CONSENSUS
from napari_wbc.model.cell import Annotation, Cell
from napari_wbc.model.slide import Slide
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.words import counted
from napari_wbc.pipeline.library import start_taxonomy
from napari_wbc.session.opening import OtherClasses, add_classes
from napari_wbc.session.session import Loaded, Session
from napari_wbc.widgets.panels import EXPORT_TIP, WorkbenchPanels
from napari_wbc.widgets.qt.files import ask_file, ask_folder
from napari_wbc.widgets.qt.layout import allow, confirmed, no_markup
from napari_wbc.widgets.qt.panel import single_shot
from napari_wbc.widgets.qt.shaders import keep_shaders
from napari_wbc.widgets.review import key_choice
from napari_wbc.widgets.review.actions import ReviewActions

NO_SLIDE = "No slide is open. Open one on the page Slide."
NO_IMAGE = "No image is open. Open a folder, or drop an image into the window."
USE_TIP = (
    "Take the selected image layer as a slide; of a stack, you choose the plane. "
    "Selected labels become cells of the field."
)
FILMS = f"Scanned films ({' '.join(f'*{suffix}' for suffix in FILM_SUFFIXES)})"
READ_EVERY_MS = 2000
"""Time between two looks at the cells layer: napari's Features table edits it without a signal."""


class Workbench(WorkbenchPanels):
    """Open a slide, locate, classify, review and count its leukocytes.

    Parameters
    ----------
    session : Session, optional
        A new one where None.
    project : OtherClasses, optional
        To open at once; where None, the slide that an earlier workbench left behind in the viewer
        is opened.
    """

    reopen_wanted = Signal(object, object)
    """With a taxonomy and an OtherClasses or None. Every panel shows the classes, so other classes
    need another workbench in the place of this one."""

    def __init__(
        self,
        napari_viewer: napari.viewer.Viewer,
        session: Session | None = None,
        *,
        project: OtherClasses | None = None,
    ) -> None:
        session = session or Session(start_taxonomy())
        taxonomy = key_choice.with_kept_keys(session.taxonomy)
        session.taxonomy, taken_keys = key_choice.with_free_keys(taxonomy)
        keep_shaders()
        super().__init__(napari_viewer, session)
        self._consensus: dict[str, Annotation] = {}
        self._after_opening: Callable[[], Any] | None = None
        self.actions = ReviewActions(self.session, self.view, self.queue, self.say)
        self._connect_slide()
        self._connect_analysis()
        self._connect_review()
        self.follower.bind_keys(self._key_table())
        self._clock = QTimer(self)
        self._clock.timeout.connect(self.view.pull)
        self._clock.timeout.connect(self.place.keep)
        self._clock.timeout.connect(self.header.refresh)
        self._clock.start(READ_EVERY_MS)
        self._gallery_soon = single_shot(self, self.docks.open_gallery)
        self.at_release(self._gallery_soon.stop)
        self.at_release(self._clock.stop)
        self.at_release(self.place.keep)
        has_image = any(isinstance(layer, Image) for layer in napari_viewer.layers)
        or_this = ", or use the image that is open" if has_image else ""
        self.say(f"Open a folder of fields{or_this}.")
        self._guarded(self._go_on)(project)
        if taken_keys:
            self.status.warn(f"{taken_keys} Choose another key in Classes…")

    def _go_on(self, project: OtherClasses | None) -> None:
        """Open a project, or else the slide that an earlier workbench showed."""
        image = self.view.left_behind()
        if project is None:
            if image is not None:
                self.open_layer(image)
            return
        if image is not None:
            self.view.let_go(image)
        if isinstance(project.slide, str):
            self.open_project(project.path, project.slide, project.reading)
        else:
            self.open_slide(project.slide)

    def _connect_slide(self) -> None:
        guarded = self._guarded
        self._open_folder.clicked.connect(guarded(self._ask_folder))
        self._open_film.clicked.connect(guarded(self._ask_film))
        self._use_image.clicked.connect(guarded(self._use_active))
        self._sample.clicked.connect(guarded(self._open_sample))
        self.project.opened.connect(self._on_opened)
        self.project.has_others.connect(self._on_others)
        self.project.wanted.connect(guarded(lambda wanted: self.open_project(*wanted)))
        self.follower.cell_shown.connect(self.references.show_cell)
        self.follower.field_left.connect(self.analysis.previewer.cancel)
        self.follower.field_shown.connect(self.explain.show_field)
        self.follower.field_shown.connect(self.analysis.preview)
        self.listen(self._on_layer, self.viewer.layers.events.inserted)
        self.listen(self.status.warn, self.session.refused)
        self.listen(self.say, self.view.edited)
        panels = (
            self.analysis,
            self.project,
            self.report,
            self.readers,
            self.explain,
            self.train,
        )
        for panel in (*panels, self.fitter, self.follower, self.ranking, self.docks):
            self._hear(panel)

    def _connect_analysis(self) -> None:
        guarded, panel = self._guarded, self.analysis
        for push, action in (
            (panel.run, panel.analyze_slide),
            (panel.run_field, panel.analyze_field),
            (panel.classify, panel.classify_drawn),
            (panel.adapt, panel.adapt_to_slide),
        ):
            push.clicked.connect(guarded(partial(self._with_slide, action)))
        panel.analyzed.connect(self._on_analyzed)
        panel.running_changed.connect(self._show_possible)
        layers = self.viewer.layers.events
        slide_changed = self.session.slide_changed
        self.listen(self._show_possible, slide_changed, layers.inserted, layers.removed)
        self._show_possible()
        self.export.clicked.connect(guarded(self._ask_export))
        self.explain.map.clicked.connect(guarded(self.docks.open_map))
        self.train.model_wanted.connect(guarded(self.model.choose))
        self.train.detectors_changed.connect(self.detector.refresh)
        self.train.project_wanted.connect(guarded(self.open_project))

    def _show_possible(self, *_what: object) -> None:
        """Enable what can be done now; a disabled button says why in its tooltip."""
        reason = "" if self.session.slide.fields else NO_SLIDE
        if self.analysis.jobs.running:
            reason = "An analysis is running. Wait for it, or cancel it."
        allow(self.export, EXPORT_TIP, reason)
        images = any(isinstance(layer, Image | Labels) for layer in self.viewer.layers)
        allow(self._use_image, USE_TIP, "" if images else NO_IMAGE)

    def _connect_review(self) -> None:
        guarded, actions, review = self._guarded, self.actions, self.review
        for signal, action in (
            (review.label_chosen, actions.label),
            (review.undo_chosen, actions.undo),
            (review.redo_chosen, actions.redo),
            (review.split_chosen, actions.split),
            (review.join_chosen, actions.join),
            (review.delete_chosen, actions.delete),
            (review.candidates_accepted, actions.accept_candidates),
            (review.keys.clicked, self._choose_keys),
            (review.gallery.clicked, self.docks.open_gallery),
            (self.queue_panel.accept_chosen, actions.accept),
            (self.queue_panel.go_on_chosen, actions.go_on),
            (self.queue_panel.ranks_wanted, self.ranking.find),
            (self.docks.label_chosen, actions.label),
            (self.docks.cell_activated, actions.go_to),
            (self.readers.cell_chosen, actions.go_to),
            (self.readers.consensus_found, self._keep_consensus),
            (self.counts.label_clicked, actions.show_label),
        ):
            signal.connect(guarded(action))
        # These two send whether their button is down, which guarded actions would not get.
        review.draw_chosen.connect(lambda on: self._use_tool(partial(actions.draw, on)))
        review.reshape_chosen.connect(lambda on: self._use_tool(partial(actions.reshape, on)))
        self.listen(review.show_tool, self.view.tool_changed)
        self.ranking.ended.connect(self.queue_panel.stop_waiting)
        self.docks.key_pressed.connect(self._on_key)

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
            "Y": guarded(actions.accept_candidates),
            "F2": guarded(self.references.show_heat),
            "Alt-A": self.analysis.run.click,
            "Alt-R": self.queue_panel.start_button.click,
            "Alt-G": guarded(actions.go_on),
            "Alt-E": self.export.click,
            "Delete": guarded(actions.delete),
            "Backspace": guarded(actions.delete),
        }
        label = guarded(actions.label)
        for key, name in self.session.taxonomy.keys.items():
            keys.setdefault(key.upper(), partial(label, name))
        return keys

    def _choose_keys(self) -> None:
        dialog = key_choice.KeysDialog(self.session.taxonomy, self)
        if dialog.exec():
            self.use_classes(dialog.taxonomy)

    def use_classes(self, taxonomy: Taxonomy) -> None:
        """Take other keys; for a taxonomy with more classes the workbench is opened anew."""
        if taxonomy.names == self.session.taxonomy.names:
            self.use_keys(taxonomy)
            return
        if not self._may_end():
            return
        self.view.settle()
        project = add_classes(self.session, taxonomy)
        if self._may_leave():
            key_choice.keep_keys(taxonomy)
            self._reopen(taxonomy, project)

    def _may_end(self) -> bool:
        """Ask before the workbench is opened anew, which ends what is running."""
        if not (self.train.busy or self.analysis.busy):
            return True
        text = "Other classes need the workbench opened anew, which ends what is running. Go on?"
        return confirmed(self, "Other classes", text)

    def _on_others(self, other: OtherClasses) -> None:
        if self._may_end():
            self._reopen(other.taxonomy, other)
        else:
            self.view.use_files()
            self.project.go_back()

    def _reopen(self, taxonomy: Taxonomy, project: OtherClasses | None) -> None:
        # Not at once: the panel that asked for it is deleted with this workbench.
        QTimer.singleShot(0, lambda: self.reopen_wanted.emit(taxonomy, project))

    def use_keys(self, taxonomy: Taxonomy) -> None:
        """Bind the keys of a taxonomy of the same classes, and remember them."""
        self.session.taxonomy = taxonomy
        key_choice.keep_keys(taxonomy)
        self.review.show_keys()
        self.follower.bind_keys(self._key_table())

    @property
    def busy(self) -> bool:
        """Whether anything is opened, read, computed or trained at this moment."""
        return self._gallery_soon.isActive() or super().busy

    def open_slide(self, slide: Slide) -> None:
        """Open a slide from files, with the cells that its project has."""
        if not self._may_leave():
            return
        self.view.use_files()
        self.project.open_slide(slide)

    def open_layer(self, layer: Image) -> bool:
        """Open an image layer as a slide; False where the person keeps the slide before.

        Raises
        ------
        WbcError
            If the layer is not one image. The slide stays open, with all that runs.
        """
        content = content_of(layer)
        is_open = layer == self.view.image_layer and content.slide == self.session.slide
        if not self._may_leave(ask=not is_open):
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

    def _with_slide(self, action: Callable[[], Any]) -> None:
        """Do something with the open slide, or else with the open image once it is a slide."""
        if not self.session.slide.fields:
            # Images are opened in a thread; the action waits for _on_opened.
            self._after_opening = action
            opened = False
            try:
                opened = self._open_active()
            finally:
                if not opened:
                    self._after_opening = None
            return
        self.view.check_seen()
        action()

    def _use_tool(self, choose: Callable[[], None]) -> None:
        self._guarded(choose)()
        layer = self.view.binding.layer if self.view.binding else None
        self.review.show_tool(str(layer.mode) if layer is not None else "")
        self.review.reshape.setChecked(self.view.reshaping)

    def _open_active(self) -> bool:
        """Open the selected image; False where the person keeps the slide before."""
        active = self.viewer.layers.selection.active
        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        if not images:
            raise WbcError(NO_IMAGE)
        layer = next((layer for layer in images if layer == active), images[-1])
        return self.open_layer(self._one_field(layer))

    def _one_field(self, layer: Image) -> Image:
        """The layer, or else the plane or level of it that a person chooses, as a new layer."""
        at = self.viewer.dims.current_step[-layer.ndim :]
        planes = () if FIELDS_KEY in layer.metadata else planes_of(layer, at)
        if not planes:
            return layer
        names = [plane.name for plane in planes]
        question = f"{layer.name} holds several images. Which one is the field?"
        name, ok = QInputDialog.getItem(
            self, "Use open image", no_markup(question), names, 0, False
        )
        if not ok:
            return layer
        one = layer_of(layer, planes[names.index(name)])
        self.viewer.add_layer(one)
        return one

    def _use_active(self) -> None:
        """Open the selected image, or take the regions of selected labels as cells."""
        active = self.viewer.layers.selection.active
        if isinstance(active, Labels):
            self._take_regions(active)
        else:
            self._open_active()

    def _take_regions(self, layer: Labels) -> None:
        """Take the regions of a mask, as another program made it, as cells of the field in view."""
        field, extent = self.session.field, self.view.extent
        if field is None or extent is None:
            raise WbcError(
                f"{layer.name!r} holds labels and no image. Open its image as a slide first, then "
                "select the labels again, to take their regions as cells."
            )
        if layer.multiscale or tuple(layer.data.shape) != tuple(extent):
            raise WbcError(
                f"{layer.name!r} has another size than this field, which is {extent[1]:,} x "
                f"{extent[0]:,} pixels; its regions cannot be cells of it."
            )
        self.view.check_seen()
        self.view.settle()
        detections = detections_of(np.asarray(layer.data))
        question = (
            f"Take the {counted(len(detections), 'region')} of {layer.name!r} as cells of this "
            "field? Undo takes them away."
        )
        if not detections:
            raise WbcError(f"{layer.name!r} has no region that is as large as a cell.")
        if confirmed(self, "Use labels", question):
            cells = [Cell.new(field.fov_id, detection) for detection in detections]
            if self.session.commit(self.session.table.with_cells(cells), "take regions"):
                layer.visible = False
                self.status.tell(f"{counted(len(cells))} taken from {layer.name!r}.")

    def _open_sample(self) -> None:
        # The new layer is opened as a slide by _on_layer.
        self.viewer.open_sample("napari-wbc", "synthetic_smear")

    def _ask_folder(self) -> None:
        folder = ask_folder(self, "Open a slide: a folder of fields", "slide")
        if folder is not None:
            self.open_slide(open_slide(folder))

    def _ask_film(self) -> None:
        path = ask_file(self, "Open a scanned film", "film", FILMS)
        if path is not None:
            self.open_slide(open_slide(path))

    def _ask_export(self) -> None:
        if not self.session.slide.fields:
            raise WbcError(NO_SLIDE)
        folder = ask_folder(self, "Export to a folder", "export")
        if folder is not None:
            self.analysis.export_to(folder)

    def _may_leave(self, *, ask: bool = True) -> bool:
        """Take the last edits in, and ask before what could not be saved is dropped."""
        self.view.settle()
        self.place.keep()
        if self.project.opening:
            raise WbcError("A project is still being opened; wait a moment.")
        if ask and not self.project.may_leave():
            return False
        # What still runs is about the slide that is left.
        self.loader.cancel()
        self.analysis.forget()
        self.explain.jobs.cancel()
        return True

    def _on_opened(self, loaded: Loaded) -> None:
        """Go back to the place where the project was left."""
        self.thumbnails.clear()
        self.fields.flag(self.analysis.disagreements)
        slide, n_cells = loaded.slide, len(loaded.table)
        self.start.setVisible(not slide.fields)
        if slide.fields:
            text = f"{slide.name}: {counted(len(slide.fields), 'field')}"
            if n_cells:
                text += f", {counted(n_cells)} as you left {'it' if n_cells == 1 else 'them'}"
            if slide.left_out:
                self.status.warn(f"{text}; {slide.left_out_note}")
            else:
                self.say(text)
        else:
            self.say("No slide is open.")
        self._open_gallery_soon()
        self.place.restore(loaded)
        if self.queue.current:
            self.tabs.bring(self.queue_panel)
        agreed, self._consensus = self._consensus, {}
        if agreed and loaded.reading == CONSENSUS:
            self._write_consensus(agreed)
        action, self._after_opening = self._after_opening, None
        if action is not None and slide.fields:
            self._guarded(action)()

    def _keep_consensus(self, agreed: dict[str, Annotation]) -> None:
        """Open the reading that holds what two readers say together, and write it there."""
        self._consensus = agreed
        self.project.read_as(CONSENSUS)

    def _write_consensus(self, agreed: dict[str, Annotation]) -> None:
        table = self.session.table
        cells = []
        for cell_id, annotation in agreed.items():
            if cell_id in table:
                cells.append(table[cell_id].annotated(annotation))
        if self.session.commit(table.with_cells(cells), "consensus"):
            self.status.tell(
                f"Consensus on {counted(len(cells))}, kept as a reading of its own. "
                "Undo takes it back."
            )

    def _on_analyzed(self) -> None:
        self.fields.flag(self.analysis.disagreements)
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
