"""The audit of a slide: a random sample within each predicted class, and what it says of the slide.

Invariant: the sample depends on the seed and the ids of the cells alone, never on what anyone says
of them. Cells that were reviewed in a chosen order are no sample, and count here only where they
are of it, or where a person has reviewed their whole predicted class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.limits import UNDEFINED, Estimate
from napari_wbc.model.policy import Policy
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import UNIDENTIFIED, Place, Taxonomy

Floats = npt.NDArray[np.float64]

FEWEST = 5
"""Cells of each predicted class that an audit has at least; the errors gather in rare classes."""
NO_PREDICTION = "not classified"
MAX_CELLS = 100_000


@dataclass(frozen=True, slots=True)
class Audit:
    """Which cells an audit has: ``n`` of the slide, by chance with a seed that is kept.

    Raises
    ------
    WbcError
        If a number is out of range.
    """

    n: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MAX_CELLS:
            raise WbcError(f"An audit of {self.n} cells is none; give 1 to {MAX_CELLS:,}.")
        if not 0 <= self.seed < 2**63:
            raise WbcError(f"{self.seed} is no seed; give a whole number, 0 or more.")


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit says of a slide.

    Parameters
    ----------
    drawn, reviewed : int
        Cells of the sample, and those that a person has labelled.
    shares : mapping of str to Estimate
        Percent of the leukocytes by class, in order; empty until all of the sample is reviewed.
    counts : mapping of str to int
        Cells of the sample by what the person says they are.
    more : int
        About how many more cells would halve the widest limits; 0 where there are no more.
    """

    audit: Audit
    drawn: int
    reviewed: int
    shares: Mapping[str, Estimate]
    counts: Mapping[str, int]
    more: int

    @property
    def is_complete(self) -> bool:
        """Whether a person has labelled all of the sample."""
        return self.reviewed == self.drawn > 0


def sample(table: CellTable, audit: Audit) -> dict[str, tuple[str, ...]]:
    """Ids of the cells of an audit by predicted label; candidates are in none.

    Each label has five cells or all of its own, and of the rest a share by its size. The same seed
    gives the same cells, also after others were added or removed.

    Examples
    --------
    >>> sample(CellTable(), Audit())
    {}
    """
    by_label = strata(table)
    labels = sorted(by_label)
    sizes = np.array([len(by_label[label]) for label in labels], dtype=np.int64)
    drawn: dict[str, tuple[str, ...]] = {}
    for label, n in zip(labels, allocation(sizes, audit.n), strict=True):
        ids = sorted(by_label[label], key=lambda cell_id: _chance(audit.seed, cell_id))
        drawn[label] = tuple(ids[:n])
    return drawn


