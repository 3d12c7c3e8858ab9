"""The differential of one slide, as numbers.

Invariant: unidentified and not classed cells, candidates, erythroblasts and platelets stand beside
the differential, never inside its denominator (ICSH 2015). Every cell is in exactly one row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import betaincinv

from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import Place, Taxonomy


def row_counts(labels: Mapping[str, int], taxonomy: Taxonomy) -> dict[str, int]:
    """Cells by row of a differential, from cells by label.

    Returns
    -------
    dict of str to int
        Every class of the taxonomy, then ``unidentified`` and ``not classed``, then the labels that
        are none of these, in alphabetical order.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import TWO_CLASSES
    >>> row_counts({"basophil": 2, "platelet": 1}, TWO_CLASSES)
    {'mononuclear': 0, 'polynuclear': 2, 'unidentified': 0, 'not classed': 0, 'platelet': 1}
    """
    rows = dict.fromkeys(taxonomy.labels, 0)
    for label in sorted(labels):
        row = taxonomy.row_of(label)
        rows[row] = rows.get(row, 0) + labels[label]
    return rows


def leukocytes(labels: Mapping[str, int], taxonomy: Taxonomy) -> int:
    """How many cells are in the denominator of a differential, from cells by label.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import EIGHT_CLASSES
    >>> leukocytes({"band neutrophil": 2, "erythroblast": 1, "unidentified": 4}, EIGHT_CLASSES)
    2
    """
    rows = row_counts(labels, taxonomy)
    return sum(rows[name] for name in taxonomy.names_at(Place.LEUKOCYTE))


def confidence_limits(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's limits of a share (Biometrika 26:404, 1934), low and high, 0 to 1.

    Parameters
    ----------
    count, total : int
        0 <= count <= total; total is above 0.
    level : float
        Confidence level, 0 to 1.

    Examples
    --------
    >>> low, high = confidence_limits(0, 100)
    >>> low, round(high, 4)
    (0.0, 0.0362)
    """
    tail = (1 - level) / 2
    # Where no or all cells are counted, a parameter of the beta distribution is 0, which has no
    # inverse; the limit is then 0 or 1.
    low = float(betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high


@dataclass(frozen=True, slots=True)
class Share:
    """One leukocyte class of a differential.

    ``percent`` of the leukocytes and its confidence limits are 0 to 100, and NaN when no leukocyte
    was counted.
    """

    name: str
    count: int
    percent: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Beside:
    """A count beside the differential.

    ``per_100_wbc`` is None where the class is not related to the leukocytes, and NaN when
    no leukocyte was counted.
    """

    name: str
    count: int
    per_100_wbc: float | None = None


@dataclass(frozen=True, slots=True)
class Differential:
    """A slide's leukocytes by class, with confidence limits."""

    slide: str
    shares: tuple[Share, ...]
    beside: tuple[Beside, ...]
    confidence_level: float = 0.95

    @property
    def total(self) -> int:
        """Leukocytes in the denominator."""
        return sum(share.count for share in self.shares)


def differential(
    slide: str, table: CellTable, taxonomy: Taxonomy, *, confidence_level: float = 0.95
) -> Differential:
    """Count a slide's cells by the class that their label counts as, each cell in one row.

    A label that counts as no class has a row of its own, after all others. Limits are Clopper and
    Pearson's (Biometrika 1934), one class against all others, at a confidence level of 0 to 1.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import EIGHT_CLASSES
    >>> differential("empty", CellTable(), EIGHT_CLASSES).total
    0
    """
    counts = row_counts(table.label_counts, taxonomy)
    total = leukocytes(table.label_counts, taxonomy)
    shares: list[Share] = []
    for name in taxonomy.names_at(Place.LEUKOCYTE):
        count = counts.pop(name)
        share = Share(name, count, math.nan, math.nan, math.nan)
        if total:
            low, high = confidence_limits(count, total, confidence_level)
            share = Share(name, count, 100 * count / total, 100 * low, 100 * high)
        shares.append(share)
    beside: list[Beside] = []
    for name in taxonomy.names_at(Place.PER_100_WBC):
        count = counts.pop(name)
        beside.append(Beside(name, count, 100 * count / total if total else math.nan))
    # Labels that are no class of the taxonomy stand last: a cell never vanishes from a report.
    beside += (Beside(name, count) for name, count in counts.items())
    return Differential(slide, tuple(shares), tuple(beside), confidence_level)
