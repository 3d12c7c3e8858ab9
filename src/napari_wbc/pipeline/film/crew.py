"""Whoever works on tiles: this process, or worker processes of this machine.

A worker that dies costs its own task one try and is replaced. An executor of ``concurrent.futures``
would give up all its tasks when one worker dies, so workers are plain processes with a pipe each.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from napari_wbc.classify.predict import Classifier
from napari_wbc.detect.base import Detector
from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress
from napari_wbc.pipeline.film.tasks import Bench, Models, Task
from napari_wbc.weights.device import limit_threads

TRIES = 3
"""Times that a tile is tried before it is given up and listed."""
TICK = 0.2
"""Seconds after which whoever waits is asked whether to go on."""
_DEATHS = 5
"""Workers that die one after the other without a result before the run is stopped."""
_NOTHING = Progress("", 0, 0)


@dataclass(frozen=True)
class Outcome:
    """A task that was done, or given up: then ``error`` says why."""

    task: Task
    result: Any = None
    error: str = ""


class Crew:
    """Works on tasks; to be used in a ``with`` statement.

    Parameters
    ----------
    finder, classifier
        Of this process.
    models : Models, optional
        What worker processes load; without it, or with one worker, this process works itself.
    workers : int
    """

    def __init__(
        self,
        finder: Detector,
        classifier: Classifier | None,
        models: Models | None = None,
        workers: int = 1,
    ) -> None:
        self.finder = finder
        self.classifier = classifier
        self._bench = Bench(finder, classifier)
        self._models = models
        self._n_workers = workers if models is not None else 1
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the slide and of all workers."""
        self._bench.close()
        for worker in self._workers:
            worker.stop()
        self._workers = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Ids of the worker processes."""
        return tuple(worker.pid for worker in self._workers)

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[Outcome | None]:
        """Work on tasks.

        Yields
        ------
        Outcome or None
            One a task, as they are done; None while nothing is done, so that whoever waits can stop
            iterating: what is not done then is dropped.

        Raises
        ------
        WbcError
            If workers die one after the other, or cannot load their models.
        """
        if self._n_workers < 2:
            return self._by_this_process(tasks)
        return self._by_workers(deque(tasks))

    def _by_this_process(self, tasks: Iterable[Task]) -> Iterator[Outcome | None]:
        for task in tasks:
            error = ""
            for _ in range(TRIES):
                steps = task.steps(self._bench, _NOTHING)
                try:
                    result = yield from _ticks(steps)
                # One damaged tile of hundreds must not cost the others; it is listed.
                except Exception as problem:  # noqa: BLE001
                    error = told(problem)
                    continue
                yield Outcome(task, result)
                break
            else:
                yield Outcome(task, None, error)

    def _by_workers(self, waiting: deque[Task]) -> Iterator[Outcome | None]:
        tries: Counter[int] = Counter()
        deaths = 0
        # Whoever stopped iterating before wants no result of what was begun then.
        for worker in self._workers:
            worker.stale = worker.task is not None
        while waiting or any(worker.task and not worker.stale for worker in self._workers):
            self._hand_out(waiting)
            ready = wait([worker.pipe for worker in self._workers if worker.task], TICK)
            if not ready:
                yield None
            for worker in [worker for worker in self._workers if worker.pipe in ready]:
                task, stale = worker.task, worker.stale
                assert task is not None
                worker.task = None
                worker.stale = False
                done, answer = worker.answer()
                deaths = deaths + 1 if done is None else 0
                if done is None:
                    self._workers.remove(worker)
                    worker.stop()
                if deaths == _DEATHS:
                    raise WbcError(
                        f"{_DEATHS} worker processes ended one after the other; choose fewer "
                        "workers, or smaller tiles."
                    )
                if stale:
                    continue
                tries[id(task)] += 1
                if done:
                    yield Outcome(task, answer)
                elif tries[id(task)] < TRIES:
                    waiting.append(task)
                else:
                    yield Outcome(task, None, answer)

    def _hand_out(self, waiting: deque[Task]) -> None:
        assert self._models is not None
        while len(self._workers) < min(self._n_workers, len(waiting) + self._busy):
            self._workers.append(_Worker(self._models))
        for worker in self._workers:
            if worker.task is None and waiting:
                worker.give(waiting.popleft())

    @property
    def _busy(self) -> int:
        return sum(worker.task is not None for worker in self._workers)


class _Worker:
    """A process that does one task after the other."""

    def __init__(self, models: Models) -> None:
        # Not forked: torch and OpenCV have threads, of which a fork has none.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, models), daemon=True)
        self._process.start()
        theirs.close()
        self.task: Task | None = None
        self.stale = False

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def give(self, task: Task) -> None:
        self.task = task
        try:
            self.pipe.send(task)
        # It died while it had nothing to do; that shows when its answer is read.
        except OSError:
            return

    def answer(self) -> tuple[bool | None, Any]:
        """Whether its task was done and the result, or why not; None if it died."""
        try:
            done, answer = self.pipe.recv()
        except (EOFError, OSError):
            return None, "the worker process ended; it may have run out of memory"
        if done is None:
            raise WbcError(answer)
        return done, answer

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()
        self.pipe.close()


def _work(pipe: Connection, models: Models) -> None:
    """Do tasks until the other end of the pipe is closed, as it is when its process ends."""
    # Ctrl-C is for the process that waits; it ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # One worker a core: more threads than cores only get in each other's way.
    limit_threads(1)
    try:
        bench = Bench.of(models)
    except WbcError as error:
        pipe.send((None, str(error)))
        return
    while True:
        try:
            task: Task = pipe.recv()
        except EOFError:
            return
        try:
            answer = True, result_of(task, bench)
        # As in this process: the tile is tried again, then listed.
        except Exception as problem:  # noqa: BLE001
            answer = False, told(problem)
        try:
            pipe.send(answer)
        except OSError:
            return


def result_of(task: Task, bench: Bench) -> Any:
    """Do a task to its end."""
    steps = task.steps(bench, _NOTHING)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _ticks(steps: Any) -> Any:
    """The steps as None, with their result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        yield None


def told(problem: BaseException) -> str:
    """What went wrong, in a line."""
    if isinstance(problem, WbcError):
        return str(problem)
    return f"{type(problem).__name__}: {' '.join(str(problem).split())[:160]}"
