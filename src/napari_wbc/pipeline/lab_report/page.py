"""A report as one page of HTML that needs no other file and prints to A4.

Invariant: every text goes through jinja2's autoescape. Names of slides, classes and people come
from files that may be anybody's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from napari_wbc import __version__
from napari_wbc.model.differential import FEWEST, Differential
from napari_wbc.model.limits import Estimate
from napari_wbc.model.policy import Policy
from napari_wbc.model.words import counted as words
from napari_wbc.model.words import printable
from napari_wbc.pipeline.lab_report.content import LabReport, Reader, Value
from napari_wbc.pipeline.lab_report.models import UsedModel
from napari_wbc.pipeline.lab_report.pictures import Pictures
from napari_wbc.pipeline.lab_report.reference import DATA
from napari_wbc.weights.card import RESEARCH_USE

WIDTH = 130
"""Pixels of the bars."""
TICKS = (0, 5, 20, 50, 100)
"""Percent, on a scale of square roots, so that rare classes are seen."""
NOTHING = "–"
MOST_REGIONS = 5
"""That fit on a page beside the whole; all are in the files of results."""


def page(
    report: LabReport,
    pictures: Pictures,
    signatures: Sequence[str] = (),
    *,
    version: int = 1,
    broken: str = "",
    models: Sequence[UsedModel] = (),
) -> str:
    """The report as HTML.

    Parameters
    ----------
    signatures : sequence of str
        Who signed it and when, in words; lines to sign on paper where there are none.
    version : int
        Of the signed report; more than 1 where it amends others, which stands at the top.
    broken : str
        Why the signatures are not of this report, in words; empty if they are.
    models : sequence of UsedModel
        Whose cards the page shows.
    """
    # StrictUndefined: a name that the page does not get is a fault, not an empty cell.
    environment = Environment(
        autoescape=True,
        finalize=_harmless,
        loader=FileSystemLoader(DATA),
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    template = environment.get_template("report.html.j2")
    policy = report.settings.policy
    subject = report.settings.subject
    age = "" if subject.age is None else f"{subject.age:g} years"
    return template.render(
        # Ours, and without a "<" that could end the style.
        style=Markup((DATA / "report.css").read_text(encoding="utf-8")),  # noqa: S704
        report=report,
        use=RESEARCH_USE,
        made=readable_time(report.made),
        state=report.reviewed,
        alert=report.counted.reviewed < report.counted.located,
        subject=", ".join(filter(None, (subject.sex, age))),
        level=f"{100 * policy.level:g} %",
        fewest=FEWEST,
        width=WIDTH,
        ticks=[(round(_x(tick), 1), tick) for tick in TICKS],
        lines=[
            _line(line.row.name, line.row.count, line.percent, line.absolute)
            for line in report.lines
        ],
        wbc=_number_cells(report.wbc),
        wbc_note=_wbc_note(report),
        worst=_worst(report, policy),
        beside=[
            {
                "name": row.name,
                "count": row.count,
                "rate": _number(row.per_100_wbc),
                "limits": _range(row.low, row.high),
            }
            for row in report.beside
        ],
        figures=_figures(report),
        audit=_audit(report),
        sources=[row for row in report.counted.rows if row.count],
        readers=[_reader(reader) for reader in report.readers],
        regions=_regions(report),
        pictures=pictures,
        signatures=signatures,
        version=version,
        broken=broken,
        models=models,
        origin=_origin(report),
    )


def _regions(report: LabReport) -> dict[str, Any]:
    """The whole and its regions as columns, the classes that have cells as rows."""
    columns = [("whole", report.counted)]
    columns += [(region.name, region.counted) for region in report.regions[:MOST_REGIONS]]
    names = [row.name for row in report.counted.rows if row.count]
    rows = [(name, _in_columns(name, columns)) for name in names]
    totals = [str(counted.total) for _, counted in columns]
    more = max(len(report.regions) - MOST_REGIONS, 0)
    return {"names": [name for name, _ in columns], "rows": rows, "totals": totals, "more": more}


def _in_columns(name: str, columns: Sequence[tuple[str, Differential]]) -> list[str]:
    return [_share_of(name, counted) for _, counted in columns]


def _share_of(name: str, counted: Differential) -> str:
    """Cells of a class, and their share where it is in the denominator."""
    for share in counted.shares:
        if share.name == name:
            return f"{share.count} ({_percent(share.percent)} %)" if counted.total else "0"
    return str(sum(row.count for row in counted.beside if row.name == name))


def _harmless(value: object) -> object:
    """A text without control characters, which HTML forbids and which may turn its direction."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _x(percent: float) -> float:
    return WIDTH * math.sqrt(min(max(percent, 0.0), 100.0) / 100)


