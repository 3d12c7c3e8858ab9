"""The model that learns: fine-tune it on the sets, compare it with its start, adopt it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDialog, QGroupBox, QPushButton, QWidget

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress
from napari_wbc.pipeline.library import validation
from napari_wbc.weights.library import Library
from napari_wbc.weights.model import Model
from napari_wbc.widgets.loop import jobs
from napari_wbc.widgets.loop.curves import Curves
from napari_wbc.widgets.loop.library import LibraryWidget
from napari_wbc.widgets.loop.sets import SetsBox
from napari_wbc.widgets.qt.form import form
from napari_wbc.widgets.qt.input_guard import guard_inputs
from napari_wbc.widgets.qt.layout import allow, bring_up, button, column, row
from napari_wbc.widgets.qt.panel import Panel, guarded

if TYPE_CHECKING:
    from napari_wbc.measure.comparison import Comparison

KINDS = (("classifier", "classifier"), ("cell finder", "detector"))
KIND_TIP = (
    "classifier: continues from the chosen one and adds the classes that it lacks. "
    "cell finder: continues from the chosen network, on fields whose cells are all reviewed."
)
TUNE_TIP = "Continue training the chosen model on the set; a cancelled run resumes where it was"
COMPARE_TIP = "Compare the old and the new model on the test slides, before you adopt one"
BROWSE_TIP = "All models with their parents: adopt, roll back, export, import"
NO_PAIR = "Fine-tune first: the new model is compared with the one that it started from."


class TuningBox(Panel, QGroupBox):
    """Fine-tune, compare, adopt.

    Parameters
    ----------
    sets : SetsBox
        What the model learns from. Jobs of both run one at a time.
    weights, detector : callable
        Name or file of the chosen classifier and of the chosen cell finder's weights, from which
        training goes on.
    """

    said = Signal(str)
    warned = Signal(str)
    model_wanted = Signal(str)
    """With the name or file of weights to choose."""
    detectors_changed = Signal()
    """After a cell finder was trained."""

    def __init__(
        self,
        sets: SetsBox,
        weights: Callable[[], str],
        detector: Callable[[], str],
        library: Library,
    ) -> None:
        super().__init__()
        self.setTitle("Model")
        self.sets = sets
        self._weights = weights
        self._detector = detector
        self.models = library
        self.jobs = sets.jobs
        self._pair: tuple[str, str] | None = None
        self._shown = ""
        self._dialogs: dict[str, QDialog] = {}
        self.kind = ComboBox(label="Train a", choices=KINDS, tooltip=KIND_TIP)
        tip = "Faster; the model forgets less and improves less"
        self.freeze = CheckBox(text="Quick: only the last layer", tooltip=tip)
        self.options = form(self.kind, self.freeze)
        self.tune = self._button("Fine-tune", TUNE_TIP, self.finetune)
        self.compare = self._button("Compare…", COMPARE_TIP, self.compare_models)
        self.browse = self._button("Models…", BROWSE_TIP, self.show_library)
        self.curves = Curves()
        actions = row(self.tune, self.compare, self.browse)
        column(self, self.options.native, actions, self.jobs, self.curves, margin=6)
        self.kind.changed.connect(self._on_kind)
        sets.looked.connect(self._show_possible)
        self.jobs.progressed.connect(self._on_progress)
        self.jobs.running_changed.connect(self._show_possible)
        self.at_release(self._close_dialogs)
        self._show_possible()

    def _button(self, text: str, tip: str, action: Callable[[], object]) -> QPushButton:
        return button(text, tip, guarded(self.warned.emit, action))

    def _on_kind(self, kind: str) -> None:
        self.freeze.enabled = kind != "detector"
        self.sets.detector = kind == "detector"
        self.sets.show_summary()

    def take_over(self, other: TuningBox) -> None:
        """Continue with the models to compare of another panel."""
        self._pair = other._pair
        self._show_possible()

    def _close_dialogs(self) -> None:
        for dialog in self._dialogs.values():
            dialog.close()

    def finetune(self) -> None:
        """Continue training the chosen model on the set."""
        sets = [self.sets.set_folder()]
        old = self.sets.old_sets()
        runs = self.models.folder / "runs"
        self.curves.clear()
        if self.kind.value == "detector":
            start = self._detector()
            steps = partial(jobs.tuned_detector_steps, sets, runs, start, old)
            self.jobs.start(lambda: jobs.added_steps(steps(), self.models), self._on_detector_tuned)
            return
        start = self._weights()
        names = self.sets.session.taxonomy.names
        freeze = self.freeze.value
        steps = partial(jobs.tuned_steps, sets, runs, start, old, names, freeze=freeze)
        done = partial(self._on_tuned, start)
        self.jobs.start(lambda: jobs.added_steps(steps(), self.models), done)

    def compare_models(self) -> None:
        """Compare the last fine-tuned model with its start, on the test cells of the sets."""
        if self._pair is None:
            raise WbcError(NO_PAIR)
        old, new = self._pair
        sets: list[str | Path] = [self.sets.set_folder(), *self.sets.old_sets()]
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

    def _on_tuned(self, start: str, result: tuple[Any, Model]) -> None:
        _trained, model = result
        self._pair = (start, str(model.path))
        self._show_possible()
        self.said.emit(
            f"{model.name} is ready, and not in use yet. "
            "Next: Compare… on cells that neither model has seen."
        )
        self.sets.show_summary()

    def _on_detector_tuned(self, result: tuple[Any, Model]) -> None:
        trained, model = result
        self.said.emit(
            f"{model.name} is ready: {validation(trained.card)} to check. "
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

    def _show_possible(self, *_what: object) -> None:
        """Enable what can be done now; a disabled button says why in its tooltip."""
        running = "A job is running here. Wait for it, or cancel it." if self.jobs.running else ""
        for push, tip, reason in (
            (self.tune, TUNE_TIP, self.sets.not_ready),
            (self.compare, COMPARE_TIP, "" if self._pair else NO_PAIR),
        ):
            allow(push, tip, running or reason)
