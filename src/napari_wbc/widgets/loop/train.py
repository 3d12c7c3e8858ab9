"""The panel *Train*: export reviewed cells, fine-tune a model on them, compare, adopt."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QGroupBox,
    QLineEdit,
    QListWidget,
    QMenu,
    QPushButton,
    QWidget,
)

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import BY_SLIDE, SPLITS
from napari_wbc.model.words import counted
from napari_wbc.session.opening import projects_folder
from napari_wbc.session.session import Session
from napari_wbc.storage.formats.registry import FORMATS
from napari_wbc.weights.library import Library
from napari_wbc.weights.model import KINDS, Model
from napari_wbc.widgets.loop import jobs
from napari_wbc.widgets.loop.curves import Curves
from napari_wbc.widgets.loop.library import LibraryWidget
from napari_wbc.widgets.qt.described import failed_text
from napari_wbc.widgets.qt.files import ask_file, ask_folder
from napari_wbc.widgets.qt.input_guard import guard_inputs
from napari_wbc.widgets.qt.layout import (
    TextLines,
    allow,
    bring_up,
    button,
    choice,
    column,
    group,
    row,
    text_label,
)
from napari_wbc.widgets.qt.panel import Panel, guarded, relay
from napari_wbc.widgets.qt.progress import JobBar
from napari_wbc.widgets.qt.settings import settings
from napari_wbc.widgets.qt.worker import LatestJob

if TYPE_CHECKING:
    from napari_wbc.measure.comparison import Comparison
    from napari_wbc.pipeline.import_set import ImportedSet, Incoming
    from napari_wbc.pipeline.set_summary import SetSummary
    from napari_wbc.pipeline.training_sets import ExportedSet

SIDES = {"train": "train", "val": "validation (val)", "test": "test"}
"""What a slide of a training set is for."""
SET_KEY = "training_set"
"""Key of the settings: the folder of the training set."""
SET_TIP = "Folder of the training set. Each export adds a round; earlier rounds stay as they are."
SPLIT_TIP = (
    "The split of slides that are new in the set. by-slide: the first slide is train; "
    "of 100 others, 70 are train, 15 val and 15 test, by their names. "
    "A slide keeps its split until you move it."
)
FORMAT_TIP = "wbc keeps everything; the other formats are for other tools"
KIND_TIP = (
    "classifier: continues from the chosen one and adds the classes that it lacks. "
    "detector: continues from the chosen mask-rcnn, on fields whose cells are all reviewed."
)
SLIDE_TIP = "Slides of the set, and their splits"
SIDE_TIP = "What the slide is for: training, validation or test"
MOVE_TIP = "Give the slide another split, in a new round; only if no model has used the slide"
EXPORT_TIP = "Write the reviewed cells of this project as the next round of the set"
IMPORT_TIP = "Import a set (COCO, VOC, YOLO, GeoJSON, CSV, folders, .zip) as a project to review"
TUNE_TIP = "Continue training the chosen model on the set; a cancelled run resumes where it was"
COMPARE_TIP = "Compare the old and the new model on the test slides, before you adopt one"
BROWSE_TIP = "All models with their parents: adopt, roll back, export, import"
NO_PROJECT = "No project is open. Open a folder of fields first."
NO_SLIDES = "The set has no slide yet. Add reviewed cells first."
NO_PAIR = "Fine-tune first: the new model is compared with the one that it started from."
OLD_TIP = (
    "Training sets that the model was trained on. "
    "A part of them is used again, so that the model does not forget them."
)


class TrainPanel(Panel, QWidget):
    """Export, import, fine-tune, compare, adopt.

    Parameters
    ----------
    project : callable
        File of the project that is open, None where there is none.
    weights, detector : callable
        Name or file of the chosen classifier and of the chosen detector's weights, from which
        training goes on.
    library : Library, optional
        The person's own where None.
    """

    said = Signal(str)
    warned = Signal(str)
    noted = Signal(str)
    model_wanted = Signal(str)
    """With the name or file of weights to choose."""
    detectors_changed = Signal()
    """After a detector was trained."""
    project_wanted = Signal(object)
    """With the path of a project to open."""

    def __init__(
        self,
        session: Session,
        project: Callable[[], Path | None],
        weights: Callable[[], str],
        detector: Callable[[], str],
        library: Library | None = None,
    ) -> None:
        super().__init__()
        self.session = session
        self._project = project
        self._weights = weights
        self._detector = detector
        self.models = Library() if library is None else library
        self._pair: tuple[str, str] | None = None
        self._then: Callable[[], Any] | None = None
        """What to do when the running job has ended."""
        self._shown = ""
        self._slide = ""
        """Slide of the set that was chosen last."""
        self._not_ready = ""
        """Why no model can learn from the set; empty where one can, or nobody knows yet."""
        self._dialogs: dict[str, QDialog] = {}
        column(self, self._build_set(), self._build_model())
        self._connect()

    def _button(self, text: str, tip: str, action: Callable[[], object]) -> QPushButton:
        return button(text, tip, guarded(self.warned.emit, action))

    def _build_set(self) -> QGroupBox:
        folder = str(settings().value(SET_KEY, "") or "")
        self.folder = QLineEdit(folder or str(projects_folder().parent / "training-set"))
        self.folder.setToolTip(SET_TIP)
        self.choose_folder = self._button("…", "Choose another training set", self._ask_folder)
        self.format = choice(FORMATS, FORMAT_TIP)
        self.split = choice((BY_SLIDE, *SPLITS), SPLIT_TIP)
        self.summary = TextLines(1)
        self.slide = choice((), SLIDE_TIP, least=10)
        self.side = choice(())
        for split, text in SIDES.items():
            self.side.addItem(text, split)
        self.move_slide = self._button("Move", MOVE_TIP, self.move_chosen_slide)
        self.export = self._button("Add reviewed cells", EXPORT_TIP, self.export_project)
        self.bring = button("Import…", IMPORT_TIP)
        menu = QMenu(self.bring)
        for text, ask in (
            ("A file of the set, or its .zip…", self._ask_import),
            ("A folder, as of images by class…", self._ask_import_folder),
        ):
            menu.addAction(text).triggered.connect(guarded(self.warned.emit, ask))
        self.bring.setMenu(menu)
        return group(
            "Training set",
            row(self.folder, self.choose_folder),
            row(self.format, self.split, self.bring),
            self.export,
            self.summary,
            row(self.slide, self.side, self.move_slide),
        )

    def _build_model(self) -> QGroupBox:
        self.old = QListWidget()
        self.old.setMaximumHeight(44)
        self.old.setToolTip(OLD_TIP)
        self.add_old = self._button("+", "Add an old training set", self._ask_old)
        self.drop_old = button("-", "Remove the selected training set from the list")
        self.drop_old.clicked.connect(self._drop_old)
        self.kind = choice(KINDS, KIND_TIP)
        self.freeze = QCheckBox("Only the last layer")
        self.freeze.setToolTip("Faster; the model forgets less and improves less")
        self.tune = self._button("Fine-tune", TUNE_TIP, self.finetune)
        self.compare = self._button("Compare…", COMPARE_TIP, self.compare_models)
        self.browse = self._button("Models…", BROWSE_TIP, self.show_library)
        self.jobs = JobBar("Training")
        self.curves = Curves()
        return group(
            "Model",
            row(text_label("Old sets"), self.old, self.add_old, self.drop_old),
            row(self.kind, self.freeze),
            row(self.tune, self.compare, self.browse),
            self.jobs,
            self.curves,
        )

    def _connect(self) -> None:
        self.kind.currentTextChanged.connect(self._on_kind)
        self.listen(self._show_possible, self.session.changed, self.session.slide_changed)
        self._show_possible()
        relay(self.jobs, self)
        self.jobs.progressed.connect(self._on_progress)
        self.jobs.running_changed.connect(self._set_running)
        self._summaries = LatestJob(self)
        self._summaries.returned.connect(self._on_summary)
        self._summaries.failed.connect(self.summary.setText)
        self.folder.editingFinished.connect(self.show_summary)
        self.at_release(self._close_dialogs)
        self.at_release(self._summaries.cancel)
        self.at_release(self.jobs.cancel)

    def _on_kind(self, kind: str) -> None:
        self.freeze.setEnabled(kind != "detector")
        self.show_summary()

    def showEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Show what the set holds by now."""
        super().showEvent(event)
        self.show_summary()

    @property
    def busy(self) -> bool:
        """Whether anything is read, exported, imported, trained or compared."""
        return self.jobs.running or self._summaries.running

    def take_over(self, other: TrainPanel) -> None:
        """Continue with the old sets and the models to compare of another panel."""
        self._pair = other._pair
        self.old.addItems(other.old_sets())
        self._show_possible()

    def _close_dialogs(self) -> None:
        for dialog in self._dialogs.values():
            dialog.close()

    def set_folder(self) -> Path:
        """Folder of the training set, kept for the next start."""
        folder = self._folder()
        settings().setValue(SET_KEY, self.folder.text().strip())
        return folder

    def _folder(self) -> Path:
        text = self.folder.text().strip()
        if not text:
            raise WbcError("No training set; choose a folder for it.")
        try:
            return Path(text).expanduser()
        except RuntimeError as error:
            raise WbcError(f"{text}: no such home folder; choose another folder.") from error

    def old_sets(self) -> list[str]:
        """Training sets of which a part is used again."""
        return [self.old.item(i).text() for i in range(self.old.count())]

    def export_project(self) -> None:
        """Write the reviewed cells of the open project as the next round of the set."""
        project = self._project()
        folder = self.set_folder()
        written_as = self.format.currentText()
        split = self.split.currentText()
        if project is None:
            raise WbcError(NO_PROJECT)
        if not self.session.flush():
            raise WbcError(self.session.saved.sentence)
        reading = self.session.reading

        def work() -> Steps[ExportedSet]:
            from napari_wbc.pipeline.training_sets import export_set_steps

            return export_set_steps(
                [project], folder, written_as=written_as, split=split, reading=reading
            )

        self.jobs.start(work, self._on_exported)

    def show_summary(self) -> None:
        """Show the cells and the slides of the set, by split."""
        # Until the listed slides are those of this set.
        self._slide = self.slide.currentData() or self._slide
        self.slide.clear()
        self._show_possible()
        try:
            folder = self._folder()
        except WbcError as error:
            self.summary.setText(str(error))
            return
        old = self.old_sets()
        detector = self.kind.currentText() == "detector"
        self._summaries.request(lambda: jobs.summary_steps(folder, old, detector=detector))

    def move_chosen_slide(self) -> None:
        """Give a slide of the set another split."""
        folder = self.set_folder()
        slide = self.slide.currentData()
        split = self.side.currentData()
        library = self.models
        if not slide:
            raise WbcError(NO_SLIDES)

        def work() -> Steps[ExportedSet]:
            from napari_wbc.pipeline.move_slide import move_slide_steps

            return move_slide_steps(folder, slide, split, models=library)

        self.jobs.start(work, self._on_exported)

    def import_set(self, path: Path) -> None:
        """Show what a set holds, and ask how to import it."""
        taxonomy = self.session.taxonomy

        def work() -> Steps[Incoming]:
            from napari_wbc.pipeline.import_set import look_steps

            return look_steps(path, taxonomy=taxonomy)

        self.jobs.start(work, partial(self._on_looked, path))

    def finetune(self) -> None:
        """Continue training the chosen model on the set."""
        sets = [self.set_folder()]
        old = self.old_sets()
        runs = self.models.folder / "runs"
        self.curves.clear()
        if self.kind.currentText() == "detector":
            start = self._detector()
            steps = partial(jobs.tuned_detector_steps, sets, runs, start, old)
            self.jobs.start(lambda: jobs.added_steps(steps(), self.models), self._on_detector_tuned)
            return
        start = self._weights()
        names = self.session.taxonomy.names
        freeze = self.freeze.isChecked()
        steps = partial(jobs.tuned_steps, sets, runs, start, old, names, freeze=freeze)
        done = partial(self._on_tuned, start)
        self.jobs.start(lambda: jobs.added_steps(steps(), self.models), done)

    def compare_models(self) -> None:
        """Compare the last fine-tuned model with its start, on the test cells of the sets."""
        if self._pair is None:
            raise WbcError(NO_PAIR)
        old, new = self._pair
        sets: list[str | Path] = [self.set_folder(), *self.old_sets()]
        self.jobs.start(
            lambda: jobs.compared_steps(sets, old, new), partial(self._on_compared, new)
        )

    def show_library(self) -> None:
        """Browse the models."""
        if "library" not in self._dialogs:
            self.library = LibraryWidget(self.models)
            self.library.adopted.connect(self.model_wanted)
            self._dialogs["library"] = self._dialog(self.library, "Models", 720, 420)
        self.library.refresh()
        bring_up(self._dialogs["library"])

    def _on_progress(self, progress: Progress) -> None:
        if progress.values:
            self.curves.add(progress.values)

    def _on_exported(self, exported: ExportedSet) -> None:
        by_split = dict.fromkeys(SPLITS, 0)
        for (split, _label), n in exported.cells.items():
            by_split[split] += n
        splits = ", ".join(f"{n} {split}" for split, n in by_split.items())
        self.said.emit(
            f"{counted(sum(exported.cells.values()))} ({splits}) in {exported.folder}; "
            f"{exported.added} new, {exported.relabelled} relabelled, "
            f"{exported.removed} removed{failed_text(exported.failures)}"
        )
        self.show_summary()

    def _on_summary(self, read: tuple[SetSummary, str]) -> None:
        summary, self._not_ready = read
        self.summary.setText(summary.line if summary.slides else "No cells in this set yet")
        for slide in summary.slides:
            self.slide.addItem(f"{slide.name} ({slide.split}, {slide.cells})", slide.name)
        self.slide.setCurrentIndex(max(0, self.slide.findData(self._slide)))
        self._show_possible()

    def _on_looked(self, path: Path, incoming: Incoming) -> None:
        self._then = partial(self._ask_mapping, path, incoming)

    def _ask_mapping(self, path: Path, incoming: Incoming) -> None:
        from napari_wbc.widgets.loop.mapping import MappingDialog

        dialog = MappingDialog(incoming, self.session.taxonomy, self)
        if dialog.exec():
            self.bring_in(path, incoming.content.name, dialog.value())

    def bring_in(self, path: Path, name: str, mapping: dict[str, str]) -> None:
        """Import a set into a new project."""
        taxonomy = self.session.taxonomy
        project = projects_folder() / f"{name}.wbc"
        number = 1
        while project.exists():
            number += 1
            project = project.with_name(f"{name}-{number}.wbc")

        def work() -> Steps[ImportedSet]:
            from napari_wbc.pipeline.import_set import import_set_steps

            return import_set_steps(path, project, mapping=mapping, taxonomy=taxonomy)

        self.jobs.start(work, self._on_imported)

    def _on_imported(self, imported: ImportedSet) -> None:
        text = f"{imported.summary}{failed_text(imported.failures)}"
        self.said.emit("; ".join([text, *imported.notes]))
        self.project_wanted.emit(imported.project)

    def _on_tuned(self, start: str, result: tuple[Any, Model]) -> None:
        _trained, model = result
        self._pair = (start, str(model.path))
        self._show_possible()
        self.said.emit(
            f"{model.name} is ready, and not in use yet. "
            "Next: Compare… on cells that neither model has seen."
        )

    def _on_detector_tuned(self, result: tuple[Any, Model]) -> None:
        trained, model = result
        precision = 100 * trained.card.metrics["val_ap"]
        self.said.emit(
            f"{model.name} is ready: average precision {precision:.1f} % on validation fields. "
            "Choose it on the page Find to try it, and adopt it in Models…"
        )
        self.detectors_changed.emit()

    def _on_compared(self, new: str, result: tuple[Comparison, bytes]) -> None:
        # Another model may be fine-tuned while a person looks at this comparison.
        self._shown = new
        comparison, picture = result
        if "comparison" not in self._dialogs:
            from napari_wbc.widgets.loop.comparison import ComparisonView

            self.comparison = ComparisonView()
            self.comparison.adopt_chosen.connect(guarded(self.comparison.say, self.adopt))
            self.comparison.keep_chosen.connect(self._keep)
            # Its dialog lies over the window, so it also says itself what goes wrong.
            self.jobs.warned.connect(self.comparison.say)
            title = "Old and new model"
            self._dialogs["comparison"] = self._dialog(self.comparison, title, 900, 760)
        self.comparison.show_comparison(comparison, picture)
        bring_up(self._dialogs["comparison"])

    def adopt(self) -> None:
        """Use the new model from now on."""
        shown = self.comparison.value()
        assert shown is not None
        new = self._shown
        why = shown.measures.why
        library = self.models
        self.comparison.say("Adopting the new model…")
        self.jobs.start(lambda: jobs.adopt_steps(library, new, why), self._on_adopted)

    def _on_adopted(self, new: str) -> None:
        self.model_wanted.emit(new)
        self._dialogs["comparison"].close()

    def _keep(self) -> None:
        self._dialogs["comparison"].close()
        self.said.emit("The old model stays in use; the new one is kept among the models.")

    def _dialog(self, inside: QWidget, title: str, width: int, height: int) -> QDialog:
        guard_inputs(inside)
        dialog = QDialog(self)
        dialog.setWindowTitle(title)
        column(dialog, inside, margin=4)
        dialog.resize(width, height)
        return dialog

    def _ask_folder(self) -> None:
        folder = ask_folder(self, "Training set", "training set", self.folder.text())
        if folder is not None:
            self.folder.setText(str(folder))
            self.set_folder()
            self.show_summary()

    def _ask_old(self) -> None:
        title = "An old training set"
        folder = ask_folder(self, title, "training set", self.folder.text())
        if folder is not None:
            self.old.addItem(str(folder))
            self.show_summary()

    def _drop_old(self) -> None:
        self.old.takeItem(self.old.currentRow())
        self.show_summary()

    def _ask_import(self) -> None:
        kinds = (
            "Training sets (*.zip *.json *.geojson *.csv *.tsv *.yaml *.yml *.xml);;All files (*)"
        )
        title = "Import a training set: any file of it, or its .zip"
        path = ask_file(self, title, "import", kinds)
        if path is not None:
            self.import_set(path.parent if path.suffix.lower() == ".xml" else path)

    def _ask_import_folder(self) -> None:
        folder = ask_folder(self, "Import a training set: its folder", "import")
        if folder is not None:
            self.import_set(folder)

    def _set_running(self, running: bool) -> None:
        self._show_possible()
        if not running and self._then is not None:
            then = self._then
            self._then = None
            guarded(self.warned.emit, then)()

    def _show_possible(self, *_what: object) -> None:
        """Enable what can be done now; a disabled button says why in its tooltip."""
        running = "A job is running here. Wait for it, or cancel it." if self.jobs.running else ""
        reviewed = any(cell.annotation is not None for cell in self.session.table.values())
        if self._project() is None:
            nothing = NO_PROJECT
        else:
            nothing = "" if reviewed else "No cell is reviewed yet. Review some on the page Review."
        pair = "" if self._pair else NO_PAIR
        slides = "" if self.slide.count() else NO_SLIDES
        for widget, tip, reason in (
            (self.export, EXPORT_TIP, nothing),
            (self.bring, IMPORT_TIP, ""),
            (self.tune, TUNE_TIP, self._not_ready),
            (self.compare, COMPARE_TIP, pair),
            (self.slide, SLIDE_TIP, slides),
            (self.side, SIDE_TIP, slides),
            (self.move_slide, MOVE_TIP, slides),
        ):
            allow(widget, tip, running or reason)
