"""Two methods that count the same blood: our slides against an analyser, or a manual count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from scipy.stats import norm, pearsonr

from napari_wbc.model.limits import UNDEFINED, Estimate, share

Floats = npt.NDArray[np.float64]

LEVEL = 0.95
ALIKE = 1.1
"""Ratio of error variances up to which two methods err alike, as Passing and Bablok have it.

At 1.25 their limits hold in 88 of 100 comparisons.
"""
FEWEST_SLIDES = 20
FEWEST_CELLS = 100
"""Of a class on all slides: with fewer the limits of a line hold too seldom, and are left out."""
TENTH = 0.1
"""Of a value: the error that verifications allow a total or a common class."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A class of one slide by both methods.

    Parameters
    ----------
    count, total : int
        Cells of the class and all leukocytes that we counted; total is above 0.
    other : float
        Percent by the other method, 0 to 100.
    other_total : int
        Leukocytes that the other method counted; 0 where that is not known.
    """

    slide: str
    label: str
    count: int
    total: int
    other: float
    other_total: int = 0

    @property
    def ours(self) -> Estimate:
        """Our percent with exact limits (Ruemke's, as tables for blood films call them)."""
        return share(self.count, self.total).times(100)

    @property
    def is_within(self) -> bool:
        """Whether the chance of counting alone explains the difference."""
        return self.ours.low <= self.other <= self.ours.high

    @property
    def expected(self) -> float:
        """Cells of the class among ours, if the other method is right."""
        return self.other * self.total / 100

    @property
    def error(self) -> float:
        """Our percent less the other's, as a share of the other's; NaN where that is 0."""
        return (self.ours.value - self.other) / self.other if self.other else math.nan

    @property
    def may_be_asked_a_tenth(self) -> bool:
        """Whether "within 10 %" can be asked: counting without a mistake keeps it in 95 of 100.

        Examples
        --------
        >>> Pair("s", "monocyte", 24, 400, 6).may_be_asked_a_tenth
        False
        >>> Pair("s", "neutrophil", 240, 400, 60).may_be_asked_a_tenth
        True
        """
        if self.other <= 0:
            return False
        return counting_error(self.other, self.total) <= TENTH

    @property
    def is_within_a_tenth(self) -> bool:
        """Whether our percent is within 10 % of the other's."""
        return abs(self.error) <= TENTH


def counting_error(percent: float, total: int) -> float:
    """Error that counting alone brings in 5 of 100 counts, as a share of the value.

    Parameters
    ----------
    percent : float
        Of the class, above 0 and up to 100.
    total : int
        Cells counted.

    Examples
    --------
    >>> round(counting_error(6, 400), 2)
    0.39
    """
    return float(norm.ppf((1 + LEVEL) / 2) * math.sqrt((100 - percent) / (percent * total)))


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
    error_ratio : float
        Variance of our counting error over the other's; NaN where the other's is not known.
    slope, intercept : Estimate
        Of Deming's line, ours against the other's, by that ratio, or by 1 where it is not known;
        undefined of less than three slides. Limits are NaN of less than 20 slides or 100 cells of
        the class, where the ratio is not known, and where the slides do not tell them.
    robust_slope, robust_intercept : Estimate
        Of Passing and Bablok's line, ours against the other's; undefined and without limits as
        Deming's.
    correlation : float
        Pearson's; NaN where a method gives all slides one percent.
    """

    label: str
    slides: int
    within: int
    bias: Estimate
    low: float
    high: float
    error_ratio: float
    slope: Estimate
    intercept: Estimate
    robust_slope: Estimate
    robust_intercept: Estimate
    correlation: float
    total: Pair
    """All slides as one, whose large counts may be asked for a smaller error."""

    @property
    def is_robust(self) -> bool:
        """Whether Passing and Bablok's line may be used: both methods err alike, or may do so.

        Against a method that counts many more cells it is too steep, and Deming's takes its place.
        """
        return not (self.error_ratio > ALIKE or self.error_ratio < 1 / ALIKE)

    @property
    def line(self) -> tuple[Estimate, Estimate]:
        """Slope and intercept of the line to use."""
        if self.is_robust:
            return self.robust_slope, self.robust_intercept
        return self.slope, self.intercept


def methods(pairs: Sequence[Pair]) -> tuple[Methods, ...]:
    """Compare two methods class by class, in the order in which the classes come.

    Bias and limits of agreement are Bland and Altman's (Lancet 327:307, 1986). Deming's line knows
    how much each method errs by counting. Passing and Bablok's (J. Clin. Chem. Clin. Biochem.
    21:709, 1983) does not heed outliers, and takes both methods to err alike.

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
        reach = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * spread / math.sqrt(n)
        bias = Estimate(mean, mean - reach, mean + reach)
        low, high = mean - 1.959964 * spread, mean + 1.959964 * spread
    varied = n > 1 and np.ptp(ours) > 0 and np.ptp(other) > 0
    correlation = float(pearsonr(other, ours).statistic) if varied else math.nan
    ratio = _error_ratio(pairs)
    lines: tuple[Estimate, ...] = (UNDEFINED,) * 4
    if n > 2 and varied:
        deming = _deming(other, ours, 1.0 if math.isnan(ratio) else ratio)
        lines = (*deming, *passing_bablok(other, ours))
        if math.isnan(ratio) or n < FEWEST_SLIDES or _cells(pairs) < FEWEST_CELLS:
            lines = tuple(each.without_limits for each in lines)
    within = sum(pair.is_within for pair in pairs)
    slope, intercept, robust_slope, robust_intercept = lines
    return Methods(
        label,
        n,
        within,
        bias,
        low,
        high,
        ratio,
        slope,
        intercept,
        robust_slope,
        robust_intercept,
        correlation,
        _together(pairs),
    )


