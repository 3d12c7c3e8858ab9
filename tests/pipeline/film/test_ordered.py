"""Outcomes come in the order of their tasks, whoever is done first."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_wbc.model.progress import Progress
from napari_wbc.pipeline.film.crew import Outcome
from napari_wbc.pipeline.film.ordered import in_order_steps


def task(n):
    return SimpleNamespace(n=n, block=SimpleNamespace(row=0, col=n))


class Crew:
    """Is done with the last task first."""

    def outcomes(self, tasks):
        for one in reversed(list(tasks)):
            yield None
            error = "damaged" if one.n == 3 else ""
            yield Outcome(one, None if error else one.n, error)


def in_order(tasks, kept):
    stored = {}
    steps = in_order_steps(
        Crew(), "locating", tasks, lambda one: kept.get(one.n), lambda one, n: stored.update({n: n})
    )
    outcomes = []
    progress = []
    for step in steps:
        (progress if isinstance(step, Progress) else outcomes).append(step)
    return outcomes, progress, stored


@pytest.mark.parametrize("kept", [(), (0,), (0, 1), (2,), (4, 5), (0, 2, 5), range(6)])
def test_outcomes_are_in_order_and_what_is_kept_is_not_done_again(kept):
    tasks = [task(n) for n in range(6)]
    outcomes, progress, stored = in_order(tasks, {n: n for n in kept})
    assert [outcome.task.n for outcome in outcomes] == list(range(6))
    assert set(stored) == set(range(6)) - set(kept) - {3}
    done = [step.done for step in progress]
    assert done == sorted(done)
    assert done[-1] == 6
    if 3 not in kept:
        assert outcomes[3].error
        notes = [step.note for step in progress if step.note]
        assert notes == ["locating: tile in row 1, column 4: damaged"]


def test_no_task_has_no_outcome():
    outcomes, progress, _ = in_order([], {})
    assert outcomes == []
    assert [step.done for step in progress] == [0]
