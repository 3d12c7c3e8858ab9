"""A job with a progress bar and a button to cancel it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QWidget

from napari_wbc.model.progress import Progress, Steps
from napari_wbc.widgets.qt.activity import Activity
from napari_wbc.widgets.qt.layout import allow, button, column, plain, row, show_progress
from napari_wbc.widgets.qt.worker import Job

T = TypeVar("T")
NOTHING_RUNS = "Nothing is running."
MIN_MEASURED_S = 3.0
"""Time after which a step is long enough to estimate how long it will take."""


class JobBar(QWidget):
    """Run a long function in a thread and show how far it is, here and in napari's activity dock.

    Parameters
    ----------
    title : str
        What the dock calls it.
    """

    said = Signal(str)
    """With a line on what a person did to it: that it is cancelled."""
    warned = Signal(str)
    """With what went wrong."""
    noted = Signal(str)
    """With a line worth keeping while it runs, as the measures of an epoch."""
    running_changed = Signal(bool)
    progressed = Signal(object)
    """With each Progress."""

    def __init__(self, title: str = "Work") -> None:
        super().__init__()
        self._job = Job(self)
        self.activity = Activity(self._job, title, self._on_cancel)
        self._done: Callable[[Any], Any] = lambda _result: None
        self._step = ""
        self._since = (0.0, 0)
        """When the step was at which count for the first time."""
        self.ended = ""
        """Why it ended early, empty if it did not or nobody said so."""
        self.bar = QProgressBar()
        self.bar.setFormat("%v / %m")
        self.cancel_button = button("Cancel", "", self._on_cancel)
        self._allow_cancel(NOTHING_RUNS)
        column(self, row(self.bar, self.cancel_button))
        self._job.progressed.connect(self._on_progress)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.finished.connect(lambda: self._set_running(False))

    @property
    def running(self) -> bool:
        """Whether a function is under way."""
        return self._job.running

    def start(self, steps: Callable[[], Steps[T]], done: Callable[[T], Any]) -> None:
        """Run a long function as :meth:`Job.start` does.

        Its result goes to ``done``, in the thread of the window; not when cancelled or failed.
        """
        self._job.start(steps)
        self._done = done
        self.ended = ""
        self._set_running(True)

    def cancel(self) -> None:
        """Ask the function to end at its next step."""
        self._job.cancel()

    def _allow_cancel(self, reason: str) -> None:
        allow(self.cancel_button, "End it at its next step; nothing is changed", reason)

    def _on_cancel(self) -> None:
        self.cancel()
        self._allow_cancel("It ends at its next step.")
        self.ended = "Cancelled."
        self.said.emit(self.ended)

    def _on_failed(self, text: str) -> None:
        self.ended = text
        self.warned.emit(text)

    def _on_returned(self, result: Any) -> None:
        self._done(result)

    def _on_progress(self, progress: Progress) -> None:
        if not self.cancel_button.isEnabled():
            return
        self.progressed.emit(progress)
        count = " %v / %m" if progress.total else ""
        self.bar.setFormat(f"{progress.step}{count}{self._left(progress)}")
        # A bar without a total moves and shows no text.
        self.bar.setToolTip(plain(progress.step))
        show_progress(self.bar, progress.done, progress.total)
        if progress.note:
            self.noted.emit(progress.note)

    def _left(self, progress: Progress) -> str:
        """Remaining time of the step, empty while too little of it is done for an estimate."""
        if progress.step != self._step or progress.done < self._since[1]:
            self._step = progress.step
            self._since = (monotonic(), progress.done)
        taken = monotonic() - self._since[0]
        done = progress.done - self._since[1]
        if taken < MIN_MEASURED_S or not done:
            return ""
        left = taken / done * (progress.total - progress.done)
        return f", {left / 60:.0f} min left" if left >= 90 else f", {left:.0f} s left"

    def _set_running(self, running: bool) -> None:
        self._allow_cancel("" if running else NOTHING_RUNS)
        if not running:
            self._step = ""
            self.bar.setFormat("%v / %m")
            # A maximum of 0 would keep the bar moving.
            show_progress(self.bar, -1, max(1, self.bar.maximum()))
        self.running_changed.emit(running)
