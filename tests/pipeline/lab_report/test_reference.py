"""A laboratory's tables: the shipped ones, an edited one, and those that are none."""

from __future__ import annotations

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.reference import Subject, interval_of
from napari_wbc.pipeline.lab_report.reference import (
    FINDINGS,
    INTERVALS,
    read_findings,
    read_intervals,
)

HEAD = "measure,unit,sex,age_from,age_to,low,high,source\n"


def test_a_table_without_rows_has_no_interval(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(HEAD)
    assert read_intervals(path) == ()


def test_every_shipped_row_is_cited_and_every_age_has_its_interval():
    intervals = read_intervals()
    assert all(each.source for each in (*intervals, *read_findings()))
    for age in (0, 0.05, 1, 5, 10.5, 11, 18, 90):
        for measure in ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil"):
            for unit in ("%", "10*9/L"):
                assert interval_of(intervals, measure, unit, Subject(age=age)) is not None
    adult = interval_of(intervals, "monocyte", "%", Subject())
    assert (adult.low, adult.high) == (4, 9)


def test_an_edited_copy_is_read(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(INTERVALS.read_text() + "monocyte,%,female,18,,2,10,ours\n")
    row = interval_of(read_intervals(path), "monocyte", "%", Subject("female"))
    assert (row.low, row.high, row.source) == (2, 10, "ours")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("WBC,mg,,,,4,11,x", "row 2 has the unit"),
        ("WBC,%,boy,,,4,11,x", "row 2 has the sex"),
        ("WBC,%,,,,11,4,x", "higher number before"),
        ("WBC,%,,,,four,11,x", "write a number"),
        ("WBC,%,,9,3,4,11,x", "higher number before"),
        ("WBC,%,,,,nan,11,x", "write a number"),
    ],
)
def test_a_row_that_is_no_interval_is_named(row, message, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(HEAD + row + "\n")
    with pytest.raises(WbcError, match=message):
        read_intervals(path)


def test_a_table_without_a_column_is_refused(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("measure,low\nWBC,4\n")
    with pytest.raises(WbcError, match="without the column 'unit'"):
        read_intervals(path)
    path.write_text(FINDINGS.read_text() + "Odd,,cells,1,x\n")
    with pytest.raises(WbcError, match="is no finding"):
        read_findings(path)
