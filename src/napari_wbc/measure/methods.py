"""Two methods that count the same blood: our slides against an analyser, or a manual count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import pearsonr
from scipy.stats import t as student

from napari_wbc.model.limits import UNDEFINED, Estimate, share

Floats = npt.NDArray[np.float64]

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Pair:
    """A class of one slide by both methods.

    Parameters
    ----------
    count, total : int
        Cells of the class and all leukocytes that we counted; total is above 0.
    other : float
        Percent by the other method, 0 to 100.
    """

    slide: str
    label: str
    count: int
    total: int
    other: float

    @property
    def ours(self) -> Estimate:
        """Our percent with exact limits (Ruemke's, as tables for blood films call them)."""
        return share(self.count, self.total).times(100)

    @property
    def is_within(self) -> bool:
        """Whether the chance of counting alone explains the difference."""
        return self.ours.low <= self.other <= self.ours.high


@dataclass(frozen=True, slots=True)
class Methods:
    """How two methods compare in one class.

    Parameters
    ----------
    slides, within : int
        Slides of both methods, and those on which the other's percent lies in our limits.
    bias : Estimate
        Mean difference, ours less the other's, percentage points, with its confidence limits.
    low, high : float
        Limits of agreement: between them lie 95 % of the differences.
    slope, intercept : Estimate
        Of Deming's line, ours against the other's; undefined of less than three slides.
    correlation : float
        Pearson's; NaN where a method gives all slides one percent.
    """

    label: str
    slides: int
    within: int
    bias: Estimate
    low: float
    high: float
    slope: Estimate
    intercept: Estimate
    correlation: float


def methods(pairs: Sequence[Pair]) -> tuple[Methods, ...]:
    """Compare two methods class by class, in the order in which the classes come.

    Bias and limits of agreement are Bland and Altman's (Lancet 327:307, 1986). Deming's line takes
    both methods to err alike; its limits are a jackknife's (Linnet, Clin. Chem. 39:424, 1993).

    Examples
    --------
    >>> methods([])
    ()
    """
    by_label: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_label.setdefault(pair.label, []).append(pair)
    return tuple(_compared(label, each) for label, each in by_label.items())


def _compared(label: str, pairs: Sequence[Pair]) -> Methods:
    ours = np.array([pair.ours.value for pair in pairs])
    other = np.array([pair.other for pair in pairs])
    difference = ours - other
    n = len(pairs)
    mean = float(difference.mean())
    bias = Estimate(mean, math.nan, math.nan)
    low = high = math.nan
    if n > 1:
        spread = float(difference.std(ddof=1))
        reach = float(student.ppf((1 + LEVEL) / 2, n - 1)) * spread / math.sqrt(n)
        bias = Estimate(mean, mean - reach, mean + reach)
        low, high = mean - 1.959964 * spread, mean + 1.959964 * spread
    varied = n > 1 and np.ptp(ours) > 0 and np.ptp(other) > 0
    correlation = float(pearsonr(other, ours).statistic) if varied else math.nan
    slope, intercept = _deming(other, ours) if n > 2 and varied else (UNDEFINED, UNDEFINED)
    within = sum(pair.is_within for pair in pairs)
    return Methods(label, n, within, bias, low, high, slope, intercept, correlation)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept of Deming's line, of equal errors."""
    (xx, xy), (_, yy) = np.cov(x, y)
    if not xy:
        return math.nan, math.nan
    slope = (yy - xx + math.sqrt((yy - xx) ** 2 + 4 * xy**2)) / (2 * xy)
    return slope, float(y.mean() - slope * x.mean())


def _deming(x: Floats, y: Floats) -> tuple[Estimate, Estimate]:
    n = len(x)
    whole = np.array(_line(x, y))
    without = np.array([_line(np.delete(x, i), np.delete(y, i)) for i in range(n)])
    values = n * whole - (n - 1) * without
    reach = float(student.ppf((1 + LEVEL) / 2, n - 1)) * values.std(axis=0, ddof=1) / math.sqrt(n)
    low = whole - reach
    high = whole + reach
    slope, intercept = (
        Estimate(float(whole[i]), float(low[i]), float(high[i])) for i in range(len(whole))
    )
    return slope, intercept
