"""What a command shows on the terminal: progress, notes, and how it ends."""

from __future__ import annotations

import re
from typing import TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape, render
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from napari_wbc.model.progress import Steps
from napari_wbc.model.words import counted, printable

SOME_FILES_FAILED = 3
"""Exit code where some files failed and the rest was written."""
MIN_NAME = 8
"""Letters of the first column of a table, however narrow the terminal is."""
RESUMED = "Interrupted; run the same command again to go on from the last epoch."

T = TypeVar("T")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


def note(text: str, console: Console | None = None) -> None:
    """Print a line on standard error by default: no markup in brackets, no wrapping.

    Control characters, which a name in a stranger's file may have, are shown as codes.
    """
    console = console or Console(stderr=True)
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def say(text: str, end: str = "\n") -> None:
    """Print a line of results on standard output, as :func:`note` shows it."""
    print(printable(text), end=end)


def shown(text: str) -> str:
    """A text for a table of rich: no markup in brackets, and control characters as codes."""
    return escape(printable(text))


def print_table(table: Table) -> None:
    """Print a table on standard output, with all its words where the terminal is narrow."""
    # Lines between columns take room that words need; two blanks are left of each.
    table.box = SIMPLE_HEAD
    table.padding = (0, 1, 0, 0)
    table.show_edge = False
    console = Console()
    room = console.width - 2 * len(table.columns) + 1
    for column, width in zip(table.columns, _widths(table, room), strict=True):
        column.overflow = "fold"
        column.width = width
    console.print(table)


def _widths(table: Table, room: int) -> list[int]:
    """Letters for each column: all that it wants, or else its longest word and a share of the rest.

    rich makes the widest columns narrower, whatever words are in them.
    """
    wanted: list[int] = []
    words: list[int] = []
    for column in table.columns:
        texts = [render(str(text)).plain for text in (column.header, *column.cells)]
        wanted.append(max(map(len, texts)))
        # A number stays with its unit.
        parts = re.split(r"\s+(?!%)", " ".join(texts))
        words.append(max(map(len, parts)))
    # A name in the first column, indented as a branch of a tree, is one word.
    words[0] = wanted[0]
    lacking = [most - least for most, least in zip(wanted, words, strict=True)]
    spare = room - sum(words)
    # A long name is folded before any number or heading is.
    words[0] = max(MIN_NAME, words[0] + min(spare, 0))
    share = min(1.0, max(spare, 0) / max(1, sum(lacking)))
    return [least + int(share * more) for least, more in zip(words, lacking, strict=True)]


def end(failures: int, outcome: str, *, total: int | None = None, what: str = "file") -> None:
    """End with exit code 3 if files failed; the note says how many, and what became of the rest."""
    if failures:
        files = counted(failures if total is None else total, what)
        note(f"{files if total is None else f'{failures} of {files}'} failed; {outcome}")
        raise typer.Exit(SOME_FILES_FAILED)


def drive(steps: Steps[T], *, quiet: bool = False, interrupted: str = "") -> T:
    """Run a long verb to its end and show on standard error where it is.

    Notes (a file that failed, an epoch's metrics) are printed even when quiet, which hides the bar
    only; ``interrupted`` is printed after Ctrl-C.
    """
    # Standard output is for results, which may be piped into a file.
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    result: list[T] = []

    # A `for` loop drops what a generator returns.
    def caught() -> Steps[None]:
        result.append((yield from steps))

    try:
        with Bar(*columns, console=console, disable=quiet) as bar:
            for progress in caught():
                if progress.note:
                    note(progress.note, console)
                # It may name a slide, as a stranger called it.
                step = printable(progress.step)
                task = bar.task_ids[0] if bar.task_ids else bar.add_task(step)
                if bar.tasks[0].description != step:
                    # A new step has a rate of its own.
                    bar.reset(task)
                # Of an unknown total rich shows a moving bar.
                total = progress.total or None
                bar.update(task, description=step, completed=progress.done, total=total)
    except KeyboardInterrupt:
        if interrupted:
            note(interrupted, console)
        raise
    return result[0]
