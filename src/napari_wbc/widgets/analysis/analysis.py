"""Locate and classify: cell finder, classifier, and the runs over fields of the slide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_wbc.detect.base import Located
from napari_wbc.errors import AlreadySure
from napari_wbc.layers.field import FieldView
from napari_wbc.layers.preview import preview_text
from napari_wbc.model.cell import Cell
from napari_wbc.model.progress import Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.words import counted
from napari_wbc.pipeline.adapt import Adapted, adapt_slide_steps, adapted_name
from napari_wbc.pipeline.analysis import Classified, SlideAnalysis, analysis_of
from napari_wbc.pipeline.analyze import analyze_fields_steps, classify_table_steps
from napari_wbc.pipeline.kept_analysis import from_note, merged_note, note_key, to_note
from napari_wbc.pipeline.locate import preview_steps
from napari_wbc.pipeline.report import Written, write_results
from napari_wbc.session.session import Session
from napari_wbc.weights.registry import models_folder
from napari_wbc.widgets.analysis.detect import DetectorWidget
from napari_wbc.widgets.analysis.film import FilmChoice, forget_steps
from napari_wbc.widgets.analysis.landing import Landing
from napari_wbc.widgets.analysis.model import ModelWidget
from napari_wbc.widgets.qt.described import failed_text
from napari_wbc.widgets.qt.layout import allow, button, column, primary, row
from napari_wbc.widgets.qt.panel import Panel, relay, single_shot
from napari_wbc.widgets.qt.preferences import preference
from napari_wbc.widgets.qt.progress import JobBar
from napari_wbc.widgets.qt.worker import LatestJob

SETTLED_MS = 400
"""A drawn cell is classified when its shape has not changed for this long."""
RUN_TIP = (
    "Locate and classify the cells of every field (Alt+A). Cells that you labelled, drew or moved "
    "are kept."
)
ADAPT_TIP = (
    "Make a copy of the model that is used to the stain and camera of this slide. "
    "It needs no labels and takes minutes. "
    "A slide with fewer than 20 cells is analyzed first. The old model stays as it is. "
    "Research use only: compare the two before you trust the new one."
)


class AnalysisPanel(Panel, QWidget):
    """Choose cell finder and classifier, and run them on the slide."""

    said = Signal(str)
    warned = Signal(str)
    noted = Signal(str)
    analyzed = Signal()
    running_changed = Signal(bool)
    _arrived = Signal(object)
    """From the thread of the analysis: with a slide, and cells of a scanned film."""

    def __init__(self, session: Session, view: FieldView) -> None:
        super().__init__()
        self.session = session
        self.view = view
        self._analysis: SlideAnalysis | None = None
        self._note: Any = None
        """What the project keeps of the last analysis beside the cells; None before it is read."""
        self._running = False
        self._waiting: set[str] = set()
        """Ids of the drawn cells that wait to be classified."""
        self._drawn_in = 0
        """Number of the step in which the last of them was drawn."""
        self._asked: tuple[frozenset[str], int] = (frozenset(), 0)
        """The two as they were when the classifier was started."""
        self._landing = Landing(session, view)
        self.previewer = LatestJob(self)
        self.drawn = LatestJob(self)
        self._build()
        self._settled = single_shot(self, self._classify_settled, SETTLED_MS)
        relay(self.jobs, self)
        self.jobs.running_changed.connect(self._set_running)
        relay(self.model, self)
        self._arrived.connect(self._on_arrived)
        self.previewer.returned.connect(self._on_preview)
        self.drawn.returned.connect(self._on_drawn_classified)
        self._tidier = LatestJob(self)
        """Removes what is not kept any more: of a large film, thousands of files."""
        self._others = (self.previewer, self.drawn, self._tidier)
        for job in self._others:
            job.failed.connect(self.warned)
        self.detector.changed.connect(self.preview)
        self.detector.preview_toggled.connect(self.preview)
        self.listen(self._on_changed, session.changed)
        layers = view.viewer.layers.events
        self.listen(self._show_possible, session.slide_changed, layers.inserted, layers.removed)
        self._show_possible()
        self.at_release(self.previewer.cancel)
        self.at_release(self.forget)

    def _build(self) -> None:
        self.detector = DetectorWidget()
        self.model = ModelWidget(self.session.taxonomy)
        self.film = self.own(FilmChoice(self.session, self.view, self._kept_regions))
        self.adapt = button("Adjust to this stain")
        self.run = primary(button("Analyze slide"))
        self.run_field = button("This field only")
        self.classify = button("Classify drawn")
        self.at_once = QCheckBox("Classify drawn cells at once")
        self.at_once.setChecked(preference("review", "classify_drawn"))
        self.at_once.setToolTip(
            "Classify each cell that you draw, move or split, if the slide has predictions"
        )
        self.jobs = JobBar("Analysis")
        self.film.map.clicked.connect(self._find_zones)
        others = row(self.run_field, self.classify, self.adapt)
        column(
            self, self.detector, self.model, self.film, self.run, others, self.at_once, self.jobs
        )

    @property
    def busy(self) -> bool:
        """Whether anything is previewed, analyzed or classified, or about to be."""
        running = any(job.running for job in (self.jobs, *self._others))
        return running or self._settled.isActive()

    def forget(self) -> None:
        """Stop what runs and forget the results: another slide was opened."""
        self.jobs.cancel()
        # It may go on until its next step, and what it finds is not of the slide to come.
        self._landing.start(None)
        self.drawn.cancel()
        self._settled.stop()
        self._waiting.clear()
        self._analysis = None
        self._note = None

    def analyze(self, fields: tuple[FieldOfView, ...]) -> None:
        """Locate and classify the cells of fields of the open slide."""
        slide = Slide(self.session.slide.name, fields)
        searched = {field.fov_id for field in fields}
        others = [cell for cell in self.session.table.values() if cell.fov_id not in searched]
        whole, arrived = self.session.slide, self._arrived
        film = self.film.value(fields) if self.film.is_film else None
        steps = partial(
            analyze_fields_steps,
            slide,
            *self.detector.value(),
            weights=self.model.value(),
            taxonomy=self.session.taxonomy,
            read=self.view.read,
            before=others,
            film=film,
            on_cells=lambda cells: arrived.emit((whole, cells)),
        )
        self.jobs.start(steps, partial(self._on_analyzed, whole, tiles=film.keep if film else None))
        self._landing.start(whole)

    def _on_arrived(self, arrived: tuple[Slide, Sequence[Cell]]) -> None:
        """Take cells in while tiles are worked on, so that the review can begin."""
        slide, cells = arrived
        landing = self._landing
        if slide != self.session.slide or slide != landing.slide:
            return
        before = landing.searched
        if not landing.take(cells):
            return
        if landing.searched != before:
            self._keep_part(landing.searched)
        if not before:
            self.analyzed.emit()
        self.noted.emit(f"{counted(landing.count)} so far; the review may begin.")

    def analyze_slide(self) -> None:
        """Locate and classify the cells of every field."""
        self.analyze(self.session.slide.fields)

    def analyze_field(self) -> None:
        """Locate and classify the cells of the field in view."""
        field = self.session.field
        if field is not None:
            self.analyze((field,))

    def classify_drawn(self) -> None:
        """Classify the cells that have no prediction."""
        self.view.settle()
        self.jobs.start(self._classify_job(), self._on_classified)

    def _classify_job(self) -> Callable[[], Steps[Classified]]:
        """Classify the cells without a prediction, as they are now."""
        # Taken now: the job runs in a thread, and a person may change all of it meanwhile.
        return partial(
            classify_table_steps,
            self.session.slide,
            self.session.table,
            weights=self.model.value(),
            taxonomy=self.session.taxonomy,
            read=self.view.read,
        )

    def adapt_to_slide(self) -> None:
        """Adapt the classifier to the slide, without labels."""
        self.view.settle()
        slide = self.session.slide
        choice = self.detector.value()
        steps = partial(
            adapt_slide_steps,
            slide,
            self.session.table,
            models_folder(),
            weights=self.model.value(),
            name=adapted_name(slide.name, datetime.now()),
            detector=choice.name,
            preset=choice.preset,
            parameters=choice.parameters,
            taxonomy=self.session.taxonomy,
            read=self.view.read,
        )
        self.jobs.start(steps, partial(self._on_adapted, slide))

    def export_to(self, folder: Path) -> None:
        """Write the slide as it is now: cells, outlines, differential, overlays."""
        self.view.settle()
        table = self.session.table
        taxonomy = self.session.taxonomy
        slide = self.session.slide
        kept = from_note(self._kept_note(), slide)
        searched_by = self._analysis.searched_by if self._analysis else None
        reviewed = SlideAnalysis(slide, table, *kept, taxonomy=taxonomy, searched_by=searched_by)
        analysis = analysis_of([reviewed])

        def written(result: Written) -> None:
            failed = failed_text(result.failures, "file")
            self.said.emit(f"{counted(len(table))} written to {result.folder}{failed}")

        self.jobs.start(lambda: write_results(analysis, folder, read=self.view.read), written)

    @property
    def disagreements(self) -> dict[str, str]:
        """Field to how far its cell finders disagreed when it was last analyzed."""
        return from_note(self._kept_note(), self.session.slide).disagreements

    def _kept_regions(self, fov_id: str) -> dict[str, Any]:
        """The regions of a film that its project keeps."""
        return from_note(self._kept_note(), self.session.slide).regions.get(fov_id, {})

    def _find_zones(self) -> None:
        field = self.session.field
        if field is not None and not self.jobs.running:
            self.jobs.start(self.film.zones_job(), partial(self.film.show_zones, field.fov_id))

    def _kept_note(self) -> Any:
        """What the project keeps of the last analysis beside the cells."""
        workspace = self.session.workspace
        if self._note is None and workspace is not None:
            self._note = workspace.get(note_key(self.session.slide.name))
        return self._note

    def preview(self, _choice: object = None) -> None:
        """Show what the cell finder would find in the field in view, if *Preview* is on."""
        field = self.session.field
        if not self.detector.preview.isChecked() or field is None:
            self.previewer.cancel()
            self.view.preview(None)
            return
        choice = self.detector.value()
        # The field is read in the thread too.
        self.previewer.request(lambda: preview_steps(self.view.read(field), *choice))

    def _on_preview(self, located: Located) -> None:
        self.view.preview(located)
        self.noted.emit(preview_text(located))

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        """Classify a cell that was drawn or moved, where a classifier was used already."""
        if self.session.cause == "human" and self.at_once.isChecked():
            self._await(old, new)
        self._show_possible()
        self._waiting = {key for key in self._waiting if key in new and new[key].prediction is None}
        if self.session.redoable or not self._waiting:
            # A prediction comes and goes with its cell, and a new step would end redo.
            self._settled.stop()
            if self.drawn.running:
                self.drawn.cancel()
        elif not self._settled.isActive() and not self.drawn.running:
            self._settled.start()

    def _await(self, old: CellTable, new: CellTable) -> None:
        """Note the cells that a person drew or moved just now."""
        change = diff(old, new)
        moved = [after for before, after in change.changed if before.detection != after.detection]
        drawn = set()
        for cell in (*change.added, *moved):
            if cell.detection.drawn and cell.prediction is None:
                drawn.add(cell.cell_id)
        # On a slide without predictions nobody has chosen a classifier yet.
        if drawn and any(cell.prediction is not None for cell in new.values()):
            self._waiting |= drawn
            self._drawn_in = self.session.last_step
            self._settled.start()

    def _classify_settled(self) -> None:
        if self.jobs.running:
            self._settled.start()
            return
        self._asked = frozenset(self._waiting), self._drawn_in
        self.drawn.request(self._classify_job())

    def _on_drawn_classified(self, result: Classified) -> None:
        """Keep the predictions with the step in which the cells were drawn."""
        asked, drawn_in = self._asked
        self._waiting -= asked
        self._on_classified(result, follows=drawn_in)

    def _on_classified(self, result: Classified, *, follows: int = 0) -> None:
        self.view.settle()
        predicted = []
        for classified in result.cells:
            cell = self.session.table.get(classified.cell_id)
            # A cell that was moved meanwhile was classified by other pixels.
            if cell is not None and cell.detection == classified.detection:
                predicted.append(cell.predicted(classified.prediction))
        table = self.session.table.with_cells(predicted)
        taken = self.session.commit(table, "classify drawn cells", "model", follows=follows)
        message = f"{counted(len(predicted))} classified"
        if result.failures:
            self.said.emit(f"{message}{failed_text(result.failures, 'file')}")
        # After drawing, the message says how to take the drawing back, and stays.
        elif not follows and (taken or not predicted):
            self.said.emit(message)

    def _on_adapted(
        self, slide: Slide, result: tuple[SlideAnalysis | None, Adapted | AlreadySure]
    ) -> None:
        analysis, adapted = result
        if analysis is not None:
            self._on_analyzed(slide, analysis)
        if isinstance(adapted, AlreadySure):
            self.said.emit(str(adapted))
            return
        self.model.choose(str(adapted.weights))
        failed = failed_text(adapted.failures, "file")
        self.said.emit(
            f"{adapted.weights.stem} is adjusted to {counted(adapted.cells)} and chosen{failed}. "
            "Next: Analyze slide again, and compare by Undo and Redo before you trust it. "
            "Research use only."
        )

    def _on_analyzed(
        self, slide: Slide, analysis: SlideAnalysis, *, tiles: Path | None = None
    ) -> None:
        if self.session.slide != slide:
            return
        self.view.settle()
        # The cells of a field that could not be read stay as they are.
        failed = {failure.path for failure in analysis.failures}
        searched = [field.fov_id for field in analysis.slide.fields if field.path not in failed]
        # Where the session refuses, it says why.
        if not self._landing.commit(tuple(analysis.table.values()), searched):
            return
        # Of a part, they are kept for an analysis of the whole.
        if tiles is not None and not analysis.failures and not analysis.looked_at:
            self._tidier.request(partial(forget_steps, tiles))
        self._analysis = analysis
        self._keep_note(analysis)
        self.analyzed.emit()
        # What a person deleted does not come back with a search, and is not counted as found.
        cells = [cell for fov_id in searched for cell in self.session.table.of_field(fov_id)]
        self.said.emit(_summary(analysis, cells, len(searched)))

    def _keep_note(self, analysis: SlideAnalysis) -> None:
        """Keep what the project has beside the cells; other fields keep theirs."""
        fresh = to_note(
            analysis.slide,
            analysis.failures,
            analysis.blood_cells,
            analysis.disagreements,
            analysis.looked_at,
            regions=analysis.regions,
        )
        searched = [field.fov_id for field in analysis.slide.fields]
        self._note = merged_note(self._kept_note(), searched, fresh)
        self.session.note(note_key(self.session.slide.name), self._note)

    def _set_running(self, running: bool) -> None:
        self._running = running
        if not running:
            if self._landing.slide == self.session.slide and self.jobs.ended:
                self._say_ended()
            self._landing.start(None)
        self._show_possible()
        self.running_changed.emit(running)

    def _keep_part(self, fov_ids: Collection[str]) -> None:
        """Note in the project that not all of some films was looked at, until the analysis ends.

        It is there already if the window is closed, or another slide opened, before that.
        """
        part = "Only a part of the film was looked at: its analysis has not been finished."
        fields = tuple(field for field in self.session.slide.fields if field.fov_id in fov_ids)
        slide = Slide(self.session.slide.name, fields)
        self._analysis = None
        self._keep_note(SlideAnalysis(slide, CellTable(), looked_at=dict.fromkeys(fov_ids, part)))

    def _say_ended(self) -> None:
        """Say what stays of an analysis that ended before all of the film was looked at."""
        self._on_arrived((self.session.slide, ()))
        if not self._landing.count:
            return
        ended = self.jobs.ended.rstrip(".")
        kept = counted(self._landing.count)
        text = f"{ended}. Found so far and kept: {kept}. Undo takes away what was found."
        if self.session.workspace is not None:
            text += " Analyze slide goes on with the next tile."
        self.said.emit(text)

    def _images(self) -> list[Image]:
        return [layer for layer in self.view.viewer.layers if isinstance(layer, Image)]

    def _show_possible(self, *_what: object) -> None:
        """Enable what can be done now; a disabled button says why in its tooltip."""
        reason = ""
        if self._running:
            reason = "An analysis is running. Wait for it, or cancel it."
        elif not self.session.slide.fields and not self._images():
            reason = "No slide is open. Open one on the page Slide."
        for push, tip in (
            (self.run, RUN_TIP),
            (self.run_field, "Locate and classify the cells of the field in view"),
            (self.adapt, ADAPT_TIP),
        ):
            allow(push, tip, reason)
        if not self.session.table.unclassified:
            reason = reason or "Every cell is classified already."
        allow(self.classify, "Classify the cells that were drawn or moved", reason)


def _summary(analysis: SlideAnalysis, cells: Collection[Cell], searched: int) -> str:
    """One line on an analysis, and on the cells that the searched fields have now."""
    text = f"{counted(len(cells))} in {counted(searched, 'field')}"
    if candidates := sum(cell.candidate for cell in cells):
        text += f", {candidates} of them only {'candidates' if candidates > 1 else 'a candidate'}"
        text += " (not counted)"
    if analysis.disagreements:
        text += f"; network and colour disagree on {counted(len(analysis.disagreements), 'field')}"
    if not cells and searched:
        text += "; try another way to find cells"
    text += failed_text(analysis.failures, "file")
    totals: Counter[str] = Counter()
    for counts in analysis.blood_cells.values():
        totals.update(counts)
    for name, n in sorted(totals.items()):
        text += f"; {counted(n, name)}"
    if not analysis.classified:
        text += f"; located by {analysis.detector} and not classified: PyTorch cannot be loaded"
    return text
