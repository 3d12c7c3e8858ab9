"""One change of the table, as the journal keeps it: what, by whom, when, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from napari_wbc.model.table import TableDiff

__all__ = ["Cause", "Step", "StepHead", "now"]

Cause = Literal["human", "model", "import", "undo", "redo"]


@dataclass(frozen=True, slots=True)
class StepHead:
    """A step by its number, name and cause, without its cells."""

    seq: int
    what: str
    cause: Cause = "human"
    of: int = 0
    """The step that it follows of, with which it is taken back; 0 for none."""


@dataclass(frozen=True, slots=True)
class Step:
    """What led from one table to the next.

    Parameters
    ----------
    seq : int
        Number in its project, from 1, in order.
    what : str
        What was done, as undo will name it.
    cause : str
        ``human``, ``model``, ``import``, ``undo`` or ``redo``.
    change : TableDiff
        Cells before and after.
    by : str
        Who was at the screen.
    when : str
        ISO 8601 time with zone.
    of : int
        The step that an undo takes back or a redo does again, or that this one follows of; else 0.
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
