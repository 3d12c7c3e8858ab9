"""Two classifiers on the same held-out cells: what differs, how sure that is, and which one to use.

Invariant: a cell is right where the most probable class is the true one, sure or not. Cells of one
slide are not independent, so the limits of a difference come from resampling whole slides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.measure.metrics import score
from napari_wbc.measure.verdict import (
    MIN_SLIDES,
    SIGNIFICANCE,
    Side,
    Standing,
    Verdict,
    judged,
)
from napari_wbc.model.limits import Estimate, share

if TYPE_CHECKING:
    from napari_wbc.model.taxonomy import Taxonomy
    from napari_wbc.model.training_set import LabelledCell

BOOTSTRAP_DRAWS = 2000
SEED = 0
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]
Outcome = Literal["fixed", "broken", "both right", "both wrong"]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The predictions of one model for N cells.

    Parameters
    ----------
    probabilities : ndarray, shape (N, B), 0 to 1
        Of the taxonomy's classes; rows sum to 1.
    sure : ndarray, shape (N,), bool
        Whether the model's confidence in a class of its own reaches its own threshold; else the
        cell is unidentified.
    """

    model_id: str
    probabilities: Floats
    sure: Bools

    @property
    def predicted(self) -> Ints:
        """Index of the most probable class, shape (N,), whatever its confidence."""
        best: Ints = self.probabilities.argmax(axis=1)
        return best


class ClassRow(NamedTuple):
    """One class: its cells, the recall of both models (Clopper-Pearson limits), what changed."""

    name: str
    n: int
    old: Estimate
    new: Estimate
    fixed: int
    broken: int


