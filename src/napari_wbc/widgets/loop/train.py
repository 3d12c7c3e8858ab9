"""The loop on the screen: reviewed cells into a set, a model that goes on from it, which of two is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.training_set import BY_SLIDE, SPLITS
from napari_wbc.session.opening import projects_folder
from napari_wbc.session.session import Session
from napari_wbc.storage.sets import FORMATS
from napari_wbc.weights.library import KINDS, Library, Model
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import read_card
from napari_wbc.widgets.loop.curves import Curves
from napari_wbc.widgets.loop.library import LibraryWidget
from napari_wbc.widgets.qt.input_guard import guard_inputs
from napari_wbc.widgets.qt.layout import TextLines, group, row
from napari_wbc.widgets.qt.progress import JobBar
from napari_wbc.widgets.qt.settings import settings
from napari_wbc.widgets.qt.worker import LatestJob

if TYPE_CHECKING:
    from napari_wbc.pipeline.compare import Comparison
    from napari_wbc.pipeline.import_set import ImportedSet, Incoming
    from napari_wbc.pipeline.training_sets import ExportedSet, SetSummary
    from napari_wbc.train.detector import TrainedDetector
    from napari_wbc.train.engine import Trained

__all__ = ["TrainPanel"]

SIDES = {"train": "to learn (train)", "val": "to check (val)", "test": "to test (test)"}
"""What a slide of a training set is for."""
SET = "training_set"
"""Of the settings: the set that is worked on."""
SET_TIP = "Folder of the training set; each export adds a round to it, and earlier rounds stay as they are"
SPLIT_TIP = (
    "What a slide that is new in the set is for. by-slide: the first is learnt, others by their name, of 100 "
    "slides 70 are learnt, 15 choose, and 15 test; a slide stays where it is until you move it"
)
FORMAT_TIP = "wbc is read back whole; the others are for other tools"
KIND_TIP = (
    "classifier: goes on from the chosen one; classes that it has not are added. detector: goes on from the "
    "chosen mask-rcnn, by fields of which every cell was reviewed"
)
OLD_TIP = "Training sets that the model knows: a part of them is learnt again, so that they are not forgotten"


class TrainPanel(QWidget):
    """Export, import, fine-tune, compare, adopt.

    Parameters
    ----------
    session : Session
    project : callable
        File of the project that is open, None where there is none.
    weights, detector : callable
        Name or file of the chosen classifier and of the chosen detector's weights, from which
        training goes on.
    library : Library, optional
        The person's own where None.
    """

    said = Signal(str)
    """With one line for the person at the screen."""
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
        self.session, self._project, self._weights, self._detector = (
            session,
            project,
            weights,
            detector,
        )
        self.models = Library() if library is None else library
        self._pair: tuple[str, str] | None = None
        self._then: Callable[[], Any] | None = None
        self._shown = ""
        self._dialogs: dict[str, QDialog] = {}
        self._build()
        self._connect()

    def _build(self) -> None:
        kept = str(settings().value(SET, "") or "")
        self.folder = QLineEdit(kept or str(projects_folder().parent / "training-set"))
        self.folder.setToolTip(SET_TIP)
        self.choose_folder = QPushButton("…")
        self.choose_folder.setToolTip("Choose another training set")
        self.format = QComboBox()
        self.format.addItems(list(FORMATS))
        self.format.setToolTip(FORMAT_TIP)
        self.split = QComboBox()
        self.split.addItems([BY_SLIDE, *SPLITS])
        self.split.setToolTip(SPLIT_TIP)
        self.summary = TextLines(1)
        self.slide, self.side = QComboBox(), QComboBox()
        self.slide.setToolTip("Slides of the set, and what they are for")
        self.slide.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.slide.setMinimumContentsLength(10)
        for split, text in SIDES.items():
            self.side.addItem(text, split)
        self.move_slide = QPushButton("Move")
        self.move_slide.setToolTip(
            "Change what the slide is for, from the next round on; only if no model has used it"
        )
        self.export = QPushButton("Add reviewed cells")
        self.export.setToolTip(
            "Write the reviewed cells of this project as the next round of the set"
        )
        self.bring = QPushButton("Import…")
        self.bring.setToolTip(
            "Another set (COCO, VOC, YOLO, GeoJSON, CSV, folders, .zip) as a project to review"
        )
        self.old = QListWidget()
        self.old.setMaximumHeight(44)
        self.old.setToolTip(OLD_TIP)
        self.add_old, self.drop_old = QPushButton("+"), QPushButton("-")
        self.add_old.setToolTip("Add an old training set")
        self.drop_old.setToolTip("Take the selected one out")
        self.kind = QComboBox()
        self.kind.addItems(list(KINDS))
        self.kind.setToolTip(KIND_TIP)
        self.freeze = QCheckBox("Only the last layer")
        self.freeze.setToolTip("Quicker, forgets less, gains less")
        self.tune = QPushButton("Fine-tune")
        self.tune.setToolTip(
            "Go on training the chosen model with the set; a cancelled run goes on where it was"
        )
        self.compare = QPushButton("Compare…")
        self.compare.setToolTip(
            "Old and new model on the test slides of the sets, before you adopt one"
        )
        self.browse = QPushButton("Models…")
        self.browse.setToolTip("All models with their parents: adopt, roll back, export, import")
        self.jobs, self.curves = JobBar(), Curves()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(
            group(
                "Training set",
                row(self.folder, self.choose_folder),
                row(self.format, self.split, self.bring),
                self.export,
                self.summary,
                row(self.slide, self.side, self.move_slide),
            )
        )
        layout.addWidget(
            group(
                "Model",
                row(QLabel("Old sets"), self.old, self.add_old, self.drop_old),
                row(self.kind, self.freeze),
                row(self.tune, self.compare, self.browse),
                self.jobs,
                self.curves,
            )
        )

    def _connect(self) -> None:
        for button, action in (
            (self.choose_folder, self._ask_folder),
            (self.export, self.export_project),
            (self.move_slide, self.move_chosen_slide),
            (self.bring, self._ask_import),
            (self.add_old, self._ask_old),
            (self.tune, self.finetune),
            (self.compare, self.compare_models),
            (self.browse, self.show_library),
        ):
            button.clicked.connect(partial(self._tried, action))
        self.kind.currentTextChanged.connect(
            lambda kind: self.freeze.setEnabled(kind != "detector")
        )
        self.drop_old.clicked.connect(lambda: self.old.takeItem(self.old.currentRow()))
        self.jobs.said.connect(self.said)
        self.jobs.progressed.connect(self._on_progress)
        self.jobs.running_changed.connect(self._set_running)
        self._summaries = LatestJob(self)
        self._summaries.returned.connect(self._on_summary)
        self._summaries.failed.connect(self.summary.setText)
        self.folder.editingFinished.connect(self.show_summary)

    def showEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Show what the set holds by now."""
        super().showEvent(event)
        self.show_summary()

    @property
    def busy(self) -> bool:
        """Whether anything is read, exported, imported, trained or compared."""
        return self.jobs.running or self._summaries.running

    def take_over(self, other: TrainPanel) -> None:
        """Go on with the old sets and the pair to compare of another panel."""
        self._pair = other._pair
        self.old.addItems(other.old_sets())

    def close_session(self) -> None:
        """Stop work; touches no widget but the dialogs."""
        self.jobs.cancel()
        self._summaries.cancel()
        for dialog in self._dialogs.values():
            dialog.close()

    def set_folder(self) -> Path:
        """Folder of the training set."""
        text = self.folder.text().strip()
        if not text:
            raise WbcError("No training set; choose a folder for it.")
        settings().setValue(SET, text)
        return Path(text).expanduser()

    def old_sets(self) -> list[str]:
        """Training sets that are learnt again."""
        return [self.old.item(i).text() for i in range(self.old.count())]

    def _sets(self) -> list[str | Path]:
        return [self.set_folder(), *self.old_sets()]

    def export_project(self) -> None:
        """Write the reviewed cells of the open project as the next round of the set."""
        project, folder = self._project(), self.set_folder()
        kind, split = self.format.currentText(), self.split.currentText()
        if project is None:
            raise WbcError("No project is open; open a folder of fields first.")
        if not self.session.flush():
            raise WbcError(f"What you did is not saved: {self.session.saved.why}.")
        reading = self.session.reading

        def work() -> Steps[ExportedSet]:
            from napari_wbc.pipeline.training_sets import export_set_steps

            return export_set_steps(
                [project], folder, written_as=kind, split=split, reading=reading
            )

        self.jobs.start(work, self._on_exported)

    def show_summary(self) -> None:
        """Show how many cells of the set are there to learn, to check and to test, and of which slides."""
        folder = Path(self.folder.text().strip()).expanduser()
        self.move_slide.setEnabled(False)  # until the slides are those of this set
        self._summaries.request(lambda: _summary_steps(folder))

    def move_chosen_slide(self) -> None:
        """Put a slide of the set on another side."""
        folder, slide, split, library = (
            self.set_folder(),
            self.slide.currentData(),
            self.side.currentData(),
            self.models,
        )
        if not slide:
            raise WbcError("The set has no slide yet; add reviewed cells first.")

        def work() -> Steps[ExportedSet]:
            from napari_wbc.pipeline.training_sets import move_slide_steps

            return move_slide_steps(folder, slide, split, models=library)

        self.jobs.start(work, self._on_exported)

    def import_set(self, path: Path) -> None:
        """Show what a set would bring, then bring it."""
        taxonomy = self.session.taxonomy

        def work() -> Steps[Incoming]:
            from napari_wbc.pipeline.import_set import look_steps

            return look_steps(path, taxonomy=taxonomy)

        self.jobs.start(work, partial(self._on_looked, path))

    def finetune(self) -> None:
        """Go on training the chosen model with the set."""
        sets, old, runs = [self.set_folder()], self.old_sets(), self.models.folder / "runs"
        self.curves.clear()
        if self.kind.currentText() == "detector":
            start = self._detector()

            self.jobs.start(
                lambda: _added_steps(_detector_steps(sets, runs, start, old), self.models),
                self._on_detector_tuned,
            )
            return
        start, names, freeze = self._weights(), self.session.taxonomy.names, self.freeze.isChecked()
        self.jobs.start(
            lambda: _added_steps(
                _tuned_steps(sets, runs, start, old, names, freeze=freeze), self.models
            ),
            partial(self._on_tuned, start),
        )

    def compare_models(self) -> None:
        """Compare the model that was tuned last with the one it started from, on the sets' test cells."""
        if self._pair is None:
            raise WbcError(
                "Fine-tune first: what is compared is the new model and the one it started from."
            )
        (old, new), sets = self._pair, self._sets()
        self.jobs.start(lambda: _compared_steps(sets, old, new), partial(self._on_compared, new))

    def show_library(self) -> None:
        """Browse the models."""
        if "library" not in self._dialogs:
            self.library = LibraryWidget(self.models)
            self.library.said.connect(self.said)
            self.library.adopted.connect(self.model_wanted)
            self._dialogs["library"] = self._dialog(self.library, "Models", 720, 420)
        self.library.refresh()
        self._show("library")

    def _on_progress(self, progress: Progress) -> None:
        if progress.values:
            self.curves.add(progress.values)

    def _on_exported(self, done: ExportedSet) -> None:
        failed = (
            f"; {len(done.failures)} fields failed: {done.failures[0].message}"
            if done.failures
            else ""
        )
        splits = ", ".join(
            f"{sum(n for (one, _), n in done.cells.items() if one == split)} {split}"
            for split in ("train", "val", "test")
        )
        self.said.emit(
            f"{sum(done.cells.values())} cells ({splits}) in {done.folder}; {done.added} new, "
            f"{done.relabelled} relabelled, {done.removed} gone{failed}"
        )
        self.show_summary()

    def _on_summary(self, summary: SetSummary) -> None:
        self.summary.setText(summary.line if summary.slides else "No cells in this set yet")
        chosen = self.slide.currentData()
        self.slide.clear()
        for slide in summary.slides:
            self.slide.addItem(f"{slide.name} ({slide.split}, {slide.cells})", slide.name)
        self.slide.setCurrentIndex(max(0, self.slide.findData(chosen)))
        for widget in (self.slide, self.side, self.move_slide):
            widget.setEnabled(bool(summary.slides) and not self.jobs.running)

    def _on_looked(self, path: Path, incoming: Incoming) -> None:
        self._then = partial(self._ask_mapping, path, incoming)

    def _ask_mapping(self, path: Path, incoming: Incoming) -> None:
        from napari_wbc.widgets.loop.mapping import MappingDialog

        dialog = MappingDialog(incoming, self.session.taxonomy, self)
        if dialog.exec():
            self.bring_in(path, incoming.content.name, dialog.value())

    def bring_in(self, path: Path, name: str, mapping: dict[str, str]) -> None:
        """Import a set into a new project."""
        taxonomy, project = self.session.taxonomy, projects_folder() / f"{name}.wbc"
        number = 1
        while project.exists():
            number += 1
            project = project.with_name(f"{name}-{number}.wbc")

        def work() -> Steps[ImportedSet]:
            from napari_wbc.pipeline.import_set import import_set_steps

            return import_set_steps(path, project, mapping=mapping, taxonomy=taxonomy)

        self.jobs.start(work, self._on_imported)

    def _on_imported(self, done: ImportedSet) -> None:
        failed = f"; {len(done.failures)} fields failed" if done.failures else ""
        self.said.emit(f"{done.told}{failed}")
        self.project_wanted.emit(done.project)

    def _on_tuned(self, start: str, result: tuple[Any, Model]) -> None:
        _trained, model = result
        self._pair = (start, str(model.path))
        self.said.emit(
            f"{model.name} is ready, and not in use yet. Next: Compare… on cells that neither model has seen."
        )

    def _on_detector_tuned(self, result: tuple[Any, Model]) -> None:
        trained, model = result
        precision = 100 * trained.card.metrics["val_ap"]
        self.said.emit(
            f"{model.name} is ready: average precision {precision:.1f} % on validation fields. Choose it in "
            "Locate and classify to try it, and adopt it in Models…"
        )
        self.detectors_changed.emit()

    def _on_compared(self, new: str, result: tuple[Comparison, bytes]) -> None:
        self._shown = new  # another may be tuned while the comparison is looked at
        comparison, picture = result
        if "comparison" not in self._dialogs:
            from napari_wbc.widgets.loop.comparison import ComparisonView

            self.comparison = ComparisonView()
            self.comparison.adopt_chosen.connect(partial(self._tried, self.adopt))
            self.comparison.keep_chosen.connect(self._keep)
            self._dialogs["comparison"] = self._dialog(
                self.comparison, "Old and new model", 900, 760
            )
        self.comparison.show_comparison(comparison, picture)
        self._show("comparison")

    def adopt(self) -> None:
        """Use the new model from now on."""
        shown = self.comparison.value()
        assert shown is not None
        new, why, library = self._shown, shown.measures.why, self.models
        self.jobs.start(lambda: _adopt_steps(library, new, why), self._on_adopted)

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
        layout = QVBoxLayout(dialog)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(inside)
        dialog.resize(width, height)
        return dialog

    def _show(self, name: str) -> None:
        dialog = self._dialogs[name]
        dialog.show()
        dialog.raise_()
        dialog.activateWindow()

    def _ask_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Training set", self.folder.text()):
            self.folder.setText(folder)
            self.set_folder()
            self.show_summary()

    def _ask_old(self) -> None:
        if folder := QFileDialog.getExistingDirectory(
            self, "An old training set", self.folder.text()
        ):
            self.old.addItem(folder)

    def _ask_import(self) -> None:
        kinds = "Training sets (*.zip *.json *.geojson *.csv *.yaml *.yml *.xml);;All files (*)"
        name, _ = QFileDialog.getOpenFileName(
            self, "Import a training set: any file of it, or its .zip", "", kinds
        )
        if name:
            path = Path(name)
            self.import_set(path.parent if path.suffix.lower() == ".xml" else path)

    def _set_running(self, running: bool) -> None:
        for button in (self.export, self.bring, self.tune, self.compare):
            button.setEnabled(not running)
        for widget in (self.slide, self.side, self.move_slide):
            widget.setEnabled(not running and self.slide.count() > 0)
        if not running and self._then is not None:
            then, self._then = self._then, None
            self._tried(then)

    def _tried(self, action: Callable[[], Any], *_signal: Any) -> None:
        try:
            action()
        except WbcError as error:
            self.said.emit(str(error))


