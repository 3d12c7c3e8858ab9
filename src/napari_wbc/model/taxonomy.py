"""Cell classes: their names, keys, colours and place in the differential.

Invariant: a label is a class name of a taxonomy, :data:`UNIDENTIFIED`, :data:`NOT_CLASSED` or
:data:`CANDIDATE`; the last three are never classes, and nobody gives the last one. A name counts as
at most one class.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.model.words import is_line

UNIDENTIFIED = "unidentified"
"""Label of a cell that the model is not sure of."""

NOT_CLASSED = "not classed"
"""Label of a cell that a person excluded from the count."""

CANDIDATE = "candidate"
"""Label of a cell on which the cell finders disagree, until a person accepts or labels it."""

LABEL_KEYS = {"0": UNIDENTIFIED, "9": NOT_CLASSED}
LABEL_COLORS = {UNIDENTIFIED: "#ffffff", NOT_CLASSED: "#999999", CANDIDATE: "#352087"}
LABEL_SHORTS = {UNIDENTIFIED: "?", NOT_CLASSED: "x", CANDIDATE: "c?"}
MAX_NAME_LENGTH = 60


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
        One to three letters, for the label on the image.
    key : str
        The letter or digit that gives a cell this class; empty for none.
    color : str
        ``#rrggbb``.
    place : Place
        Where it stands in a differential.
    covers : tuple of str
        Names of finer classes that count as this one.

    Raises
    ------
    WbcError
        If a name, the short form, the key or the colour is not of that form.
    """

    name: str
    short: str
    key: str
    color: str
    place: Place = Place.LEUKOCYTE
    covers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.name, *self.covers):
            # A name is a column of files, a folder of an export and a label on a button.
            printable = name and name == name.strip() and is_line(name)
            if not printable or len(name) > MAX_NAME_LENGTH:
                raise WbcError(
                    f"{name[:MAX_NAME_LENGTH]!r} is no name of a class; write one line of 1 to "
                    f"{MAX_NAME_LENGTH} characters, without blanks around it."
                )
        fault = ""
        if not 1 <= len(self.short) <= 3 or not self.short.isprintable():
            fault = f"short form {self.short[:20]!r}; use 1 to 3 letters"
        elif not re.fullmatch("[0-9A-Za-z]?", self.key):
            fault = f"key {self.key[:20]!r}; use one letter or digit, or none"
        elif not re.fullmatch("#[0-9A-Fa-f]{6}", self.color):
            fault = f"colour {self.color[:20]!r}; write it like '#56b4e9'"
        if fault:
            raise WbcError(f"Class {self.name!r} has the {fault}.")


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """An ordered set of cell classes; the order is the order of a model's outputs.

    Raises
    ------
    WbcError
        If a name is a class twice, covered twice or reserved, or two classes share a key or a
        short form.

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
        claimed = Counter(self.names)
        for name, times in claimed.most_common(1):
            if times > 1:
                raise WbcError(f"Taxonomy {self.name!r} names a class twice: {name!r}; remove one.")
        keys = Counter(LABEL_KEYS.keys())
        shorts = Counter(LABEL_SHORTS.values())
        for cell_class in self.classes:
            claimed.update(cell_class.covers)
            # "n" and "N" are one key of the keyboard.
            keys.update(cell_class.key.upper())
            shorts[cell_class.short] += 1
        if reserved := LABEL_SHORTS.keys() & claimed.keys():
            raise WbcError(
                f"Taxonomy {self.name!r} uses a reserved word as a class, "
                f"{', '.join(sorted(reserved))}; choose another name."
            )
        for what, values in (("covered class", claimed), ("key", keys), ("short form", shorts)):
            for value, times in values.most_common(1):
                if times > 1:
                    raise WbcError(
                        f"Taxonomy {self.name!r} has the {what} {value!r} twice, or it is taken; "
                        "it can stand for one class only."
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(c.name for c in self.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label a person may give: the class names, then the two labels beside them."""
        return (*self.names, UNIDENTIFIED, NOT_CLASSED)

    @property
    def keys(self) -> dict[str, str]:
        """Key to label, of the classes that have a key and of the two labels beside them."""
        return {c.key: c.name for c in self.classes if c.key} | LABEL_KEYS

    @property
    def colors(self) -> dict[str, str]:
        """Label to ``#rrggbb``, for every label, candidates last."""
        return {c.name: c.color for c in self.classes} | LABEL_COLORS

    @property
    def shorts(self) -> dict[str, str]:
        """Label to its short form on the image, for every label, candidates last."""
        return {c.name: c.short for c in self.classes} | LABEL_SHORTS

    def names_at(self, place: Place) -> tuple[str, ...]:
        """Names of the classes at one place of the differential, in order."""
        return tuple(c.name for c in self.classes if c.place is place)

    def class_of(self, name: str) -> str | None:
        """The class that a name counts as: its own, or the one that covers it; else None.

        Examples
        --------
        >>> EIGHT_CLASSES.class_of("band neutrophil")
        'neutrophil'
        """
        for cell_class in self.classes:
            if name == cell_class.name or name in cell_class.covers:
                return cell_class.name
        return None

    def row_of(self, label: str) -> str:
        """The row of a differential that a label counts in: its class, or else its own.

        Examples
        --------
        >>> EIGHT_CLASSES.row_of("band neutrophil"), EIGHT_CLASSES.row_of("smudge cell")
        ('neutrophil', 'smudge cell')
        """
        return self.class_of(label) or label

    def short_of(self, label: str) -> str:
        """What stands beside a cell: the short form of its row, or else 12 letters of the label.

        Examples
        --------
        >>> EIGHT_CLASSES.short_of("band neutrophil")
        'NEU'
        """
        return self.shorts.get(self.row_of(label), label[:12])

    def with_keys(self, keys: Mapping[str, str]) -> Taxonomy:
        """The same classes with other keys by class name; an empty key is none.

        Raises
        ------
        WbcError
            If a key is no letter or digit, or is taken.

        Examples
        --------
        >>> EIGHT_CLASSES.with_keys({"neutrophil": "n"}).keys["n"]
        'neutrophil'
        """
        classes = [replace(c, key=keys.get(c.name, c.key)) for c in self.classes]
        return replace(self, classes=tuple(classes))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in model cards and YAML files."""
        classes: list[dict[str, Any]] = []
        for cell_class in self.classes:
            values = {"place": cell_class.place.value, "covers": list(cell_class.covers)}
            classes.append(asdict(cell_class) | values)
        return {"name": self.name, "classes": classes}


_NEUTROPHILS = ("segmented neutrophil", "band neutrophil")
_IMMATURE_GRANULOCYTES = ("metamyelocyte", "myelocyte", "promyelocyte")


EIGHT_CLASSES = Taxonomy(
    "eight classes",
    (
        CellClass("neutrophil", "NEU", "1", "#55c3fd", covers=_NEUTROPHILS),
        CellClass("eosinophil", "EOS", "2", "#d59100"),
        CellClass("basophil", "BAS", "3", "#955986"),
        CellClass("lymphocyte", "LYM", "4", "#277257"),
        CellClass("monocyte", "MON", "5", "#f5e53b"),
        CellClass("immature granulocyte", "IG", "6", "#0d86d3", covers=_IMMATURE_GRANULOCYTES),
        CellClass("erythroblast", "ERB", "7", "#b83a02", Place.PER_100_WBC),
        CellClass("platelet", "PLT", "8", "#c5fbba", Place.BESIDE),
    ),
)
"""The classes of the shipped weights, by the names that stand in files.

Any two of their colours, and those of the other labels, differ by 15 (CIEDE2000) and more, also to
eyes without one kind of cone. All are bright enough to stand out from a black casing by 3:1.
"""


def _part(name: str, *names: str) -> Taxonomy:
    """A taxonomy of some of the eight classes, which keep their keys and colours."""
    return Taxonomy(name, tuple(c for c in EIGHT_CLASSES.classes if c.name in names))


TWO_CLASSES = Taxonomy(
    "two classes",
    (
        CellClass("mononuclear", "MN", "1", "#277257", covers=("lymphocyte", "monocyte")),
        CellClass(
            "polynuclear",
            "PMN",
            "2",
            "#55c3fd",
            covers=("neutrophil", *_NEUTROPHILS, "eosinophil", "basophil"),
        ),
    ),
)
FOUR_CLASSES = _part("four classes", "neutrophil", "eosinophil", "lymphocyte", "monocyte")
FIVE_CLASSES = _part(
    "five classes", "neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte"
)

TAXONOMIES = {
    "two": TWO_CLASSES,
    "four": FOUR_CLASSES,
    "five": FIVE_CLASSES,
    "eight": EIGHT_CLASSES,
}
"""The built-in taxonomies by short name."""