def _together(pairs: Sequence[Pair]) -> Pair:
    total = sum(pair.total for pair in pairs)
    count = sum(pair.count for pair in pairs)
    expected = sum(pair.expected for pair in pairs)
    return Pair("all slides", pairs[0].label, count, total, 100 * expected / total)


def _error_ratio(pairs: Sequence[Pair]) -> float:
    """Variance of our counting error over the other's; both are binomial."""
    if not all(pair.other_total for pair in pairs):
        return math.nan
    ours = theirs = 0.0
    for pair in pairs:
        percent = _together_percent(pair)
        ours += percent * (100 - percent) / pair.total
        theirs += percent * (100 - percent) / pair.other_total
    return ours / theirs if theirs else math.nan


def _together_percent(pair: Pair) -> float:
    """Percent of both counts together, since the share is the same if the methods agree."""
    cells = pair.total + pair.other_total
    return (100 * pair.count + pair.other * pair.other_total) / cells


def _cells(pairs: Sequence[Pair]) -> float:
    """Cells of the class that are to be expected among ours.

    Of both counts together: who asks for a hundred of his own takes the lines of classes of which
    he happened to count too many.
    """
    return sum(_together_percent(pair) * pair.total / 100 for pair in pairs)


def _line(x: Floats, y: Floats, ratio: float) -> tuple[float, float]:
    """Slope and intercept of Deming's line by the ratio of the error variances, y's over x's."""
    (xx, xy), (_, yy) = np.cov(x, y)
    if not xy:
        return math.nan, math.nan
    more = yy - ratio * xx
    slope = (more + math.sqrt(more**2 + 4 * ratio * xy**2)) / (2 * xy)
    return float(slope), float(y.mean() - slope * x.mean())


