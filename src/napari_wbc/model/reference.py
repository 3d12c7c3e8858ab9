"""Reference intervals and critical findings: what of a differential is out of the ordinary.

Invariant: a flag is sure only where the confidence limits leave the interval too. A value outside,
whose limits reach inside, may be chance.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from napari_wbc.errors import WbcError
from napari_wbc.model.differential import Differential
from napari_wbc.model.labels import plain_label
from napari_wbc.model.limits import Estimate
from napari_wbc.model.table import CellTable
from napari_wbc.model.words import counted as words

ADULT = 18.0
"""Age, in years, of a person whose age is not given."""
SEXES = ("female", "male")
PERCENT = "%"
PER_LITRE = "10*9/L"
PER_100_WBC = "/100 WBC"
CELLS = "cells"


def sex_of(text: str) -> str:
    """``female`` or ``male`` for how people write them; another text as it is.

    Examples
    --------
    >>> sex_of("F"), sex_of("Male"), sex_of("")
    ('female', 'male', '')
    """
    plain = text.strip().lower()
    fitting = [sex for sex in SEXES if plain in (sex, sex[0])]
    return fitting[0] if fitting else text.strip()


class Flag(StrEnum):
    """Where a value lies against its reference interval."""

    NONE = ""
    """Inside, or there is no interval."""
    BELOW = "below"
    BELOW_SURELY = "below, surely"
    ABOVE = "above"
    ABOVE_SURELY = "above, surely"

    @property
    def unsure(self) -> Flag:
        """The same flag, not called sure.

        Examples
        --------
        >>> Flag.ABOVE_SURELY.unsure
        <Flag.ABOVE: 'above'>
        """
        return Flag(self.removesuffix(", surely"))


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose blood it is, as far as reference intervals need it.

    Parameters
    ----------
    sex : str
        ``female``, ``male`` or empty: then only intervals of both sexes are used.
    age : float, optional
        In years; adult where it is not given.

    Raises
    ------
    WbcError
        If sex or age is none.
    """

    sex: str = ""
    age: float | None = None

    def __post_init__(self) -> None:
        if self.sex not in ("", *SEXES):
            raise WbcError(f"Sex {self.sex!r} is not known here; give female or male, or none.")
        if self.age is not None and not 0 <= self.age < 150:
            raise WbcError(f"Age {self.age:g} is none; give years, 0 to 150.")


@dataclass(frozen=True, slots=True)
class Interval:
    """A reference interval of a laboratory or of the literature.

    Parameters
    ----------
    measure : str
        Row of the differential, or ``WBC``.
    unit : str
        ``%`` or ``10*9/L``, as UCUM writes them.
    low, high : float
        Both included.
    sex : str
        Empty for both.
    age_from, age_to : float
        Years; the first included, the last not.
    source : str
        Where it is from, as a report cites it.
    """

    measure: str
    unit: str
    low: float
    high: float
    sex: str = ""
    age_from: float = 0.0
    age_to: float = math.inf
    source: str = ""

    def is_for(self, subject: Subject) -> bool:
        """Whether it is an interval of such a person."""
        age = ADULT if subject.age is None else subject.age
        return self.sex in ("", subject.sex) and self.age_from <= age < self.age_to


@dataclass(frozen=True, slots=True)
class Finding:
    """What a laboratory calls critical.

    Parameters
    ----------
    name : str
        As reports have it.
    labels : tuple of str
        Labels of the cells, however they are spelled.
    unit : str
        ``cells``, ``%`` of the leukocytes, or ``/100 WBC``.
    at_least : float
        Number from which on it is critical.
    source : str
        Where it is from, as a report cites it.
    """

    name: str
    labels: tuple[str, ...]
    unit: str
    at_least: float
    source: str = ""


@dataclass(frozen=True, slots=True)
class Critical:
    """A critical finding on a slide."""

    finding: Finding
    count: int
    number: float
    """In the unit of the finding."""
    reviewed: int = 0
    """Cells that a person called so."""

    @property
    def predicted(self) -> int:
        """Cells that only the model calls so."""
        return self.count - self.reviewed

    @property
    def doubt(self) -> str:
        """That nobody has checked the cells, in words; empty if a person has labelled all.

        Examples
        --------
        >>> finding = Finding("Blasts", ("blast",), CELLS, 1)
        >>> Critical(finding, 3, 3).doubt, Critical(finding, 3, 3, reviewed=2).doubt
        ('by the model only, not reviewed', '1 of 3 by the model only, not reviewed')
        """
        if not self.predicted:
            return ""
        part = f"{self.predicted} of {self.count} " if self.reviewed else ""
        return f"{part}by the model only, not reviewed"

    @property
    def text(self) -> str:
        """The finding in words, with how many cells it is of and who called them so.

        Examples
        --------
        >>> Critical(Finding("Blasts", ("blast",), CELLS, 1), 3, 3, reviewed=3).text
        'Blasts: 3 cells'
        """
        share = "" if self.finding.unit == CELLS else f" ({self.number:.1f} {self.finding.unit})"
        text = f"{self.finding.name}: {words(self.count)}{share}"
        return ", ".join(filter(None, (text, self.doubt)))


def interval_of(
    intervals: Iterable[Interval], measure: str, unit: str, subject: Subject
) -> Interval | None:
    """The interval for a person; one of the person's sex before one of both.

    Examples
    --------
    >>> both = Interval("WBC", "10*9/L", 4, 11)
    >>> interval_of([both], "WBC", "10*9/L", Subject("female")) is both
    True
    """
    fitting = [
        each
        for each in intervals
        if (each.measure, each.unit) == (measure, unit) and each.is_for(subject)
    ]
    return max(fitting, key=lambda each: each.sex != "", default=None)


def flag_of(estimate: Estimate, interval: Interval | None) -> Flag:
    """Where a value lies against its interval, and whether that is sure.

    Counts that the model alone made have no limits, and are no reason to call a value abnormal.

    Examples
    --------
    >>> interval = Interval("monocyte", "%", 4, 9)
    >>> flag_of(Estimate(11, 6, 18), interval), flag_of(Estimate(20, 13, 29), interval)
    (<Flag.ABOVE: 'above'>, <Flag.ABOVE_SURELY: 'above, surely'>)
    """
    if interval is None or math.isnan(estimate.low):
        return Flag.NONE
    if estimate.value > interval.high:
        return Flag.ABOVE_SURELY if estimate.low > interval.high else Flag.ABOVE
    if estimate.value < interval.low:
        return Flag.BELOW_SURELY if estimate.high < interval.low else Flag.BELOW
    return Flag.NONE


def critical_findings(
    findings: Sequence[Finding], table: CellTable, counted: Differential
) -> tuple[Critical, ...]:
    """The critical findings of a slide, in the order of the laboratory's list.

    They are of labels, not of rows: a blast is critical also where the classes do not have it.
    """
    met: list[Critical] = []
    for finding in findings:
        names = set(map(plain_label, finding.labels))
        count = _of_labels(table.label_counts, names)
        number = float(count)
        if finding.unit != CELLS:
            number = 100 * count / counted.total if counted.total else math.nan
        if count and number >= finding.at_least:
            reviewed = _of_labels(table.annotated_counts, names)
            met.append(Critical(finding, count, number, reviewed))
    return tuple(met)


def _of_labels(counts: Mapping[str, int], names: Collection[str]) -> int:
    """Cells of labels, however they are spelled."""
    return sum(n for label, n in counts.items() if plain_label(label) in names)
