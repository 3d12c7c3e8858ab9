"""Where around a cell the evidence for a class lies.

Invariant: heat belongs to a square of the field, not to a pixel of the screen; it is placed when it
is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from napari_wbc.model.cell import Cell

OUTSIDE = 0.5
"""Share of the heat that must lie inside a cell; below it the model looks at something else."""

TITLES = MappingProxyType(
    {
        "grad-cam": "Grad-CAM",
        "guided-grad-cam": "Guided Grad-CAM",
        "integrated-gradients": "Integrated gradients",
        "occlusion": "Occlusion",
        "lime": "LIME",
    }
)
"""The methods that find heat: name in options and files to name for a person."""


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """Heat of one cell.

    Parameters
    ----------
    cell : Cell
        As it was when it was asked about.
    top, left, side : int
        The square of the field that the heat covers, in pixels; it may reach over the field's edge.
    values : ndarray, shape (n, n), float32
        0 to 1, for the square; the hottest pixel is 1, all are 0 where nothing speaks for the
        class.
    target, against : str
        The class it speaks for, and the one that is set against it; empty where none is.
    inside : float
        Share of the heat that lies inside the cell's outline, 0 to 1; NaN without heat.
    """

    cell: Cell
    top: int
    left: int
    side: int
    values: npt.NDArray[np.float32]
    method: str
    target: str
    against: str = ""
    inside: float = float("nan")

    @property
    def cell_id(self) -> str:
        """Of the cell."""
        return self.cell.cell_id

    @property
    def fov_id(self) -> str:
        """Of the field that the cell lies in."""
        return self.cell.fov_id

    @property
    def suspect(self) -> bool:
        """Whether most of the heat lies outside the cell."""
        # NaN, the share of no heat at all, is below nothing: no heat is no suspicion.
        return self.inside < OUTSIDE

    def is_of(self, cell: Cell) -> bool:
        """Whether this still answers for a cell: same place, same prediction."""
        return (cell.detection, cell.prediction) == (self.cell.detection, self.cell.prediction)


def methods_of(heats: Iterable[Heat]) -> str:
    """The methods of some heat as a person reads them, in order of appearance; empty for none."""
    return ", ".join(dict.fromkeys(TITLES.get(heat.method, heat.method) for heat in heats))
