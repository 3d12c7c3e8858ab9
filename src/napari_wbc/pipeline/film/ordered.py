"""Tasks that are done in any order, whose outcomes come in theirs.

In their order, so that where a run stops does not depend on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from napari_wbc.model.progress import Progress
from napari_wbc.pipeline.film.crew import Crew, Outcome
from napari_wbc.pipeline.film.tasks import Task


def in_order_steps(
    crew: Crew,
    step: str,
    tasks: Sequence[Task],
    kept: Callable[[Any], Any],
    keep: Callable[[Any, Any], None],
) -> Iterator[Outcome | Progress]:
    """Outcomes of tasks in their order, and progress between them.

    Parameters
    ----------
    crew : Crew
        Whoever does what is not kept.
    step : str
        Of the progress.
    kept : callable
        Gives the kept result of a task, or None.
    keep : callable
        Takes a task that was done, and its result.
    """
    # A run that goes on first takes up what it has, with which it may be at its end.
    done = 0
    for task in tasks:
        result = kept(task)
        if result is None:
            break
        yield Outcome(task, result)
        done += 1
        yield Progress(step, done, len(tasks))
    ready: dict[int, Outcome] = {}
    yield Progress(step, done, len(tasks))
    for outcome in crew.outcomes(_missing(tasks, done, kept, ready)):
        note = ""
        if outcome is not None:
            ready[id(outcome.task)] = outcome
            if outcome.error:
                note = f"{step}: {named(outcome)}"
            else:
                keep(outcome.task, outcome.result)
        yield Progress(step, done + len(ready), len(tasks), note)
        while done < len(tasks) and id(tasks[done]) in ready:
            yield ready.pop(id(tasks[done]))
            done += 1
    # What was kept behind the last that was not.
    for task in tasks[done:]:
        yield ready.pop(id(task))


def _missing(
    tasks: Sequence[Task],
    done: int,
    kept: Callable[[Any], Any],
    ready: dict[int, Outcome],
) -> Iterator[Task]:
    """Tasks that are to be done; the kept ones go into ``ready``."""
    for task in tasks[done:]:
        result = kept(task)
        if result is None:
            yield task
        else:
            ready[id(task)] = Outcome(task, result)


def named(outcome: Outcome) -> str:
    """Which tile failed, and why."""
    block = outcome.task.block
    return f"tile in row {block.row + 1}, column {block.col + 1}: {outcome.error}"
