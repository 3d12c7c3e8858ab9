"""Calibrated probabilities, and the confidence below which a cell is unidentified."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def temperature(
    logits: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    *,
    weight: npt.NDArray[np.floating] | None = None,
) -> float:
    """Temperature that makes probabilities honest (Guo et al. 2017).

    Parameters
    ----------
    logits : ndarray, shape (N, classes)
        Of validation cells.
    labels : ndarray, shape (N,), int
        Indices of their classes.
    weight : ndarray, shape (N,), optional
        How much each cell counts, for instance so that laboratories count alike.

    Returns
    -------
    float
        Divides logits; 0.2 to 5, and 1 without cells.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    if not len(labels):
        return 1.0

    def loss(log_t: float) -> float:
        scores = log_softmax(np.asarray(logits, dtype=float) / np.exp(log_t), axis=1)
        return -float(np.average(scores[np.arange(len(labels)), labels], weights=weight))

    # Over the logarithm: halving and doubling are steps of one size.
    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.2), np.log(5)), method="bounded").x))


def confidence_threshold(
    confidence: npt.NDArray[np.floating],
    correct: npt.NDArray[np.bool_],
    *,
    weight: npt.NDArray[np.floating] | None = None,
    error_rate: float = 0.01,
    lowest: float = 0.5,
    highest: float = 0.95,
) -> float:
    """Least confidence at which at most ``error_rate`` of the identified cells are wrong.

    Parameters
    ----------
    confidence : ndarray, shape (N,), 0 to 1
        Of validation cells.
    correct : ndarray, shape (N,), bool
        Whether the most probable class is the true one.
    weight : ndarray, shape (N,), optional
        As in :func:`temperature`.
    error_rate : float
        Wanted part of wrong cells among the identified, 0 to 1.
    lowest, highest : float
        Bounds of the result, 0 to 1.

    Returns
    -------
    float
        A multiple of 0.01; ``highest`` where no lower one will do.

    Examples
    --------
    >>> import numpy as np
    >>> confidence_threshold(np.array([0.6, 0.7, 0.8, 0.9]), np.array([False, True, True, True]))
    0.61
    """
    weight = np.ones(len(correct)) if weight is None else weight
    # Whole hundredths, since a person reads and sets it.
    for threshold in np.arange(round(lowest * 100), round(highest * 100)) / 100:
        identified = confidence >= threshold
        if (
            not identified.any()
            or (weight * ~correct)[identified].sum() <= error_rate * weight[identified].sum()
        ):
            return float(threshold)
    return highest
