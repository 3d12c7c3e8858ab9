"""Whether parts of a count are of one blood: the slides of a specimen, the fields of a slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

DRAWS = 2000
PARTS = 20
DRAWN_AT_ONCE = DRAWS // PARTS
"""Tables of the same sums that a table is compared with."""
SIGNIFICANCE = 0.05
STANDS_OUT = 3.0
"""Standard deviations from which on a count is named as a cause."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A count that is unlike the other parts'."""

    part: str
    label: str
    count: int
    expected: float
    deviations: float
    """Adjusted residual: standard deviations from what the sums lead one to expect."""


@dataclass(frozen=True, slots=True)
class Homogeneity:
    """A chi-square test of homogeneity.

    Parameters
    ----------
    statistic : float
        Pearson's chi-square.
    p : float
        Share of random tables with the same sums that are at least as uneven, 0 to 1.
    causes : tuple of Cause
        Counts that stand out, the farthest first; empty where the test does not reject.
    """

    statistic: float
    p: float
    causes: tuple[Cause, ...]

    @property
    def differs(self) -> bool:
        """Whether chance does not explain the differences, at 5 %."""
        return self.p < SIGNIFICANCE


def homogeneity(
    parts: Mapping[str, Mapping[str, int]], labels: Sequence[str], *, seed: int = 0
) -> Homogeneity | None:
    """Test whether all parts have the same shares; None of less than two parts or classes.

    Pearson's statistic is compared with that of random tables of the same sums (Patefield's
    algorithm), not with the chi-square distribution, which does not hold for the few cells of
    rare classes. What stands out is told by adjusted residuals (Haberman, Biometrics 29:205, 1973).

    Parameters
    ----------
    parts : mapping of str to mapping
        Cells by label, of each slide or field.
    labels : sequence of str
        Labels that are compared.

    Examples
    --------
    >>> homogeneity({"one": {"a": 5}}, ["a", "b"]) is None
    True
    >>> result = homogeneity({"one": {"a": 50, "b": 5}, "two": {"a": 5, "b": 50}}, ["a", "b"])
    >>> result.differs, result.causes[0].part, result.causes[0].count
    (True, 'one', 50)
    """
    names = list(parts)
    table = np.array([[parts[name].get(label, 0) for label in labels] for name in names])
    table = table.reshape(len(names), len(labels))
    rows = table.sum(axis=1) > 0
    columns = table.sum(axis=0) > 0
    if rows.sum() < 2 or columns.sum() < 2:
        return None
    # scipy.stats takes a second to import, and many reports compare nothing.
    from scipy.stats import random_table

    used = table[np.ix_(rows, columns)]
    expected = used.sum(axis=1, keepdims=True) * used.sum(axis=0) / used.sum()
    statistic = _chi_square(used, expected)
    draws = random_table(used.sum(axis=1), used.sum(axis=0), seed=np.random.default_rng(seed))
    # A part at a time, since the tables of thousands of fields would fill the memory.
    drawn = [_chi_square(draws.rvs(size=DRAWN_AT_ONCE), expected) for _ in range(PARTS)]
    random = np.concatenate(drawn)
    # Rounding must not make a table less uneven than itself.
    p = (1 + int((random >= statistic * (1 - 1e-9)).sum())) / (DRAWS + 1)
    result = Homogeneity(float(statistic), p, ())
    if not result.differs:
        return result
    by_row = 1 - used.sum(axis=1, keepdims=True) / used.sum()
    by_column = 1 - used.sum(axis=0) / used.sum()
    residuals = (used - expected) / np.sqrt(expected * by_row * by_column)
    causes: list[Cause] = []
    for i, part in enumerate(np.array(names)[rows]):
        for j, label in enumerate(np.array(labels)[columns]):
            if abs(residuals[i, j]) >= STANDS_OUT:
                deviations = float(residuals[i, j])
                cause = Cause(
                    str(part), str(label), int(used[i, j]), float(expected[i, j]), deviations
                )
                causes.append(cause)
    causes.sort(key=lambda cause: -abs(cause.deviations))
    return Homogeneity(float(statistic), p, tuple(causes))


def _chi_square(
    tables: npt.NDArray[Any], expected: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    result: npt.NDArray[np.float64] = ((tables - expected) ** 2 / expected).sum(axis=(-2, -1))
    return result
