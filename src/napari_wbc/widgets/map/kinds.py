"""What the points of a feature map stand for: the legend's entries, and the next point; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.taxonomy import Taxonomy

COLOURINGS = ("label", "prediction", "reviewed", "field")
MARKS = ("circle", "square", "triangle", "diamond", "wedge", "cross", "plus", "star")
"""Shapes that tell kinds apart where colours do not."""
REVIEWED = "reviewed"
TO_REVIEW = "to review"
NO_PREDICTION = "no prediction"
OTHER_COLOR = "#999999"

Places = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Kind:
    """One entry of a legend.

    Parameters
    ----------
    color : str
        ``#rrggbb``.
    mark : str
        One of :data:`MARKS`.
    """

    name: str
    color: str
    mark: str


REVIEW_KINDS = {
    TO_REVIEW: Kind(TO_REVIEW, "#e69f00", "circle"),
    REVIEWED: Kind(REVIEWED, "#56b4e9", "square"),
}


def kind_of(cell: Cell, by: str, taxonomy: Taxonomy) -> str:
    """The name of a cell's kind.

    Parameters
    ----------
    by : str
        One of :data:`COLOURINGS`; a finer class counts as the one that covers it.

    Raises
    ------
    WbcError
        If cells are not coloured by that.
    """
    match by:
        case "label":
            return taxonomy.row_of(cell.label)
        case "prediction":
            return NO_PREDICTION if cell.prediction is None else cell.prediction.label
        case "reviewed":
            return TO_REVIEW if cell.annotation is None else REVIEWED
        case "field":
            return cell.fov_id
    raise WbcError(f"Cells are not coloured by {by!r}; choose one of: {', '.join(COLOURINGS)}.")


def kinds(names: Iterable[str], by: str, taxonomy: Taxonomy) -> tuple[Kind, ...]:
    """The legend of some kinds of cells.

    Parameters
    ----------
    names : iterable of str
        Of :func:`kind_of`. Classes are sorted as in the taxonomy, all else as given. A class has
        the same mark and colour whichever others there are.
    by : str
        One of :data:`COLOURINGS`.
    """
    present = dict.fromkeys(names)
    if by == "field":
        return tuple(_field_kind(i, name, taxonomy) for i, name in enumerate(present))
    fixed = REVIEW_KINDS if by == "reviewed" else _class_kinds(taxonomy)
    legend = [kind for name, kind in fixed.items() if name in present]
    # What the taxonomy does not name is still shown, after its classes.
    others = [Kind(name, OTHER_COLOR, "cross") for name in present if name not in fixed]
    return (*legend, *others)


def _field_kind(i: int, name: str, taxonomy: Taxonomy) -> Kind:
    # The mark changes when the colours are used up: 64 fields look different with eight classes.
    turn, color = divmod(i, len(taxonomy.classes))
    return Kind(name, taxonomy.classes[color].color, MARKS[turn % len(MARKS)])


def _class_kinds(taxonomy: Taxonomy) -> dict[str, Kind]:
    result = {}
    for i, (name, color) in enumerate(taxonomy.colors.items()):
        # Labels that are no class (unidentified, not classed, candidate) are told apart by colour.
        mark = MARKS[i % len(MARKS)] if name in taxonomy.names else "circle"
        result[name] = Kind(name, color, mark)
    return result


def beside(places: Places, start: int, direction: tuple[int, int]) -> int:
    """The nearest place to one side of another, itself where there is none.

    Parameters
    ----------
    places : ndarray, shape (N, 2)
        Those that are NaN are left out.
    direction : (int, int)
        ``(x, y)``, one of them 0.
    """
    offsets = places - places[start]
    along = offsets @ np.asarray(direction, float)
    across = np.abs(offsets @ np.asarray(direction[::-1], float))
    # To one side is the quarter of the plane about the direction. Comparisons with NaN are False.
    distance = np.where((along > 0) & (across <= along), np.hypot(along, across), np.inf)
    nearest = int(np.argmin(distance))
    return nearest if np.isfinite(distance[nearest]) else start
