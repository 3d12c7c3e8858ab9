from __future__ import annotations

import gc
import threading

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress
from napari_wbc.widgets.qt import worker
from napari_wbc.widgets.qt.worker import Job, LatestJob


class Log(list):
    """Everything a job says, in order."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job
        job.progressed.connect(lambda p: self.append(("progressed", p.done)))
        job.returned.connect(lambda result: self.append(("returned", result)))
        job.failed.connect(lambda message: self.append(("failed", message)))
        job.finished.connect(lambda: self.append(("finished", job.running)))

    def told(self, *kinds: str) -> list:
        return [entry for entry in self if entry[0] in kinds]


@pytest.fixture(params=[Job, LatestJob])
def job(request, qtbot):
    job = request.param()
    yield job
    job.cancel()
    qtbot.waitUntil(lambda: not job.running)


def done(job, qtbot):
    qtbot.waitUntil(lambda: not job.running)


def counting(n, result="result"):
    for i in range(1, n + 1):
        yield Progress("counting", i, n)
    return result


def test_result_comes_after_progress_and_before_the_end(job, qtbot, monkeypatch):
    monkeypatch.setattr(worker, "MIN_INTERVAL_S", 0)
    log = Log(job)
    assert not job.running
    job.start(lambda: counting(3))
    assert job.running
    done(job, qtbot)
    assert log == [
        *[("progressed", i) for i in range(4)],
        ("returned", "result"),
        ("finished", False),
    ]


def test_of_many_steps_at_once_only_some_are_told_and_the_last(job, qtbot):
    log = Log(job)
    job.start(lambda: counting(500))
    done(job, qtbot)
    told = [number for what, number in log if what == "progressed"]
    assert len(told) < 100
    assert told[-1] == 500
    assert log[-2:] == [("returned", "result"), ("finished", False)]


def test_runs_in_another_thread_and_answers_in_this_one(job, qtbot):
    threads = []

    def steps():
        threads.append(threading.get_ident())
        yield Progress("", 0, 1)

    job.returned.connect(lambda _result: threads.append(threading.get_ident()))
    job.start(steps)
    done(job, qtbot)
    assert threads[0] != threads[1] == threading.get_ident()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
        (WbcError("a.png: no such file."), "a.png: no such file."),
        (ValueError("7"), "ValueError: 7"),
        (StopIteration("x"), "RuntimeError: generator raised StopIteration"),
    ],
)
def test_every_error_is_told_and_the_job_can_start_again(job, qtbot, error, message, late):
    def steps():
        if late:
            yield Progress("", 1, 2)
        raise error
        yield

    log = Log(job)
    job.start(steps)
    done(job, qtbot)
    assert log.told("returned", "failed", "finished") == [("failed", message), ("finished", False)]
    job.start(lambda: counting(1))
    done(job, qtbot)
    assert ("returned", "result") in log


def test_traceback_of_a_surprise_goes_to_the_log(qtbot, caplog):
    job = Job()

    def steps():
        yield Progress("", 1, 2)
        raise RuntimeError("out of memory")

    job.start(steps)
    done(job, qtbot)
    assert "out of memory" in caplog.text
    assert "Traceback" in caplog.text


def test_bad_input_is_no_surprise(qtbot, caplog):
    job = Job()

    def steps():
        yield Progress("", 1, 2)
        raise WbcError("a.png: no such file.")

    job.start(steps)
    done(job, qtbot)
    assert not [record for record in caplog.records if record.name.startswith("napari_wbc")]


def test_error_before_the_first_step(job, qtbot):
    def no_steps():
        raise RuntimeError("no generator")

    log = Log(job)
    job.start(no_steps)
    done(job, qtbot)
    assert log.told("failed", "finished") == [
        ("failed", "RuntimeError: no generator"),
        ("finished", False),
    ]


def test_cancelled_job_returns_nothing(job, qtbot):
    gate, log = threading.Event(), Log(job)

    def steps():
        yield Progress("", 1, 2)
        gate.wait(20)
        yield Progress("", 2, 2)
        return "late"

    job.start(steps)
    qtbot.waitUntil(lambda: ("progressed", 1) in log)
    job.cancel()
    gate.set()
    done(job, qtbot)
    assert log.told("returned", "failed", "finished") == [("finished", False)]


@pytest.mark.parametrize("ending", ["return", "raise"])
def test_cancelled_in_the_last_step(job, qtbot, ending):
    gate, log = threading.Event(), Log(job)

    def steps():
        yield Progress("", 1, 1)
        gate.wait(20)
        if ending == "raise":
            raise RuntimeError("late")
        return "late"

    job.start(steps)
    qtbot.waitUntil(lambda: ("progressed", 1) in log)
    job.cancel()
    gate.set()
    done(job, qtbot)
    assert log.told("returned", "failed", "finished") == [("finished", False)]


def test_second_job_is_refused(qtbot):
    job, gate = Job(), threading.Event()

    def steps():
        yield Progress("", 1, 1)
        gate.wait(20)

    job.start(steps)
    with pytest.raises(WbcError, match="still running"):
        job.start(steps)
    gate.set()
    done(job, qtbot)


def test_cancel_without_a_job(job):
    job.cancel()
    assert not job.running


def test_latest_request_wins(qtbot):
    job, gate = LatestJob(), threading.Event()
    log = Log(job)

    def steps(name):
        yield Progress("", 1, 1)
        gate.wait(20)
        return name

    for name in ("first", "second", "third"):
        job.request(lambda name=name: steps(name))
    gate.set()
    done(job, qtbot)
    assert log.told("returned") == [("returned", "third")]


def test_cancel_drops_what_waits(qtbot):
    job, gate = LatestJob(), threading.Event()
    log = Log(job)

    def steps():
        yield Progress("", 1, 1)
        gate.wait(20)
        return "result"

    job.request(steps)
    job.request(steps)
    job.cancel()
    gate.set()
    done(job, qtbot)
    assert log.told("returned", "failed", "finished") == [("finished", False)]


def test_request_after_a_failure(qtbot):
    job = LatestJob()
    log = Log(job)

    def fails():
        yield Progress("", 1, 1)
        raise RuntimeError("once")

    job.request(fails)
    done(job, qtbot)
    job.request(lambda: counting(1))
    done(job, qtbot)
    assert log.told("failed", "returned") == [
        ("failed", "RuntimeError: once"),
        ("returned", "result"),
    ]


@pytest.mark.parametrize("gone", [False, True])
def test_a_cancelled_function_ends_in_its_own_thread_also_when_nobody_waits(gone, qtbot):
    begun, ended, threshold = [], [], gc.get_threshold()

    def steps():
        begun.append(True)
        try:
            while True:
                yield Progress("waiting", 0, 0)
        finally:
            ended.append(threading.current_thread())

    job = Job()
    job.start(steps)
    qtbot.waitUntil(lambda: bool(begun))
    job.cancel()
    if gone:
        job.deleteLater()
        del job
    qtbot.waitUntil(lambda: bool(ended))
    assert ended[0] is not threading.main_thread()
    qtbot.waitUntil(lambda: gc.get_threshold() == threshold)


def test_steps_of_unknown_number_do_not_flood_the_window():
    def steps():
        for _ in range(5000):
            yield Progress("writing", 0, 0)

    assert len(list(worker._thinned(steps()))) < 50


def test_when_python_ends_threads_end_at_their_next_step(job, qtbot):
    began = threading.Event()
    done = []

    def steps():
        began.set()
        threading.Event().wait(0.3)
        done.append("a step")
        yield Progress("working", 1, 2)
        done.append("a step too many")

    job.start(steps)
    qtbot.waitUntil(began.is_set)
    worker._wait_for_threads()
    assert done == ["a step"]
    qtbot.waitUntil(lambda: not job.running)
