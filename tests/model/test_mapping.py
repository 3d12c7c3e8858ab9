"""Mapping: nothing is lost that has a place, and whether a model can be counted is decided once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_wbc.errors import WbcError
from napari_wbc.model.mapping import check_counted, mapped, mapping, uncounted
from napari_wbc.model.taxonomy import (
    EIGHT_CLASSES,
    FIVE_CLASSES,
    FOUR_CLASSES,
    TAXONOMIES,
    TWO_CLASSES,
)
from napari_wbc.model.taxonomy_dict import taxonomy_of_names

NAMES = EIGHT_CLASSES.names
ROWS = arrays(float, st.tuples(st.integers(0, 4), st.just(len(NAMES))), elements=st.floats(0, 1))


def test_no_cells_map_to_no_cells():
    assert mapped(np.empty((0, 8)), NAMES, TWO_CLASSES).shape == (0, 2)


def test_no_classes_map_nowhere():
    with pytest.raises(WbcError, match="No class of the model"):
        mapped(np.empty((3, 0)), (), TWO_CLASSES)


@given(ROWS, st.sampled_from(list(TAXONOMIES.values())))
def test_rows_sum_to_one_and_keep_their_proportions(given_rows, taxonomy):
    rows = mapped(given_rows, NAMES, taxonomy)
    assert rows.shape == (len(given_rows), len(taxonomy.names))
    assert np.all(rows >= 0)
    np.testing.assert_allclose(rows.sum(1), 1)
    for before, after in zip(given_rows, rows, strict=True):
        sums = dict.fromkeys(taxonomy.names, 0.0)
        for name, p in zip(NAMES, before, strict=True):
            if (target := taxonomy.class_of(name)) is not None:
                sums[target] += p
        if total := sum(sums.values()):
            np.testing.assert_allclose(after, [p / total for p in sums.values()])
        else:
            np.testing.assert_allclose(after, 1 / len(taxonomy.names))


@given(ROWS.filter(lambda rows: np.all(rows.sum(1) > 0)))
def test_mapping_to_itself_changes_nothing(given_rows):
    rows = given_rows / given_rows.sum(1, keepdims=True)
    np.testing.assert_allclose(mapped(rows, NAMES, EIGHT_CLASSES), rows, atol=1e-15)


@given(ROWS)
def test_to_five_then_two_is_to_two(given_rows):
    kept = [FIVE_CLASSES.class_of(name) is not None for name in NAMES]
    rows = given_rows[given_rows[:, kept].sum(1) > 0]
    by_five = mapped(mapped(rows, NAMES, FIVE_CLASSES), FIVE_CLASSES.names, TWO_CLASSES)
    np.testing.assert_allclose(by_five, mapped(rows, NAMES, TWO_CLASSES), atol=1e-12)


def test_the_order_of_the_names_counts():
    rows = mapped([[0.1, 0.2, 0.7]], ("monocyte", "basophil", "neutrophil"), FOUR_CLASSES)
    np.testing.assert_allclose(rows, [[0.7 / 0.8, 0, 0, 0.1 / 0.8]])


@pytest.mark.parametrize("finer", [FOUR_CLASSES, FIVE_CLASSES, EIGHT_CLASSES])
def test_a_finer_taxonomy_is_refused(finer):
    with pytest.raises(
        WbcError, match=rf"mononuclear, polynuclear.*'{finer.name}'.*choose another model"
    ):
        mapping(TWO_CLASSES.names, finer)


def test_a_model_without_classes_cannot_be_counted():
    assert uncounted((), EIGHT_CLASSES) == ()
    with pytest.raises(WbcError, match="choose another model"):
        check_counted((), EIGHT_CLASSES)


@given(
    st.lists(
        st.sampled_from([*NAMES, "band neutrophil", "blast", "smudge cell"]),
        min_size=1,
        unique=True,
    )
)
def test_a_model_can_be_counted_if_one_of_its_classes_counts(names):
    for taxonomy in TAXONOMIES.values():
        left = uncounted(names, taxonomy)
        assert left == tuple(name for name in names if taxonomy.class_of(name) is None)
        if len(left) < len(names):
            check_counted(names, taxonomy)
            continue
        with pytest.raises(WbcError) as refused:
            check_counted(names, taxonomy)
        assert all(name in str(refused.value) for name in (*names, *taxonomy.names))


def test_a_class_that_none_reaches_has_nothing_even_where_nothing_is_left():
    target = taxonomy_of_names("t", ["hairy cell", "neutrophil", "monocyte"])
    rows = mapped([[0.5, 0, 0.5], [0, 0, 1]], ("monocyte", "neutrophil", "platelet"), target)
    np.testing.assert_array_equal(rows, [[0, 0, 1], [0, 0.5, 0.5]])


@pytest.mark.parametrize("wrong", [[0.5, 0.5], [[0.5, 0.5]], np.zeros((1, 2, 8)), 1.0])
def test_probabilities_that_do_not_fit_the_classes_are_refused(wrong):
    with pytest.raises(WbcError, match="one a class"):
        mapped(wrong, NAMES, TWO_CLASSES)
