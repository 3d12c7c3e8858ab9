"""Two methods: against numpy's own, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_wbc.measure.methods import Pair, methods


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
    assert one.slope.low < 1 / 1.1 < one.slope.high
    assert one.correlation == pytest.approx(np.corrcoef(other, counts)[0, 1])


def test_perfect_counting_lies_within_our_limits():
    rng = np.random.default_rng(1)
    counts = rng.binomial(200, 0.06, 500)
    (one,) = methods(pairs_of(counts, [6.0] * 500))
    assert one.within / one.slides >= 0.94
