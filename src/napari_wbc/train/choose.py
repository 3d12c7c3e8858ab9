"""Which cells to label next, so that a model learns the most of few labels.

Of the cells that the model is least certain of, the next is always the one that is most unlike
those that are labelled or chosen already. Uncertainty is the margin between the two most probable
classes, diversity is farthest first (Sener and Savarese, ICLR 2018). Uncertainty alone asks for the
same kind of cell again and again, diversity alone for odd cells that the model knows.

In rounds of ten, on held-out halves of the pools of benchmarks/active.py, none of the others did
better on both laboratories: margin or entropy alone, BADGE (Ash et al., ICLR 2020), farthest first
alone, k-means++ weighted by uncertainty, and a preference for rare classes. The best of them lie
within the noise of each other; this one draws no random numbers. On test cells its gain over random
cells was small, at 100 labels within the noise on Chula, and it was no better than the margin
alone: benchmarks/results/active.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress, Steps

MAX_CANDIDATES = 50
"""Least certain cells among which the next is looked for."""
REPORT_INTERVAL = 2_000_000
"""Numbers that are compared between two reports of progress; some 20 ms."""

Floats = npt.NDArray[np.floating]


def uncertainty(probabilities: Floats) -> npt.NDArray[np.float64]:
    """How little the two most probable classes of cells differ, shape (N,), 0 (sure) to 1 (alike).

    Probabilities are of shape (N, K), 0 to 1.

    Examples
    --------
    >>> uncertainty(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [0.0, 1.0]
    """
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    second, first = np.partition(probabilities, (-2, -1), axis=1)[:, -2:].T
    doubt: npt.NDArray[np.float64] = 1 - (first - second)
    return doubt


def most_gain_steps(
    probabilities: Floats, features: Floats, n: int, *, labelled: Floats | None = None
) -> Steps[npt.NDArray[np.int64]]:
    """The indices, most gainful first, of the n cells whose labels would teach the most.

    The first of many are those of few. Of tens of thousands it takes many seconds.

    Parameters
    ----------
    probabilities : ndarray, shape (N, K), 0 to 1
        Of the classes, for cells without a label.
    features : ndarray, shape (N, F), float
        Of the same cells, see :func:`napari_wbc.classify.predict.Classifier.iter_features`.
    n : int
        0 and more; more than N are as many as there are.
    labelled : ndarray, shape (M, F), float, optional
        Features of cells that have a label already.

    Raises
    ------
    WbcError
        If the arrays do not fit, hold numbers that are not finite, or n is below 0.

    Examples
    --------
    >>> from napari_wbc.model.progress import run
    >>> run(most_gain_steps(np.array([[0.9, 0.1], [0.5, 0.5]]), np.eye(2), 1)).tolist()
    [1]
    """
    probabilities, features = np.asarray(probabilities), np.asarray(features)
    labelled = np.zeros((0, features.shape[-1])) if labelled is None else np.asarray(labelled)
    _check(probabilities, features, labelled, n)
    # Stable, so that cells that are alike uncertain keep their order.
    by_uncertainty = np.argsort(-uncertainty(probabilities), kind="stable").tolist()
    n = min(n, len(by_uncertainty))
    # Features of the cells that have a label, and behind them of those that are chosen.
    covered = np.concatenate([labelled, np.empty((n, features.shape[1]))]).astype(np.float64)
    n_covered = len(labelled)
    # The least certain cells that are not chosen yet, and the distance of each to the nearest
    # covered cell. A cell's distance is computed when it becomes a candidate, and then kept up.
    candidates: list[int] = []
    distances = np.empty(0)
    chosen: list[int] = []
    work = 0
    for _ in range(n):
        seen = len(candidates) + len(chosen)
        while len(candidates) < MAX_CANDIDATES and seen < len(by_uncertainty):
            cell = by_uncertainty[seen]
            seen += 1
            candidates.append(cell)
            # Infinite where nothing is covered: then the least certain cell is the first.
            nearest = _distances(covered[:n_covered], features[cell]).min(initial=np.inf)
            distances = np.append(distances, nearest)
            work += (n_covered + MAX_CANDIDATES) * features.shape[1]
            if work > REPORT_INTERVAL:
                yield Progress("choosing cells", len(chosen), n)
                work = 0
        best = int(distances.argmax())
        newest = candidates.pop(best)
        chosen.append(newest)
        covered[n_covered] = features[newest]
        n_covered += 1
        to_newest = _distances(features[candidates], features[newest])
        distances = np.minimum(np.delete(distances, best), to_newest)
    yield Progress("choosing cells", n, n)
    return np.array(chosen, np.int64)


def fields_of_gain(probabilities: Floats, fields: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Which fields to open first, each with its gain: the sum of the uncertainty of its cells.

    The highest gain comes first. Probabilities are of shape (N, K), 0 to 1; ``fields`` names the
    field of each cell.

    Examples
    --------
    >>> fields_of_gain(np.array([[1.0, 0.0], [0.5, 0.5]]), ["a", "b"])
    (('b', 1.0), ('a', 0.0))
    """
    sums = dict.fromkeys(fields, 0.0)
    for field, gain in zip(fields, uncertainty(probabilities).tolist(), strict=True):
        sums[field] += gain
    return tuple(sorted(sums.items(), key=lambda item: -item[1]))


def _distances(features: Floats, row: Floats) -> npt.NDArray[np.float64]:
    """Squared distances from one cell, shape (N,)."""
    difference = features.astype(np.float64) - row
    squares: npt.NDArray[np.float64] = np.einsum("nf,nf->n", difference, difference)
    return squares


def _check(probabilities: Floats, features: Floats, covered: Floats, n: int) -> None:
    tables = probabilities.ndim == features.ndim == covered.ndim == 2
    if not tables or len(probabilities) != len(features) or features.shape[1] != covered.shape[1]:
        raise WbcError(
            f"Probabilities of shape {probabilities.shape}, features of shape {features.shape} and "
            f"features of labelled cells of shape {covered.shape} do not fit; give each cell one "
            "row of each."
        )
    if n < 0:
        raise WbcError(f"{n} cells cannot be chosen; choose 0 or more.")
    if not all(np.isfinite(array).all() for array in (probabilities, features, covered)):
        raise WbcError("Some features are not finite, so the weights are damaged; choose others.")
