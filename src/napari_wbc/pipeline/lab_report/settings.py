"""What a laboratory sets for a report, its tables among it, and what a signature covers of that."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.model.blood_count import WbcCount
from napari_wbc.model.differential import DEFAULT
from napari_wbc.model.policy import Policy
from napari_wbc.model.reference import Finding, Interval, Subject
from napari_wbc.model.target import Target
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.words import is_line

NOT_GIVEN = Subject()
MAX_TEXT = 200
"""Characters of a specimen's name."""
USUAL = Target()
TABLES: Mapping[str, type[Interval] | type[Finding]] = {
    "intervals": Interval,
    "findings": Finding,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a laboratory sets for its reports.

    Parameters
    ----------
    policy : Policy
    wbc : WbcCount, optional
        The WBC count of the same blood.
    specimen : str
        Its number in the laboratory.
    subject : Subject
        Whose blood it is, for the reference intervals.
    masked : bool
        Whether slide and specimen stay unnamed.
    intervals, findings : tuple
        The tables that are used.
    target : Target
        What is to be counted before a report is signed.
    shipped : tuple of str
        Those of ``intervals`` and ``findings`` that came with the program: nobody has chosen them.

    Raises
    ------
    WbcError
        If the specimen's name is none.
    """

    policy: Policy = DEFAULT
    wbc: WbcCount | None = None
    specimen: str = ""
    subject: Subject = NOT_GIVEN
    masked: bool = False
    intervals: tuple[Interval, ...] = ()
    findings: tuple[Finding, ...] = ()
    target: Target = USUAL
    shipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.specimen) > MAX_TEXT or not is_line(self.specimen):
            raise WbcError(
                f"{self.specimen[:40]!r} is no name of a specimen; write one line of up to "
                f"{MAX_TEXT} characters."
            )

    @property
    def tables(self) -> dict[str, Any]:
        """The tables as JSON values, as the record of a signature keeps them."""
        kept: dict[str, Any] = {"shipped": list(self.shipped)}
        for name in TABLES:
            kept[name] = [_row(each) for each in getattr(self, name)]
        return kept

    def with_kept(self, tables: Mapping[str, Any]) -> Settings:
        """The same settings, the shipped tables as a record keeps them.

        So an update of the program, whose tables may be others, changes no signed report.

        Raises
        ------
        KeyError, TypeError, AttributeError
            If the record makes no sense.
        """
        kept: dict[str, Any] = {}
        for name in set(tables["shipped"]) & set(self.shipped):
            kept[name] = tuple(_of_row(TABLES[name], row) for row in tables[name])
        return replace(self, **kept)


def settings_sha256(settings: Settings, taxonomy: Taxonomy) -> str:
    """Of all that the laboratory has chosen, and of the classes and where each stands.

    Shipped tables were not chosen; the record of a signature has them as they were. What is as
    usual does not count, so that a setting that a later version of the program brings breaks no
    signature; nor do colours and keys of classes.
    """
    nothing: dict[str, Any] = dict.fromkeys(settings.shipped, ())
    # Whether a page names slide and specimen changes nothing of what was signed.
    chosen = replace(settings, shipped=(), masked=False, **nothing)
    rules = _unusual(asdict(chosen), asdict(Settings()))
    rules["classes"] = [[each.name, each.place.value, each.covers] for each in taxonomy.classes]
    text = json.dumps(rules, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _unusual(values: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """The entries that differ from the usual ones, also inside of entries."""
    unusual: dict[str, Any] = {}
    for name, value in values.items():
        before = usual.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            value = _unusual(value, before)  # noqa: PLW2901, the same entry, shortened
            before = {}
        if value != before:
            unusual[name] = value
    return unusual


def _row(entry: Interval | Finding) -> dict[str, Any]:
    # JSON has no infinity.
    return {name: None if value == math.inf else value for name, value in asdict(entry).items()}


def _of_row(kind: type[Interval] | type[Finding], row: Mapping[str, Any]) -> Interval | Finding:
    values: dict[str, Any] = {}
    for each in fields(kind):
        value = row[each.name]
        if each.type == "float":
            values[each.name] = math.inf if value is None else float(value)
        else:
            values[each.name] = tuple(map(_text, value)) if each.name == "labels" else _text(value)
    return kind(**values)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
