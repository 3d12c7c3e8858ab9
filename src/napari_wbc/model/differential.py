"""The differential of one slide, as numbers.

Invariant: unidentified and not classed cells, erythroblasts and platelets stand beside the
differential, never inside its denominator (ICSH 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import betaincinv

__all__ = ["Beside", "Differential", "Share", "confidence_limits"]


def confidence_limits(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's limits of a share (Biometrika 26:404, 1934).

    Parameters
    ----------
    count, total : int
        0 <= count <= total; total is above 0.
    level : float
        Confidence level, 0 to 1.

    Returns
    -------
    low, high : float
        0 to 1.

    Examples
    --------
    >>> low, high = confidence_limits(0, 100)
    >>> low, round(high, 4)
    (0.0, 0.0362)
    """
    tail = (1 - level) / 2
    low = float(betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high


@dataclass(frozen=True, slots=True)
class Share:
    """One leukocyte class of a differential.

    Parameters
    ----------
    name : str
        Class name.
    count : int
        Cells of this class.
    percent, low, high : float
        Percentage of the leukocytes and its confidence limits, 0 to 100; NaN when no
        leukocyte was counted.
    """

    name: str
    count: int
    percent: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Beside:
    """A count beside the differential.

    ``per_100_wbc`` is None where the class is not related to the leukocytes, and NaN when
    no leukocyte was counted.
    """

    name: str
    count: int
    per_100_wbc: float | None = None


@dataclass(frozen=True, slots=True)
class Differential:
    """A slide's leukocytes by class, with confidence limits."""

    slide: str
    shares: tuple[Share, ...]
    beside: tuple[Beside, ...]
    confidence_level: float = 0.95

    @property
    def total(self) -> int:
        """Leukocytes in the denominator."""
        return sum(share.count for share in self.shares)
