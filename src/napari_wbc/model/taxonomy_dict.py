"""Taxonomies from plain values, with defaults for what is left out.

Invariant: :func:`taxonomy_from_dict` turns whatever :meth:`Taxonomy.to_dict` gave into an equal
taxonomy, and anything else that a file may hold into a taxonomy or one clear error.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations, count
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy import (
    LABEL_COLORS,
    LABEL_SHORTS,
    TAXONOMIES,
    CellClass,
    Place,
    Taxonomy,
)

FIELDS = ("name", "short", "key", "color", "place", "covers")
MAX_CLASSES = 200
KNOWN: dict[str, CellClass] = {}
for _taxonomy in TAXONOMIES.values():
    KNOWN |= {c.name: c for c in _taxonomy.classes}
PLACES = {"smudge cell": Place.PER_100_WBC, "artefact": Place.BESIDE, "red cell": Place.BESIDE}
"""Places of usual classes that no built-in taxonomy has; any other is a leukocyte."""
PALETTE = (
    *("#55c3fd", "#d59100", "#955986", "#277257", "#f5e53b", "#0d86d3", "#b83a02", "#c5fbba"),
    *("#332288", "#882255", "#999933", "#aa4499", "#117733", "#ddcc77", "#cc6677", "#88ccee"),
)
"""As in the eight classes, then Tol's "muted" (2021)."""


def taxonomy_of_names(name: str, names: Sequence[str]) -> Taxonomy:
    """A taxonomy of class names, all else by default.

    Examples
    --------
    >>> taxonomy_of_names("mine", ["neutrophil", "hairy cell"]).shorts["hairy cell"]
    'HC'
    """
    return taxonomy_from_dict({"name": name, "classes": list(names)})


def grown(taxonomy: Taxonomy, names: Sequence[str]) -> Taxonomy:
    """A taxonomy with more classes behind its own, which no longer cover them.

    Raises
    ------
    WbcError
        If one of the names is a class already, or is none.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import FIVE_CLASSES
    >>> more = grown(FIVE_CLASSES, ["band neutrophil"])
    >>> more.names[-1], more.class_of("band neutrophil")
    ('band neutrophil', 'band neutrophil')
    """
    if not names:
        return taxonomy
    existing = set(map(str.casefold, taxonomy.names))
    for name in names:
        if name.casefold() in existing:
            raise WbcError(
                f"{name} is a class of {taxonomy.name!r} already; name new classes only."
            )
    data = taxonomy.to_dict()
    for entry in data["classes"]:
        # A name counts as one class only: as the new one, no longer as the one that covered it.
        entry["covers"] = [name for name in entry["covers"] if name not in names]
    data["classes"] += names
    return taxonomy_from_dict(data)


def taxonomy_from_dict(data: object) -> Taxonomy:
    """A taxonomy from plain values: a dict of ``name`` and ``classes``, a list.

    Each class is a name, or a dict of ``name`` and what
    :class:`~napari_wbc.model.taxonomy.CellClass` takes. What is left out is as in the built-in
    class of that name where there is one and no other class here has taken it.

    Raises
    ------
    WbcError
        If it says no taxonomy; the message names the entry.
    """
    top = _fields(data, ("name", "classes"), "A taxonomy")
    name = _text(top, "name", "A taxonomy")
    entries = top.get("classes")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_CLASSES:
        raise WbcError(f"A taxonomy needs classes, a list of 1 to {MAX_CLASSES} names or classes.")
    plans = [_plan(entry, f"Class {i}") for i, entry in enumerate(entries, start=1)]
    _fill_all(plans)
    return Taxonomy(name, tuple(CellClass(**plan) for plan in plans))


_FORMER_COLORS = {
    "neutrophil": "#56b4e9",
    "eosinophil": "#e69f00",
    "basophil": "#cc79a7",
    "lymphocyte": "#009e73",
    "monocyte": "#f0e442",
    "immature granulocyte": "#0072b2",
    "erythroblast": "#d55e00",
    "platelet": "#44ffdd",
    "mononuclear": "#009e73",
    "polynuclear": "#56b4e9",
}
"""Of built-in classes in earlier versions."""


