"""The report of a comparison: every number, a row a cell, and one page with everything."""

from __future__ import annotations

import csv
import json

from tests.pipeline.test_compare import compared

from napari_wbc.pipeline.compare_report import write_comparison


def test_everything_is_written(manifest, weights, other, tmp_path):
    found = compared(manifest, weights, other(name="<b>new</b>"), heat=True)
    out = tmp_path / "new" / "out"
    write_comparison(found, str(out))
    assert sorted(path.name for path in out.iterdir()) == [
        "calibration.png",
        "cells.csv",
        "changed.png",
        "comparison.json",
        "confusion.png",
        "difference.png",
        "report.html",
    ]
    written = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    overall = found.measures.overall
    assert (written["old"], written["new"]) == (found.old.model_id, found.new.model_id)
    assert written["verdict"] == found.measures.verdict
    assert written["overall"]["balanced_accuracy"] == dict(
        zip(("value", "low", "high"), overall.balanced_accuracy, strict=True)
    )
    assert list(written["by_source"]) == ["lab 0", "lab 1"]
    assert "Research use only" in written["use"]
    with (out / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["what"] for row in rows] == found.outcomes
    assert [row["truth"] for row in rows] == [cell.label for cell in found.cells]
    assert {
        "path",
        "cell_id",
        "slide",
        "source",
        "old",
        "new",
        "old_confidence",
        "new_label",
    } <= set(rows[0])
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.index(found.measures.verdict.capitalize()) < page.index("<table>")
    assert "&lt;b&gt;new&lt;/b&gt;" in page
    assert "<b>new</b>" not in page
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page
    assert "Research use only" in page


def test_a_model_that_identifies_nothing_is_written_as_null(manifest, weights, other, tmp_path):
    write_comparison(compared(manifest, weights, other(threshold=1.0)), tmp_path)
    written = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert written["overall"]["new"]["errors"] is None
