"""Exact confidence limits of what is counted.

Invariant: every limit here is one of Clopper and Pearson's, so that it holds the truth in at least
the share of slides that it claims, however small a count is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import betaincinv


class Estimate(NamedTuple):
    """A value with its confidence limits."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        """All three in another unit.

        Examples
        --------
        >>> Estimate(0.5, 0.25, 0.75).times(100)
        Estimate(value=50.0, low=25.0, high=75.0)
        """
        return Estimate(*(factor * number for number in self))

    @property
    def without_limits(self) -> Estimate:
        """The value alone, where limits would not hold.

        Examples
        --------
        >>> Estimate(0.5, 0.25, 0.75).without_limits
        Estimate(value=0.5, low=nan, high=nan)
        """
        return Estimate(self.value, math.nan, math.nan)


UNDEFINED = Estimate(math.nan, math.nan, math.nan)
"""Of nothing, where no cell was counted."""


def confidence_limits(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's limits of a share (Biometrika 26:404, 1934), low and high, 0 to 1.

    Parameters
    ----------
    count, total : int
        0 <= count <= total; total is above 0.
    level : float
        Confidence level, 0 to 1.

    Examples
    --------
    >>> low, high = confidence_limits(0, 100)
    >>> low, round(high, 4)
    (0.0, 0.0362)
    """
    tail = (1 - level) / 2
    # Where no or all cells are counted, a parameter of the beta distribution is 0, which has no
    # inverse; the limit is then 0 or 1.
    low = float(betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high


def share(count: int, total: int, level: float = 0.95) -> Estimate:
    """A share of a total with its limits, 0 to 1; undefined of a total of 0.

    Examples
    --------
    >>> [round(100 * number, 1) for number in share(9, 100)]
    [9.0, 4.2, 16.4]
    """
    if not total:
        return UNDEFINED
    return Estimate(count / total, *confidence_limits(count, total, level))


def simultaneous_level(level: float, classes: int) -> float:
    """The level of each class at which the limits of all classes hold together.

    Bonferroni's inequality: exact limits at this level hold all at once at least as often as
    ``level`` says, whatever the shares are (Goodman, Technometrics 7:247, 1965).

    Examples
    --------
    >>> round(simultaneous_level(0.95, 5), 4)
    0.99
    """
    return 1 - (1 - level) / max(classes, 1)


def ratio(count: int, to: int, level: float = 0.95) -> Estimate:
    """How many there are for each of another kind, with limits.

    The limits are those of the share p of ``count`` in both together, as p / (1 - p).

    Examples
    --------
    Eight erythroblasts beside 100 leukocytes, per 100 leukocytes.

    >>> [round(number, 1) for number in ratio(8, 100).times(100)]
    [8.0, 3.4, 16.4]
    """
    if not to:
        return UNDEFINED
    low, high = confidence_limits(count, count + to, level)
    return Estimate(count / to, low / (1 - low), high / (1 - high))
