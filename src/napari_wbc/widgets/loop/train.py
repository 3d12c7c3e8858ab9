"""The panel *Train*: export reviewed cells, fine-tune a model on them, compare, adopt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_wbc.session.session import Session
from napari_wbc.weights.library import Library
from napari_wbc.widgets.loop.sets import SetsBox
from napari_wbc.widgets.loop.tuning import TuningBox
from napari_wbc.widgets.qt.layout import column
from napari_wbc.widgets.qt.panel import Panel, relay
from napari_wbc.widgets.qt.progress import JobBar


class TrainPanel(Panel, QWidget):
    """The sets, and the model that learns from them.

    Parameters
    ----------
    project : callable
        File of the project that is open, None where there is none.
    weights, detector : callable
        As of :class:`~napari_wbc.widgets.loop.tuning.TuningBox`.
    library : Library, optional
        The person's own where None.
    """

    said = Signal(str)
    warned = Signal(str)
    noted = Signal(str)
    model_wanted = Signal(str)
    """With the name or file of weights to choose."""
    detectors_changed = Signal()
    """After a cell finder was trained."""
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
        library = Library() if library is None else library
        self.jobs = JobBar("Training")
        self.sets = self.own(SetsBox(session, project, library, self.jobs))
        self.tuning = self.own(TuningBox(self.sets, weights, detector, library))
        column(self, self.sets, self.tuning)
        for part in (self.jobs, self.sets, self.tuning):
            relay(part, self)
        self.sets.project_wanted.connect(self.project_wanted)
        self.tuning.model_wanted.connect(self.model_wanted)
        self.tuning.detectors_changed.connect(self.detectors_changed)
        self.at_release(self.jobs.cancel)

    def showEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Show what the sets hold by now."""
        super().showEvent(event)
        self.sets.show_summary()

    @property
    def busy(self) -> bool:
        """Whether anything is read, exported, imported, trained or compared."""
        return self.jobs.running or self.sets.busy

    def take_over(self, other: TrainPanel) -> None:
        """Continue with the old sets and the models to compare of another panel."""
        self.sets.take_over(other.sets)
        self.tuning.take_over(other.tuning)
