"""Metrics against scikit-learn, and calibration against its definition written anew."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from napari_wbc.errors import WbcError
from napari_wbc.measure.metrics import (
    auc,
    by_source,
    measure,
    reliability,
    score,
)

NAMES = ("a", "b", "c", "d")
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


def test_no_cells_have_no_accuracy():
    metrics = measure([], [], NAMES)
    assert metrics.n == 0
    assert all(
        math.isnan(v) for v in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1)
    )
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
    assert metrics.recall == pytest.approx(
        {NAMES[i]: r for i, r in zip(occurs, recall, strict=True)}
    )
    np.testing.assert_array_equal(
        metrics.confusion, sk.confusion_matrix(truth, predicted, labels=range(4))
    )


def test_a_class_that_does_not_occur_does_not_count():
    assert measure([0, 0, 1], [0, 3, 1], NAMES).recall == {"a": 0.5, "b": 1}


def chances(draw_from, n):
    """Probabilities of n cells: some rows sure, some not."""
    return np.random.default_rng(draw_from).dirichlet([0.4] * len(NAMES), n)


CELLS = st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 2**32 - 1))


def test_no_cells_have_no_scores():
    scores = score([], np.zeros((0, 4)), NAMES)
    assert scores.n == 0
    numbers = [getattr(scores, f.name) for f in fields(scores) if f.type == "float"]
    assert len(numbers) == 6
    assert all(math.isnan(number) for number in numbers)
    assert scores.precision == scores.f1 == scores.support == scores.auc == scores.recall == {}
    assert by_source(score, np.zeros(0, int), np.zeros((0, 4)), np.zeros(0, str), NAMES) == {}


@given(CELLS)
def test_scores_are_those_of_scikit_learn(cells):
    truth, probabilities = np.array(cells[0]), chances(cells[1], len(cells[0]))
    scores, occurs = score(truth, probabilities, NAMES), np.unique(truth)
    guess = probabilities.argmax(1)
    found = sk.precision_recall_fscore_support(truth, guess, labels=occurs, zero_division=0)
    for mine, theirs in zip(
        (scores.precision, scores.recall, scores.f1, scores.support), found, strict=True
    ):
        assert mine == pytest.approx(
            {NAMES[k]: value for k, value in zip(occurs, theirs, strict=True)}
        )
    plain = measure(truth, guess, NAMES)
    for f in fields(plain):
        assert getattr(scores, f.name) == getattr(plain, f.name)
    areas = {
        NAMES[k]: sk.roc_auc_score(truth == k, probabilities[:, k])
        for k in occurs
        if len(occurs) > 1
    }
    assert scores.auc == pytest.approx(areas)
    assert scores.macro_auc == pytest.approx(
        np.mean(list(areas.values())) if areas else math.nan, nan_ok=True
    )
    assert scores.negative_log_likelihood == pytest.approx(
        sk.log_loss(truth, probabilities, labels=range(4)), abs=1e-9
    )


def test_a_true_class_without_a_chance_has_a_finite_likelihood():
    assert score([0], [[0, 1, 0, 0]], NAMES).negative_log_likelihood == pytest.approx(
        52 * math.log(2)
    )


@pytest.mark.parametrize("rows", [[[0.5, 0.5, 0, 0]] * 3, [[0.5, math.nan, 0.5, 0]] * 2])
def test_rows_that_do_not_fit_are_refused(rows):
    with pytest.raises(WbcError, match="one row of finite numbers"):
        score([0, 1], rows, NAMES)


def test_each_source_is_measured_by_itself():
    truth, probabilities = np.array([0, 1, 0, 2]), chances(1, 4)
    sources = np.array(["b", "a", "b", "a"])
    found = by_source(score, truth, probabilities, sources, NAMES)
    assert list(found) == ["a", "b"]
    assert found["a"] == score(truth[[1, 3]], probabilities[[1, 3]], NAMES)
    plain = by_source(measure, truth, probabilities.argmax(1), sources, NAMES)
    assert plain["b"] == measure(truth[[0, 2]], probabilities[[0, 2]].argmax(1), NAMES)


@pytest.mark.parametrize(("inside", "outside"), [([], []), ([0.5], []), ([], [0.5])])
def test_without_both_sides_there_is_no_area(inside, outside):
    assert math.isnan(auc(inside, outside))


SCORES = st.lists(st.integers(0, 9), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_the_area_is_the_chance_that_an_outsider_scores_higher(inside, outside):
    higher = np.mean([(o > i) + 0.5 * (o == i) for i in inside for o in outside])
    assert auc(inside, outside) == pytest.approx(higher)


def test_no_cells_have_no_calibration_error():
    found = reliability([], [], bins=3)
    assert found.counts == (0, 0, 0)
    assert all(math.isnan(value) for value in (found.error, *found.confidence, *found.accuracy))


@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_the_calibration_error_is_that_of_its_definition(seed, n):
    rng = np.random.default_rng(seed)
    sure, right = rng.uniform(0.1, 1, n), rng.random(n) < 0.7
    expected = 0.0
    for i in range(15):
        here = [(s, r) for s, r in zip(sure, right, strict=True) if i / 15 < s <= (i + 1) / 15]
        if here:
            confidence, accuracy = np.mean(here, axis=0)
            expected += len(here) / n * abs(confidence - accuracy)
    found = reliability(sure, right)
    assert found.error == pytest.approx(expected)
    assert sum(found.counts) == n


def test_confidences_at_both_ends_fall_into_the_outer_bins():
    assert reliability([0, 1, 1], [False, True, True], bins=4).counts == (1, 0, 0, 2)
    assert reliability([0, 1, 1], [False, True, True], bins=4).error == 0


def test_sure_but_wrong_is_the_whole_error():
    assert score([1, 1], [[1, 0, 0, 0]] * 2, NAMES).calibration_error == 1
