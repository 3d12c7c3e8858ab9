"""Progress of a long verb on the terminal: done, total and rate."""

from __future__ import annotations

from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from napari_wbc.model.progress import Steps

__all__ = ["RESUMED", "SOME_FILES_FAILED", "drive"]

SOME_FILES_FAILED = 3
"""Exit code where the rest was written."""
RESUMED = "Interrupted; run the same command again to go on from the last epoch."
"""Of training."""

T = TypeVar("T")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


def drive(steps: Steps[T], console: Console, *, quiet: bool, interrupted: str = "") -> T:
    """Run a long verb to its end and show where it is.

    Notes (a file that failed, an epoch's metrics) are printed even when quiet.

    Parameters
    ----------
    steps : generator
    console : Console
        Of standard error.
    quiet : bool
        No bar.
    interrupted : str
        What to say after Ctrl-C.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    result: list[T] = []

    def caught() -> Steps[None]:
        result.append((yield from steps))

    try:
        with Bar(*columns, console=console, disable=quiet) as bar:
            for progress in caught():
                if progress.note:
                    console.print(progress.note, markup=False, highlight=False, soft_wrap=True)
                task = bar.task_ids[0] if bar.task_ids else bar.add_task(progress.step)
                if bar.tasks[0].description != progress.step:
                    bar.reset(task)
                total = progress.total or None
                bar.update(task, description=progress.step, completed=progress.done, total=total)
    except KeyboardInterrupt:
        if interrupted:
            console.print(interrupted, markup=False, highlight=False, soft_wrap=True)
        raise
    return result[0]
