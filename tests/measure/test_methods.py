"""Two methods: against numpy's own, and by simulation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.special import stdtr
from scipy.stats import ttest_1samp

from napari_wbc.measure.methods import Pair, counting_error, methods, passing_bablok


def pairs_of(ours, other, total=200):
    return [
        Pair(f"s{i}", "monocyte", int(k), total, float(p))
        for i, (k, p) in enumerate(zip(ours, other, strict=True))
    ]


def test_of_no_slide_nothing_is_said():
    assert methods([]) == ()


@pytest.mark.parametrize("n", [1, 2])
def test_of_few_slides_there_is_no_line(n):
    (one,) = methods(pairs_of([10, 20][:n], [6, 9][:n]))
    assert one.slides == n
    assert math.isnan(one.slope.value)
    assert math.isnan(one.low) is (n == 1)


def test_a_method_that_gives_one_percent_has_no_correlation():
    (one,) = methods(pairs_of([10, 12, 14], [5, 5, 5]))
    assert math.isnan(one.correlation)
    assert one.bias.value == pytest.approx(1)


def test_bias_and_limits_are_bland_and_altmans():
    (one,) = methods(pairs_of([10, 20, 30, 44], [4, 11, 14, 20]))
    difference = np.array([1, -1, 1, 2])
    assert one.bias.value == pytest.approx(difference.mean())
    reach = 1.959964 * difference.std(ddof=1)
    assert (one.low, one.high) == pytest.approx((0.75 - reach, 0.75 + reach))
    # Student's t of three degrees of freedom.
    assert one.bias.high - 0.75 == pytest.approx(3.182446 * difference.std(ddof=1) / 2)


def test_demings_line_is_the_first_principal_axis():
    rng = np.random.default_rng(0)
    truth = rng.uniform(2, 40, 30)
    counts = np.round(2 * (truth + rng.normal(0, 1, 30))).clip(0)
    other = truth * 1.1 + 1 + rng.normal(0, 1, 30)
    (one,) = methods(pairs_of(counts, other))
    axes = np.linalg.eigh(np.cov(other, counts / 2))[1]
    assert one.slope.value == pytest.approx(axes[1, 1] / axes[0, 1])
    assert one.correlation == pytest.approx(np.corrcoef(other, counts)[0, 1])


def test_perfect_counting_lies_within_our_limits():
    rng = np.random.default_rng(1)
    counts = rng.binomial(200, 0.06, 500)
    (one,) = methods(pairs_of(counts, [6.0] * 500))
    assert one.within / one.slides >= 0.94


def exactly(x, y):
    """Passing and Bablok's line of whole numbers in exact arithmetic, as their paper has it."""
    slopes = []
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            run, rise = x[i] - x[j], y[i] - y[j]
            if run:
                slopes.append(Fraction(rise, run))
            elif rise:
                slopes.append(math.copysign(math.inf, rise))
    slopes = sorted(slope for slope in slopes if slope != -1)
    below = sum(slope < -1 for slope in slopes)
    n = len(slopes)
    middle = slopes[(n - 1) // 2 + below], slopes[n // 2 + below]
    slope = sum(middle) / 2
    reach = 1.959963984540054 * math.sqrt(len(x) * (len(x) - 1) * (2 * len(x) + 5) / 18)
    rank = round((n - reach) / 2)
    low, high = slopes[rank + below - 1], slopes[n - rank + below]
    intercepts = [
        np.median([float(b - each * a) for a, b in zip(x, y, strict=True)])
        for each in (slope, high, low)
    ]
    return (float(slope), float(low), float(high)), tuple(intercepts)


@pytest.mark.parametrize("seed", range(6))
def test_passing_and_babloks_line_is_that_of_exact_arithmetic(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, 60, 25 + seed)
    x = (truth + rng.integers(-3, 4, len(truth))).tolist()
    y = (truth + rng.integers(-4, 6, len(truth))).tolist()
    slope, intercept = passing_bablok(np.array(x, float), np.array(y, float))
    assert (slope, intercept) == (pytest.approx(exactly(x, y)[0]), pytest.approx(exactly(x, y)[1]))


def test_it_does_not_matter_which_method_is_x():
    rng = np.random.default_rng(5)
    truth = rng.uniform(2, 60, 41)
    x, y = truth + rng.normal(0, 2, 41), 1.2 * truth + rng.normal(0, 2, 41)
    there, back = passing_bablok(x, y)[0], passing_bablok(y, x)[0]
    assert there.value == pytest.approx(1 / back.value, rel=1e-3)
    assert there.low == pytest.approx(1 / back.high)


def test_passing_and_babloks_limits_hold():
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        truth = rng.uniform(2, 60, 40)
        slope, _ = passing_bablok(truth + rng.normal(0, 2, 40), truth + rng.normal(0, 2, 40))
        held += slope.low <= 1 <= slope.high
    assert held >= 0.93 * 400


def test_slides_that_do_not_differ_have_no_line():
    same = np.full(5, 3.0)
    assert math.isnan(passing_bablok(same, same)[0].value)
    falling = passing_bablok(np.arange(5.0), -3 * np.arange(5.0))
    assert math.isnan(falling[0].value) or falling[0].value < 0


def test_within_a_tenth_is_asked_of_large_counts_only():
    # Counting 400 cells without a mistake puts 38 % of counts of 7 % monocytes within 10 %.
    rng = np.random.default_rng(2)
    counts = rng.binomial(400, 0.07, 20_000)
    assert np.mean(np.abs(counts / 28 - 1) <= 0.1) == pytest.approx(0.38, abs=0.02)
    assert counting_error(7, 400) > 0.1
    (one,) = methods(pairs_of([12] * 100, [6.0] * 100))
    assert not Pair("s", "monocyte", 12, 200, 6.0).may_be_asked_a_tenth
    assert one.total.total == 20_000
    assert one.total.may_be_asked_a_tenth
    assert one.total.is_within_a_tenth
    assert one.total.error == pytest.approx(0)
    assert math.isnan(Pair("s", "basophil", 1, 200, 0.0).error)


@pytest.mark.parametrize("label", range(3))
def test_against_an_analyser_demings_line_holds_where_passing_and_babloks_is_too_steep(label):
    rng = np.random.default_rng(label)
    held = robust = 0
    slopes = []
    for _ in range(150):
        truth = rng.dirichlet([30, 14, 3, 2], size=40)[:, label]
        counts = rng.binomial(200, truth)
        theirs = 100 * rng.binomial(8000, truth) / 8000
        pairs = [
            Pair(f"s{i}", "x", int(k), 200, float(p), 8000)
            for i, (k, p) in enumerate(zip(counts, theirs, strict=True))
        ]
        (one,) = methods(pairs)
        assert one.error_ratio == pytest.approx(40)
        assert one.line == (one.slope, one.intercept)
        slopes.append(one.slope.value)
        held += not (one.slope.low > 1 or one.slope.high < 1)
        robust += one.robust_slope.low <= 1 <= one.robust_slope.high
    assert np.median(slopes) == pytest.approx(1, abs=0.02)
    assert held >= 0.91 * 150
    assert robust < 0.88 * 150


def test_methods_that_count_as_many_cells_have_passing_and_babloks_line():
    pairs = [Pair(f"s{i}", "x", 10 + i, 200, 6.0 + i / 2, 200) for i in range(9)]
    (one,) = methods(pairs)
    assert one.is_robust
    assert one.line == (one.robust_slope, one.robust_intercept)
    (unknown,) = methods(pairs_of([10, 20, 30], [6, 9, 14]))
    assert math.isnan(unknown.error_ratio)
    assert unknown.is_robust


def counted_by_both(rng, percent, slides=40, cells=200, theirs=8000):
    """Slides of one class by two methods without any bias."""
    truth = rng.dirichlet([percent, 100 - percent], size=slides)[:, 0] if percent else []
    ours = rng.binomial(cells, truth)
    other = 100 * rng.binomial(theirs, truth) / theirs
    return [
        Pair(f"s{i}", "x", int(k), cells, float(p), theirs)
        for i, (k, p) in enumerate(zip(ours, other, strict=True))
    ]


@pytest.mark.parametrize("percent", [50, 5])
def test_limits_of_demings_slope_are_where_a_t_test_rejects(percent):
    pairs = counted_by_both(np.random.default_rng(percent), percent)
    (one,) = methods(pairs)
    x = np.array([pair.other for pair in pairs])
    y = np.array([pair.ours.value for pair in pairs])

    def p_value(slope):
        across = (y - y.mean()) - slope * (x - x.mean())
        along = one.error_ratio * (x - x.mean()) + slope * (y - y.mean())
        # Both means are of these slides, so that the spread of the products is a 40th too small.
        t = ttest_1samp(across * along, 0).statistic * math.sqrt(39 / 40)
        return 2 * stdtr(39, -abs(t))

    assert one.slope.low < one.slope.value < one.slope.high
    assert p_value(one.slope.low) == pytest.approx(0.05, abs=1e-6)
    assert p_value(one.slope.high) == pytest.approx(0.05, abs=1e-6)
    inside = np.linspace(one.slope.low, one.slope.high, 21)[1:-1]
    assert min(map(p_value, inside)) > 0.05
    assert one.intercept.low == pytest.approx(y.mean() - one.slope.high * x.mean())


def test_a_line_has_no_limits_where_they_would_not_hold():
    rng = np.random.default_rng(3)
    few_slides = counted_by_both(rng, 50, slides=19)
    rare = counted_by_both(rng, 0.5)
    unknown = [Pair(p.slide, p.label, p.count, p.total, p.other) for p in counted_by_both(rng, 50)]
    for pairs in (few_slides, rare, unknown):
        (one,) = methods(pairs)
        assert math.isfinite(one.slope.value)
        for line in (one.slope, one.intercept, one.robust_slope, one.robust_intercept):
            assert math.isnan(line.low)
            assert math.isnan(line.high)


def test_slides_that_tell_no_line_have_none():
    # Both methods see chance alone.
    rng = np.random.default_rng(4)
    pairs = pairs_of(rng.binomial(200, 0.5, 40), 100 * rng.binomial(200, 0.5, 40) / 200)
    (one,) = methods([Pair(p.slide, p.label, p.count, 200, p.other, 200) for p in pairs])
    assert math.isnan(one.slope.low)


@pytest.mark.parametrize("seed", range(40))
def test_passing_and_bablok_take_any_slides(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 4, (2, 10)).astype(float)
    slope, _ = passing_bablok(x, y)
    assert math.isnan(slope.value) or slope.value > -1
