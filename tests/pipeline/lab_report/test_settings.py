"""Settings whose tables are kept with a signature."""

from __future__ import annotations

import json

import pytest
from tests.pipeline.lab_report.reports import settings

from napari_wbc.pipeline.lab_report.reference import FINDINGS
from napari_wbc.pipeline.lab_report.settings import Settings


def test_tables_are_kept_exactly():
    usual = settings()
    kept = json.loads(json.dumps(usual.tables, allow_nan=False))
    assert Settings(shipped=usual.shipped).with_kept(kept) == usual


def test_a_table_that_was_chosen_stays():
    own = settings(findings=FINDINGS)
    assert own.shipped == ("intervals",)
    assert own.with_kept({**settings().tables, "intervals": [], "findings": []}).findings


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"measure": 5},
        {"measure": ["x"]},
        {"labels": "x", "name": 5},
        {"low": "y"},
        {"labels": [5]},
    ],
)
def test_a_record_that_makes_no_sense_is_none(row):
    whole = settings().tables
    for name in ("intervals", "findings"):
        broken = [{**whole[name][0], **row} if row else {}]
        if row.keys() <= whole[name][0].keys():
            with pytest.raises((KeyError, TypeError, ValueError)):
                settings().with_kept({**whole, name: broken})
