"""Jobs in napari's activity dock."""

from __future__ import annotations

import threading

import pytest
from napari.utils.progress import progress

from napari_wbc.model.progress import Progress
from napari_wbc.widgets.qt.progress import JobBar


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


def shown():
    return sorted(bar.desc for bar in progress._all_instances)


def test_two_jobs_at_once_have_a_line_each_and_one_is_cancelled(viewer, qtbot):
    gate = threading.Event()
    jobs = [JobBar("Analysis"), JobBar("Training")]
    for job in jobs:
        qtbot.addWidget(job)

    def steps():
        while not gate.wait(0.05):
            yield Progress("counting", 2, 6)

    for job in jobs:
        job.start(steps, lambda _result: None)
    qtbot.waitUntil(lambda: shown() == ["Analysis: counting: ", "Training: counting: "])
    first = next(bar for bar in progress._all_instances if bar.desc.startswith("Analysis"))
    assert (first.n, first.total) == (2, 6)
    line = viewer.window._qt_window._activity_dialog.get_pbar_from_prog(first)
    line.cancel_button.click()
    qtbot.waitUntil(lambda: not jobs[0].running)
    assert jobs[0].ended == "Cancelled."
    assert shown() == ["Training: counting: "]
    gate.set()
    qtbot.waitUntil(lambda: not jobs[1].running)
    assert shown() == []


def test_a_short_job_does_not_flash_in_the_dock(viewer, qtbot):
    job = JobBar("Analysis")
    qtbot.addWidget(job)
    seen = []
    progress._all_instances.events.changed.connect(seen.append)

    def steps():
        yield Progress("counting", 1, 1)

    job.start(steps, lambda _result: None)
    qtbot.waitUntil(lambda: not job.running)
    qtbot.wait(700)
    progress._all_instances.events.changed.disconnect(seen.append)
    assert not seen
