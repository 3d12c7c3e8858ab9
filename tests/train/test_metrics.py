"""Metrics against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from napari_wbc.train.metrics import measure

NAMES = ("a", "b", "c", "d")
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


def test_no_cells_have_no_accuracy():
    metrics = measure([], [], NAMES)
    assert metrics.n == 0
    assert all(math.isnan(v) for v in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1))
    assert metrics.recall == {}
    assert np.array(metrics.confusion).shape == (4, 4)


@given(PAIRS)
def test_metrics_are_those_of_scikit_learn(pairs):
    truth, predicted = map(np.array, zip(*pairs, strict=True))
    metrics, occurs = measure(truth, predicted, NAMES), np.unique(truth)
    recall = sk.recall_score(truth, predicted, labels=occurs, average=None, zero_division=0)
    f1 = sk.f1_score(truth, predicted, labels=occurs, average="macro", zero_division=0)
    assert metrics.n == len(pairs)
    assert metrics.accuracy == pytest.approx(sk.accuracy_score(truth, predicted))
    assert metrics.balanced_accuracy == pytest.approx(recall.mean())
    assert metrics.macro_f1 == pytest.approx(f1)
    assert metrics.recall == pytest.approx({NAMES[i]: r for i, r in zip(occurs, recall, strict=True)})
    np.testing.assert_array_equal(metrics.confusion, sk.confusion_matrix(truth, predicted, labels=range(4)))


def test_a_class_that_does_not_occur_does_not_count():
    assert measure([0, 0, 1], [0, 3, 1], NAMES).recall == {"a": 0.5, "b": 1}
