"""The differential of one slide, as numbers.

Invariant: not classed cells, candidates, erythroblasts and platelets stand beside the differential,
never inside its denominator (ICSH 2015); unidentified cells too, unless the policy counts them.
Every cell is in exactly one row: a :class:`Differential` whose rows do not add up cannot be made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.model.labels import is_smudge, usual_name
from napari_wbc.model.limits import ratio, share, simultaneous_level
from napari_wbc.model.policy import Policy
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import UNIDENTIFIED, Place, Taxonomy

DEFAULT = Policy()
_LIMITS = ("low", "high", "together_low", "together_high", "worst_low", "worst_high")
FEWEST = 20
"""Leukocytes from which on others are counted per 100 of them."""
NO_RATE: tuple[float | None, float | None, float | None] = (None, None, None)


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


@dataclass(frozen=True, slots=True)
class Share:
    """One class in the denominator of a differential.

    Parameters
    ----------
    percent, low, high : float
        Of the leukocytes, 0 to 100, with the limits of this class by itself. NaN, as all that
        follow, when no leukocyte was counted.
    together_low, together_high : float
        Limits that hold for all classes at once.
    worst_low, worst_high : float
        Limits whatever the unidentified cells are: none of this class, or all.
    reviewed, audited : int
        How many of its cells a person labelled, and how many of those are of the audit.
    """

    name: str
    count: int
    percent: float
    low: float
    high: float
    together_low: float = math.nan
    together_high: float = math.nan
    worst_low: float = math.nan
    worst_high: float = math.nan
    reviewed: int = 0
    audited: int = 0

    @property
    def predicted(self) -> int:
        """Cells that only the model has named."""
        return self.count - self.reviewed


@dataclass(frozen=True, slots=True)
class Beside:
    """A count beside the differential.

    ``per_100_wbc`` and its limits are None where the class is not related to the leukocytes, and
    NaN when fewer leukocytes than :data:`FEWEST` were counted.
    """

    name: str
    count: int
    per_100_wbc: float | None = None
    low: float | None = None
    high: float | None = None
    reviewed: int = 0
    audited: int = 0

    @property
    def predicted(self) -> int:
        """Cells that only the model has named, or nobody."""
        return self.count - self.reviewed


@dataclass(frozen=True, slots=True)
class Differential:
    """A slide's leukocytes by class, with confidence limits.

    Raises
    ------
    WbcError
        If the rows do not add up to the cells that were located.
    """

    slide: str
    shares: tuple[Share, ...]
    beside: tuple[Beside, ...]
    located: int
    """All cells of the slide, in whatever row."""
    confidence_level: float = 0.95

    def __post_init__(self) -> None:
        counted = self.total + sum(row.count for row in self.beside)
        if counted != self.located:
            raise WbcError(
                f"The differential of {self.slide!r} has {counted} cells in its rows, but "
                f"{self.located} were located; do not use it, and report this fault."
            )

    @property
    def total(self) -> int:
        """Cells in the denominator."""
        return sum(share.count for share in self.shares)

    @property
    def rows(self) -> tuple[Share | Beside, ...]:
        """Every row, first those of the denominator."""
        return (*self.shares, *self.beside)

    @property
    def reviewed(self) -> int:
        """Cells that a person labelled."""
        return sum(row.reviewed for row in self.rows)

    @property
    def too_few(self) -> bool:
        """Whether it has cells that are counted per 100 leukocytes, and too few of these."""
        related = any(row.count for row in self.beside if row.per_100_wbc is not None)
        return related and self.total < FEWEST

    @property
    def without_limits(self) -> Differential:
        """The same counts and rates, where limits of counting alone would not hold."""
        nothing: dict[str, Any] = dict.fromkeys(_LIMITS, math.nan)
        shares = tuple(replace(row, **nothing) for row in self.shares)
        beside: list[Beside] = []
        for row in self.beside:
            related = row.per_100_wbc is not None
            beside.append(replace(row, low=math.nan, high=math.nan) if related else row)
        return replace(self, shares=shares, beside=tuple(beside))

    @property
    def unidentified(self) -> int:
        """Cells that neither the model nor a person has named."""
        return sum(row.count for row in self.rows if row.name == UNIDENTIFIED)

    @property
    def erythroblasts(self) -> int:
        """Nucleated red cells beside the leukocytes."""
        return sum(row.count for row in self.beside if usual_name(row.name) == "erythroblast")


def differential(
    slide: str,
    table: CellTable,
    taxonomy: Taxonomy,
    policy: Policy = DEFAULT,
    *,
    audited: Collection[str] = (),
) -> Differential:
    """Count a slide's cells by the class that their label counts as, each cell in one row.

    A label that counts as no class has a row of its own, after all others. All limits are Clopper
    and Pearson's (Biometrika 1934): of a class against all others, at the level of the policy; of
    all classes at once, at Bonferroni's level; of erythroblasts and smudge cells, of their share
    among them and the leukocytes, as a ratio to these.

    Parameters
    ----------
    policy : Policy
        The classes stay as they are; :meth:`~napari_wbc.model.policy.Policy.taxonomy_of` merges
        bands.
    audited : collection of str
        Ids of the cells that are the audit of the slide.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import EIGHT_CLASSES
    >>> differential("empty", CellTable(), EIGHT_CLASSES).total
    0
    """
    counts = row_counts(table.label_counts, taxonomy)
    reviewed = row_counts(table.annotated_counts, taxonomy)
    sampled = row_counts(_audited_counts(table, audited), taxonomy)
    names = taxonomy.names_at(Place.LEUKOCYTE)
    if policy.unidentified_counted:
        names = (*names, UNIDENTIFIED)
    total = sum(counts[name] for name in names)
    # What the unidentified cells may turn out to be; nothing, where they are a row themselves.
    unsure = 0 if policy.unidentified_counted else counts[UNIDENTIFIED]
    together = simultaneous_level(policy.level, len(names))
    shares: list[Share] = []
    for name in names:
        count = counts.pop(name)
        apart = share(count, total, policy.level).times(100)
        joint = share(count, total, together).times(100)
        shares.append(
            Share(
                name,
                count,
                *apart,
                together_low=joint.low,
                together_high=joint.high,
                worst_low=100 * share(count, total + unsure, policy.level).low,
                worst_high=100 * share(count + unsure, total + unsure, policy.level).high,
                reviewed=reviewed.get(name, 0),
                audited=sampled.get(name, 0),
            )
        )
    related = (*taxonomy.names_at(Place.PER_100_WBC), *filter(is_smudge, counts))
    beside: list[Beside] = []
    # Labels that are no class of the taxonomy stand last: a cell never vanishes from a report.
    for name in dict.fromkeys((*related, *counts)):
        value, low, high = NO_RATE
        if name in related:
            # One erythroblast beside three leukocytes is not 33 per 100.
            of = total if total >= FEWEST else 0
            value, low, high = ratio(counts[name], of, policy.level).times(100)
        by = reviewed.get(name, 0), sampled.get(name, 0)
        beside.append(Beside(name, counts[name], value, low, high, *by))
    return Differential(slide, tuple(shares), tuple(beside), len(table), policy.level)


def _audited_counts(table: CellTable, audited: Collection[str]) -> Counter[str]:
    """Labels of the audit's cells that a person has given."""
    counts: Counter[str] = Counter()
    for cell_id in audited:
        cell = table.get(cell_id)
        if cell is not None and cell.annotation is not None:
            counts[cell.annotation.label] += 1
    return counts
