"""A report as HL7 FHIR R4: a DiagnosticReport with an Observation a value, in one Bundle.

Codes are LOINC's where the shipped table has one, else texts; units are UCUM's.
"""

from __future__ import annotations

import math
import uuid
from functools import cache
from typing import Any

from napari_wbc.model.differential import FEWEST
from napari_wbc.model.labels import is_smudge, usual_name
from napari_wbc.model.limits import Estimate
from napari_wbc.model.reference import PER_LITRE, PERCENT, Flag, Interval
from napari_wbc.pipeline.lab_report.content import LabReport, Value, measure_of
from napari_wbc.pipeline.lab_report.reference import DATA
from napari_wbc.storage.tables import read_rows
from napari_wbc.weights.card import RESEARCH_USE

PER_100 = "/100{WBCs}"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_CATEGORY = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "laboratory",
        }
    ]
}
_FLAGS = {
    Flag.ABOVE: ("H", "High"),
    Flag.ABOVE_SURELY: ("H", "High"),
    Flag.BELOW: ("L", "Low"),
    Flag.BELOW_SURELY: ("L", "Low"),
}


def fhir_bundle(
    report: LabReport, *, signed: bool = False, amended: bool = False
) -> dict[str, Any]:
    """A report as a FHIR R4 Bundle of JSON values.

    Parameters
    ----------
    signed, amended : bool
        The report is ``preliminary`` until it is signed, then ``final``, or ``amended`` if it
        replaces another.
    """
    status = ("amended" if amended else "final") if signed else "preliminary"
    specimen = {
        "resourceType": "Specimen",
        "identifier": [{"value": report.specimen or report.slide}],
        "type": {"text": "Blood film"},
    }
    subject = {"display": "Subject not named"}
    shared = {
        "status": status,
        "subject": subject,
        "effectiveDateTime": report.made,
    }
    entries: list[dict[str, Any]] = []
    for place, resource in enumerate((specimen, *_observations(report, shared))):
        entries.append({"fullUrl": _address(report, place), "resource": resource})
    reference = {"reference": entries[0]["fullUrl"]}
    for entry in entries[1:]:
        entry["resource"]["specimen"] = reference
    diagnostic = {
        "resourceType": "DiagnosticReport",
        **shared,
        "issued": report.made,
        "category": [{"text": "Hematology"}],
        "code": _code("panel", ""),
        "specimen": [reference],
        "result": [{"reference": entry["fullUrl"]} for entry in entries[1:]],
        "conclusion": " ".join(_conclusion(report)),
    }
    first = {"fullUrl": _address(report, len(entries)), "resource": diagnostic}
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": report.made,
        "entry": [first, *entries],
    }


def _observations(report: LabReport, shared: dict[str, Any]) -> list[dict[str, Any]]:
    """An Observation a value, without its specimen."""
    rows: list[tuple[str, str, Value, str]] = []
    for line in report.lines:
        measure = measure_of(line.row.name, report.settings.policy)
        text = f"{line.row.count} of {report.counted.total} cells.{_audited(report, line.row.name)}"
        rows.append((measure, PERCENT, line.percent, text))
        if line.absolute is not None:
            rows.append((measure, PER_LITRE, line.absolute, text))
    for each in report.beside:
        if each.per_100_wbc is not None and each.low is not None and each.high is not None:
            name = "smudge cell" if is_smudge(each.name) else usual_name(each.name)
            value = Value(Estimate(each.per_100_wbc, each.low, each.high), PER_100)
            text = f"{each.count} beside {report.counted.total} leukocytes."
            rows.append((name, PER_100, value, text))
    if report.wbc is not None:
        rows.append(("WBC", PER_LITRE, report.wbc, ""))
    return [shared | _observation(*row) for row in rows]


def _observation(measure: str, unit: str, value: Value, text: str) -> dict[str, Any]:
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "category": [_CATEGORY],
        "code": _code(measure, unit),
        "note": [{"text": f"{text} {RESEARCH_USE}".strip()}],
    }
    number, low, high = value.estimate
    if math.isfinite(number):
        observation["valueQuantity"] = _quantity(number, unit)
        limits = (("lower", low), ("upper", high))
        components = [_limit(which, each, unit) for which, each in limits if math.isfinite(each)]
        if components:
            observation["component"] = components
    else:
        too_few = f"fewer than {FEWEST} leukocytes were counted"
        reason = too_few if unit == PER_100 else "no leukocyte was counted"
        observation["dataAbsentReason"] = {"text": reason}
    if value.interval is not None:
        observation["referenceRange"] = [_range(value.interval, unit)]
    if value.flag in _FLAGS:
        code, display = _FLAGS[value.flag]
        coding = {"system": _INTERPRETATION, "code": code, "display": display}
        observation["interpretation"] = [{"coding": [coding], "text": str(value.flag)}]
    return observation


def _audited(report: LabReport, name: str) -> str:
    """What the audit says of a class whose count has no limits, in words."""
    if not report.unchecked or name not in report.limits:
        return ""
    value, low, high = report.limits[name]
    return f" By the audit: {value:.1f} % ({low:.1f} to {high:.1f})."


def _conclusion(report: LabReport) -> list[str]:
    lines = list(filter(None, (RESEARCH_USE, report.reviewed, report.unchecked)))
    lines += (f"Critical: {alarm.text}." for alarm in report.critical)
    return [*lines, *report.quality]


def _address(report: LabReport, place: int) -> str:
    """An address of a resource, the same each time the same report is written."""
    name = f"{report.cells_sha256} {report.made} {place}"
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"


def _code(measure: str, unit: str) -> dict[str, Any]:
    if (measure, unit) not in _codes():
        return {"text": measure}
    code, display = _codes()[measure, unit]
    return {"coding": [{"system": LOINC, "code": code, "display": display}], "text": measure}


@cache
def _codes() -> dict[tuple[str, str], tuple[str, str]]:
    """LOINC's codes and names by row and unit."""
    _header, rows = read_rows(DATA / "loinc.csv")
    return {(measure, unit): (code, display) for measure, unit, code, display, _status in rows}


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": round(value, 4), "unit": unit, "system": UCUM, "code": unit}


def _limit(which: str, value: float, unit: str) -> dict[str, Any]:
    return {
        "code": {"text": f"{which} confidence limit"},
        "valueQuantity": _quantity(value, unit),
    }


def _range(interval: Interval, unit: str) -> dict[str, Any]:
    limits: dict[str, Any] = {"low": _quantity(interval.low, unit)}
    if math.isfinite(interval.high):
        limits["high"] = _quantity(interval.high, unit)
    return {**limits, "text": interval.source} if interval.source else limits