def _deming(x: Floats, y: Floats, ratio: float) -> tuple[Estimate, Estimate]:
    """Slope and intercept of Deming's line; without limits where the cells do not tell them.

    By the true slope, the distances from the line and the places along it are uncorrelated (Creasy,
    J. R. Stat. Soc. B 18:65, 1956). The limits hold all slopes that a t-test of their products does
    not reject: unlike a jackknife's they hold also where a few slides have most of a rare class.
    """
    n = len(x)
    slope, intercept = _line(x, y, ratio)
    nothing = Estimate(intercept, math.nan, math.nan)
    across = x - x.mean()
    up = y - y.mean()
    # (up - slope * across) * (ratio * across + slope * up), by powers of the slope.
    products = np.stack([-across * up, up**2 - ratio * across**2, ratio * across * up])
    sums = products.sum(axis=1)
    squares = np.zeros(5)
    for i, j in np.ndindex(3, 3):
        squares[i + j] += products[i] @ products[j]
    # Both means are of the same slides, which takes one n-th from the spread of the products.
    reach = float(stdtrit(n - 1, (1 + LEVEL) / 2)) ** 2 * n / (n - 1)
    # Above 0 where t is beyond its limit.
    rejected = (n - 1 + reach) * np.convolve(sums, sums) - reach * n * squares
    if not slope > 0 or rejected[0] <= 0:
        return Estimate(slope, math.nan, math.nan), nothing
    roots = np.roots(rejected)
    real = roots[np.isclose(roots.imag, 0, atol=1e-9)].real
    low = max(real[(real > 0) & (real <= slope)], default=math.nan)
    high = min(real[real >= slope], default=math.nan)
    ends = (float(y.mean() - each * x.mean()) for each in (slope, high, low))
    return Estimate(slope, float(low), float(high)), Estimate(*ends)


def passing_bablok(x: Floats, y: Floats) -> tuple[Estimate, Estimate]:
    """Slope and intercept of Passing and Bablok's line with 95 % limits.

    The slope is the median of those of all pairs of points, less as many as lie below -1, so that
    it does not matter which method is x (J. Clin. Chem. Clin. Biochem. 21:709, 1983). Written here
    since no kept Python library has it.

    Parameters
    ----------
    x, y : ndarray, shape (N,), float64
        What both methods say of N samples.

    Returns
    -------
    tuple of two Estimate
        Undefined if no two samples differ; limits are NaN where there are too few samples for any.

    Examples
    --------
    >>> slope, intercept = passing_bablok(np.arange(9.0), 2 * np.arange(9.0) + 1)
    >>> slope.value, intercept.value
    (2.0, 1.0)
    """
    n = len(x)
    first, second = np.triu_indices(n, 1)
    run = x[second] - x[first]
    rise = y[second] - y[first]
    differ = (run != 0) | (rise != 0)
    # One above the other: an infinite slope, with the sign of the rise.
    with np.errstate(divide="ignore"):
        slopes = np.abs(rise[differ]) / np.abs(run[differ])
    slopes = np.where(rise[differ] * np.where(run[differ] < 0, -1, 1) < 0, -slopes, slopes)
    # Differences of decimal numbers are not exact.
    slopes = np.sort(slopes[~np.isclose(slopes, -1, rtol=1e-9)])
    count = len(slopes)
    below = int((slopes < -1).sum())
    if not count or (count - 1) // 2 + below >= count:
        return UNDEFINED, UNDEFINED
    # Both are the middle one where the number of slopes is odd.
    middle = slopes[[(count - 1) // 2 + below, min(count // 2 + below, count - 1)]]
    reach = norm.ppf((1 + LEVEL) / 2) * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    rank = round((count - reach) / 2)
    low, high = (
        float(slopes[place - 1 + below]) if 1 <= place + below <= count else math.nan
        for place in (rank, count - rank + 1)
    )
    slope = Estimate(float(middle.mean()), low, high)
    value, lower, upper = (_intercept(x, y, each) for each in (slope.value, high, low))
    return slope, Estimate(value, lower, upper)


def _intercept(x: Floats, y: Floats, slope: float) -> float:
    return float(np.median(y - slope * x)) if math.isfinite(slope) else math.nan
