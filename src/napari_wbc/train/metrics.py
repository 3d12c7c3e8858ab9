"""How good predictions are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Metrics", "measure", "measure_by_source"]


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
