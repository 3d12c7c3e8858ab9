"""The audit: drawn by chance and kept, exact where all is known, and honest where it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.audit import Audit, allocation, audited, sample, stratified
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.limits import share
from napari_wbc.model.policy import Policy
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import FIVE_CLASSES

BOX = BBox(0, 0, 9, 9)


def predicted(**counts):
    cells = []
    for name, n in counts.items():
        guess = Prediction((name,), (1.0,))
        cells += [Cell(f"{name} {i}", "f", Detection(BOX), guess) for i in range(n)]
    return CellTable(cells)


def labelled(table, ids, label=None):
    cells = [table[i].annotated(Annotation(label or table[i].label)) for i in ids]
    return table.with_cells(cells)


def drawn(table, audit):
    return [cell_id for ids in sample(table, audit).values() for cell_id in ids]


@pytest.mark.parametrize("options", [{"n": 0}, {"n": 10**6}, {"seed": -1}])
def test_an_audit_that_is_none_is_refused(options):
    with pytest.raises(WbcError, match="give"):
        Audit(**options)


def test_of_no_cell_there_is_no_sample():
    result = audited(CellTable(), FIVE_CLASSES, Policy(), Audit())
    assert (result.drawn, result.is_complete, result.shares) == (0, False, {})


@given(st.lists(st.integers(1, 300), min_size=1, max_size=9), st.integers(1, 400))
def test_cells_are_shared_among_the_classes(sizes, n):
    sizes = np.array(sizes)
    drawn = allocation(sizes, n)
    assert (drawn <= sizes).all()
    assert (drawn >= np.minimum(sizes, 5)).all()
    assert drawn.sum() >= min(n, sizes.sum())


def test_the_same_seed_draws_the_same_cells_whatever_anyone_says():
    table = predicted(neutrophil=200, basophil=3)
    first = sample(table, Audit(50, 7))
    assert len(first["basophil"]) == 3
    assert sum(map(len, first.values())) == 50
    assert sample(labelled(table, list(table)[:90], "monocyte"), Audit(50, 7)) == first
    assert sample(table, Audit(50, 8)) != first
    more = CellTable([*table.values(), *predicted(monocyte=1).values()])
    assert set(sample(more, Audit(60, 7))["neutrophil"]) >= set(first["neutrophil"][:40])


def test_candidates_are_not_audited():
    table = CellTable([Cell("a", "f", Detection(BOX, candidate=True))])
    assert sample(table, Audit()) == {}


def test_nothing_is_said_until_all_of_the_sample_is_reviewed():
    table = predicted(neutrophil=100, lymphocyte=60)
    ids = drawn(table, Audit(40))
    half = audited(labelled(table, ids[:20]), FIVE_CLASSES, Policy(), Audit(40))
    assert (half.reviewed, half.is_complete, half.shares) == (20, False, {})
    # Cells of a chosen order are no part of it.
    others = [cell_id for cell_id in table if cell_id not in ids]
    assert audited(labelled(table, others), FIVE_CLASSES, Policy(), Audit(40)).reviewed == 0
    whole = audited(labelled(table, ids), FIVE_CLASSES, Policy(), Audit(40))
    assert whole.is_complete
    assert whole.shares["neutrophil"].value == pytest.approx(62.5)
    assert whole.shares["basophil"].low == 0
    assert whole.more == 120


def test_a_slide_that_is_all_reviewed_has_clopper_and_pearsons_limits():
    table = predicted(neutrophil=70, lymphocyte=21, basophil=9)
    result = audited(labelled(table, table), FIVE_CLASSES, Policy(), Audit(30))
    for name, count in (("neutrophil", 70), ("lymphocyte", 21), ("basophil", 9), ("monocyte", 0)):
        assert result.shares[name] == pytest.approx(share(count, 100).times(100))


@given(st.integers(1, 60), st.integers(0, 60))
def test_one_stratum_of_a_large_slide_is_a_simple_sample(own, other):
    (first, _) = stratified(np.array([10**7]), np.array([[own, other, 0]]))
    assert first == pytest.approx(share(own, own + other), abs=1e-4)


def test_what_is_no_leukocyte_leaves_the_denominator():
    sizes = np.array([100, 50])
    counts = np.array([[20, 0, 0], [0, 5, 5]])
    first, second = stratified(sizes, counts)
    assert first.value == pytest.approx(100 / 125)
    assert second.value == pytest.approx(25 / 125)
    assert first.low < first.value < first.high
    nothing = stratified(np.array([10]), np.array([[0, 0, 5]]))
    assert all(math.isnan(each.value) for each in nothing)


def test_a_model_that_errs_alike_has_wider_limits_than_one_that_does_not():
    sizes = np.array([200, 200])
    good = stratified(sizes, np.array([[25, 0, 0], [0, 25, 0]]))[0]
    bad = stratified(sizes, np.array([[15, 10, 0], [10, 15, 0]]))[0]
    assert good.value == bad.value == 0.5
    assert good.high - good.low < bad.high - bad.low


def test_the_limits_hold_for_a_model_far_from_home():
    rng = np.random.default_rng(0)
    truth = np.array([0.62, 0.3, 0.06, 0.02])
    confusion = np.array(
        [[0.9, 0.05, 0.05, 0], [0.1, 0.85, 0.05, 0], [0.3, 0.2, 0.5, 0], [0.2, 0.4, 0, 0.4]]
    )
    held = np.zeros(4)
    times = 600
    for _ in range(times):
        table = rng.multinomial(200, truth)
        pairs = np.stack([rng.multinomial(n, row) for n, row in zip(table, confusion, strict=True)])
        sizes = pairs.sum(axis=0)
        there = sizes > 0
        counts = [
            rng.multivariate_hypergeometric(pairs[:, h], n)
            for h, n in zip(np.flatnonzero(there), allocation(sizes[there], 50), strict=True)
        ]
        limits = stratified(sizes[there], np.column_stack([counts, np.zeros(len(counts), int)]))
        held += [low <= p <= high for p, (_, low, high) in zip(truth, limits, strict=True)]
    assert (held / times > 0.94).all()
