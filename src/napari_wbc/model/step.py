"""One change of the table, as the journal keeps it: what, by whom, when, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from napari_wbc.model.table import TableDiff

Cause = Literal["human", "model", "import", "undo", "redo"]


@dataclass(frozen=True, slots=True)
class StepHead:
    """A step by its number, name and cause, without its cells."""

    seq: int
    what: str
    cause: Cause = "human"
    of: int = 0
    """The step that it comes of, with which it is taken back; 0 for none."""


@dataclass(frozen=True, slots=True)
class Step:
    """What led from one table to the next.

    Parameters
    ----------
    seq : int
        Number in its project, from 1, in order.
    what : str
        What was done, as undo will name it.
    by : str
        Who was at the screen.
    when : str
        ISO 8601 time with zone.
    of : int
        Of an ``undo`` or ``redo``: the step that it takes back or does again. Of any other: the
        step that it comes of and is taken back with, as a prediction comes of a cell that was
        drawn; 0 for none.
    """

    seq: int
    what: str
    cause: Cause
    change: TableDiff
    by: str = ""
    when: str = ""
    of: int = 0


def now() -> str:
    """The time as steps and annotations keep it: ISO 8601 with zone, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
