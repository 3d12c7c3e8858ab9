"""Two classifiers on the same held-out cells: what differs, how sure that is, and which one to use.

Invariant: a cell is right where the most probable class is the true one, sure or not. Cells of one
slide are not independent, so limits of what differs are found by drawing whole slides anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.measure.metrics import score
from napari_wbc.measure.verdict import ENOUGH, LEVEL, Estimate, Side, Standing, Verdict, judged
from napari_wbc.model.differential import confidence_limits

if TYPE_CHECKING:
    from napari_wbc.model.taxonomy import Taxonomy
    from napari_wbc.model.training_set import LabelledCell

__all__ = ["Answers", "ClassRow", "Comparison", "Measures", "Outcome", "measured"]

DRAWS = 2000
"""Of the bootstrap."""
SEED = 0
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]
Outcome = Literal["fixed", "broken", "both right", "both wrong"]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What one model says of N cells.

    Parameters
    ----------
    model_id : str
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
    """One class: its cells, the recall of both models (Clopper-Pearson limits), and what changed."""

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
    by_source : dict of str to Standing
    by_class : tuple of ClassRow
        Of the classes that occur.
    verdict : Verdict
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
    """Two models, the cells they were compared on, and what came of it.

    Parameters
    ----------
    taxonomy : Taxonomy
        Of B classes.
    truth : ndarray, shape (N,), int64
        Index of each cell's class.
    old, new : Answers
    cells : tuple of N LabelledCell
        With their sources and slides.
    measures : Measures
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
        """What became of each cell."""
        names: dict[tuple[bool, bool], Outcome] = {
            (False, True): "fixed",
            (True, False): "broken",
            (True, True): "both right",
            (False, False): "both wrong",
        }
        right = [answers.predicted == self.truth for answers in (self.old, self.new)]
        return [names[bool(a), bool(b)] for a, b in zip(*right, strict=True)]

    def changed(self, outcome: Outcome) -> list[tuple[int, npt.NDArray[np.uint8]]]:
        """Index and crop of the cells that are ``fixed``, or of those that are ``broken``."""
        found = self.outcomes
        rows = [i for i, what in enumerate(found) if what in ("fixed", "broken")]
        return [(i, crop) for i, crop in zip(rows, self.crops, strict=True) if found[i] == outcome]


def measured(
    truth: Ints,
    old: Answers,
    new: Answers,
    classes: tuple[str, ...],
    *,
    sources: Texts,
    slides: Texts,
) -> Measures:
    """Compare what two models say of the same cells.

    Parameters
    ----------
    truth : ndarray, shape (N,), int64
        Index of each cell's class.
    old, new : Answers
        Of the same N cells.
    classes : tuple of B str
        Class names.
    sources, slides : ndarray, shape (N,), str
        A slide is empty where it is not known. Where a source has fewer than six known slides, or
        cells of none, its cells are drawn anew and not its slides.

    Raises
    ------
    WbcError
        If there is no cell.
    """
    if not len(truth):
        raise WbcError("There is no held-out cell to compare two models on; label some first.")
    rng = np.random.default_rng(SEED)
    said = (old, new)
    right = np.stack([answers.predicted == truth for answers in said])
    drawn: dict[str, _Drawn] = {}
    by_source: dict[str, Standing] = {}
    for source in np.unique(sources).tolist():
        own = sources == source
        drawn[source] = _draw(truth[own], right[:, own], slides[own], len(classes), rng)
        by_source[source] = _standing(truth, said, own, classes, drawn[source])
    all_cells = np.ones(len(truth), dtype=bool)
    overall = _standing(truth, said, all_cells, classes, _joined(list(drawn.values())))
    return Measures(
        overall, by_source, _by_class(truth, right, classes), *judged(overall, by_source)
    )


class _Drawn(NamedTuple):
    """Cells drawn anew: how many there are a draw, how many are right, and the balanced accuracy."""

    observed: Floats
    """Balanced accuracy of both models on the cells as they are, shape (2,)."""
    cells: Floats
    """Shape (DRAWS,)."""
    hits: Floats
    """Shape (2, DRAWS)."""
    balanced: Floats
    """Shape (2, DRAWS)."""
    slides: int
    by_slide: bool


