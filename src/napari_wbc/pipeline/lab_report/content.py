"""What a report of a slide says: every number and sentence, before it becomes a page or a file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from napari_wbc.model.audit import Audit, Audited, audited, sample
from napari_wbc.model.blood_count import (
    Indices,
    WbcCount,
    absolute_counts,
    corrected_wbc,
    indices,
    is_corrected,
)
from napari_wbc.model.cell import Prediction
from napari_wbc.model.differential import Beside, Differential, Share, differential
from napari_wbc.model.labels import is_no_leukocyte, usual_name
from napari_wbc.model.limits import Estimate
from napari_wbc.model.policy import Policy, is_band
from napari_wbc.model.reference import (
    PER_LITRE,
    PERCENT,
    Critical,
    Flag,
    Interval,
    critical_findings,
    flag_of,
    interval_of,
)
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import CANDIDATE
from napari_wbc.model.words import counted as words
from napari_wbc.model.words import listed
from napari_wbc.pipeline.analysis import SlideAnalysis
from napari_wbc.pipeline.film.regions import (
    MONOLAYER,
    REST,
    ZONE_NAMES,
    RegionCount,
    by_region,
    monolayer_and_rest,
)
from napari_wbc.pipeline.lab_report.doubtful import doubtful
from napari_wbc.pipeline.lab_report.pool import differing, stain_alarms, unevenness
from napari_wbc.pipeline.lab_report.settings import Settings, settings_sha256
from napari_wbc.storage.codec import parts_of

MASKED = "masked"
MANY_UNIDENTIFIED = 5.0
"""Percent of unidentified cells from which on a report names them."""


@dataclass(frozen=True, slots=True)
class Value:
    """A number of a report with its limits, interval and flag."""

    estimate: Estimate
    unit: str
    interval: Interval | None = None
    flag: Flag = Flag.NONE


@dataclass(frozen=True, slots=True)
class Line:
    """A class in the denominator."""

    row: Share
    percent: Value
    absolute: Value | None


@dataclass(frozen=True, slots=True)
class Reader:
    """A person who labelled cells of the slide."""

    name: str
    cells: int
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class LabReport:
    """All that a report of one slide says."""

    slide: str
    specimen: str
    made: str
    """When, ISO 8601 with zone."""
    fields: int
    counted: Differential
    lines: tuple[Line, ...]
    wbc: Value | None
    """As given, or corrected for erythroblasts."""
    wbc_given: WbcCount | None
    wbc_corrected: bool
    indices: Indices
    critical: tuple[Critical, ...]
    quality: tuple[str, ...]
    """What is doubtful about the slide, in words."""
    policies: tuple[str, ...]
    """What the laboratory decided, in words."""
    sources: tuple[str, ...]
    readers: tuple[Reader, ...]
    models: tuple[tuple[str, str], ...]
    """Name and sha256 of the weights."""
    detector: str
    taxonomy: str
    cells_sha256: str
    settings_sha256: str
    settings: Settings = field(repr=False)
    limits: Mapping[str, Estimate]
    """Percent of each class, as all cells reviewed or a complete audit tell it; else empty."""
    audit: Audited | None = None
    regions: tuple[RegionCount, ...] = ()
    """Parts of scanned films, each counted by itself."""

    @property
    def reviewed(self) -> str:
        """How far a person has reviewed the cells, in words."""
        done = self.counted.reviewed
        if not self.counted.located:
            return "No cell was located."
        if not done:
            return "Not reviewed: every label is the model's."
        if done == self.counted.located == 1:
            return "Reviewed: a person labelled the cell."
        if done == self.counted.located:
            return f"Reviewed: a person labelled all {words(done)}."
        text = f"Partly reviewed: a person labelled {done} of {words(self.counted.located)}"
        if self.audit is not None and self.audit.is_complete:
            return f"{text}, {self.audit.drawn} of them a random audit."
        return f"{text}."

    @property
    def unchecked(self) -> str:
        """Why the counts have no limits, in words; empty where a person labelled all cells."""
        if not _to_review(self.counted):
            return ""
        if self.limits:
            return (
                "Some labels are the model's alone, so these counts have no limits; those of the "
                "audit have the model's errors in them."
            )
        return (
            "No limits and no flags: how often the model errs on this slide is not known. "
            "Review all cells, or an audit."
        )

    @property
    def beside(self) -> tuple[Beside, ...]:
        """Rows beside the differential; those that are always there, and those with cells."""
        return tuple(row for row in self.counted.beside if row.count or row.low is not None)


def content(
    analysis: SlideAnalysis,
    settings: Settings,
    made: str,
    *,
    audit: Audit | None = None,
    parts: Mapping[str, str] | None = None,
) -> LabReport:
    """What the report of a slide says.

    Parameters
    ----------
    made : str
        When the report is made, ISO 8601 with zone.
    audit : Audit, optional
        The slide's audit, if one was drawn.
    parts : mapping of str to str, optional
        Of each field the slide that it is of, where several are counted as one.

    Raises
    ------
    WbcError
        If the rows do not add up to the cells.
    """
    policy = settings.policy
    taxonomy = policy.taxonomy_of(analysis.taxonomy)
    table = analysis.table
    name = MASKED if settings.masked else analysis.slide.name
    drawn = sample(table, audit) if audit else {}
    ids = tuple(chain.from_iterable(drawn.values()))
    counted = differential(name, table, taxonomy, policy, audited=ids)
    wbc = settings.wbc
    absolute = absolute_counts(wbc, counted, policy) if wbc else {}
    figures = indices(table, counted, analysis.taxonomy, policy)
    corrected = corrected_wbc(wbc, counted, policy) if wbc else None
    check = audited(table, taxonomy, policy, audit) if audit else None
    limits = {row.name: Estimate(row.percent, row.low, row.high) for row in counted.shares}
    by_audit: Mapping[str, Estimate] = {}
    if _to_review(counted):
        # Limits of counting leave out the model's errors, and would not hold.
        by_audit = check.shares if check else {}
        limits = dict(by_audit)
        counted = counted.without_limits
        figures = figures.without_limits
        absolute = {name: each.without_limits for name, each in absolute.items()}
        if corrected is not None and corrected.low < corrected.high:
            corrected = corrected.without_limits
    lines: list[Line] = []
    for row in counted.shares:
        shown = Estimate(row.percent, row.low, row.high)
        if policy.simultaneous:
            shown = Estimate(row.percent, row.together_low, row.together_high)
        measure = measure_of(row.name, policy)
        percent = _value(shown, PERCENT, measure, settings)
        count = None
        if row.name in absolute:
            count = _value(absolute[row.name], PER_LITRE, measure, settings)
        if row.name in by_audit:
            percent = _surely(percent, by_audit[row.name])
        lines.append(Line(row, percent, count))
    white = _value(corrected, PER_LITRE, "WBC", settings) if corrected else None
    alarms = critical_findings(settings.findings, table, counted)
    names = field_names(analysis, settings)
    if parts and settings.masked:
        slides = {
            each: f"slide {i}" for i, each in enumerate(dict.fromkeys(parts.values()), start=1)
        }
        parts = {fov_id: slides[each] for fov_id, each in parts.items()}
    regions = by_region(table, analysis.regions, taxonomy, policy)
    uneven = unevenness(table, taxonomy, parts or names, "slides" if parts else "fields")
    cited = [value.interval.source for value in _values(lines, white) if value.interval]
    cited += (each.finding.source for each in alarms)
    return LabReport(
        name,
        MASKED if settings.masked and settings.specimen else settings.specimen,
        made,
        len(analysis.slide.fields),
        counted,
        tuple(lines),
        white,
        wbc,
        wbc is not None and is_corrected(wbc, counted, policy) and counted.erythroblasts > 0,
        figures,
        alarms,
        (
            *_quality(analysis, counted, limits, settings, parts),
            *doubtful(table, audit),
            *uneven,
            *_edges(analysis),
        ),
        _policies(counted, limits, settings),
        tuple(dict.fromkeys(filter(None, cited))),
        _readers(table),
        _models(table),
        analysis.detector,
        analysis.taxonomy.name,
        cells_sha256(table, audit),
        settings_sha256(settings, analysis.taxonomy),
        settings,
        limits,
        check,
        _named(regions, settings),
    )


def cells_sha256(table: CellTable, audit: Audit | None = None) -> str:
    """Of all cells with everything that is known of them, and of which are the audit.

    The order of the cells does not count; a box, a label, who gave it and when do.
    """
    digest = hashlib.sha256(f"{audit.n} {audit.seed}".encode() if audit else b"")
    for cell_id in sorted(table):
        line = f"\n{cell_id}\t{parts_of(table[cell_id])}"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def field_names(analysis: SlideAnalysis, settings: Settings) -> dict[str, str]:
    """What a report calls the fields: their ids, or their numbers where the slide is masked."""
    names: dict[str, str] = {}
    for number, fov_id in enumerate(analysis.listed_fields, start=1):
        # An id has the name of the slide's folder in it.
        names[fov_id] = f"field {number}" if settings.masked else fov_id
    return names


def measure_of(name: str, policy: Policy) -> str:
    """What the laboratory's tables call a row; without its bands, that of neutrophils is another.

    Examples
    --------
    >>> measure_of("neutrophil", Policy()), measure_of("neutrophil", Policy(bands_apart=True))
    ('neutrophil', 'segmented neutrophil')
    """
    return "segmented neutrophil" if policy.bands_apart and name == "neutrophil" else name


def _value(estimate: Estimate, unit: str, measure: str, settings: Settings) -> Value:
    interval = interval_of(settings.intervals, measure, unit, settings.subject)
    return Value(estimate, unit, interval, flag_of(estimate, interval))


def _surely(value: Value, audited: Estimate) -> Value:
    """A value with its flag, sure also where the limits of an audit say the same.

    Without limits of its own it has the audit's flag.
    """
    flag = flag_of(audited, value.interval)
    bare = math.isnan(value.estimate.low)
    return replace(value, flag=flag) if bare or flag.unsure is value.flag else value


def _to_review(counted: Differential) -> int:
    """Cells that no person has labelled, less candidates."""
    return sum(row.predicted for row in counted.rows if row.name != CANDIDATE)


def _values(lines: list[Line], wbc: Value | None) -> list[Value]:
    values = [line.percent for line in lines]
    values += (line.absolute for line in lines if line.absolute)
    return [*values, wbc] if wbc else values


def _quality(
    analysis: SlideAnalysis,
    counted: Differential,
    limits: Mapping[str, Estimate],
    settings: Settings,
    parts: Mapping[str, str] | None,
) -> tuple[str, ...]:
    notes: list[str] = []
    total = words(len(analysis.slide.fields), "field")
    if missing := settings.target.missing(counted.total, limits):
        notes.append(f"Target not reached: {missing}.")
    notes += _unread(analysis)
    notes += dict.fromkeys(analysis.looked_at.values())
    candidates = sum(row.count for row in counted.beside if row.name == CANDIDATE)
    if candidates:
        notes.append(f"{words(candidates, 'candidate')} not decided, and not counted.")
    notes += stain_alarms(analysis.table, parts) if parts else filter(None, [analysis.stain_alarm])
    outside = [row.name for row in counted.beside if row.count and _is_of_no_class(row, analysis)]
    if outside:
        notes.append(
            f"Outside the percentages, since no class counts them: {listed(outside)}. Choose "
            "classes that have them if they are leukocytes."
        )
    if analysis.disagreements:
        notes.append(f"The cell finders disagree on {len(analysis.disagreements)} of {total}.")
    everyone = counted.total + (0 if settings.policy.unidentified_counted else counted.unidentified)
    percent = 100 * counted.unidentified / everyone if everyone else 0.0
    if percent >= MANY_UNIDENTIFIED:
        notes.append(f"{percent:.0f} % of the cells are unidentified.")
    return tuple(notes)


def _unread(analysis: SlideAnalysis) -> Iterator[str]:
    """Fields that could not be read, and those of which parts could not."""
    failed = {failure.path for failure in analysis.failures}
    # Of a scanned film a tile may fail, and the others have cells.
    parts = [
        field.path
        for field in analysis.slide.fields
        if field.path in failed and analysis.table.of_field(field.fov_id)
    ]
    total = words(len(analysis.slide.fields), "field")
    if whole := len(failed) - len(set(parts)):
        yield f"{whole} of {total} could not be read."
    if parts:
        yield f"Parts of {len(set(parts))} of {total} could not be read."


def _is_of_no_class(row: Beside, analysis: SlideAnalysis) -> bool:
    """Whether a row beside the differential may be one of leukocytes that its classes lack."""
    if row.name in (*analysis.taxonomy.labels, CANDIDATE) or is_no_leukocyte(row.name):
        return False
    return usual_name(row.name) != "erythroblast"


def _edges(analysis: SlideAnalysis) -> Iterator[str]:
    """Whether the monolayer counts otherwise than the rest of a film, where large cells gather."""
    parts = monolayer_and_rest(analysis.table, analysis.regions)
    for text in differing(parts, analysis.taxonomy, f"{MONOLAYER} and {REST}"):
        yield f"{text} Large cells gather at the edges of a film: see the {MONOLAYER} by itself."


def _named(regions: tuple[RegionCount, ...], settings: Settings) -> tuple[RegionCount, ...]:
    """Regions with their names, or with numbers where the slide is masked: people name them."""
    if not settings.masked:
        return regions
    named: list[RegionCount] = []
    for number, region in enumerate(regions, start=1):
        known = region.name in ZONE_NAMES.values()
        named.append(region if known else replace(region, name=f"region {number}"))
    return tuple(named)


def _policies(
    counted: Differential, limits: Mapping[str, Estimate], settings: Settings
) -> tuple[str, ...]:
    policy = settings.policy
    names = [row.name for row in counted.shares]
    level = f"{100 * policy.level:g} %"
    target = words(settings.target.cells, "leukocyte")
    if settings.target.points is not None:
        target += f", limits within {settings.target.points:g} points"
    lines = [f"Counting target: {target}."]
    if not _to_review(counted):
        at_once = "of all classes at once (Bonferroni)" if policy.simultaneous else "of each class"
        lines.append(f"Limits: {level}, {at_once}, Clopper-Pearson.")
    elif limits:
        lines.append(f"Limits of the audit: {level}, of each class.")
    if policy.bands_apart:
        lines.append("Band neutrophils are counted apart.")
    elif "neutrophil" in names or any(map(is_band, names)):
        lines.append("Band neutrophils are counted as neutrophils (ICSH 2015).")
    if policy.unidentified_counted:
        lines.append("Unidentified cells are in the denominator (LOINC 44095-8).")
    else:
        lines.append("Unidentified cells are outside the denominator.")
    if settings.wbc and settings.wbc.corrected:
        lines.append("The analyser corrected the WBC count; it is taken as given.")
    elif settings.wbc:
        start = f" from {policy.correct_from:g} per 100 WBC on" if policy.correct_from else ""
        lines.append(f"The analyser's WBC count is to be corrected for erythroblasts{start}.")
    if settings.intervals and settings.subject.age is None:
        lines.append("Reference intervals are those of adults; no age was given.")
    return tuple(lines)


def _readers(table: CellTable) -> tuple[Reader, ...]:
    times: dict[str, list[str]] = {}
    for cell in table.values():
        if cell.annotation is not None:
            times.setdefault(cell.annotation.annotator, []).append(cell.annotation.when)
    readers: list[Reader] = []
    for name, when in sorted(times.items()):
        dated = list(filter(None, when))
        first = min(dated, default="")
        readers.append(Reader(name or "not named", len(when), first, max(dated, default="")))
    return tuple(readers)


def _models(table: CellTable) -> tuple[tuple[str, str], ...]:
    models: set[tuple[str, str]] = set()
    for cell in table.values():
        prediction: Prediction | None = cell.prediction
        if prediction is not None:
            models.add((prediction.model_id or "not named", prediction.weights))
    return tuple(sorted(models))
