"""Which classes a cell may be of, by the cells of its slide that a person has reviewed.

A model's confidence holds on the films that it knows. On any slide, a random sample of reviewed
cells tells how small a probability the true class may have: every class that has as much is
possible. Then the true class of at most 5 % of the other cells is not among the possible ones
(split conformal prediction: Papadopoulos et al. 2002; Angelopoulos and Bates 2023).

Invariant: only cells that were reviewed whatever they are count. Those of a review that begins with
the least certain ones are no sample of the slide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_wbc.model.audit import Audit, sample, strata
from napari_wbc.model.cell import Cell, Prediction
from napari_wbc.model.chance import by_field, chance
from napari_wbc.model.labels import usual_name
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import NOT_CLASSED, UNIDENTIFIED

OUTSIDE = 0.05
"""Share of cells at most whose true class is not among the possible ones."""
FEWEST = 20
"""Reviewed cells from which on that can be told: one in 20 may be outside."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the reviewed cells of a slide tell of its others.

    Parameters
    ----------
    lowest : float
        Probability from which on a class is possible, 0 to 1.
    cells : int
        Reviewed cells that tell it.
    """

    lowest: float
    cells: int

    def possible(self, prediction: Prediction) -> tuple[str, ...]:
        """Classes that a cell may be of, the most probable first; one at least.

        Examples
        --------
        >>> prediction = Prediction(("monocyte", "lymphocyte", "basophil"), (0.6, 0.35, 0.05))
        >>> Calibration(0.2, 20).possible(prediction)
        ('monocyte', 'lymphocyte')
        """
        pairs = sorted(zip(prediction.probabilities, prediction.names, strict=True), reverse=True)
        likely = tuple(name for probability, name in pairs if probability >= self.lowest)
        return likely or (prediction.cell_class,)


def calibrated(table: CellTable, audit: Audit | None = None) -> Calibration | None:
    """Calibrate the predictions of a slide by its reviewed cells.

    Parameters
    ----------
    audit : Audit, optional
        Of the slide; it counts once all of it is reviewed.

    Returns
    -------
    Calibration or None
        None where fewer than 20 cells are a reviewed sample of the slide: a complete audit, or the
        first cells in random order or field by field.

    Examples
    --------
    >>> calibrated(CellTable()) is None
    True
    """
    # Most slides are asked before anybody has reviewed them.
    if sum(table.annotated_counts.values()) < FEWEST:
        return None
    classified = [c for c in table.values() if c.prediction is not None and not c.candidate]
    by_chance = sorted(classified, key=lambda cell: chance(cell.cell_id))
    in_fields = sorted(classified, key=by_field(table.values()))
    best = max(_reviewed_first(by_chance), _reviewed_first(in_fields), key=len)
    of_one = [(probability, 1.0) for probability in best]
    if audit is not None and (audited := _audited(table, audit)) and len(audited) > len(of_one):
        of_one = audited
    if len(of_one) < FEWEST:
        return None
    return Calibration(lowest_of(of_one), len(of_one))


def lowest_of(sampled: Sequence[tuple[float, float]], outside: float = OUTSIDE) -> float:
    """Probability from which on a class is possible.

    Parameters
    ----------
    sampled : sequence of (float, float)
        Probability that the model gave the true class of a reviewed cell, and the number of cells
        of the slide that it stands for.
    outside : float
        Share of cells at most whose true class has less, 0 to 1.

    Examples
    --------
    >>> lowest_of([(0.3, 1.0)] + 19 * [(0.9, 1.0)]), lowest_of([(0.3, 1.0)] + 39 * [(0.9, 1.0)])
    (0.3, 0.9)
    """
    probabilities, weights = np.array(sorted(sampled)).T
    # The cell that is asked about counts as the least probable one: it may be.
    below = np.cumsum(weights) - weights + weights.max()
    allowed = below <= outside * (weights.sum() + weights.max()) + 1e-9
    return float(probabilities[allowed][-1]) if allowed.any() else 0.0


def _reviewed_first(cells: Iterable[Cell]) -> list[float]:
    """Probabilities of the true classes of the first cells, up to one that nobody reviewed."""
    probabilities: list[float] = []
    for cell in cells:
        if cell.annotation is None:
            break
        probabilities += _of_truth(cell)
    return probabilities


def _audited(table: CellTable, audit: Audit) -> list[tuple[float, float]]:
    """Those of an audit, each with the cells that it stands for; none before all are reviewed."""
    by_label = strata(table)
    found: list[tuple[float, float]] = []
    for label, ids in sample(table, audit).items():
        cells = [table[cell_id] for cell_id in ids]
        if any(cell.annotation is None for cell in cells):
            return []
        for cell in cells:
            found += [(each, len(by_label[label]) / len(ids)) for each in _of_truth(cell)]
    return found


def _of_truth(cell: Cell) -> list[float]:
    """What the model gave the class that a person says; nothing of a cell that is of no class."""
    assert cell.annotation is not None
    label = cell.annotation.label
    if cell.prediction is None or label in (UNIDENTIFIED, NOT_CLASSED):
        return []
    chances = dict(zip(cell.prediction.names, cell.prediction.probabilities, strict=True))
    # A class that the model does not know is never among the possible ones.
    return [chances.get(label, chances.get(usual_name(label), 0.0))]
