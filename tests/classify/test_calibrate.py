"""Calibration: a known temperature is found, and the threshold keeps its promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from napari_wbc.classify.calibrate import confidence_threshold, temperature


def overconfident(factor, n=20_000):
    """Logits that are ``factor`` times too large for the labels drawn from them."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (n, 4))
    labels = np.array([rng.choice(4, p=p) for p in softmax(honest, axis=1)])
    return honest * factor, labels


def test_without_cells_nothing_is_changed():
    assert temperature(np.empty((0, 8)), np.empty(0, int)) == 1
    assert confidence_threshold(np.empty(0), np.empty(0, bool)) == 0.5


@pytest.mark.parametrize("factor", [0.5, 1, 3])
def test_a_known_temperature_is_found(factor):
    assert temperature(*overconfident(factor)) == pytest.approx(factor, rel=0.03)


def test_no_other_temperature_is_better():
    logits, labels = overconfident(2.5, n=2000)

    def loss(t):
        return log_loss(labels, softmax(logits / t, axis=1))

    found = temperature(logits, labels)
    assert all(loss(found) <= loss(t) for t in np.geomspace(0.2, 5, 50))


@pytest.mark.parametrize(("sign", "bound"), [(1, 0.2), (-1, 5)])
def test_the_temperature_has_bounds(sign, bound):
    logits = sign * np.eye(3) * 0.1
    assert temperature(logits, np.arange(3)) == pytest.approx(bound, rel=0.01)


CELLS = st.lists(st.tuples(st.integers(20, 100), st.booleans()), max_size=40)


@given(CELLS, st.sampled_from([0.0, 0.02, 0.2, 0.5]))
def test_the_threshold_is_the_least_that_keeps_its_promise(cells, error_rate):
    confidence = np.array([c / 100 for c, _ in cells])
    correct = np.array([right for _, right in cells], bool)
    candidates = [i / 100 for i in range(50, 95)]

    def kept(threshold):
        identified = [
            right for (c, right) in zip(confidence, correct, strict=True) if c >= threshold
        ]
        return not identified or identified.count(False) / len(identified) <= error_rate

    expected = next((t for t in candidates if kept(t)), 0.95)
    assert confidence_threshold(confidence, correct, error_rate=error_rate) == expected


def test_a_hopeless_model_gets_the_highest_threshold():
    assert confidence_threshold(np.full(10, 0.99), np.zeros(10, bool)) == 0.95
    assert confidence_threshold(np.full(10, 0.99), np.zeros(10, bool), highest=0.8) == 0.8
