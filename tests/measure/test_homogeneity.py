"""Parts of one blood are told from parts of two; against scipy, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from napari_wbc.measure.homogeneity import homogeneity

LABELS = ("neutrophil", "lymphocyte", "monocyte", "basophil")


def parts_of(table):
    rows = [dict(zip(LABELS, row, strict=True)) for row in table]
    return {f"slide {i}": row for i, row in enumerate(rows, start=1)}


@pytest.mark.parametrize("parts", [{}, {"a": {}}, {"a": {"neutrophil": 3}}, {"a": {}, "b": {}}])
def test_less_than_two_parts_or_classes_cannot_differ(parts):
    assert homogeneity(parts, LABELS) is None


def test_the_statistic_is_pearsons_and_the_test_agrees_with_large_samples():
    table = np.array([[120, 60, 15, 5], [140, 50, 12, 8]])
    expected = chi2_contingency(table, correction=False)
    result = homogeneity(parts_of(table), LABELS)
    assert result.statistic == pytest.approx(expected.statistic)
    assert result.p == pytest.approx(expected.pvalue, abs=0.04)
    assert not result.differs
    assert result.causes == ()


def test_what_differs_is_named_the_farthest_first():
    table = [[60, 30, 8, 2], [30, 30, 38, 2], [60, 32, 6, 2]]
    result = homogeneity(parts_of(table), LABELS)
    assert result.differs
    assert (result.causes[0].part, result.causes[0].label) == ("slide 2", "monocyte")
    assert result.causes[0].deviations > 3


def test_one_rare_cell_is_no_difference():
    assert not homogeneity(parts_of([[99, 0, 0, 1], [100, 0, 0, 0]]), LABELS).differs


def test_parts_of_one_blood_differ_in_one_test_of_twenty():
    rng = np.random.default_rng(0)
    tables = rng.multinomial(100, [0.65, 0.28, 0.06, 0.01], size=(200, 2))
    rejected = 0
    for i, table in enumerate(tables):
        result = homogeneity(parts_of(table), LABELS, seed=i)
        rejected += result is not None and result.differs
    assert 2 <= rejected <= 20
