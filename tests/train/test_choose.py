"""Which cells to label next: what nobody is sure of, and never twice the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.train import choose
from napari_wbc.train.choose import (
    MAX_CANDIDATES,
    fields_of_gain,
    most_gain_steps,
    uncertainty,
)

SURE, HALF, UNSURE = (1.0, 0.0, 0.0), (0.7, 0.2, 0.1), (0.5, 0.5, 0.0)


def most_gain(*args, **options):
    return run(most_gain_steps(*args, **options))


def test_no_cells():
    empty = np.zeros((0, 3)), np.zeros((0, 2))
    assert most_gain(*empty, 5).shape == (0,)
    assert most_gain(*empty, 5, labelled=np.ones((4, 2))).shape == (0,)
    assert fields_of_gain(empty[0], []) == ()
    assert uncertainty(empty[0]).shape == (0,)


def test_one_class_leaves_no_doubt():
    assert uncertainty(np.ones((3, 1))).tolist() == [0, 0, 0]


def test_uncertainty_is_one_less_the_margin_to_the_second():
    chances = np.random.default_rng(0).dirichlet(np.ones(8), 50)
    ranked = np.sort(chances, axis=1)
    np.testing.assert_allclose(uncertainty(chances), 1 - (ranked[:, -1] - ranked[:, -2]))


def test_the_first_is_the_least_certain_where_nothing_is_labelled():
    features = np.zeros((3, 2))
    assert most_gain(np.array([SURE, UNSURE, HALF]), features, 3).tolist() == [1, 2, 0]


def test_among_the_uncertain_the_most_unlike_comes_next():
    chances = np.array([UNSURE, HALF, HALF, HALF])
    features = np.array([[0.0], [0.1], [5.0], [2.0]])
    assert most_gain(chances, features, 4).tolist() == [0, 2, 3, 1]


def test_what_is_labelled_already_is_not_asked_again():
    features = np.array([[0.0], [1.0], [9.0]])
    chances = np.array([UNSURE] * 3)
    assert most_gain(chances, features, 2, labelled=np.array([[9.1]])).tolist() == [0, 1]
    assert most_gain(chances, features, 2, labelled=np.array([[-0.1]])).tolist() == [2, 1]


def test_a_sure_cell_is_not_asked_for_though_it_is_odd():
    chances = np.array([UNSURE] * (2 * MAX_CANDIDATES) + [SURE])
    features = np.r_[np.random.default_rng(0).normal(size=(2 * MAX_CANDIDATES, 2)), [[1e6, 1e6]]]
    assert len(chances) - 1 not in most_gain(chances, features, MAX_CANDIDATES)


@given(st.integers(0, 40), st.integers(0, 45), st.integers(0, 3), st.integers(0, 99))
def test_every_cell_comes_once_and_few_are_the_first_of_many(cells, n, labelled, seed):
    rng = np.random.default_rng(seed)
    chances, features = rng.dirichlet(np.ones(3), cells), rng.normal(size=(cells, 4))
    known = rng.normal(size=(labelled, 4))
    found = most_gain(chances, features, n, labelled=known)
    assert len(found) == len(set(found.tolist())) == min(n, cells)
    assert found.tolist() == most_gain(chances, features, cells, labelled=known)[:n].tolist()


def test_it_is_greedy_farthest_first_by_brute_force():
    rng = np.random.default_rng(1)
    chances, features, known = (
        rng.dirichlet(np.ones(4), 120),
        rng.normal(size=(120, 6)),
        rng.normal(size=(5, 6)),
    )
    chosen: list[int] = []
    order = np.argsort(-uncertainty(chances), kind="stable")
    for _ in range(30):
        left = [i for i in order if i not in chosen][:MAX_CANDIDATES]
        covered = np.concatenate([known, features[chosen]])
        far = [np.linalg.norm(covered - features[i], axis=1).min() for i in left]
        chosen.append(int(left[int(np.argmax(far))]))
    assert most_gain(chances, features, 30, labelled=known).tolist() == chosen


@pytest.mark.parametrize(
    ("cells", "n", "labelled"), [(400, 400, 30), (400, 90, 0), (130, 500, 300), (1, 1, 1)]
)
def test_it_is_to_the_bit_what_comparing_every_cell_with_every_other_gives(cells, n, labelled):
    rng = np.random.default_rng(cells)
    chances, features = (
        rng.dirichlet(np.ones(5), cells),
        rng.normal(size=(cells, 120)).astype(np.float32),
    )
    known = rng.normal(size=(labelled, 120)).astype(np.float32)
    far, left, expected = (
        np.full(cells, np.inf),
        np.argsort(-uncertainty(chances), kind="stable").tolist(),
        [],
    )
    for row in known:
        far = np.minimum(far, choose._distances(features, row))
    while left and len(expected) < n:
        expected.append(left.pop(int(far[left[:MAX_CANDIDATES]].argmax())))
        far = np.minimum(far, choose._distances(features, features[expected[-1]]))
    assert most_gain(chances, features, n, labelled=known).tolist() == expected


def test_it_can_be_stopped_while_it_computes(monkeypatch):
    """Between two steps it compares no more than it may, with many labelled or many wanted."""
    rng = np.random.default_rng(0)
    compared, apart = [], choose._distances
    monkeypatch.setattr(choose, "REPORT_INTERVAL", 20_000)
    monkeypatch.setattr(
        choose, "_distances", lambda some, row: compared.append(some.size) or apart(some, row)
    )
    chances, features = rng.dirichlet(np.ones(4), 600), rng.normal(size=(600, 8))
    steps, between = most_gain_steps(chances, features, 600, labelled=rng.normal(size=(900, 8))), []
    for progress in steps:
        between.append(sum(compared))
        compared.clear()
        assert 0 <= progress.done <= progress.total == 600
    assert len(between) > 200
    assert max(between) <= 20_000 + 12_000 + MAX_CANDIDATES * MAX_CANDIDATES * 8


def test_fields_come_by_the_sum_of_the_doubts_of_their_cells():
    found = fields_of_gain(np.array([HALF, UNSURE, HALF, SURE, HALF]), ["a", "b", "c", "d", "c"])
    assert [field for field, _ in found] == ["b", "c", "a", "d"]
    assert dict(found)["c"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("chances", "features", "n", "labelled", "told"),
    [
        (np.ones((3, 2)), np.ones((2, 4)), 1, None, "do not fit"),
        (np.ones((3, 2)), np.ones((3, 4)), 1, np.ones((2, 5)), "do not fit"),
        (np.ones(3), np.ones((3, 4)), 1, None, "do not fit"),
        (np.ones((3, 2)), np.ones((3, 4)), -1, None, "choose 0 or more"),
        (np.ones((3, 2)), np.full((3, 4), np.nan), 1, None, "not finite"),
        (np.full((3, 2), np.nan), np.ones((3, 4)), 1, None, "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(chances, features, n, labelled, told):
    with pytest.raises(WbcError, match=told):
        most_gain(chances, features, n, labelled=labelled)
