"""A laboratory's tables: reference intervals and critical findings, shipped or its own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.model.reference import (
    CELLS,
    PER_100_WBC,
    PER_LITRE,
    PERCENT,
    SEXES,
    Finding,
    Interval,
    sex_of,
)
from napari_wbc.model.words import is_line
from napari_wbc.pipeline.lab_report.settings import Settings
from napari_wbc.storage.tables import read_rows

DATA = Path(__file__).parent / "data"
INTERVALS = DATA / "reference_intervals.csv"
FINDINGS = DATA / "critical_findings.csv"
MAX_FIELD = 400
"""Characters of a text in a table; more is a mistake."""
_INTERVAL_COLUMNS = ("measure", "unit", "sex", "age_from", "age_to", "low", "high", "source")
_FINDING_COLUMNS = ("finding", "labels", "unit", "at_least", "source")


def read_intervals(path: str | Path = INTERVALS) -> tuple[Interval, ...]:
    """Reference intervals of a CSV table.

    Parameters
    ----------
    path : str or Path
        With the columns ``measure, unit, sex, age_from, age_to, low, high, source``; an empty sex
        is both, an empty age any. The shipped table may be copied and edited.

    Raises
    ------
    WbcError
        If it cannot be read, or a row is no interval.

    Examples
    --------
    >>> read_intervals()[0].measure
    'WBC'
    """
    intervals: list[Interval] = []
    for number, row in _rows(Path(path), _INTERVAL_COLUMNS, ("age_from", "age_to", "low", "high")):
        sex = sex_of(row["sex"])
        interval = Interval(
            row["measure"].strip(),
            row["unit"].strip(),
            _number(path, number, row["low"], 0.0),
            _number(path, number, row["high"], math.inf),
            sex,
            _number(path, number, row["age_from"], 0.0),
            _number(path, number, row["age_to"], math.inf),
            row["source"].strip(),
        )
        fault = ""
        if interval.unit not in (PERCENT, PER_LITRE):
            fault = f"the unit {interval.unit!r}; use {PERCENT} or {PER_LITRE}"
        elif sex and sex not in SEXES:
            fault = f"the sex {sex!r}; use female, male or nothing"
        elif interval.low > interval.high or interval.age_from >= interval.age_to:
            fault = "a higher number before a lower one; put the lower one first"
        if fault:
            raise WbcError(f"{path}: row {number} has {fault}.")
        intervals.append(interval)
    return tuple(intervals)


def read_findings(path: str | Path = FINDINGS) -> tuple[Finding, ...]:
    """Critical findings of a CSV table.

    Parameters
    ----------
    path : str or Path
        With the columns ``finding, labels, unit, at_least, source``; labels are parted by ``|``.

    Raises
    ------
    WbcError
        If it cannot be read, or a row is no finding.

    Examples
    --------
    >>> read_findings()[0].name
    'Blasts'
    """
    findings: list[Finding] = []
    for number, row in _rows(Path(path), _FINDING_COLUMNS, ("at_least",)):
        labels = tuple(filter(None, map(str.strip, row["labels"].split("|"))))
        unit = row["unit"].strip()
        if unit not in (CELLS, PERCENT, PER_100_WBC) or not labels:
            raise WbcError(
                f"{path}: row {number} is no finding; give labels, parted by |, and the unit "
                f"{CELLS}, {PERCENT} or {PER_100_WBC}."
            )
        at_least = _number(path, number, row["at_least"], 0.0)
        findings.append(
            Finding(row["finding"].strip(), labels, unit, at_least, row["source"].strip())
        )
    return tuple(findings)


def settings_of(
    intervals: str | Path | None = None, findings: str | Path | None = None, **options: Any
) -> Settings:
    """Settings of a report with the tables of a laboratory, or the shipped ones.

    Parameters
    ----------
    intervals, findings : str or Path, optional
        CSV tables for :func:`read_intervals` and :func:`read_findings`.
    **options
        All others of :class:`~napari_wbc.pipeline.lab_report.settings.Settings`.

    Raises
    ------
    WbcError
        If a table cannot be read, or an option makes no sense.
    """
    own = {"intervals": intervals, "findings": findings}
    return Settings(
        intervals=read_intervals(intervals or INTERVALS),
        findings=read_findings(findings or FINDINGS),
        shipped=tuple(name for name, path in own.items() if path is None),
        **options,
    )


def _rows(
    path: Path, columns: tuple[str, ...], numeric: tuple[str, ...]
) -> list[tuple[int, dict[str, str]]]:
    """Rows of a table with their line numbers, by column."""
    header, rows = read_rows(path, numeric)
    if missing := [name for name in columns if name not in header]:
        raise WbcError(f"{path}: without the column {missing[0]!r}; copy the shipped table.")
    numbered: list[tuple[int, dict[str, str]]] = []
    for number, row in enumerate(rows, start=2):
        fields = dict(zip(header, row, strict=True))
        for name in columns:
            if len(fields[name]) > MAX_FIELD or not is_line(fields[name]):
                raise WbcError(
                    f"{path}: row {number}: {name} is no line of up to {MAX_FIELD} characters; "
                    "correct it."
                )
        numbered.append((number, fields))
    return numbered


def _number(path: str | Path, row: int, text: str, empty: float) -> float:
    if not text.strip():
        return empty
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise WbcError(f"{path}: row {row} has {text[:40]!r}; write a number, 0 or more.")
    return number