def allocation(sizes: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """How many cells to draw of each stratum: a few of each, then by size.

    Examples
    --------
    >>> allocation(np.array([100, 60, 3]), 40).tolist()
    [23, 14, 3]
    """
    drawn = np.minimum(sizes, FEWEST)
    goal = n * sizes / max(sizes.sum(), 1)
    for _ in range(min(n, sizes.sum()) - drawn.sum()):
        # The next cell is of the stratum that is farthest behind its share.
        drawn[np.argmax(np.where(drawn < sizes, goal - drawn, -np.inf))] += 1
    return drawn


def audited(table: CellTable, taxonomy: Taxonomy, policy: Policy, audit: Audit) -> Audited:
    """What an audit says: percent of each class among the leukocytes of the blood, with limits."""
    names = taxonomy.names_at(Place.LEUKOCYTE)
    if policy.unidentified_counted:
        names = (*names, UNIDENTIFIED)
    drawn = sample(table, audit)
    by_label = strata(table)
    sizes: list[int] = []
    rows: list[list[int]] = []
    counts: dict[str, int] = {}
    reviewed = 0
    for label, ids in drawn.items():
        said = _said(table, ids, taxonomy)
        reviewed += len(said)
        for name in said:
            counts[name] = counts.get(name, 0) + 1
        every = _said(table, by_label[label], taxonomy)
        # A predicted class that is reviewed as a whole is known exactly.
        exact = len(every) == len(by_label[label])
        rows.append(_by_name(every if exact else said, names))
        sizes.append(len(by_label[label]))
    total = sum(map(len, drawn.values()))
    shares: dict[str, Estimate] = {}
    if total and reviewed == total:
        estimates = stratified(np.array(sizes), np.array(rows), policy.level)
        shares = {name: each.times(100) for name, each in zip(names, estimates, strict=True)}
    return Audited(audit, total, reviewed, shares, counts, min(3 * total, sum(sizes) - total))


def stratified(
    sizes: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], level: float = 0.95
) -> tuple[Estimate, ...]:
    """Shares of the blood's leukocytes from a sample within strata of a slide, with limits.

    The limits are a beta distribution's whose mean and variance are those of the weighted sum over
    the strata, as Fay and Feuer match a gamma (Stat. Med. 16:791, 1997): of the sampling within
    each stratum, less what was counted as a whole, and of the slide's cells from the blood. The
    lower limit gives one prior cell, shared among the strata by their size, to all other classes,
    the upper to the class (Walley's imprecise Dirichlet model, J. R. Stat. Soc. B 58:3, 1996). With
    every cell counted they are Clopper and Pearson's.

    Parameters
    ----------
    sizes : ndarray, shape (H,), int64
        Cells of each stratum of the slide.
    counts : ndarray, shape (H, K + 1), int64
        Sampled cells of each stratum by class; the last column is what is no leukocyte.
    level : float
        Confidence level, 0 to 1.

    Returns
    -------
    tuple of K Estimate
        0 to 1.
    """
    seen = counts.astype(np.float64)
    weights = sizes / sizes.sum()
    sampled = seen.sum(axis=1)
    unseen = 1 - sampled / sizes
    outside = seen[:, -1]
    leukocytes = sampled - outside
    rates = np.divide(seen, sampled[:, None], out=np.zeros_like(seen), where=sampled[:, None] > 0)
    by_class: Floats = weights @ rates
    of = float(by_class[:-1].sum())
    if not of:
        return tuple(UNDEFINED for _ in range(counts.shape[1] - 1))
    estimates: list[Estimate] = []
    for k in range(counts.shape[1] - 1):
        own = seen[:, k]
        other = leukocytes - own
        low = _limit(own, other + weights, outside, sizes, unseen, quantile=(1 - level) / 2)
        high = _limit(own + weights, other, outside, sizes, unseen, quantile=(1 + level) / 2)
        estimates.append(Estimate(float(by_class[k] / of), low, high))
    return tuple(estimates)


def _limit(
    own: Floats,
    other: Floats,
    outside: Floats,
    sizes: npt.NDArray[np.int64],
    unseen: Floats,
    *,
    quantile: float,
) -> float:
    """A quantile of the share of a class, of Dirichlet distributions of the strata."""
    weights = sizes / sizes.sum()
    total = own + other + outside
    leukocytes = weights @ ((own + other) / total)
    mean = float(weights @ (own / total) / leukocytes)
    if mean <= 0 or mean >= 1:
        return min(max(mean, 0.0), 1.0)
    # Variance within a stratum of "is of the class, less its share of the leukocytes".
    rest = 1 - mean
    spread = rest**2 * own * (total - own) + mean**2 * other * (total - other)
    spread += 2 * mean * rest * own * other
    within = weights**2 * unseen * spread / (total**2 * (total + 1))
    blood = mean * rest / (sizes.sum() * leukocytes + 2)
    cells = mean * rest / (within.sum() / leukocytes**2 + blood) - 1
    if cells <= 0:
        return 0.0 if quantile < 0.5 else 1.0
    return float(betaincinv(mean * cells, rest * cells, quantile))


def strata(table: CellTable) -> dict[str, list[str]]:
    """Ids of the cells of a slide by predicted label; candidates are in none."""
    by_label: dict[str, list[str]] = {}
    for cell in table.values():
        if not cell.candidate:
            by_label.setdefault(_predicted(cell), []).append(cell.cell_id)
    return by_label


def _predicted(cell: Cell) -> str:
    return cell.prediction.label if cell.prediction else NO_PREDICTION


def _said(table: CellTable, ids: Sequence[str], taxonomy: Taxonomy) -> list[str]:
    """Rows of what a person says the cells are; without those of which nobody has said anything."""
    annotations = (table[cell_id].annotation for cell_id in ids)
    return [taxonomy.row_of(each.label) for each in annotations if each is not None]


def _by_name(said: Sequence[str], names: Sequence[str]) -> list[int]:
    counts = [said.count(name) for name in names]
    return [*counts, len(said) - sum(counts)]


def _chance(seed: int, cell_id: str) -> bytes:
    """What to sort cells by, so that their order is a matter of chance."""
    return hashlib.sha256(f"{seed} {cell_id}".encode("utf-8", "surrogatepass")).digest()