def _number(value: float | None) -> str:
    """A number as a laboratory prints it: two digits where it is small."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _percent(value: float | None) -> str:
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.1f}"


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None or math.isnan(low):
        return ""
    return f"{_number(low)} – {_number(high)}"


def _interval(value: Value | None) -> str:
    if value is None or value.interval is None:
        return ""
    high = value.interval.high
    low = f"{value.interval.low:g}"
    return f"from {low}" if math.isinf(high) else f"{low} – {high:g}"


def _line(name: str, count: int, percent: Value, absolute: Value | None) -> dict[str, Any]:
    value, low, high = percent.estimate
    there = math.isfinite(value)
    band: tuple[float, float] | None = None
    if percent.interval is not None:
        start = _x(percent.interval.low)
        band = round(start, 1), round(_x(percent.interval.high) - start, 1)
    numbers = _number_cells(absolute)
    return {
        "name": name,
        "count": count,
        "percent": _percent(value),
        "limits": f"{low:.1f} – {high:.1f}" if math.isfinite(low) else "",
        "place": round(_x(value), 1) if there else None,
        "reach": (round(_x(low), 1), round(_x(high), 1)) if math.isfinite(low) else None,
        "band": band,
        "interval": _interval(percent),
        "flag": str(percent.flag),
        "absolute": numbers["value"],
        "absolute_limits": numbers["limits"],
        "absolute_interval": numbers["interval"],
        "absolute_flag": numbers["flag"],
    }


def _number_cells(value: Value | None) -> dict[str, str]:
    if value is None:
        return dict.fromkeys(("value", "limits", "interval", "flag"), "")
    number, low, high = value.estimate
    limits = _range(low, high) if low < high else ""
    return {
        "value": _number(number),
        "limits": limits,
        "interval": _interval(value),
        "flag": str(value.flag),
    }


def _wbc_note(report: LabReport) -> str:
    if report.wbc_given is None or report.wbc is None:
        return ""
    given = f"WBC given: {report.wbc_given.value:g} × 10⁹/L"
    if not report.wbc_corrected:
        if report.unchecked:
            return f"{given}."
        return f"{given}. Limits of absolute counts leave out the analyser's own error."
    value, low, high = report.wbc.estimate
    text = f"{given}; corrected for {words(report.counted.erythroblasts, 'erythroblast')}"
    if math.isnan(low):
        return f"{text}: {value:.2f}."
    limits = f"{value:.2f} ({low:.2f} – {high:.2f})"
    return f"{text}: {limits}. Limits leave out the analyser's own error."


def _worst(report: LabReport, policy: Policy) -> str:
    """How far unidentified cells outside the denominator may move the percentages."""
    unsure = report.counted.unidentified
    if policy.unidentified_counted or not unsure:
        return ""
    share = 100 * unsure / (report.counted.total + unsure)
    text = f"{words(unsure, 'unidentified cell')} ({share:.1f} %)."
    if report.unchecked:
        return text
    parts = [
        f"{row.name} {row.worst_low:.1f} – {row.worst_high:.1f}"
        for row in report.counted.shares
        if row.count
    ]
    return f"{text} Worst-case limits, in percent: {'; '.join(parts)}."


def _audit(report: LabReport) -> dict[str, Any] | None:
    """The audit in words, and what it says of each class."""
    audit = report.audit
    # Once every cell is reviewed, the audit says the same as the differential.
    if audit is None or report.counted.reviewed == report.counted.located:
        return None
    seed = audit.audit.seed
    drawn = f"{words(audit.drawn)} drawn at random within each predicted class (seed {seed})"
    if not audit.is_complete:
        text = f"{drawn}; {audit.reviewed} reviewed. No estimate until all of them are."
    else:
        text = f"{drawn}, all reviewed. The limits have the model's errors in them."
        if audit.more:
            text += f" About {audit.more} more would halve the widest."
    rows = [
        {
            "name": name,
            "percent": _percent(value),
            "limits": f"{low:.1f} – {high:.1f}" if math.isfinite(value) else "",
        }
        for name, (value, low, high) in audit.shares.items()
    ]
    return {"text": text, "rows": rows}


FIGURES = {
    "immature": ("Immature granulocytes, %", "not told by these classes"),
    "nlr": ("Neutrophils per lymphocyte", "not told by these classes"),
    "left_shift": ("Left shift, % of neutrophils", "bands are not told apart"),
}


def _figures(report: LabReport) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for each in fields(report.indices):
        name, missing = FIGURES[each.name]
        estimate: Estimate | None = getattr(report.indices, each.name)
        value = missing if estimate is None else _number(estimate.value)
        limits = "" if estimate is None else _range(estimate.low, estimate.high)
        wide = estimate is None and not report.unchecked
        rows.append({"name": name, "value": value, "limits": limits, "wide": wide})
    return rows


def _reader(reader: Reader) -> str:
    first = readable_time(reader.first)
    last = readable_time(reader.last)
    when = f", {first}" if first else ""
    if last != first:
        when += f" to {last}"
    return f"{reader.name}: {words(reader.cells)}{when}"


def readable_time(text: str) -> str:
    """A time of ours as people read it; another text as it is."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{when:%Y-%m-%d %H:%M} {when.tzname() or ''}".strip()


def _origin(report: LabReport) -> list[tuple[str, str]]:
    rows = [("Program", f"napari-wbc {__version__}"), ("Classes", report.taxonomy)]
    for name, sha256 in report.models:
        rows.append(("Model", f"{name}, sha256 {sha256}" if sha256 else name))
    rows.append(("Cell finder", report.detector or "none"))
    rows.append(("Cells", f"sha256 {report.cells_sha256}"))
    rows.append(("Settings", f"sha256 {report.settings_sha256}"))
    rows += (("Source", source) for source in report.sources)
    return rows