def _added_steps(steps: Steps[Any], library: Library) -> Steps[tuple[Any, Model]]:
    """Train a model, then copy it into the library, for which all of its weights are read."""
    trained = yield from steps
    yield Progress("adding the model to your library", 0, 0)
    return trained, library.add(trained.weights)


def _tuned_steps(
    sets: list[Path], runs: Path, start: str, old: list[str], names: Sequence[str], *, freeze: bool
) -> Steps[Trained]:
    """Fine-tuning that adds those of some classes that the model has not and the sets have cells of."""
    yield Progress("reading labels", 0, 0)
    from napari_wbc.pipeline.finetune import finetune_steps, run_folder_steps

    known = {name.casefold() for name in read_card(find_weights(start)).classes}
    fresh = [name for name in names if name.casefold() not in known]
    folder = yield from run_folder_steps(runs, sets, start, old, new_classes=fresh, freeze=freeze)
    steps = finetune_steps(
        sets, folder, start=start, old=old, new_classes=fresh, only_seen=True, freeze=freeze
    )
    return (yield from steps)


def _detector_steps(
    sets: list[Path], runs: Path, start: str, old: list[str]
) -> Steps[TrainedDetector]:
    """Fine-tuning of a detector."""
    yield Progress("reading labels", 0, 0)
    from napari_wbc.pipeline.finetune import finetune_detector_steps, run_folder_steps

    folder = yield from run_folder_steps(runs, sets, start, old)
    return (yield from finetune_detector_steps(sets, folder, start=start, old=old))


def _summary_steps(folder: Path) -> Steps[SetSummary]:
    """What a set holds."""
    yield Progress("reading the set", 0, 1)
    from napari_wbc.pipeline.training_sets import set_summary

    return set_summary(folder)


def _adopt_steps(library: Library, model: str, why: str) -> Steps[str]:
    """Take a model into use, for which all of its weights are read."""
    yield Progress("adopting the model", 0, 1)
    library.adopt(library.find(model), why=why)
    return model


def _compared_steps(sets: list[str | Path], old: str, new: str) -> Steps[tuple[Comparison, bytes]]:
    """A comparison, and both confusion matrices as PNG, drawn outside of the thread of the window."""
    from napari_wbc.measure.comparison_plots import draw_pictures
    from napari_wbc.pipeline.compare import compare_steps

    yield Progress("comparing", 0, 0)
    comparison = yield from compare_steps(sets, old, new)
    yield Progress("drawing", 0, 0)
    return comparison, draw_pictures(comparison)["confusion"]
