"""Cell classes: their names, keys, colours and place in the differential.

Invariant: a label is a class name of a taxonomy, :data:`UNIDENTIFIED` or
:data:`NOT_CLASSED`; the last two are never classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from napari_wbc.errors import WbcError

__all__ = ["EIGHT_CLASSES", "NOT_CLASSED", "UNIDENTIFIED", "CellClass", "Place", "Taxonomy"]

UNIDENTIFIED = "unidentified"
"""Label of a cell that the model is not sure of."""

NOT_CLASSED = "not classed"
"""Label of a cell that a person excluded from the count."""


class Place(Enum):
    """Where a class stands in a differential."""

    LEUKOCYTE = "leukocyte"
    """In the denominator, with a percentage."""
    PER_100_WBC = "per 100 WBC"
    """Beside the differential, per 100 leukocytes (ICSH 2015)."""
    BESIDE = "beside"
    """Counted, never related to the leukocytes."""


@dataclass(frozen=True, slots=True)
class CellClass:
    """One class of cell.

    Parameters
    ----------
    name : str
        As it stands in files.
    short : str
        At most three letters, for the label on the image.
    key : str
        The key that gives a cell this class.
    color : str
        ``#rrggbb``; told apart by colour-blind people (Okabe and Ito 2008).
    place : Place
        Where it stands in a differential.
    """

    name: str
    short: str
    key: str
    color: str
    place: Place = Place.LEUKOCYTE


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """An ordered set of cell classes; the order is the order of a model's outputs.

    Examples
    --------
    >>> EIGHT_CLASSES.names[0]
    'neutrophil'
    >>> "unidentified" in EIGHT_CLASSES.labels
    True
    """

    name: str
    classes: tuple[CellClass, ...]

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            raise WbcError(f"Taxonomy {self.name!r} names a class twice: {names}.")
        if {UNIDENTIFIED, NOT_CLASSED} & set(names):
            raise WbcError(f"Taxonomy {self.name!r} uses a reserved word as a class: {names}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(c.name for c in self.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label a cell may have: the class names, then the two labels beside them."""
        return (*self.names, UNIDENTIFIED, NOT_CLASSED)

    @property
    def keys(self) -> dict[str, str]:
        """Key to label, the classes' keys and those of the two labels beside them."""
        return {c.key: c.name for c in self.classes} | {"0": UNIDENTIFIED, "9": NOT_CLASSED}

    @property
    def colors(self) -> dict[str, str]:
        """Label to ``#rrggbb``, for every label."""
        return {c.name: c.color for c in self.classes} | {UNIDENTIFIED: "#ffffff", NOT_CLASSED: "#999999"}

    @property
    def shorts(self) -> dict[str, str]:
        """Label to its short form on the image, for every label."""
        return {c.name: c.short for c in self.classes} | {UNIDENTIFIED: "?", NOT_CLASSED: "x"}

    def names_at(self, place: Place) -> tuple[str, ...]:
        """Names of the classes at one place of the differential, in order."""
        return tuple(c.name for c in self.classes if c.place is place)


EIGHT_CLASSES = Taxonomy(
    "eight classes",
    (
        CellClass("neutrophil", "NEU", "1", "#56b4e9"),
        CellClass("eosinophil", "EOS", "2", "#e69f00"),
        CellClass("basophil", "BAS", "3", "#cc79a7"),
        CellClass("lymphocyte", "LYM", "4", "#009e73"),
        CellClass("monocyte", "MON", "5", "#f0e442"),
        CellClass("immature granulocyte", "IG", "6", "#0072b2"),
        CellClass("erythroblast", "ERB", "7", "#d55e00", Place.PER_100_WBC),
        CellClass("platelet", "PLT", "8", "#44ffdd", Place.BESIDE),
    ),
)
"""The classes of the shipped weights, by the names that stand in files."""
