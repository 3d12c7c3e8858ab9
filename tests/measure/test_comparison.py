"""Two models compared: statistics against other packages and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, log_loss
from statsmodels.stats.proportion import proportion_confint

from napari_wbc.errors import WbcError
from napari_wbc.measure.comparison import Answers, Measures, measured
from napari_wbc.measure.metrics import score
from napari_wbc.measure.verdict import Verdict

NAMES = ("a", "b", "c")


def answers(said, *, sure=True, confidence=0.8):
    """What a model is that says these classes."""
    said = np.asarray(said, int)
    probabilities = np.full((len(said), 3), (1 - confidence) / 2)
    probabilities[np.arange(len(said)), said] = confidence
    return Answers("model", probabilities, np.broadcast_to(sure, len(said)))


def compared(truth, old, new, *, sources="lab", slides="", names=NAMES) -> Measures:
    truth = np.asarray(truth, np.int64)
    texts = (np.broadcast_to(np.asarray(x, np.str_), len(truth)) for x in (sources, slides))
    return measured(
        truth,
        answers(old),
        answers(new),
        names,
        **dict(zip(("sources", "slides"), texts, strict=True)),
    )


def wrong(truth, rows):
    """The truth, but for these rows."""
    said = np.array(truth)
    said[list(rows)] = (said[list(rows)] + 1) % 3
    return said


def test_no_cells_are_refused():
    with pytest.raises(WbcError, match="no held-out cell"):
        compared([], [], [])


def test_one_cell_is_compared():
    found = compared([0], [0], [1])
    one = found.overall
    assert (one.n, one.fixed, one.broken, one.p_value, one.by_slide) == (1, 0, 1, 1, False)
    assert found.verdict is Verdict.UNDECIDED


def test_each_side_is_measured_as_alone():
    rng = np.random.default_rng(1)
    truth, old, new = rng.integers(0, 3, (3, 80))
    found = compared(truth, old, new)
    for side, said in ((found.overall.old, old), (found.overall.new, new)):
        alone = score(truth, answers(said).probabilities, NAMES)
        hits = int((said == truth).sum())
        assert side.accuracy == pytest.approx(
            (hits / 80, *proportion_confint(hits, 80, method="beta"))
        )
        assert side.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(truth, said))
        assert side.calibration_error == alone.calibration_error
        assert side.log_loss == pytest.approx(log_loss(truth, answers(said).probabilities))


def test_changed_cells_and_mcnemars_test():
    truth = np.tile([0, 1, 2], 20)
    found = compared(truth, wrong(truth, range(9)), wrong(truth, [0, 1, 20, 21]))
    one = found.overall
    assert (one.fixed, one.broken) == (7, 2)
    assert one.p_value == pytest.approx(binomtest(2, 9).pvalue)
    assert one.accuracy.value == pytest.approx(5 / 60)
    assert sum(row.fixed for row in found.by_class) == 7
    assert sum(row.broken for row in found.by_class) == 2


def test_doubts_and_errors_among_the_rest():
    truth = np.zeros(4, np.int64)
    old = answers([0, 0, 1, 1], sure=[True, True, True, False])
    new = answers([0, 0, 0, 0], sure=False)
    lab, slide = np.array(["lab"] * 4), np.array([""] * 4)
    one = measured(truth, old, new, NAMES, sources=lab, slides=slide).overall
    assert (one.old.unidentified, one.old.errors) == (0.25, pytest.approx(1 / 3))
    assert one.new.unidentified == 1
    assert np.isnan(one.new.errors)


def test_by_class_has_the_classes_that_occur():
    found = compared([0, 0, 2], [0, 1, 2], [0, 0, 1]).by_class
    assert [(row.name, row.n, row.fixed, row.broken) for row in found] == [
        ("a", 2, 1, 0),
        ("c", 1, 0, 1),
    ]
    assert (found[0].old.value, found[0].new.value) == (0.5, 1)


@pytest.mark.parametrize("whole", [True, False], ids=["by slide", "by cell"])
def test_limits_are_those_of_cells_drawn_one_by_one(whole):
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 120)
    slides = np.array([f"s{i // 10}" if whole else "" for i in range(120)])
    old = np.where(rng.random(120) < 0.3, (truth + 1) % 3, truth)
    new = np.where(rng.random(120) < 0.2, (truth + 1) % 3, truth)
    one = compared(truth, old, new, slides=slides).overall
    assert one.by_slide is whole
    draws = []
    for _ in range(1000):
        if whole:
            picked = np.concatenate(
                [np.flatnonzero(slides == s) for s in rng.choice(np.unique(slides), 12)]
            )
        else:
            picked = rng.integers(0, 120, 120)
        parts = [(truth[picked] == k, picked) for k in range(3)]
        recall = [
            [(said[p][own] == k).mean() for k, (own, p) in enumerate(parts)] for said in (old, new)
        ]
        draws.append(np.mean(recall[1]) - np.mean(recall[0]))
    assert one.balanced_accuracy[1:] == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.02)


def test_slides_that_go_as_one_make_the_limits_wider():
    truth = np.zeros(200, np.int64)
    slides = np.array([f"s{i // 20}" for i in range(200)])
    old = np.where(np.isin(slides, ["s0", "s1", "s2"]), 1, 0)  # three whole slides are wrong
    whole, single = (compared(truth, old, truth, slides=s).overall.accuracy for s in (slides, ""))
    assert whole.value == single.value == pytest.approx(0.3)
    assert whole.high - whole.low > 2 * (single.high - single.low)


@pytest.mark.parametrize(
    ("known", "slides", "by_slide"), [(6, 6, True), (5, 5, False), (0, 0, False)]
)
def test_few_or_unknown_slides_are_not_drawn(known, slides, by_slide):
    names = np.array([f"s{i % known}" if known else "" for i in range(60)])
    one = compared(np.zeros(60, int), np.zeros(60, int), np.zeros(60, int), slides=names).overall
    assert (one.slides, one.by_slide) == (slides, by_slide)


def test_one_cell_of_no_known_slide_makes_all_drawn_by_cell():
    names = np.array(["", *(f"s{i}" for i in range(9))])
    one = compared(np.zeros(10, int), np.zeros(10, int), np.zeros(10, int), slides=names).overall
    assert (one.slides, one.by_slide) == (9, False)


def test_sources_weigh_alike_over_all():
    truth = np.zeros(40, np.int64)
    sources = np.array(["large"] * 30 + ["small"] * 10)
    found = compared(truth, truth, wrong(truth, range(30, 40)), sources=sources)
    assert list(found.by_source) == ["large", "small"]
    assert found.overall.balanced_accuracy.value == pytest.approx(-0.5)
    assert found.overall.accuracy.value == pytest.approx(-0.25)


def test_the_same_cells_give_the_same_limits_again():
    rng = np.random.default_rng(5)
    given = rng.integers(0, 3, (3, 50))
    assert compared(*given) == compared(*given)


def test_a_model_that_mends_much_is_adopted_and_its_mirror_is_not():
    truth = np.tile([0, 1, 2], 40)
    slides = np.array([f"s{i % 10}" for i in range(120)])
    worse = wrong(truth, range(30))
    assert compared(truth, worse, truth, slides=slides).verdict is Verdict.ADOPT
    assert compared(truth, truth, worse, slides=slides).verdict is Verdict.KEEP


def test_two_models_that_are_alike_are_seldom_told_apart():
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(20):
        truth = rng.integers(0, 3, 300)
        old, new = (np.where(rng.random(300) < 0.1, (truth + 1) % 3, truth) for _ in range(2))
        verdicts.append(
            compared(truth, old, new, slides=np.array([f"s{i % 30}" for i in range(300)])).verdict
        )
    assert verdicts.count(Verdict.UNDECIDED) >= 17
