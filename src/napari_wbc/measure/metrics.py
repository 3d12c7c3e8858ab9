"""Metrics of predicted classes, of probabilities, and of scores such as unlikeness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]
Texts = npt.NDArray[np.str_]

CALIBRATION_BINS = 15
"""Of the expected calibration error, as Guo et al. 2017 have them."""


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


Measured = TypeVar("Measured", bound=Metrics)


def measure(truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: tuple[str, ...]) -> Metrics:
    """Compare predicted with true classes, both indices of ``classes``, shape (N,).

    Examples
    --------
    >>> measure([0, 0, 1, 1], [0, 0, 1, 0], ("a", "b")).balanced_accuracy
    0.75
    """
    true = np.asarray(truth, dtype=int)
    guess = np.asarray(predicted, dtype=int)
    # scikit-learn refuses to measure no cells.
    if not len(true):
        empty = ((0,) * len(classes),) * len(classes)
        return Metrics(0, np.nan, np.nan, np.nan, {}, empty)
    # scikit-learn takes a second to import, and most users of this module measure nothing at first.
    from sklearn.metrics import confusion_matrix

    confusion = confusion_matrix(true, guess, labels=range(len(classes)))
    _, recall, f1, _ = _by_class(true, guess, classes)
    # Not balanced_accuracy_score, which warns where a class is predicted that does not occur.
    return Metrics(
        n=len(true),
        accuracy=float(np.mean(true == guess)),
        balanced_accuracy=float(np.mean(list(recall.values()))),
        macro_f1=float(np.mean(list(f1.values()))),
        recall=recall,
        confusion=tuple(map(tuple, confusion.tolist())),
    )


def _by_class(true: Ints, guess: Ints, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and number of cells of the classes that occur, by name."""
    from sklearn.metrics import precision_recall_fscore_support

    occurring = np.unique(true)
    names = np.array(classes)[occurring].tolist()
    # A class that is never predicted has a precision of 0, and no warning.
    columns = precision_recall_fscore_support(true, guess, labels=occurring, zero_division=0.0)
    return [dict(zip(names, column.tolist(), strict=True)) for column in columns]


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
        Indices of ``classes``.
    probabilities : array-like, shape (N, classes), float
        0 to 1, each row summing to 1.

    Raises
    ------
    WbcError
        If the shapes do not fit or a probability is not finite.

    Examples
    --------
    >>> scores = score([0, 0, 1], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], ("a", "b"))
    >>> scores.precision, scores.macro_auc, round(scores.calibration_error, 3)
    ({'a': 1.0, 'b': 0.5}, 1.0, 0.3)
    """
    true = np.asarray(truth, dtype=int)
    chances = np.asarray(probabilities, dtype=float).reshape(-1, len(classes))
    if len(true) != len(chances) or not np.isfinite(chances).all():
        raise WbcError(
            f"{len(true)} cells and {len(chances)} rows of probabilities of {len(classes)} "
            "classes; give one row of finite numbers for each cell."
        )
    guess = chances.argmax(axis=1)
    areas: dict[str, float] = {}
    for k, name in enumerate(classes):
        area = auc(chances[true != k, k], chances[true == k, k])
        if not np.isnan(area):
            areas[name] = area
    precision, _, f1, support = _by_class(true, guess, classes) if len(true) else [{}] * 4
    # Not sklearn's log_loss: it warns where rows of float32 do not sum to 1 to the last digit, and
    # refuses a single class. As there, a chance of 0 counts as the resolution of a float.
    of_truth = np.maximum(chances[np.arange(len(true)), true], np.finfo(float).eps)
    return Scores(
        **asdict(measure(true, guess, classes)),
        precision=precision,
        f1=f1,
        support=support,
        auc=areas,
        macro_auc=float(np.mean(list(areas.values()))) if areas else np.nan,
        calibration_error=reliability(chances.max(axis=1), guess == true).error,
        negative_log_likelihood=float(-np.log(of_truth).mean()) if len(true) else np.nan,
    )


def by_source(
    compare: Callable[[Ints, Any, tuple[str, ...]], Measured],
    truth: Ints,
    answers: Ints | Floats,
    sources: Texts,
    classes: tuple[str, ...],
) -> dict[str, Measured]:
    """Compare each laboratory by itself, by :func:`measure` or :func:`score`, which say the shapes.

    ``sources``, shape (N,), names the laboratory of each cell.
    """
    results: dict[str, Measured] = {}
    for source in np.unique(sources):
        chosen = sources == source
        results[str(source)] = compare(truth[chosen], answers[chosen], classes)
    return results


def auc(inside: npt.ArrayLike, outside: npt.ArrayLike) -> float:
    """Area under the ROC of a score that should be higher outside than inside.

    It is the chance that one outside, of shape (M,), scores higher than one inside, of shape (N,):
    0 to 1, and NaN where either is empty. They are for instance the scores of cells unlike and like
    the training data.

    Examples
    --------
    >>> auc([0.1, 0.2, 0.4], [0.3, 0.9])
    0.8333333333333334
    """
    from sklearn.metrics import roc_auc_score

    low, high = np.ravel(inside), np.ravel(outside)
    # Where one side is empty, scikit-learn warns and older versions raise.
    if not (len(low) and len(high)):
        return np.nan
    is_outside = np.repeat([0, 1], [len(low), len(high)])
    return float(roc_auc_score(is_outside, np.concatenate([low, high])))


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
    confidences: npt.ArrayLike, right: npt.ArrayLike, *, bins: int = CALIBRATION_BINS
) -> Reliability:
    """Sort cells into bins by confidence and compare with how many of each bin are right.

    The confidence of each of N cells is the probability of the likeliest class, 0 to 1; ``right``
    says whether that class is the true one.

    Examples
    --------
    >>> reliability([0.9, 0.7], [True, False], bins=2).counts
    (0, 2)
    """
    confidences = np.asarray(confidences, dtype=float)
    right = np.asarray(right, dtype=float)
    # Not sklearn's calibration_curve: it drops empty bins and does not say how many cells each
    # bin holds, which the error needs as weights.
    bin_of = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    divisor = np.where(counts, counts, np.nan)
    confidence = np.bincount(bin_of, confidences, bins) / divisor
    accuracy = np.bincount(bin_of, right, bins) / divisor
    gaps = counts * np.abs(confidence - accuracy)
    error = np.nansum(gaps) / len(confidences) if len(confidences) else np.nan
    return Reliability(
        tuple(counts.tolist()), tuple(confidence.tolist()), tuple(accuracy.tolist()), float(error)
    )
