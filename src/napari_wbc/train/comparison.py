"""Two classifiers on the same held-out cells: what differs, how sure that is, and which one to use.

Invariant: a cell is right where the most probable class is the true one, sure or not. Cells of one slide are
not independent, so limits of what differs are found by drawing whole slides anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_wbc.model.differential import confidence_limits
from napari_wbc.train.metrics import measure, score
from napari_wbc.train.verdict import ENOUGH, Estimate, Verdict, judged

if TYPE_CHECKING:
    from napari_wbc.model.taxonomy import Taxonomy
    from napari_wbc.train.dataset import LabelledCell

__all__ = ["Answers", "ClassRow", "Comparison", "Measures", "Side", "Standing", "measured"]

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
        Whether the model's confidence in a class of its own reaches its own threshold; else the cell is
        unidentified.
    """

    model_id: str
    probabilities: Floats
    sure: Bools

    @property
    def predicted(self) -> Ints:
        """Index of the most probable class, shape (N,), whatever its confidence."""
        best: Ints = self.probabilities.argmax(axis=1)
        return best


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
    old, new : Side
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
        Of all cells; its balanced accuracy is the mean of the sources', so that a large laboratory does not
        outvote a small one.
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
    def sources(self) -> Texts:
        """Laboratory or data set of each cell, shape (N,)."""
        return np.array([cell.source for cell in self.cells], dtype=np.str_)

    @property
    def slides(self) -> Texts:
        """Slide of each cell, shape (N,); empty where it is not known."""
        return np.array([cell.slide for cell in self.cells], dtype=np.str_)

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
    truth: Ints, old: Answers, new: Answers, sources: Texts, slides: Texts, classes: tuple[str, ...]
) -> Measures:
    """Compare what two models say of the same cells.

    Parameters
    ----------
    truth : ndarray, shape (N,), int64
        Index of each cell's class.
    old, new : Answers
        Of the same N cells.
    sources, slides : ndarray, shape (N,), str
        A slide is empty where it is not known. Where a source has fewer than six known slides, or cells of
        none, its cells are drawn anew and not its slides.
    classes : tuple of B str
        Class names.
    """
    rng = np.random.default_rng(SEED)
    right = np.stack([answers.predicted == truth for answers in (old, new)])
    drawn: dict[str, _Drawn] = {}
    by_source: dict[str, Standing] = {}
    for source in np.unique(sources).tolist():
        own = sources == source
        drawn[source] = _draw(truth[own], right[:, own], slides[own], len(classes), rng)
        by_source[source] = _standing(truth, (old, new), own, classes, drawn[source])
    overall = _standing(truth, (old, new), np.ones(len(truth), bool), classes, _joined(drawn.values(), truth))
    return Measures(overall, by_source, _by_class(truth, right, classes), *judged(overall, by_source))


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


def _draw(truth: Ints, right: Bools, slides: Texts, classes: int, rng: np.random.Generator) -> _Drawn:
    """The bootstrap of the cells of one source; ``right`` is of shape (2, N)."""
    names, slide = np.unique(slides, return_inverse=True)
    known = len(names) - ("" in names)
    by_slide = known == len(names) and known >= ENOUGH
    # Cells, and those of them that either model has right, by class: a row a slide, or a row a cell.
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
    parts: Floats = np.where(occurs, hits / np.maximum(cells, 1), 0).sum(axis=-1) / occurs.sum(axis=-1)
    return parts


def _joined(drawn: object, truth: Ints) -> _Drawn:
    raise NotImplementedError
