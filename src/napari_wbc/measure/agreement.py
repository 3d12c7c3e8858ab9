"""Two readers of the same cells: how far they agree, and their consensus.

Invariant: only cells that both have labelled count; ``unidentified`` and ``not classed`` are labels
like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation
from napari_wbc.model.limits import Estimate, confidence_limits, share
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import Taxonomy

CONSENSUS = "consensus"
"""Name of the reading that holds the consensus of two readers."""


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How far two readers agree.

    Parameters
    ----------
    n, agreed : int
        Cells that both have labelled, and those to which both gave the same label.
    percent : float, optional
        Part that agrees, 0 to 100; None without cells.
    kappa : float, optional
        Cohen's kappa, -1 to 1: agreement beyond that of chance. None without cells, and where both
        readers gave all cells one and the same label, since chance then explains everything.
    kappa_low, kappa_high : float, optional
        Its 95 % confidence limits, -1 to 1; None as kappa. They have a width also where all cells
        agree.
    disagreements : tuple of (cell id, first label, second label)
        In the order of the taxonomy, then of the ids.
    labels : tuple of L str
        Every label of the taxonomy.
    confusion : ndarray, shape (L, L), int64
        Cells by the label of the first reader (rows) and of the second (columns).
    """

    n: int
    agreed: int
    percent: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    disagreements: tuple[tuple[str, str, str], ...]
    labels: tuple[str, ...]
    confusion: npt.NDArray[np.int64]

    @property
    def percent_limits(self) -> Estimate:
        """The part that agrees with its exact 95 % limits, 0 to 100."""
        return share(self.agreed, self.n).times(100)


def annotations_of(table: CellTable) -> dict[str, Annotation]:
    """The annotations of a table, by cell id."""
    return {key: cell.annotation for key, cell in table.items() if cell.annotation is not None}


def agreement(
    first: Mapping[str, Annotation], second: Mapping[str, Annotation], taxonomy: Taxonomy
) -> Agreement:
    """Compare the annotations of two readers, by cell id.

    Kappa is Cohen's (Educ. Psychol. Meas. 20:37, 1960). For its limits those of the percentage
    (Clopper and Pearson) take the place of the percentage in kappa; as in Cohen's own error of
    kappa, chance is taken as found. Those of large samples (Fleiss, Cohen and Everitt, Psychol.
    Bull. 72:323, 1969) hold in 89 % only where readers agree well (``benchmarks/coverage.py``).

    Raises
    ------
    WbcError
        If a reader gave a label that the taxonomy does not have.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import FIVE_CLASSES
    >>> first = {"a": Annotation("monocyte"), "b": Annotation("basophil")}
    >>> second = {"a": Annotation("monocyte"), "b": Annotation("lymphocyte")}
    >>> result = agreement(first, second, FIVE_CLASSES)
    >>> result.n, result.agreed, result.disagreements
    (2, 1, (('b', 'basophil', 'lymphocyte'),))
    """
    _check(first, "The first reader", taxonomy)
    _check(second, "The second reader", taxonomy)
    rank = taxonomy.labels.index
    pairs: list[tuple[str, str, str]] = []
    for cell_id, annotation in first.items():
        if cell_id in second:
            pairs.append((cell_id, annotation.label, second[cell_id].label))
    # Counted here, since scikit-learn's confusion_matrix refuses readers without a common cell.
    confusion = np.zeros((len(taxonomy.labels),) * 2, dtype=np.int64)
    for _, first_label, second_label in pairs:
        confusion[rank(first_label), rank(second_label)] += 1
    n = len(pairs)
    agreed = int(confusion.trace())
    disagreements = [pair for pair in pairs if pair[1] != pair[2]]
    disagreements.sort(key=lambda pair: (rank(pair[1]), rank(pair[2]), pair[0]))
    percent = 100 * agreed / n if n else None
    return Agreement(
        n,
        agreed,
        percent,
        *kappa_limits(confusion),
        tuple(disagreements),
        taxonomy.labels,
        confusion,
    )


def consensus(
    first: Mapping[str, Annotation],
    second: Mapping[str, Annotation],
    choices: Mapping[str, str],
    taxonomy: Taxonomy,
    *,
    when: str = "",
) -> dict[str, Annotation]:
    """The consensus of two readers by cell id, in the order of the first.

    Cells on which they differ are left out, unless ``choices`` has the label that the readers
    settled on; it replaces their own labels. The annotator is "consensus of A and B", and ``when``
    the time, ISO 8601 with zone.

    Raises
    ------
    WbcError
        If a label is none of the taxonomy, or a choice is of a cell that not both have labelled.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import FIVE_CLASSES
    >>> first, second = {"a": Annotation("monocyte", "A")}, {"a": Annotation("basophil", "B")}
    >>> consensus(first, second, {}, FIVE_CLASSES)
    {}
    >>> consensus(first, second, {"a": "monocyte"}, FIVE_CLASSES)["a"].annotator
    'consensus of A and B'
    """
    _check(first, "The first reader", taxonomy)
    _check(second, "The second reader", taxonomy)
    _check({cell_id: Annotation(label) for cell_id, label in choices.items()}, "A choice", taxonomy)
    if alone := sorted(choices.keys() - (first.keys() & second.keys())):
        raise WbcError(
            f"A label is chosen for cell {alone[0]!r}, which not both readers have labelled; "
            "choose labels for cells of both."
        )
    settled: dict[str, Annotation] = {}
    for cell_id, ours in first.items():
        theirs = second.get(cell_id)
        if theirs is not None and (cell_id in choices or ours.label == theirs.label):
            readers = f"{ours.annotator or 'reader 1'} and {theirs.annotator or 'reader 2'}"
            label = choices.get(cell_id, ours.label)
            settled[cell_id] = Annotation(label, f"consensus of {readers}", when)
    return settled


def _check(annotations: Mapping[str, Annotation], who: str, taxonomy: Taxonomy) -> None:
    for cell_id, annotation in annotations.items():
        if annotation.label not in taxonomy.labels:
            raise WbcError(
                f"{who} gives cell {cell_id!r} the label {annotation.label!r}, which the taxonomy "
                f"{taxonomy.name!r} does not have; use one of {', '.join(taxonomy.labels)}."
            )


def kappa_limits(
    confusion: npt.NDArray[np.int64],
) -> tuple[float | None, float | None, float | None]:
    """Cohen's kappa and its 95 % limits, None where they are not defined.

    Parameters
    ----------
    confusion : ndarray, shape (L, L), int64
        Cells by the label of the first reader (rows) and of the second (columns).

    Examples
    --------
    >>> [round(number, 2) for number in kappa_limits(np.array([[20, 5], [10, 15]]))]
    [0.4, 0.11, 0.64]
    """
    used = confusion.any(axis=0) | confusion.any(axis=1)
    # Of one label alone, chance explains all agreement, and kappa is 0 / 0.
    if used.sum() < 2:
        return None, None, None
    # scikit-learn has kappa without its limits, so both come from the same lines here.
    n = confusion.sum()
    shares = confusion[np.ix_(used, used)] / n
    first = shares.sum(axis=1)
    second = shares.sum(axis=0)
    chance = first @ second
    kappa = float((shares.trace() - chance) / (1 - chance))
    # Chance as it was found, and the exact limits of the part that agrees.
    agreed = confidence_limits(int(confusion.trace()), int(n))
    low, high = (float((part - chance) / (1 - chance)) for part in agreed)
    return kappa, max(low, -1.0), high