def _draw(
    truth: Ints, right: Bools, slides: Texts, classes: int, rng: np.random.Generator
) -> _Drawn:
    """The bootstrap of the cells of one source; ``right`` is of shape (2, N)."""
    names, slide = np.unique(slides, return_inverse=True)
    known = len(names) - ("" in names)
    by_slide = known == len(names) and known >= ENOUGH
    # Cells, and those of them that either model has right, by class: a row a slide, or a row a
    # cell.
    counts = np.zeros((len(names) if by_slide else len(truth), 3, classes), np.int64)
    unit = slide if by_slide else np.arange(len(truth))
    for k, which in enumerate((np.ones_like(right[0]), *right)):
        np.add.at(counts, (unit[which], k, truth[which]), 1)
    # Rows that are alike are drawn together.
    rows, times = np.unique(counts.reshape(len(counts), -1), axis=0, return_counts=True)
    weights = rng.multinomial(times.sum(), times / times.sum(), size=DRAWS)
    cells, *hits = (weights @ rows).reshape(DRAWS, 3, classes).transpose(1, 0, 2).astype(float)
    whole = counts.sum(axis=0)
    return _Drawn(
        np.array([_recall(whole[0], whole[k]) for k in (1, 2)]),
        cells.sum(axis=1),
        np.stack([h.sum(axis=1) for h in hits]),
        np.stack([_recall(cells, h) for h in hits]),
        known,
        by_slide,
    )


def _recall(cells: npt.NDArray[np.number], hits: npt.NDArray[np.number]) -> Floats:
    """Mean recall of the classes that occur, along the last axis."""
    occurs = cells > 0
    parts: Floats = np.where(occurs, hits / np.maximum(cells, 1), 0).sum(axis=-1) / occurs.sum(
        axis=-1
    )
    return parts


def _joined(drawn: Sequence[_Drawn]) -> _Drawn:
    """The bootstrap of several sources: their cells together, the mean of their balanced accuracies."""
    return _Drawn(
        np.mean([d.observed for d in drawn], axis=0),
        np.sum([d.cells for d in drawn], axis=0),
        np.sum([d.hits for d in drawn], axis=0),
        np.mean([d.balanced for d in drawn], axis=0),
        sum(d.slides for d in drawn),
        all(d.by_slide for d in drawn),
    )


def _spread(value: float, draws: Floats) -> Estimate:
    low, high = np.percentile(draws, [100 * LEVEL / 2, 100 - 100 * LEVEL / 2])
    return Estimate(float(value), float(low), float(high))


def _share(hits: int, n: int) -> Estimate:
    return Estimate(hits / n, *confidence_limits(hits, n))


def _side(
    truth: Ints, said: Answers, own: Bools, classes: tuple[str, ...], balanced: Estimate
) -> Side:
    found, sure = score(truth[own], said.probabilities[own], classes), said.sure[own]
    right = said.predicted[own] == truth[own]
    return Side(
        _share(int(right.sum()), found.n),
        balanced,
        found.calibration_error,
        found.negative_log_likelihood,
        unidentified=float((~sure).mean()),
        errors=float((~right[sure]).mean()) if sure.any() else np.nan,
    )


def _standing(
    truth: Ints, said: Sequence[Answers], own: Bools, classes: tuple[str, ...], drawn: _Drawn
) -> Standing:
    """Two models on the cells for which ``own`` is true."""
    # scipy.stats takes a second to import, and most users of this module only read a comparison.
    from scipy.stats import binomtest

    right = np.stack([answers.predicted[own] == truth[own] for answers in said])
    old, new = (
        _side(truth, answers, own, classes, _spread(drawn.observed[k], drawn.balanced[k]))
        for k, answers in enumerate(said)
    )
    fixed, broken = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    gain = (drawn.hits[1] - drawn.hits[0]) / drawn.cells
    observed, balanced = (x[1] - x[0] for x in (drawn.observed, drawn.balanced))
    n = int(own.sum())
    changed = fixed + broken
    # McNemar's exact test is a sign test of the changed cells, for which binomtest needs one or more.
    p_value = float(binomtest(fixed, changed).pvalue) if changed else 1.0
    return Standing(
        n,
        drawn.slides,
        drawn.by_slide,
        old,
        new,
        _spread((fixed - broken) / n, gain),
        _spread(observed, balanced),
        fixed,
        broken,
        p_value,
    )


def _by_class(truth: Ints, right: Bools, classes: tuple[str, ...]) -> tuple[ClassRow, ...]:
    rows = []
    for k, name in enumerate(classes):
        old, new = right[:, truth == k]
        if n := len(old):
            before, after = (_share(int(one.sum()), n) for one in (old, new))
            fixed, broken = int((new & ~old).sum()), int((old & ~new).sum())
            rows.append(ClassRow(name, n, before, after, fixed, broken))
    return tuple(rows)
