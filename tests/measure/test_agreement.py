"""Two readers: kappa against scikit-learn, its limits by simulation, and their consensus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from napari_wbc.errors import WbcError
from napari_wbc.measure.agreement import agreement, consensus
from napari_wbc.model.cell import Annotation
from napari_wbc.model.limits import share
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED, TWO_CLASSES, UNIDENTIFIED


def said(labels, annotator="", start=0):
    return {f"{i + start:04}": Annotation(label, annotator) for i, label in enumerate(labels)}


def compared(first, second):
    return agreement(said(first), said(second), EIGHT_CLASSES)


def limits(result):
    return result.kappa, result.kappa_low, result.kappa_high


def test_without_cells_nothing_is_defined():
    for first, second in [
        ({}, {}),
        (said(["monocyte"]), {}),
        (said(["monocyte"]), said(["monocyte"], start=1)),
    ]:
        none = agreement(first, second, EIGHT_CLASSES)
        assert (none.n, none.agreed, none.percent, limits(none)) == (0, 0, None, (None, None, None))
        assert (none.disagreements, none.labels) == ((), EIGHT_CLASSES.labels)
        assert none.confusion.shape == (10, 10)
        assert not none.confusion.any()


@pytest.mark.parametrize("n", [1, 30])
def test_one_class_leaves_nothing_to_chance(n):
    same = compared(["monocyte"] * n, ["monocyte"] * n)
    assert (same.n, same.agreed, same.percent, limits(same)) == (n, n, 100, (None, None, None))


def test_full_agreement_has_a_kappa_of_one():
    labels = ["monocyte", "basophil", "monocyte", "lymphocyte"]
    full = compared(labels, labels)
    assert (full.percent, full.disagreements) == (100, ())
    # Of four cells that all agree, 39.8 % may be all; chance is 6 of 16.
    low = share(4, 4).low
    assert limits(full) == pytest.approx((1, (low - 0.375) / 0.625, 1))
    assert full.percent_limits == pytest.approx((100, 100 * low, 100))
    many = compared(labels * 50, labels * 50)
    assert many.kappa_low > 0.96


def test_one_cell_with_two_labels_has_a_kappa_of_zero():
    apart = compared(["monocyte"], ["basophil"])
    assert (apart.n, apart.agreed, apart.percent) == (1, 0, 0)
    assert limits(apart) == pytest.approx((0, 0, share(0, 1).high))


def test_the_limits_are_those_of_the_percentage_beyond_chance():
    """Two categories, 20, 5, 10 and 15 cells: 35 of 50 agree, 25 by chance."""
    table, first, second = np.array([[20, 5], [10, 15]]), [], []
    for (i, j), count in np.ndenumerate(table):
        first += [EIGHT_CLASSES.names[i]] * count
        second += [EIGHT_CLASSES.names[j]] * count
    _, low, high = share(35, 50)
    expected = (0.4, (low - 0.5) / 0.5, (high - 0.5) / 0.5)
    assert limits(compared(first, second)) == pytest.approx(expected)


def test_the_limits_hold_where_readers_agree_well():
    """Two readers who differ in 2 % of cells; limits of large samples hold too seldom there."""
    rng = np.random.default_rng(0)
    parts = np.array([0.485, 0.485, 0.01, 0.01, 0.01])
    chance = 0.495**2 * 2 + 0.01**2
    pairs = [("monocyte",) * 2, ("basophil",) * 2, ("lymphocyte",) * 2]
    pairs += [("monocyte", "basophil"), ("basophil", "monocyte")]
    truth = (0.98 - chance) / (1 - chance)
    held = 0
    for counts in rng.multinomial(200, parts, size=300).tolist():
        labels = [pair for pair, k in zip(pairs, counts, strict=True) for _ in range(k)]
        result = compared([a for a, _ in labels], [b for _, b in labels])
        held += result.kappa_low <= truth <= result.kappa_high
    assert held >= 0.94 * 300


PAIRS = st.lists(
    st.tuples(*[st.sampled_from([*EIGHT_CLASSES.labels[:3], *EIGHT_CLASSES.labels[-2:]])] * 2)
)


@given(PAIRS.filter(lambda pairs: len({label for pair in pairs for label in pair}) > 1))
def test_kappa_and_confusion_are_those_of_scikit_learn(pairs):
    first, second = zip(*pairs, strict=True)
    result = compared(first, second)
    assert result.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert -1 <= result.kappa_low <= result.kappa <= result.kappa_high <= 1
    np.testing.assert_array_equal(
        result.confusion, confusion_matrix(first, second, labels=result.labels)
    )
    assert result.n == len(pairs) == result.agreed + len(result.disagreements)
    assert result.percent == pytest.approx(100 * result.agreed / result.n)


@given(PAIRS)
def test_the_readers_can_change_places(pairs):
    one = compared([a for a, _ in pairs], [b for _, b in pairs])
    two = compared([b for _, b in pairs], [a for a, _ in pairs])
    np.testing.assert_array_equal(one.confusion, two.confusion.T)
    assert sorted(one.disagreements) == sorted((key, a, b) for key, b, a in two.disagreements)
    for a, b in zip(limits(one), limits(two), strict=True):
        assert a == (b if b is None else pytest.approx(b, abs=1e-9))


def test_disagreements_are_in_the_order_of_the_taxonomy_and_then_of_the_ids():
    pairs = {
        "d": ("monocyte", "basophil"),
        "c": ("monocyte", "basophil"),
        "b": ("neutrophil", UNIDENTIFIED),
        "a": (NOT_CLASSED, "monocyte"),
        "e": ("monocyte", "eosinophil"),
        "f": ("basophil", "basophil"),
    }
    first, second = ({key: Annotation(pair[i]) for key, pair in pairs.items()} for i in range(2))
    assert agreement(first, second, EIGHT_CLASSES).disagreements == (
        ("b", "neutrophil", UNIDENTIFIED),
        ("e", "monocyte", "eosinophil"),
        ("c", "monocyte", "basophil"),
        ("d", "monocyte", "basophil"),
        ("a", NOT_CLASSED, "monocyte"),
    )


@pytest.mark.parametrize("label", ["", "Monocyte", "zebra", "band neutrophil"])
def test_labels_that_the_taxonomy_lacks_are_refused(label):
    known, unknown = said(["monocyte"]), said([label])
    with pytest.raises(
        WbcError, match=f"The first reader gives cell '0000' the label '{label}'.*use one of"
    ):
        agreement(unknown, known, EIGHT_CLASSES)
    with pytest.raises(WbcError, match="The second reader"):
        agreement(known, unknown, EIGHT_CLASSES)
    with pytest.raises(WbcError, match="The first reader"):
        consensus(unknown, known, {}, EIGHT_CLASSES)
    with pytest.raises(WbcError, match="A choice"):
        consensus(known, known, {"0000": label}, EIGHT_CLASSES)
    with pytest.raises(WbcError, match="'two classes' does not have"):
        agreement(known, known, TWO_CLASSES)


def test_nobody_settles_on_nothing():
    assert consensus({}, {}, {}, EIGHT_CLASSES) == {}
    assert consensus(said(["monocyte"]), {}, {}, EIGHT_CLASSES) == {}


def test_a_consensus_is_what_both_said_and_what_was_chosen():
    first = said(["monocyte", "basophil", "basophil", "lymphocyte", "monocyte"], "Ann")
    second = said(["monocyte", "monocyte", "lymphocyte", "lymphocyte"], "Ben")
    when = "2026-01-01T00:00:00+00:00"
    settled = consensus(
        first, second, {"0001": "eosinophil", "0003": NOT_CLASSED}, EIGHT_CLASSES, when=when
    )
    assert {key: annotation.label for key, annotation in settled.items()} == {
        "0000": "monocyte",
        "0001": "eosinophil",
        "0003": NOT_CLASSED,
    }
    assert {(a.annotator, a.when) for a in settled.values()} == {("consensus of Ann and Ben", when)}


def test_readers_without_a_name_are_numbered():
    (one,) = consensus(said(["monocyte"]), said(["monocyte"]), {}, EIGHT_CLASSES).values()
    assert one.annotator == "consensus of reader 1 and reader 2"


@pytest.mark.parametrize("cell_id", ["0001", "zebra"])
def test_a_choice_needs_a_cell_of_both(cell_id):
    first, second = said(["monocyte", "monocyte"]), said(["monocyte"])
    with pytest.raises(WbcError, match=f"{cell_id!r}, which not both"):
        consensus(first, second, {cell_id: "monocyte"}, EIGHT_CLASSES)
