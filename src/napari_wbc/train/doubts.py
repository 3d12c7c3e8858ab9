"""Labels to look at twice: those that the other labels contradict.

Confident learning (Northcutt, Jiang and Chuang, JAIR 2021): a cell's probabilities come from a
model that has not seen it, and a class has to be as probable as it is for its own cells on average
before it counts. Here a class that is more likely than not counts too: where classes lie well
apart, their own average is so high that many a wrong label would stay below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress, Steps

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Groups = npt.NDArray[np.generic]

MIN_DOUBT_CELLS = 10
"""Labelled cells below which nothing can be said."""
_STRENGTH = 0.1
"""Inverse of the regularisation: a flipped label must not be learnt by heart."""


@dataclass(frozen=True, slots=True, eq=False)
class Doubts:
    """Which labels are doubtful.

    Parameters
    ----------
    order : ndarray, shape (D,), int64
        Cells whose label is doubted, the most doubted first.
    suggested : ndarray, shape (N,), int64
        Class that each of all cells looks like; its own label where that is not doubted.
    doubt : ndarray, shape (N,), float64
        Of each of all cells, 0 to 1, by the normalised margin: 0.5 where the suggested class and
        the label are as probable, 0 where the label is not doubted.
    """

    order: npt.NDArray[np.int64]
    suggested: npt.NDArray[np.int64]
    doubt: npt.NDArray[np.float64]


def doubts_steps(
    features: Floats,
    labels: Ints,
    groups: Groups,
    classes: Sequence[str],
    *,
    folds: int = 5,
    seed: int = 0,
) -> Steps[Doubts]:
    """Find labels that contradict a logistic regression which has not seen the cell's group.

    A label is never doubted where no other group has a cell of its class.

    Parameters
    ----------
    features : ndarray, shape (N, F), float
        Of a network, see :func:`napari_wbc.classify.predict.Classifier.iter_features`.
    labels : ndarray, shape (N,), int
        Indices of ``classes``, which may be wrong.
    groups : ndarray, shape (N,)
        Field or slide of each cell; its cells are judged together. Where all cells are of one
        group, each cell is a group.
    folds : int
        Parts, each left out in turn, 2 and more.

    Raises
    ------
    WbcError
        If there are fewer than 10 cells, or features, labels and groups do not fit.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    n, k = len(labels), len(classes)
    if features.ndim != 2 or not n == len(features) == len(groups):
        raise WbcError(
            f"{len(features)} rows of features, {n} labels and {len(groups)} groups do not fit; "
            "give each cell one of each."
        )
    if n < MIN_DOUBT_CELLS:
        raise WbcError(
            f"Doubts need at least {MIN_DOUBT_CELLS} labelled cells, and there are {n}; label more."
        )
    if labels.min() < 0 or labels.max() >= k:
        raise WbcError(f"Labels from {labels.min()} to {labels.max()} do not fit {k} classes.")
    if not np.isfinite(features).all():
        raise WbcError("Some features are not finite, so the weights are damaged; choose others.")
    chances, judged = yield from _unseen_steps(features, labels, groups, k, folds=folds, seed=seed)
    of_label = chances[np.arange(n), labels]
    # A class without judged cells is suggested for no cell.
    thresholds = np.full(k, np.inf)
    # The class's own average, as in confident learning, but never above one half: see the module.
    for label in np.unique(labels[judged]):
        thresholds[label] = min(0.5, of_label[judged & (labels == label)].mean())
    reached = np.where(chances >= thresholds, chances, -1.0)
    suggested = np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), labels)
    of_suggested = chances[np.arange(n), suggested]
    doubted = judged & (suggested != labels) & (of_suggested > of_label)
    doubt = np.where(doubted, (1 + of_suggested - of_label) / 2, 0.0)
    order = np.argsort(-doubt, kind="stable")[: doubted.sum()]
    return Doubts(order, np.where(doubted, suggested, labels), doubt)


def _unseen_steps(
    features: Floats, labels: Ints, groups: Groups, k: int, *, folds: int, seed: int
) -> Steps[tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]:
    """Probabilities (N, k) by models that have not seen the cells, and which cells they judge."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chances = np.zeros((len(labels), k))
    judged = np.zeros(len(labels), bool)
    # The only cell of a class cannot be judged: without it no model knows the class.
    candidates = np.flatnonzero(np.bincount(labels, minlength=k)[labels] > 1)
    done = 0
    for fitted_rows, judged_rows in _folds(labels[candidates], groups[candidates], folds, seed):
        yield Progress("doubting labels", done, len(candidates))
        done += len(judged_rows)
        train = candidates[fitted_rows]
        held_out = candidates[judged_rows]
        if not len(held_out) or len(np.unique(labels[train])) < 2:
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=_STRENGTH, max_iter=500))
        model.fit(features[train], labels[train])
        chances[np.ix_(held_out, model.classes_)] = model.predict_proba(features[held_out])
        judged[held_out] = np.isin(labels[held_out], model.classes_)
    yield Progress("doubting labels", len(candidates), len(candidates))
    return chances, judged


def _folds(
    labels: Ints, groups: Groups, folds: int, seed: int
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Rows to learn from and rows to judge, each row once; groups stay whole."""
    from sklearn.model_selection import StratifiedGroupKFold

    # scikit-learn refuses to split no rows.
    if not len(labels):
        return
    groups = np.unique(groups, return_inverse=True)[1]
    if groups.max() == 0:
        groups = np.arange(len(labels))
    counts = np.bincount(labels)
    folds = min(folds, int(groups.max()) + 1, max(2, int(counts.max())))
    # Classes with fewer cells than folds cannot be spread evenly, and go with the largest.
    strata = np.where(counts[labels] >= folds, labels, counts.argmax())
    yield from StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(
        labels, strata, groups
    )
