"""Long jobs in napari's activity dock, one line each, beside those of other plugins."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from napari.utils.progress import cancelable_progress
from qtpy.QtCore import QObject

from napari_wbc.model.progress import Progress
from napari_wbc.widgets.qt.panel import single_shot
from napari_wbc.widgets.qt.worker import Job

AFTER_MS = 500
"""A job that ends sooner is not shown: it would only flash."""
EVERY_S = 0.2
"""Least time between two changes; napari draws the window anew at each."""


class Activity(QObject):
    """Shows a job in the dock while it runs.

    Parameters
    ----------
    title : str
        What the job does, as "Analysis".
    cancel : callable
        Called when a person cancels it in the dock.
    """

    def __init__(self, job: Job, title: str, cancel: Callable[[], object]) -> None:
        super().__init__(job)
        self._job = job
        self._title = title
        self._cancel = cancel
        self._bar: Any = None
        self._now = Progress("", 0, 0)
        self._shown_at = 0.0
        self._soon = single_shot(self, self._show, AFTER_MS)
        job.progressed.connect(self._on_progress)
        job.finished.connect(self._end)

    def _on_progress(self, now: Progress) -> None:
        self._now = now
        if self._bar is None:
            if not self._soon.isActive():
                self._soon.start()
        elif monotonic() - self._shown_at >= EVERY_S:
            # First, since napari lets the window live meanwhile, which may come here again.
            self._shown_at = monotonic()
            self._fill(self._bar)

    def _show(self) -> None:
        bar = _Bar(self._cancel, desc=self._title, total=0, leave=False)
        self.destroyed.connect(bar.close)
        # The job may have ended while napari made the line.
        if self._job.running:
            self._bar = bar
            self._fill(bar)
        else:
            bar.close()

    def _fill(self, bar: Any) -> None:
        now = self._now
        text = f"{self._title}: {now.step}"
        if bar.total != now.total:
            bar.total = now.total
        bar.update(now.done - bar.n)
        if bar.desc != f"{text}: ":
            bar.set_description(text)

    def _end(self) -> None:
        self._soon.stop()
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()


class _Bar(cancelable_progress):
    """A line of the dock; napari asks whether it is cancelled only where it wraps a loop."""

    def __init__(self, cancelled: Callable[[], object], **options: Any) -> None:
        self._cancelled = cancelled
        super().__init__(**options)

    def cancel(self) -> None:
        """Cancel the job."""
        super().cancel()
        self._cancelled()
