"""A report as JSON values, as its shipped schema describes them."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from napari_wbc import __version__
from napari_wbc.model.audit import Audited
from napari_wbc.model.limits import Estimate
from napari_wbc.model.policy import Policy
from napari_wbc.pipeline.lab_report.content import LabReport, Value
from napari_wbc.weights.card import RESEARCH_USE

VERSION = 1
"""Of the schema."""


def report_json(report: LabReport) -> dict[str, Any]:
    """A report as JSON values; what is not a number becomes null."""
    policy: Policy = report.settings.policy
    classes: list[dict[str, Any]] = []
    for line in report.lines:
        row = line.row
        classes.append(
            {
                "class": row.name,
                "count": row.count,
                "percent": _estimate(Estimate(row.percent, row.low, row.high)),
                "percent_together": _limits(row.together_low, row.together_high),
                "percent_worst_case": _limits(row.worst_low, row.worst_high),
                "absolute": _value(line.absolute),
                "interval": _interval(line.percent),
                "flag": str(line.percent.flag),
                "reviewed": row.reviewed,
                "audited": row.audited,
                "predicted": row.predicted,
            }
        )
    beside: list[dict[str, Any]] = []
    for each in report.counted.beside:
        rate = None
        if each.per_100_wbc is not None and each.low is not None and each.high is not None:
            rate = _estimate(Estimate(each.per_100_wbc, each.low, each.high))
        beside.append(
            {
                "class": each.name,
                "count": each.count,
                "per_100_wbc": rate,
                "reviewed": each.reviewed,
                "audited": each.audited,
                "predicted": each.predicted,
            }
        )
    figures: dict[str, Any] = {}
    for name in ("immature", "nlr", "left_shift"):
        estimate = getattr(report.indices, name)
        figures[name] = None if estimate is None else _estimate(estimate)
    return {
        "version": VERSION,
        "use": RESEARCH_USE,
        "program": f"napari-wbc {__version__}",
        "slide": report.slide,
        "specimen": report.specimen,
        "made": report.made,
        "fields": report.fields,
        "located": report.counted.located,
        "denominator": report.counted.total,
        "reviewed": report.counted.reviewed,
        "policy": asdict(policy),
        "target": asdict(report.settings.target),
        "subject": asdict(report.settings.subject),
        "classes": classes,
        "beside": beside,
        "wbc": _value(report.wbc),
        "wbc_given": report.wbc_given and asdict(report.wbc_given),
        "wbc_corrected": report.wbc_corrected,
        "figures": figures,
        "critical": [
            {
                "finding": alarm.finding.name,
                "count": alarm.count,
                "number": round(alarm.number, 3),
                "unit": alarm.finding.unit,
                "reviewed": alarm.reviewed,
                "predicted": alarm.predicted,
                "text": alarm.text,
            }
            for alarm in report.critical
        ],
        "quality": list(report.quality),
        "readers": [asdict(reader) for reader in report.readers],
        "models": [{"name": name, "sha256": sha256} for name, sha256 in report.models],
        "detector": report.detector,
        "taxonomy": report.taxonomy,
        "sources": list(report.sources),
        "cells_sha256": report.cells_sha256,
        "settings_sha256": report.settings_sha256,
        "audit": _audit(report.audit),
    }


def _audit(audit: Audited | None) -> dict[str, Any] | None:
    if audit is None:
        return None
    classes = [
        {
            "class": name,
            "percent": _estimate(estimate),
            "audited": audit.counts.get(name, 0),
        }
        for name, estimate in audit.shares.items()
    ]
    return {
        "seed": audit.audit.seed,
        "drawn": audit.drawn,
        "reviewed": audit.reviewed,
        "more": audit.more,
        "classes": classes,
    }


def _number(value: float) -> float | None:
    # JSON has neither NaN nor infinity.
    return round(value, 4) if math.isfinite(value) else None


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {name: _number(value) for name, value in estimate._asdict().items()}


def _limits(low: float, high: float) -> dict[str, float | None]:
    return {"low": _number(low), "high": _number(high)}


def _interval(value: Value) -> dict[str, Any] | None:
    if value.interval is None:
        return None
    limits = _limits(value.interval.low, value.interval.high)
    return {**limits, "source": value.interval.source}


def _value(value: Value | None) -> dict[str, Any] | None:
    if value is None:
        return None
    numbers = {**_estimate(value.estimate), "unit": value.unit}
    return {**numbers, "interval": _interval(value), "flag": str(value.flag)}
