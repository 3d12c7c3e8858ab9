"""What a laboratory chose for the report of a slide: one record, for the window and the shell.

The project keeps it as a note of the slide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.model.blood_count import WbcCount
from napari_wbc.model.policy import Policy
from napari_wbc.model.reference import Subject
from napari_wbc.model.target import Target
from napari_wbc.pipeline.lab_report.reference import settings_of
from napari_wbc.pipeline.lab_report.settings import Settings


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for the report of a slide; None where nothing was.

    Parameters
    ----------
    specimen : str, optional
        Its number in the laboratory.
    wbc, wbc_corrected : float and bool, optional
        As in :class:`~napari_wbc.model.blood_count.WbcCount`.
    sex, age : str and float, optional
        Of whose blood it is, for the reference intervals.
    target, within : int and float, optional
        As in :class:`~napari_wbc.model.target.Target`.
    bands_apart, unidentified_counted, correct_from, simultaneous : optional
        As in :class:`~napari_wbc.model.policy.Policy`.
    intervals, findings : str, optional
        Files of the laboratory's own tables.
    """

    specimen: str | None = None
    wbc: float | None = None
    wbc_corrected: bool | None = None
    sex: str | None = None
    age: float | None = None
    target: int | None = None
    within: float | None = None
    bands_apart: bool | None = None
    unidentified_counted: bool | None = None
    correct_from: float | None = None
    simultaneous: bool | None = None
    intervals: str | None = None
    findings: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What was chosen, by name, as JSON values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def over(self, kept: Choice) -> Choice:
        """This choice, and what was chosen before where it says nothing.

        Examples
        --------
        >>> Choice(wbc=9.0).over(Choice(specimen="H-1", wbc=17.4))
        ... # doctest: +ELLIPSIS
        Choice(specimen='H-1', wbc=9.0, ...)
        """
        return replace(kept, **self.given)

    def settings(self, *, masked: bool = False) -> Settings:
        """The settings of the report.

        Raises
        ------
        WbcError
            If a value makes no sense, or a table cannot be read.
        """
        return settings_of(self.intervals, self.findings, masked=masked, **self.options)

    @property
    def options(self) -> dict[str, Any]:
        """The fields of :class:`~napari_wbc.pipeline.lab_report.settings.Settings`, less tables.

        Raises
        ------
        WbcError
            If a value makes no sense.
        """
        given = self.given
        policy = {name: given[name] for name in _POLICY if name in given}
        usual = Target()
        return {
            "policy": Policy(**policy),
            "wbc": None if self.wbc is None else WbcCount(self.wbc, bool(self.wbc_corrected)),
            "specimen": self.specimen or "",
            "subject": Subject(self.sex or "", self.age),
            "target": Target(usual.cells if self.target is None else self.target, self.within),
        }

    @property
    def text(self) -> str:
        """What was chosen, in words.

        Examples
        --------
        >>> Choice(specimen="H-1", wbc=17.4, bands_apart=False).text
        'specimen H-1, WBC 17.4 x 10^9/L, bands merged'
        """
        return ", ".join(NAMES[name](value) for name, value in self.given.items())


_POLICY = ("bands_apart", "unidentified_counted", "correct_from", "simultaneous")
NAMES: Mapping[str, Callable[[Any], str]] = {
    "specimen": lambda value: f"specimen {value}" if value else "no specimen",
    "wbc": lambda value: f"WBC {value:g} x 10^9/L",
    "wbc_corrected": lambda value: f"WBC {'' if value else 'not '}corrected by the analyser",
    "sex": lambda value: value or "any sex",
    "age": lambda value: f"{value:g} years",
    "target": lambda value: f"target {value} cells",
    "within": lambda value: f"limits within {value:g} points",
    "bands_apart": lambda value: f"bands {'apart' if value else 'merged'}",
    "unidentified_counted": lambda value: f"unidentified {'' if value else 'not '}counted",
    "correct_from": lambda value: f"WBC corrected from {value:g} erythroblasts per 100 WBC on",
    "simultaneous": lambda value: f"limits of {'all classes at once' if value else 'each class'}",
    "intervals": lambda value: f"intervals of {value}",
    "findings": lambda value: f"findings of {value}",
}


def choice_key(slide: str) -> str:
    """The key of a project's note with what was chosen for a slide."""
    return f"report/{slide}"


def kept_choice(note: object) -> Choice:
    """The choice of a note; without what makes no sense, since a project may be anybody's.

    Examples
    --------
    >>> kept_choice({"wbc": 17.4, "age": "old"}) == Choice(wbc=17.4), kept_choice(5) == Choice()
    (True, True)
    """
    kept: dict[str, Any] = {}
    for each in fields(Choice):
        value = note.get(each.name) if isinstance(note, Mapping) else None
        if _is_of(str(each.type), value) and _makes_sense(each.name, value):
            kept[each.name] = value
    return Choice(**kept)


def difference(given: Choice, kept: Choice) -> str:
    """What of a kept choice is overridden, in words; empty if nothing is.

    Examples
    --------
    >>> difference(Choice(wbc=9.0), Choice(wbc=17.4, specimen="H-1"))
    'WBC 9 x 10^9/L instead of WBC 17.4 x 10^9/L'
    """
    before = kept.given
    changes = [
        f"{NAMES[name](value)} instead of {NAMES[name](before[name])}"
        for name, value in given.given.items()
        if name in before and before[name] != value
    ]
    return ", ".join(changes)


def absolute(path: Path | None) -> str | None:
    """A file as a choice names it: from any folder alike."""
    return None if path is None else str(path.absolute())


def _is_of(kind: str, value: object) -> bool:
    # In Python a bool is a number too.
    if isinstance(value, bool) or kind.startswith("bool"):
        return isinstance(value, bool) and kind.startswith("bool")
    types = {"str": str, "float": float | int, "int": int}
    return isinstance(value, types[kind.partition(" ")[0]])


def _makes_sense(name: str, value: Any) -> bool:
    if name in ("intervals", "findings"):
        # Whether it can be read is told when it is.
        return bool(value)
    try:
        Settings(**Choice(**{name: value}).options)
    except WbcError:
        return False
    return True
