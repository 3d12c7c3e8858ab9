"""Each branch of the verdict on two models, and how many cells would show a difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from napari_wbc.measure.verdict import Estimate, Side, Standing, Verdict, judged, needed

SIDE = Side(Estimate(1, 0, 1), Estimate(1, 1, 1), 0.2, 0.2, unidentified=0.0, errors=0.0)


def standing(difference, fixed, broken, *, accuracy=None, p=None, n=200) -> Standing:
    """What stands for so large a difference, with its limits."""
    p = binomtest(fixed, fixed + broken).pvalue if p is None and fixed + broken else p
    accuracy = Estimate(*accuracy) if accuracy else Estimate(0, -1, 1)
    return Standing(
        n, 9, True, SIDE, SIDE, accuracy, Estimate(*difference), fixed, broken, p or 1.0
    )


SAME = standing((0, -0.01, 0.01), 4, 4)
BETTER = standing((0.05, 0.01, 0.09), 15, 3)
WORSE = standing((-0.05, -0.09, -0.01), 3, 15)


@pytest.mark.parametrize(
    ("overall", "sources", "verdict", "said"),
    [
        (BETTER, [BETTER], Verdict.ADOPT, "is better: balanced accuracy +5.0 points"),
        (
            standing((0.05, -0.01, 0.1), 20, 4, accuracy=(0.1, 0.02, 0.2)),
            [BETTER],
            Verdict.ADOPT,
            "is better",
        ),
        (BETTER, [BETTER, standing((-0.009, -0.1, 0.1), 1, 2)], Verdict.ADOPT, "is better"),
        (BETTER, [BETTER, standing((-0.03, -0.1, 0.1), 2, 1)], Verdict.ADOPT, "is better"),
        (WORSE, [WORSE], Verdict.KEEP, "is worse: balanced accuracy -5.0 points"),
        (
            standing((-0.05, -0.1, 0.01), 4, 20, accuracy=(-0.1, -0.2, -0.02)),
            [SAME],
            Verdict.KEEP,
            "is worse: ",
        ),
        (BETTER, [BETTER, WORSE], Verdict.KEEP, "worse on the cells of lab 1"),
        (SAME, [SAME, WORSE], Verdict.KEEP, "worse on the cells of lab 1"),
        (
            BETTER,
            [BETTER, standing((-0.03, -0.1, 0.1), 1, 2)],
            Verdict.UNDECIDED,
            "seems to lose on the cells of",
        ),
        (standing((0.2, 0.1, 0.3), 8, 40), [BETTER], Verdict.UNDECIDED, "Rarer classes gain"),
        (standing((0.05, 0.01, 0.09), 5, 0), [SAME], Verdict.UNDECIDED, "label 40 more"),
        (
            standing((0.05, 0.01, 0.09), 1, 0),
            [SAME],
            Verdict.UNDECIDED,
            "1 cell fixed and 0 broken",
        ),
        (
            standing((0.05, -0.01, 0.1), 12, 4),
            [SAME],
            Verdict.UNDECIDED,
            "about 33 changed cells would show it",
        ),
        (
            standing((0.05, -0.01, 0.1), 30, 4),
            [SAME],
            Verdict.UNDECIDED,
            "label cells of more slides",
        ),
        (SAME, [SAME], Verdict.UNDECIDED, "No difference shows"),
        (
            standing((0.0, -0.01, 0.01), 50, 49),
            [SAME],
            Verdict.UNDECIDED,
            "more cells will hardly show one",
        ),
        (
            standing((0, 0, 0), 0, 0),
            [SAME],
            Verdict.UNDECIDED,
            "nothing tells them apart on 200 cells",
        ),
    ],
)
def test_every_branch_of_the_verdict(overall, sources, verdict, said):
    found, why = judged(overall, {f"lab {i}": one for i, one in enumerate(sources)})
    assert found is verdict
    assert said in why
    assert why.endswith(".")


def test_mcnemars_test_alone_is_not_believed():
    one = standing((0.05, -0.01, 0.1), 30, 4, accuracy=(0.1, -0.02, 0.2), p=1e-6)
    assert judged(one, {"lab": one})[0] is Verdict.UNDECIDED
    sure = replace(one, accuracy=Estimate(0.1, 0.02, 0.2))
    assert judged(sure, {"lab": sure})[0] is Verdict.ADOPT


def test_the_cells_needed_are_those_that_show_it_four_times_out_of_five():
    n = needed(15, 5)
    rng = np.random.default_rng(0)
    shown = [binomtest(int(k), n).pvalue < 0.05 for k in rng.binomial(n, 0.75, 500)]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.1)
