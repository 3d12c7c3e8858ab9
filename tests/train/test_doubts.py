"""Labels to look at twice: flipped ones are found, and what cannot be judged is left in peace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.train.doubts import MIN_DOUBT_CELLS, doubts_steps

NAMES = ("neutrophil", "lymphocyte", "monocyte", "basophil")


def doubts(*args, **options):
    return run(doubts_steps(*args, **options))


def cells(counts, seed=0, spread=0.3):
    """Features of classes that lie apart, their labels, and a group for every two cells."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    features = 3 * np.eye(len(NAMES), 6)[labels] + rng.normal(0, spread, (len(labels), 6))
    return features, labels, np.arange(len(labels)) // 2


@pytest.mark.parametrize("n", [0, 1, MIN_DOUBT_CELLS - 1])
def test_too_few_cells_are_refused(n):
    with pytest.raises(WbcError, match=f"at least 10 labelled cells, and there are {n}"):
        doubts(np.zeros((n, 4)), np.zeros(n, int), np.zeros(n, int), NAMES)


def test_right_labels_are_not_doubted():
    features, labels, groups = cells([20, 20, 20, 20])
    found = doubts(features, labels, groups, NAMES)
    assert not len(found.order)
    assert not found.doubt.any()
    assert (found.suggested == labels).all()


def test_flipped_labels_are_found_and_the_right_class_is_suggested():
    features, labels, groups = cells([40, 30, 20, 10])
    flipped = np.array([3, 30, 55, 80])
    wrong = labels.copy()
    wrong[flipped] = (labels[flipped] + 1) % 4
    found = doubts(features, wrong, groups, NAMES)
    assert set(found.order[:4].tolist()) == set(flipped.tolist())
    assert (found.suggested[flipped] == labels[flipped]).all()
    assert (np.diff(found.doubt[found.order]) <= 0).all()
    assert ((found.doubt[found.order] > 0.5) & (found.doubt[found.order] <= 1)).all()
    rest = np.delete(np.arange(100), found.order)
    assert not found.doubt[rest].any()
    assert (found.suggested[rest] == wrong[rest]).all()


def test_it_can_be_stopped_between_the_parts_that_are_left_out():
    features, labels, groups = cells([20, 20, 20])
    done = [
        (step.done, step.total) for step in doubts_steps(features, labels, groups, NAMES, folds=4)
    ]
    assert len(done) == 5
    assert done[-1] == (60, 60)
    assert done == sorted(done)


def test_the_same_seed_doubts_the_same():
    features, labels, groups = cells([20, 20, 20], spread=2)
    first, second = (doubts(features, labels, groups, NAMES, seed=3) for _ in range(2))
    assert len(first.order)
    assert first.order.tolist() == second.order.tolist()
    assert (first.doubt == second.doubt).all()


def test_a_class_of_one_cell_is_neither_doubted_nor_suggested():
    features, labels, groups = cells([20, 20])
    labels[0], features[0] = 2, features[labels == 1].mean(axis=0)
    found = doubts(features, labels, groups, NAMES)
    assert 0 not in found.order
    assert 2 not in found.suggested[1:]


def test_a_class_that_only_one_field_has_is_not_doubted():
    features, labels, groups = cells([20, 20, 6])
    groups[labels == 2] = 999
    features[labels == 2] = features[labels == 1][:6]
    found = doubts(features, labels, groups, NAMES)
    assert not found.doubt[labels == 2].any()


def test_cells_of_a_field_are_judged_together():
    """The same wrong label twice in one field does not prove itself."""
    features, labels, groups = cells([30, 30])
    pair = np.flatnonzero(labels == 0)[:2]
    wrong = labels.copy()
    wrong[pair], groups[pair] = 1, 999
    features[pair] = features[pair[0]] + [9, 0, 0, 0, 0, 0]
    assert set(pair.tolist()) <= set(doubts(features, wrong, groups, NAMES).order.tolist())


def test_cells_of_one_field_alone_each_stand_for_themselves():
    features, labels, _ = cells([20, 20])
    wrong = labels.copy()
    wrong[5] = 1 - labels[5]
    assert doubts(features, wrong, np.zeros(40), NAMES).order.tolist() == [5]


def test_one_class_alone_cannot_be_doubted():
    features, labels, groups = cells([30])
    assert not len(doubts(features, labels, groups, NAMES).order)


def test_all_classes_of_one_cell_cannot_be_doubted():
    found = doubts(np.eye(12), np.arange(12), np.arange(12), [str(i) for i in range(12)])
    assert not len(found.order)


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 3), min_size=MIN_DOUBT_CELLS, max_size=24),
    st.integers(1, 8),
    st.integers(2, 6),
)
def test_any_labels_and_groups_are_taken(labels, fields, folds):
    rng = np.random.default_rng(len(labels))
    n = len(labels)
    found = doubts(
        rng.normal(size=(n, 3)), np.array(labels), rng.integers(0, fields, n), NAMES, folds=folds
    )
    assert set(found.order.tolist()) == set(np.flatnonzero(found.doubt).tolist())
    assert ((found.doubt >= 0) & (found.doubt <= 1)).all()


@pytest.mark.parametrize(
    ("features", "labels", "told"),
    [
        (np.ones((12, 2)), np.full(12, 4), "do not fit 4 classes"),
        (np.ones((12, 2)), np.full(12, -1), "do not fit 4 classes"),
        (np.ones((11, 2)), np.zeros(12, int), "do not fit"),
        (np.full((12, 2), np.inf), np.zeros(12, int), "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(features, labels, told):
    with pytest.raises(WbcError, match=told):
        doubts(features, labels, np.arange(12), NAMES)
