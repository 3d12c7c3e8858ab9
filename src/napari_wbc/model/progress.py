"""Progress of a long function.

A long function is a generator that yields :class:`Progress` at least once a batch and
returns a model object. To cancel it, stop iterating.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a long function is.

    Parameters
    ----------
    step : str
        What is being done, for a person.
    done, total : int
        Units done of all; ``total`` is 0 while unknown.
    note : str
        One line worth keeping (a file that failed, the metrics of an epoch), else empty.
    values : mapping of str to float
        Measures of an epoch, for curves; empty but then.
    """

    step: str
    done: int
    total: int
    note: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


Steps: TypeAlias = Generator[Progress, None, T]


def run(steps: Steps[T]) -> T:
    """Run a long function to its end, without showing progress.

    Examples
    --------
    >>> def count():
    ...     yield Progress("counting", 1, 1)
    ...     return 3
    >>> run(count())
    3
    """
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
