"""Which of two classifiers to use, by what was measured of both, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil, sqrt

from napari_wbc.model.limits import Estimate
from napari_wbc.model.words import counted

MIN_CHANGED_CELLS = 6
"""Changed cells below which nothing can be shown: five agree by chance once in 16."""
MIN_SLIDES = 6
"""Slides below which nothing can be shown, for the same reason."""
SIGNIFICANCE = 0.05
MAX_SOURCE_LOSS = 0.01
"""Balanced accuracy that a source may seem to lose."""
MAX_CELLS_TO_LABEL = 20_000
"""More than this nobody is asked to label."""


class Verdict(StrEnum):
    """What to do with the new model."""

    ADOPT = "adopt"
    KEEP = "keep"
    """The old one."""
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Side:
    """How good one of the two models is.

    Parameters
    ----------
    accuracy, balanced_accuracy : Estimate
        0 to 1. Limits of the first are Clopper and Pearson's, of the second the bootstrap's.
    calibration_error, log_loss : float
        Expected calibration error, 0 to 1, and mean negative log-likelihood in nats.
    unidentified : float
        Part of the cells, 0 to 1.
    errors : float
        Part of the identified cells that is wrong, 0 to 1; NaN where none is identified.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    calibration_error: float
    log_loss: float
    unidentified: float
    errors: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Two models on the cells of one source, or of all.

    Parameters
    ----------
    n, slides : int
        Cells, and known slides they are of.
    by_slide : bool
        Whether slides were drawn anew, or cells.
    accuracy, balanced_accuracy : Estimate
        New less old, -1 to 1, with the limits of the bootstrap.
    fixed, broken : int
        Cells that only the new model, and that only the old model has right.
    p_value : float
        Of McNemar's exact test, which takes cells as independent.
    """

    n: int
    slides: int
    by_slide: bool
    old: Side
    new: Side
    accuracy: Estimate
    balanced_accuracy: Estimate
    fixed: int
    broken: int
    p_value: float


def judged(overall: Standing, by_source: dict[str, Standing]) -> tuple[Verdict, str]:
    """Which of the two models to use, and why, in one sentence.

    A model is *surely better* than the other where

    - at least six cells are right with one of the two alone,
    - its balanced accuracy is higher, and
    - either the limits of that difference leave out zero, or McNemar's test gives p < 0.05 in its
      favour and the limits of the difference in accuracy leave out zero too. McNemar's test takes
      cells as independent, so it is not believed alone: the limits know of the slides.

    From top to bottom, the first that holds:

    1. The old model is surely better over all, or surely and by more than one point in one source:
       keep it. A laboratory that was read well is not given up for the mean, and several sources
       are not corrected for, since keeping is the safe side.
    2. The new model is not surely better over all: undecided.
    3. It breaks more cells than it fixes by McNemar's test, for the sake of rarer classes:
       undecided.
    4. A source seems to lose more than one point of balanced accuracy and has more cells broken
       than fixed: undecided.
    5. Else adopt the new model.
    """
    if _surely(overall, -1):
        return Verdict.KEEP, f"The new model is worse: {_change(overall)}."
    for source, standing in by_source.items():
        if _surely(standing, -1) and standing.balanced_accuracy.value < -MAX_SOURCE_LOSS:
            changes = _change(standing)
            return Verdict.KEEP, f"The new model is worse on the cells of {source}: {changes}."
    if not _surely(overall, +1):
        return Verdict.UNDECIDED, _lacking(overall)
    if overall.p_value < SIGNIFICANCE and overall.broken > overall.fixed:
        return Verdict.UNDECIDED, (
            f"Rarer classes gain and common ones lose: {_change(overall)}; weigh the classes by "
            "your use."
        )
    for source, standing in by_source.items():
        if standing.balanced_accuracy.value < -MAX_SOURCE_LOSS and standing.broken > standing.fixed:
            return Verdict.UNDECIDED, (
                f"The new model is better over all, but seems to lose on the cells of {source}: "
                f"{_change(standing)}; label more of them."
            )
    return (
        Verdict.ADOPT,
        f"The new model is better: {_change(overall)}, and no source loses more than a point.",
    )


def _surely(standing: Standing, sign: int) -> bool:
    """Whether the new model (+1) or the old one (-1) is surely better; see :func:`judged`."""

    def nearest_limit(difference: Estimate) -> float:
        return min(sign * difference.low, sign * difference.high)

    # An exact test of fewer changed cells cannot reach p < 0.05, however they fall.
    if standing.fixed + standing.broken < MIN_CHANGED_CELLS:
        return False
    if not sign * standing.balanced_accuracy.value > 0:
        return False
    if nearest_limit(standing.balanced_accuracy) > 0:
        return True
    fixes_more = sign * (standing.fixed - standing.broken) > 0
    significant = fixes_more and standing.p_value < SIGNIFICANCE
    return significant and nearest_limit(standing.accuracy) > 0


def _change(standing: Standing) -> str:
    """How balanced accuracy and cells change from the old model to the new one."""
    value, low, high = (100 * share for share in standing.balanced_accuracy)
    unit = "slide" if standing.by_slide else "cell"
    return (
        f"balanced accuracy {value:+.1f} points (95 % limits by {unit} {low:+.1f} to {high:+.1f}), "
        f"{counted(standing.fixed)} fixed and {standing.broken} broken of {standing.n}"
    )


def _lacking(standing: Standing) -> str:
    """Why nothing can be said, and what would help."""
    n = standing.n
    changed = standing.fixed + standing.broken
    if not changed:
        return (
            "Neither model is right where the other is wrong: nothing tells them apart on "
            f"{n} cells."
        )
    wanted = needed(standing.fixed, standing.broken)
    # Cells change at the rate seen so far; tens, since the estimate is rough.
    more = 0 if wanted is None else ceil(n * (wanted / changed - 1) / 10) * 10
    if wanted is None or more > MAX_CELLS_TO_LABEL:
        return f"No difference shows: {_change(standing)}; more cells will hardly show one."
    if more <= 0:
        return (
            f"The difference varies too much to be sure: {_change(standing)}; label cells of more "
            "slides."
        )
    return (
        f"Too few cells to tell: {_change(standing)}. If it goes on like this, about {wanted} "
        f"changed cells would show it: label {more} more."
    )


def needed(fixed: int, broken: int) -> int | None:
    """Changed cells that would show a difference, if as large a part of them is fixed as now.

    McNemar's test at p < 0.05 then finds it four times out of five (Fleiss, Levin and Paik 2003,
    with the correction for continuity). None where as many are fixed as broken.

    Examples
    --------
    >>> needed(3, 0), needed(12, 8), needed(4, 4)
    (6, 204, None)
    """
    if fixed == broken:
        return None
    share = fixed / (fixed + broken)
    distance = abs(share - 0.5)
    # 1.96 and 0.8416 are the normal quantiles of 5 % on two sides and of a power of 80 %.
    n = ((1.96 * 0.5 + 0.8416 * sqrt(share * (1 - share))) / distance) ** 2
    # The correction for continuity: an exact test needs some more.
    return ceil(n / 4 * (1 + sqrt(1 + 2 / (n * distance))) ** 2)
