"""Jobs: the one bridge from long functions to threads.

superqt's generator worker takes every ``RuntimeError`` for its own deletion and then reports
neither error nor end. torch raises ``RuntimeError`` for nearly everything, so each generator is
wrapped before it is handed over.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from qtpy.QtCore import QObject, Signal
from superqt.utils import GeneratorWorker, create_worker

from napari_wbc.errors import StepFailed, WbcError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.weights.device import keep_triton_out, limit_threads, spare_a_core
from napari_wbc.widgets.qt.preferences import preference
from napari_wbc.widgets.qt.responsive import undisturbed

T = TypeVar("T")
MIN_INTERVAL_S = 0.03
"""Least time between two signals of progress; a request to cancel waits no longer than that."""
END_MS = 10_000
"""Time that threads get to end when Python does."""
_log = logging.getLogger(__name__)


class _Worker(GeneratorWorker):
    """Ends the generator in its own thread, also when the window that cancelled it is deleted."""

    def work(self) -> Any:
        """Run it."""
        try:
            return super().work()
        finally:
            self._gen.close()


class Job(QObject):
    """One long function in a thread at a time.

    Its signals come to the thread of the window, and ``finished`` always comes last.
    """

    progressed = Signal(object)
    """With each Progress."""
    returned = Signal(object)
    """With the result; not when cancelled or failed."""
    failed = Signal(str)
    """With a line for the status line; not when cancelled."""
    finished = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: Any = None

    @property
    def running(self) -> bool:
        """Whether a function is under way."""
        return self._worker is not None

    def start(self, steps: Callable[[], Steps[T]]) -> None:
        """Run a long function; ``steps`` makes its generator, in the thread.

        Raises
        ------
        WbcError
            If one is under way.
        """
        if self.running:
            raise WbcError("Something else is still running; wait for it or cancel it.")
        self._worker = create_worker(
            _guarded, steps, _start_thread=False, _ignore_errors=True, _worker_class=_Worker
        )
        self._worker.yielded.connect(self.progressed)
        self._worker.returned.connect(self._on_returned)
        self._worker.errored.connect(self._on_errored)
        self._worker.finished.connect(self._on_finished)
        self._worker.start()

    def cancel(self) -> None:
        """Ask the function to end at its next step; nothing is returned."""
        if self._worker is not None:
            self._worker.quit()

    def _on_returned(self, result: object) -> None:
        if self._worker is not None and not self._worker.abort_requested:
            self.returned.emit(result)

    def _on_errored(self, error: BaseException) -> None:
        # A WbcError without a cause is the person's to mend; all others are for the log too.
        if error.__cause__ is not None or not isinstance(error, WbcError):
            _log.error("A long function failed", exc_info=error)
        if self._worker is not None and not self._worker.abort_requested:
            kind = "" if isinstance(error, WbcError) else f"{type(error).__name__}: "
            self.failed.emit(f"{kind}{error}")

    def _on_finished(self) -> None:
        self._worker = None
        self.finished.emit()


class LatestJob(Job):
    """A job of which only the latest request counts, as while a slider moves."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: Callable[[], Steps[Any]] | None = None
        self.finished.connect(self._next)

    def request(self, steps: Callable[[], Steps[Any]]) -> None:
        """Run this as soon as what is under way has ended; its result is dropped."""
        if self.running:
            super().cancel()
            self._waiting = steps
        else:
            self.start(steps)

    def cancel(self) -> None:
        """Ask what is under way to end, and drop what waits."""
        self._waiting = None
        super().cancel()

    def _next(self) -> None:
        steps, self._waiting = self._waiting, None
        if steps is not None:
            self.start(steps)


def _guarded(steps: Callable[[], Steps[T]]) -> Steps[T]:
    yield Progress("starting", 0, 0)
    # The function may import torch, with triton's LLVM. It clashes with the LLVM of Mesa, which
    # the canvas uses.
    keep_triton_out()
    if threads := preference("computing", "threads"):
        limit_threads(threads)
    else:
        spare_a_core()
    try:
        with undisturbed():
            return (yield from _thinned(steps()))
    except RuntimeError as error:
        raise StepFailed(f"{type(error).__name__}: {error}") from error


def _thinned(steps: Steps[T]) -> Steps[T]:
    """Steps with pauses between them: thousands of signals a second would freeze the window."""
    signalled = 0.0
    try:
        while True:
            progress = next(steps)
            now = monotonic()
            # What stays on screen or in a curve must not be lost in between.
            # A total of 0 is one that is not known, and ends nothing.
            last = progress.total and progress.done == progress.total
            matters = progress.note or progress.values or last
            if matters or now - signalled >= MIN_INTERVAL_S:
                signalled = now
                yield progress
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


def _wait_for_threads() -> None:
    """Ask all threads to end at their next step, and wait for them.

    Python is about to delete what they signal through, which would abort the process. Of a program
    that runs Qt's event loop napari does the same before it quits.
    """
    with suppress(RuntimeError):
        _Worker.await_workers(END_MS)


atexit.register(_wait_for_threads)