@dataclass(frozen=True, slots=True)
class Measures:
    """All that is measured.

    Parameters
    ----------
    overall : Standing
        Of all cells; its balanced accuracy is the mean of the sources', so that a large laboratory
        does not outvote a small one.
    by_class : tuple of ClassRow
        Of the classes that occur.
    why : str
        One sentence.
    """

    overall: Standing
    by_source: dict[str, Standing]
    by_class: tuple[ClassRow, ...]
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two models, the cells they were compared on, and the result.

    Parameters
    ----------
    taxonomy : Taxonomy
        Of B classes.
    truth : ndarray, shape (N,), int64
        Index of each cell's class.
    cells : tuple of N LabelledCell
        With their sources and slides.
    crops : ndarray, shape (M, size, size, 3), uint8
        Of the M changed cells alone, in their order.
    heat : tuple of float, optional
        Mean share of the heat that lies inside the cell, 0 to 1, of the old and of the new model.
    notes : tuple of str
        What to know before the numbers are believed, one sentence or two each.
    """

    taxonomy: Taxonomy
    truth: Ints
    old: Answers
    new: Answers
    cells: tuple[LabelledCell, ...]
    measures: Measures
    crops: npt.NDArray[np.uint8]
    heat: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def outcomes(self) -> list[Outcome]:
        """Outcome of each cell."""
        # In the first row the old model is wrong, in the first column the new one.
        names = np.array([["both wrong", "fixed"], ["broken", "both right"]])
        old_right = (self.old.predicted == self.truth).astype(int)
        new_right = (self.new.predicted == self.truth).astype(int)
        outcomes: list[Outcome] = names[old_right, new_right].tolist()
        return outcomes

    def changed(self, outcome: Outcome) -> list[tuple[int, npt.NDArray[np.uint8]]]:
        """Index and crop of the cells that are ``fixed``, or of those that are ``broken``."""
        outcomes = self.outcomes
        # Only changed cells have a crop, so the crops are counted over both kinds.
        rows = [i for i, result in enumerate(outcomes) if result in ("fixed", "broken")]
        pairs = zip(rows, self.crops, strict=True)
        return [(i, crop) for i, crop in pairs if outcomes[i] == outcome]


def measured(
    truth: Ints,
    old: Answers,
    new: Answers,
    classes: tuple[str, ...],
    *,
    sources: Texts,
    slides: Texts,
) -> Measures:
    """Compare the predictions of two models for the same cells.

    Parameters
    ----------
    truth : ndarray, shape (N,), int64
        Index of each cell's class among ``classes``.
    sources, slides : ndarray, shape (N,), str
        A slide is empty where it is not known. Where a source has fewer than six known slides, or
        cells of no known slide, its cells are resampled and not its slides.

    Raises
    ------
    WbcError
        If there is no cell.
    """
    if not len(truth):
        raise WbcError("There is no held-out cell to compare two models on; label some first.")
    rng = np.random.default_rng(SEED)
    both = (old, new)
    right = np.stack([old.predicted == truth, new.predicted == truth])
    drawn: dict[str, _Drawn] = {}
    by_source: dict[str, Standing] = {}
    # Each source is resampled by itself, so that every draw has its cells.
    for source in np.unique(sources).tolist():
        chosen = sources == source
        drawn[source] = _draw(truth[chosen], right[:, chosen], slides[chosen], len(classes), rng)
        by_source[source] = _standing(truth, both, chosen, classes, drawn[source])
    all_cells = np.ones(len(truth), dtype=bool)
    overall = _standing(truth, both, all_cells, classes, _joined(list(drawn.values())))
    return Measures(
        overall, by_source, _by_class(truth, right, classes), *judged(overall, by_source)
    )


class _Drawn(NamedTuple):
    """The bootstrap: cells of each draw, how many are right, and their balanced accuracy.

    ``observed`` is the balanced accuracy of both models on the cells as they are, shape (2,); the
    others are of shape (draws,), (2, draws) and (2, draws).
    """

    observed: Floats
    cells: Floats
    hits: Floats
    balanced: Floats
    slides: int
    by_slide: bool


def _draw(
    truth: Ints, right: Bools, slides: Texts, classes: int, rng: np.random.Generator
) -> _Drawn:
    """The bootstrap of the cells of one source; ``right`` is of shape (2, N)."""
    names, slide = np.unique(slides, return_inverse=True)
    n_slides = len(names) - ("" in names)
    by_slide = n_slides == len(names) and n_slides >= MIN_SLIDES
    # By class: all cells, and those that either model has right; one row a slide, or one a cell.
    counts = np.zeros((len(names) if by_slide else len(truth), 3, classes), np.int64)
    unit = slide if by_slide else np.arange(len(truth))
    for k, which in enumerate((np.ones_like(right[0]), *right)):
        np.add.at(counts, (unit[which], k, truth[which]), 1)
    # Equal rows are drawn together: thousands of cells make few different rows.
    rows, times = np.unique(counts.reshape(len(counts), -1), axis=0, return_counts=True)
    weights = rng.multinomial(times.sum(), times / times.sum(), size=BOOTSTRAP_DRAWS)
    draws = (weights @ rows).reshape(BOOTSTRAP_DRAWS, 3, classes)
    cells, hits = np.split(draws.transpose(1, 0, 2).astype(float), [1])
    observed = counts.sum(axis=0)
    return _Drawn(
        _mean_recall(observed[:1], observed[1:]),
        cells[0].sum(axis=1),
        hits.sum(axis=2),
        _mean_recall(cells, hits),
        n_slides,
        by_slide,
    )


def _mean_recall(cells: npt.NDArray[np.number], hits: npt.NDArray[np.number]) -> Floats:
    """Mean recall of the classes that occur, along the last axis."""
    # scikit-learn measures one sample at a time; these are thousands of draws at once.
    occurs = cells > 0
    recall = np.where(occurs, hits / np.maximum(cells, 1), 0)
    mean: Floats = recall.sum(axis=-1) / occurs.sum(axis=-1)
    return mean


def _joined(drawn: Sequence[_Drawn]) -> _Drawn:
    """The bootstrap of several sources: all cells, and the mean of the balanced accuracies."""
    observed, cells, hits, balanced, slides, by_slide = zip(*drawn, strict=True)
    return _Drawn(
        np.mean(observed, axis=0),
        np.sum(cells, axis=0),
        np.sum(hits, axis=0),
        np.mean(balanced, axis=0),
        sum(slides),
        all(by_slide),
    )


def _spread(value: float, draws: Floats) -> Estimate:
    """A value with the percentiles of its draws as limits."""
    tail = 100 * SIGNIFICANCE / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Estimate(float(value), float(low), float(high))


def _side(
    truth: Ints, answers: Answers, chosen: Bools, classes: tuple[str, ...], balanced: Estimate
) -> Side:
    """One model on the cells for which ``chosen`` is true."""
    scores = score(truth[chosen], answers.probabilities[chosen], classes)
    sure = answers.sure[chosen]
    right = answers.predicted[chosen] == truth[chosen]
    return Side(
        share(int(right.sum()), scores.n),
        balanced,
        scores.calibration_error,
        scores.negative_log_likelihood,
        unidentified=float((~sure).mean()),
        errors=float((~right[sure]).mean()) if sure.any() else np.nan,
    )


def _standing(
    truth: Ints, both: Sequence[Answers], chosen: Bools, classes: tuple[str, ...], drawn: _Drawn
) -> Standing:
    """Two models on the cells for which ``chosen`` is true."""
    # scipy.stats takes a second to import, and the screen only reads comparisons.
    from scipy.stats import binomtest

    old_right = both[0].predicted[chosen] == truth[chosen]
    new_right = both[1].predicted[chosen] == truth[chosen]
    sides: list[Side] = []
    for answers, observed, draws in zip(both, drawn.observed, drawn.balanced, strict=True):
        sides.append(_side(truth, answers, chosen, classes, _spread(observed, draws)))
    fixed = int((new_right & ~old_right).sum())
    broken = int((old_right & ~new_right).sum())
    n = int(chosen.sum())
    # McNemar's exact test is a sign test of the changed cells; binomtest refuses to test none.
    changed = fixed + broken
    p_value = float(binomtest(fixed, changed).pvalue) if changed else 1.0
    gain = (drawn.hits[1] - drawn.hits[0]) / drawn.cells
    return Standing(
        n=n,
        slides=drawn.slides,
        by_slide=drawn.by_slide,
        old=sides[0],
        new=sides[1],
        accuracy=_spread((fixed - broken) / n, gain),
        balanced_accuracy=_spread(
            drawn.observed[1] - drawn.observed[0], drawn.balanced[1] - drawn.balanced[0]
        ),
        fixed=fixed,
        broken=broken,
        p_value=p_value,
    )


def _by_class(truth: Ints, right: Bools, classes: tuple[str, ...]) -> tuple[ClassRow, ...]:
    """Recall and changes of the classes that occur; ``right`` is of shape (2, N)."""
    rows: list[ClassRow] = []
    for k, name in enumerate(classes):
        old, new = right[:, truth == k]
        if n := len(old):
            before = share(int(old.sum()), n)
            after = share(int(new.sum()), n)
            fixed = int((new & ~old).sum())
            broken = int((old & ~new).sum())
            rows.append(ClassRow(name, n, before, after, fixed, broken))
    return tuple(rows)
