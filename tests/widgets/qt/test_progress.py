"""A job with a bar and a button."""

from __future__ import annotations

import threading

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress
from napari_wbc.widgets.qt import progress
from napari_wbc.widgets.qt.progress import JobBar


@pytest.fixture
def bar(qtbot):
    bar = JobBar()
    qtbot.addWidget(bar)
    yield bar
    bar.cancel()
    qtbot.waitUntil(lambda: not bar.running)


def test_result_is_handed_over_and_the_bar_is_empty_again(bar, qtbot):
    results, running = [], []
    bar.running_changed.connect(running.append)

    def steps():
        yield Progress("counting", 1, 2)
        return 7

    bar.start(steps, results.append)
    qtbot.waitUntil(lambda: not bar.running)
    assert (results, running, bar.ended) == ([7], [True, False], "")
    assert bar.bar.value() < 0
    assert not bar.cancel_button.isEnabled()


def test_cancelled_by_the_button_it_says_so(bar, qtbot):
    gate, results, messages = threading.Event(), [], []
    bar.said.connect(messages.append)

    def steps():
        yield Progress("waiting", 0, 1)
        gate.wait(20)
        yield Progress("waiting", 1, 1)
        return 7

    bar.start(steps, results.append)
    bar.cancel_button.click()
    gate.set()
    qtbot.waitUntil(lambda: not bar.running)
    assert (results, bar.ended, messages[-1]) == ([], "Cancelled.", "Cancelled.")


def test_an_error_is_told(bar, qtbot):
    messages = []
    bar.warned.connect(messages.append)

    def steps():
        yield Progress("failing", 0, 1)
        raise WbcError("No such model.")

    bar.start(steps, lambda _result: None)
    qtbot.waitUntil(lambda: not bar.running)
    assert bar.ended == "No such model."
    assert messages == ["No such model."]


def test_remaining_time_is_told_once_it_can_be_estimated(bar, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    assert bar._left(Progress("counting", 0, 100)) == ""
    now[0] += 10
    assert bar._left(Progress("counting", 10, 100)) == ", 2 min left"
    assert bar._left(Progress("counting", 50, 100)) == ", 10 s left"
    assert bar._left(Progress("another", 50, 100)) == ""