def _plan(entry: object, where: str) -> dict[str, Any]:
    """What one entry says, checked for its form."""
    given = _fields({"name": entry} if isinstance(entry, str) else entry, FIELDS, where)
    plan: dict[str, Any] = {"name": _text(given, "name", where)}
    where = f"{where}, {plan['name'][:20]!r}"
    for field in ("short", "key", "color"):
        if field in given:
            plan[field] = _text(given, field, where)
    # Cards and projects have the colours of their time, which some eyes cannot tell apart.
    if plan.get("color") == _FORMER_COLORS.get(plan["name"]):
        plan.pop("color", None)
    if "place" in given:
        place = _text(given, "place", where)
        try:
            plan["place"] = Place(place)
        except ValueError as error:
            places = ", ".join(p.value for p in Place)
            raise WbcError(f"{where} has the place {place[:20]!r}; use {places}.") from error
    if "covers" in given:
        covers = given["covers"]
        if not isinstance(covers, list) or not set(map(type, covers)) <= {str}:
            raise WbcError(
                f"{where}: covers must be a list of class names, in quotes where need be."
            )
        plan["covers"] = tuple(covers)
    return plan


def _fields(data: object, names: Sequence[str], where: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise WbcError(f"{where} is not written as fields; give {', '.join(names)}.")
    for key in data:
        if key not in names:
            shown = key[:20] if isinstance(key, str) else "?"
            raise WbcError(
                f"{where} has the unknown field {shown!r}; it may have {', '.join(names)}."
            )
    return data


def _text(given: Mapping[str, Any], field: str, where: str) -> str:
    value = given.get(field)
    # YAML reads the key 1 as a number.
    if field == "key" and type(value) is int and 0 <= value <= 9:
        return str(value)
    if not isinstance(value, str):
        hint = " (an unquoted # begins a comment)" if field == "color" else ""
        raise WbcError(f"{where}: {field} is missing or not a text; write it in quotes{hint}.")
    return value


def _fill_all(plans: Sequence[dict[str, Any]]) -> None:
    """Give the plans defaults for what they leave out."""
    palette = chain(PALETTE, _more_colors())
    _fill(plans, "short", LABEL_SHORTS.values(), _shorts)
    _fill(plans, "key", (), lambda _name: [*"12345678", ""])
    _fill(plans, "color", LABEL_COLORS.values(), lambda _name: palette)
    claimed: set[str] = set()
    for plan in plans:
        claimed |= {plan["name"], *plan.get("covers", ())}
    for plan in plans:
        built_in = KNOWN.get(plan["name"])
        place = built_in.place if built_in else PLACES.get(plan["name"], Place.LEUKOCYTE)
        plan.setdefault("place", place)
        if built_in:
            # What another class here is, or covers, is that one's.
            covers = tuple(name for name in built_in.covers if name not in claimed)
            plan.setdefault("covers", covers)
            claimed |= set(covers)


def _fill(
    plans: Sequence[dict[str, Any]],
    field: str,
    reserved: Iterable[str],
    choices: Callable[[str], Iterable[str]],
) -> None:
    """Give each class that lacks a value the known class's, or the first choice that is free."""
    taken = {*reserved}
    for plan in plans:
        taken.add(plan.get(field, "").lower())

    def take(plan: dict[str, Any], choices: Iterable[str]) -> None:
        for choice in choices:
            # Any number of classes may have no key.
            if not choice or choice.lower() not in taken:
                plan[field] = choice
                taken.add(choice.lower())
                return

    for plan in plans:
        built_in = KNOWN.get(plan["name"])
        # Classes of familiar names choose first, so that they look as everywhere else.
        if built_in and field not in plan:
            take(plan, [getattr(built_in, field)])
    for plan in plans:
        if field not in plan:
            take(plan, choices(plan["name"]))


def _shorts(name: str) -> Iterator[str]:
    """Initials of several words, else three letters in their order, else a number."""
    words = name.split()
    if 2 <= len(words) <= 3:
        yield "".join(word[0] for word in words).upper()[:3]
    # Eight letters give 56 short forms; all of a long name would give tens of thousands.
    letters = list(filter(str.isalnum, name))[:8]
    for three in combinations(letters, 3):
        yield "".join(three).upper()[:3]
    yield from map(str, count(1))


def _more_colors() -> Iterator[str]:
    """Colours without end: hues by the golden ratio, lightness by turns."""
    for i in count():
        rgb = colorsys.hls_to_rgb(i * 0.618034 % 1, (0.35, 0.55, 0.75)[i % 3], 0.8)
        yield "#" + "".join(f"{round(255 * value):02x}" for value in rgb)
