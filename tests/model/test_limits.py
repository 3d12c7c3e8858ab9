"""Limits are exact: against statsmodels, the tables of the literature, and by simulation."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from napari_wbc.model.limits import Estimate, confidence_limits, ratio, share, simultaneous_level


def test_of_no_cell_nothing_is_said():
    assert all(map(math.isnan, share(0, 0)))
    assert all(map(math.isnan, ratio(3, 0)))


@given(st.integers(0, 400), st.integers(1, 400), st.sampled_from([0.9, 0.95, 0.99]))
def test_shares_and_ratios_are_clopper_and_pearsons(count, rest, level):
    total = count + rest
    expected = proportion_confint(count, total, alpha=1 - level, method="beta")
    assert confidence_limits(count, total, level) == pytest.approx(expected, abs=1e-7)
    low, high = expected
    assert ratio(count, rest, level) == pytest.approx(
        (count / rest, low / (1 - low), high / (1 - high)), rel=1e-5, abs=1e-7
    )


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(5, 100, 1.6, 11.3), (10, 200, 2.4, 9.0), (20, 400, 3.1, 7.6), (9, 100, 4.2, 16.4)],
)
def test_limits_are_those_of_the_tables(count, n, low, high):
    limits = share(count, n).times(100)
    assert [round(number, 1) for number in limits] == [100 * count / n, low, high]


def test_eight_beside_a_hundred():
    assert [round(number, 1) for number in ratio(8, 100).times(100)] == [8.0, 3.4, 16.4]


def test_all_classes_at_once_need_wider_limits():
    assert simultaneous_level(0.95, 1) == pytest.approx(0.95)
    assert simultaneous_level(0.95, 0) == pytest.approx(0.95)
    apart = share(9, 100)
    together = share(9, 100, simultaneous_level(0.95, 6))
    assert together.low < apart.low < apart.high < together.high


def test_an_estimate_in_another_unit():
    assert Estimate(1, 0, 2).times(10) == Estimate(10, 0, 20)
