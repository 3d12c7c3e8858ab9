"""How good predictions are: classes, probabilities, and scores of cells unlike the training data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError

__all__ = [
    "Metrics",
    "Reliability",
    "Scores",
    "auc",
    "measure",
    "measure_by_source",
    "reliability",
    "score",
    "score_by_source",
]

BINS = 15
"""Bins of the expected calibration error (Guo et al. 2017)."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Agreement of predicted and true classes.

    Parameters
    ----------
    n : int
        Number of cells.
    accuracy : float
        Part of the cells that are right, 0 to 1; NaN without cells.
    balanced_accuracy : float
        Mean recall of the classes that occur in the truth, 0 to 1.
    macro_f1 : float
        Mean F1 of the classes that occur in the truth, 0 to 1.
    recall : dict
        Class name to recall, of the classes that occur.
    confusion : tuple of tuple of int
        Rows are true classes, columns predicted ones.
    """

    n: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    recall: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]


def measure(truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: tuple[str, ...]) -> Metrics:
    """Compare predicted with true classes.

    Parameters
    ----------
    truth, predicted : array-like, shape (N,), int
        Class indices.
    classes : tuple of str
        Class names.

    Examples
    --------
    >>> measure([0, 0, 1, 1], [0, 0, 1, 0], ("a", "b")).balanced_accuracy
    0.75
    """
    true, guess = np.asarray(truth, dtype=int), np.asarray(predicted, dtype=int)
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, (true, guess), 1)
    occurs = confusion.sum(1) > 0
    hits = np.diag(confusion)[occurs]
    if not len(hits):
        return Metrics(0, np.nan, np.nan, np.nan, {}, tuple(map(tuple, confusion.tolist())))
    recall = hits / confusion.sum(1)[occurs]
    f1 = 2 * hits / (confusion.sum(1) + confusion.sum(0))[occurs]
    return Metrics(
        len(true),
        float(hits.sum() / len(true)),
        float(recall.mean()),
        float(f1.mean()),
        {name: float(r) for name, r in zip(np.array(classes)[occurs], recall, strict=True)},
        tuple(map(tuple, confusion.tolist())),
    )


def measure_by_source(
    truth: npt.NDArray[np.integer],
    predicted: npt.NDArray[np.integer],
    sources: npt.NDArray[np.str_],
    classes: tuple[str, ...],
) -> dict[str, Metrics]:
    """Compare predicted with true classes for each laboratory by itself.

    Parameters
    ----------
    truth, predicted : ndarray, shape (N,), int
        Class indices.
    sources : ndarray, shape (N,), str
    classes : tuple of str
        Class names.
    """
    return {
        str(source): measure(truth[sources == source], predicted[sources == source], classes)
        for source in np.unique(sources)
    }


@dataclass(frozen=True, slots=True)
class Scores(Metrics):
    """Agreement of predicted probabilities and true classes.

    Parameters
    ----------
    precision, f1, support : dict
        Class name to precision and F1, 0 to 1, and number of cells, of the classes that occur. The
        precision of a class that is never predicted is 0.
    auc : dict
        Class name to the area under the ROC of the class against the rest, 0 to 1, of the classes
        that some cells have and some have not.
    macro_auc : float
        Mean of ``auc``; NaN where it is empty.
    calibration_error : float
        Expected calibration error of the likeliest class, 0 to 1; see :class:`Reliability`.
    negative_log_likelihood : float
        Mean over the cells, in nats.
    """

    precision: dict[str, float]
    f1: dict[str, float]
    support: dict[str, int]
    auc: dict[str, float]
    macro_auc: float
    calibration_error: float
    negative_log_likelihood: float


def score(truth: npt.ArrayLike, probabilities: npt.ArrayLike, classes: tuple[str, ...]) -> Scores:
    """Compare predicted probabilities with true classes.

    Parameters
    ----------
    truth : array-like, shape (N,), int
        Class indices.
    probabilities : array-like, shape (N, classes), float
        0 to 1, each row summing to 1.
    classes : tuple of str
        Class names.

    Raises
    ------
    WbcError
        If the shapes do not fit or a probability is not finite.

    Examples
    --------
    >>> found = score([0, 0, 1], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], ("a", "b"))
    >>> found.precision, found.macro_auc, round(found.calibration_error, 3)
    ({'a': 1.0, 'b': 0.5}, 1.0, 0.3)
    """
    true = np.asarray(truth, dtype=int)
    chances = np.asarray(probabilities, dtype=float).reshape(-1, len(classes))
    if len(true) != len(chances) or not np.isfinite(chances).all():
        raise WbcError(
            f"{len(true)} cells and {len(chances)} rows of probabilities of {len(classes)} classes; "
            "give one row of finite numbers for each cell."
        )
    guess = chances.argmax(axis=1)
    plain = measure(true, guess, classes)
    areas = {
        name: auc(chances[true != k, k], chances[true == k, k]) for k, name in enumerate(classes)
    }
    areas = {name: area for name, area in areas.items() if not np.isnan(area)}
    confusion = np.array(plain.confusion)
    hits, support, named = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    occurs = [(k, name) for k, name in enumerate(classes) if support[k]]
    return Scores(
        plain.n,
        plain.accuracy,
        plain.balanced_accuracy,
        plain.macro_f1,
        plain.recall,
        plain.confusion,
        precision={name: float(hits[k] / max(named[k], 1)) for k, name in occurs},
        f1={name: float(2 * hits[k] / (support[k] + named[k])) for k, name in occurs},
        support={name: int(support[k]) for k, name in occurs},
        auc=areas,
        macro_auc=float(np.mean(list(areas.values()))) if areas else np.nan,
        calibration_error=reliability(chances.max(axis=1), guess == true).error,
        negative_log_likelihood=_negative_log_likelihood(chances[np.arange(len(true)), true]),
    )


def score_by_source(
    truth: npt.NDArray[np.integer],
    probabilities: npt.NDArray[np.floating],
    sources: npt.NDArray[np.str_],
    classes: tuple[str, ...],
) -> dict[str, Scores]:
    """Compare predicted probabilities with true classes for each laboratory by itself.

    Parameters
    ----------
    truth : ndarray, shape (N,), int
        Class indices.
    probabilities : ndarray, shape (N, classes), float
    sources : ndarray, shape (N,), str
    classes : tuple of str
        Class names.
    """
    return {
        str(source): score(truth[sources == source], probabilities[sources == source], classes)
        for source in np.unique(sources)
    }


def _negative_log_likelihood(chances: npt.NDArray[np.floating]) -> float:
    """Mean of the true classes' surprise, in nats; a chance of 0 counts as float's resolution."""
    return (
        float(-np.log(np.maximum(chances, np.finfo(float).eps)).mean()) if len(chances) else np.nan
    )


def auc(inside: npt.ArrayLike, outside: npt.ArrayLike) -> float:
    """Area under the ROC of a score that should be higher outside than inside.

    Parameters
    ----------
    inside, outside : array-like, shape (N,) and (M,), float
        For instance the scores of cells like and unlike the training data.

    Returns
    -------
    float
        Chance that one outside scores higher than one inside, 0 to 1; NaN where either is empty.

    Examples
    --------
    >>> auc([0.1, 0.2, 0.4], [0.3, 0.9])
    0.8333333333333334
    """
    from sklearn.metrics import roc_auc_score

    low, high = np.ravel(inside), np.ravel(outside)
    if not (len(low) and len(high)):
        return np.nan
    return float(
        roc_auc_score(np.repeat([0, 1], [len(low), len(high)]), np.concatenate([low, high]))
    )


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence against accuracy in bins of equal width (Guo et al. 2017).

    Parameters
    ----------
    counts : tuple of int
        Cells in each bin; bin i holds the confidences in (i / bins, (i + 1) / bins].
    confidence, accuracy : tuple of float
        Mean confidence and part of right cells of each bin, 0 to 1; NaN in an empty one.
    error : float
        Mean distance of the two, weighted by counts, 0 to 1; NaN without cells.
    """

    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    error: float


def reliability(
    confidences: npt.ArrayLike, right: npt.ArrayLike, *, bins: int = BINS
) -> Reliability:
    """Sort cells into bins by confidence and compare with how many of each bin are right.

    Parameters
    ----------
    confidences : array-like, shape (N,), float
        Probability of the likeliest class, 0 to 1.
    right : array-like, shape (N,), bool
        Whether that class is the true one.
    bins : int

    Examples
    --------
    >>> reliability([0.9, 0.7], [True, False], bins=2).counts
    (0, 2)
    """
    sure, hit = np.asarray(confidences, dtype=float), np.asarray(right, dtype=float)
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    some = np.where(counts, counts, np.nan)
    confidence = np.bincount(place, sure, bins) / some
    accuracy = np.bincount(place, hit, bins) / some
    error = np.nansum(counts * np.abs(confidence - accuracy)) / len(sure) if len(sure) else np.nan
    return Reliability(
        tuple(counts.tolist()), tuple(confidence.tolist()), tuple(accuracy.tolist()), float(error)
    )
