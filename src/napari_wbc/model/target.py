"""When enough cells are counted.

Invariant: a target is asked of the cells that are counted, in whatever order they were reviewed.
Whoever stops as soon as limits are narrow must count in the order of the fields or at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_wbc.errors import WbcError
from napari_wbc.model.limits import Estimate
from napari_wbc.model.words import counted as words

USUAL = (100, 200, 400)
"""Leukocytes that laboratories count; 200 by each of two readers in CLSI H20."""


@dataclass(frozen=True, slots=True)
class Target:
    """How many leukocytes to count, and how narrow the limits of each class are to be.

    Parameters
    ----------
    cells : int
        Leukocytes, 1 or more.
    points : float, optional
        Half the width of the widest limits, in percentage points; any where None.

    Raises
    ------
    WbcError
        If it cannot be reached.
    """

    cells: int = USUAL[0]
    points: float | None = None

    def __post_init__(self) -> None:
        if self.cells < 1:
            raise WbcError(f"{self.cells} cells are no target; give 1 or more.")
        if self.points is not None and not 0 < self.points <= 50:
            raise WbcError(
                f"Limits within {self.points:g} points are no target; give a number above 0, up to "
                "50."
            )

    def missing(self, total: int, limits: Mapping[str, Estimate]) -> str:
        """What a count lacks, in words; empty if the target is reached.

        Parameters
        ----------
        total : int
            Leukocytes counted.
        limits : mapping of str to Estimate
            Percent of each class with its limits; empty where none would hold.

        Examples
        --------
        >>> Target(200).missing(0, {})
        '0 leukocytes of 200 counted'
        """
        if total < self.cells:
            return f"{words(total, 'leukocyte')} of {self.cells} counted"
        if self.points is None or not total:
            return ""
        if not limits:
            return "limits are known once all cells, or an audit, are reviewed"
        widest = max(limits, key=lambda name: limits[name].high - limits[name].low)
        half = (limits[widest].high - limits[widest].low) / 2
        if half <= self.points:
            return ""
        return (
            f"limits of {widest} are {half:.1f} points to each side, the target is {self.points:g}"
        )
