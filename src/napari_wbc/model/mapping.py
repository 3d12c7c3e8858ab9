"""A model's classes as the classes of another taxonomy, by what those cover.

Invariant: a class of the model counts as at most one class of the taxonomy. Whether a model can be
used with a taxonomy at all is decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy import Taxonomy


def uncounted(names: Sequence[str], taxonomy: Taxonomy) -> tuple[str, ...]:
    """The classes of a model that count as no class of a taxonomy, in order.

    Cells of these classes stand beside the differential, in rows of their own.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import FIVE_CLASSES
    >>> uncounted(("band neutrophil", "platelet"), FIVE_CLASSES)
    ('platelet',)
    """
    return tuple(name for name in names if taxonomy.class_of(name) is None)


def check_counted(names: Sequence[str], taxonomy: Taxonomy) -> None:
    """Refuse a model of which no class counts as a class of the taxonomy."""
    if len(uncounted(names, taxonomy)) == len(names):
        raise WbcError(
            f"No class of the model ({', '.join(names)}) counts as a class of {taxonomy.name!r} "
            f"({', '.join(taxonomy.names)}); choose another model or other classes."
        )


def mapping(names: Sequence[str], taxonomy: Taxonomy) -> npt.NDArray[np.float64]:
    """Which of A classes of a model count as which of B classes of a taxonomy.

    Returns
    -------
    ndarray, shape (A, B), 0 or 1
        At most one 1 a row.

    Raises
    ------
    WbcError
        If no class of the model counts as one of the taxonomy.
    """
    check_counted(names, taxonomy)
    reached = np.zeros((len(names), len(taxonomy.names)))
    for row, name in enumerate(names):
        target = taxonomy.class_of(name)
        if target is not None:
            reached[row, taxonomy.names.index(target)] = 1
    return reached


def mapped(
    probabilities: npt.ArrayLike, names: Sequence[str], taxonomy: Taxonomy
) -> npt.NDArray[np.float64]:
    """Probabilities of a model's classes as probabilities of a taxonomy's classes.

    Those of the classes that count as one are summed, those that count as none are dropped, and
    the rest is scaled to a sum of 1. A class that no class of the model counts as has 0.

    Parameters
    ----------
    probabilities : array-like, shape (N, A), 0 to 1
        Of the model's A classes.

    Returns
    -------
    ndarray, shape (N, B), 0 to 1
        Rows sum to 1; a row of which nothing is left is even over the classes that can be reached.

    Raises
    ------
    WbcError
        As :func:`mapping`, or if there is not one probability a class.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import TWO_CLASSES
    >>> mapped([[0.5, 0.25, 0.25]], ("neutrophil", "monocyte", "platelet"), TWO_CLASSES).round(3)
    array([[0.333, 0.667]])
    """
    given = np.asarray(probabilities, dtype=float)
    if given.ndim != 2 or given.shape[1] != len(names):
        raise WbcError(
            f"Probabilities of shape {given.shape} do not fit {len(names)} classes; "
            "give one a class."
        )
    reached = mapping(names, taxonomy)
    summed = given @ reached
    total = summed.sum(axis=1, keepdims=True)
    # A cell that is surely of a dropped class has nothing to scale; it is even over the classes
    # that the model knows, so that it is unsure and not NaN.
    reachable = reached.any(axis=0)
    result: npt.NDArray[np.float64] = np.where(
        total > 0, summed / np.where(total > 0, total, 1), reachable / reachable.sum()
    )
    return result
