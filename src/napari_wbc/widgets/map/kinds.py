"""How cells stand on a map: by what they are coloured, and which a lasso encloses; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.taxonomy import Taxonomy

__all__ = ["COLOURINGS", "MARKS", "Kind", "beside", "enclosed", "kind_of", "kinds"]

COLOURINGS = ("label", "prediction", "reviewed", "field")
MARKS = ("circle", "square", "triangle", "diamond", "wedge", "cross", "plus", "star")
"""Shapes that tell kinds apart where colours do not."""
REVIEWED, TO_REVIEW, NO_PREDICTION = "reviewed", "to review", "no prediction"
OTHER_COLOR = "#999999"

Places = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Kind:
    """One entry of a legend.

    Parameters
    ----------
    name : str
    color : str
        ``#rrggbb``.
    mark : str
        One of :data:`MARKS`.
    """

    name: str
    color: str
    mark: str


def kind_of(cell: Cell, by: str, taxonomy: Taxonomy) -> str:
    """The name of a cell's kind.

    Parameters
    ----------
    cell : Cell
    by : str
        One of :data:`COLOURINGS`; a finer class counts as the one that covers it.
    taxonomy : Taxonomy

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
        Of :func:`kind_of`. Classes come in the order of the taxonomy, whose marks and colours they
        have whichever others there are; all else in the order given.
    by : str
        One of :data:`COLOURINGS`.
    taxonomy : Taxonomy
    """
    present = tuple(dict.fromkeys(names))
    palette = [c.color for c in taxonomy.classes]
    if by == "field":
        # A mark for each round of colours, so that as many fields as may be look unlike.
        rounds = [divmod(i, len(palette)) for i in range(len(present))]
        looks = [(palette[color], MARKS[turn % len(MARKS)]) for turn, color in rounds]
        return tuple(Kind(name, *look) for name, look in zip(present, looks, strict=True))
    if by == "reviewed":
        known = {
            TO_REVIEW: Kind(TO_REVIEW, "#e69f00", "circle"),
            REVIEWED: Kind(REVIEWED, "#56b4e9", "square"),
        }
    else:
        colors = taxonomy.colors
        known = {
            name: Kind(
                name, colors[name], MARKS[i % len(MARKS)] if name in taxonomy.names else "circle"
            )
            for i, name in enumerate(taxonomy.labels)
        }
    order = [name for name in known if name in present] + [
        name for name in present if name not in known
    ]
    return tuple(known.get(name, Kind(name, OTHER_COLOR, "cross")) for name in order)


def enclosed(places: Places, lasso: Sequence[tuple[float, float]]) -> npt.NDArray[np.bool_]:
    """Which places a lasso goes round.

    Parameters
    ----------
    places : ndarray, shape (N, 2)
    lasso : sequence of (x, y)
        Corners of a polygon that closes itself. Where it crosses itself, all that it goes round is
        inside.

    Returns
    -------
    ndarray, shape (N,), bool

    Examples
    --------
    >>> enclosed(np.array([[1.0, 1.0], [9.0, 1.0]]), [(0, 0), (2, 0), (2, 2), (0, 2)]).tolist()
    [True, False]
    """
    inside = np.zeros(len(places), bool)
    corners = np.asarray(lasso, float).reshape(-1, 2)
    if len(corners) < 3:
        return inside
    near = ((places >= corners.min(axis=0)) & (places <= corners.max(axis=0))).all(axis=1)
    x, y = places[near].astype(float).T
    turns = np.zeros(len(x), int)
    # How often the lasso winds about a place: the edges that cross the ray to its right, up less
    # down.
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 != y2:
            crossed = (
                (y >= min(y1, y2)) & (y < max(y1, y2)) & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
            )
            turns += np.where(crossed, 1 if y2 > y1 else -1, 0)
    inside[near] = turns != 0
    return inside


def beside(places: Places, here: int, direction: tuple[int, int]) -> int:
    """The nearest place to one side of another, itself where there is none.

    Parameters
    ----------
    places : ndarray, shape (N, 2)
        Those that are NaN are left out.
    here : int
    direction : (int, int)
        ``(x, y)``, one of them 0.
    """
    apart = places - places[here]
    along = apart @ np.asarray(direction, float)
    across = np.abs(apart @ np.asarray(direction[::-1], float))
    reach = np.where((along > 0) & (across <= along), np.hypot(along, across), np.inf)
    nearest = int(np.argmin(reach))
    return nearest if np.isfinite(reach[nearest]) else here
