"""Films of one blood: counted as one, and named where they differ."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.pipeline.lab_report.reports import ORDINARY, analysis, settings, slide

from napari_wbc.errors import WbcError
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.analysis import Analysis
from napari_wbc.pipeline.lab_report.content import content
from napari_wbc.pipeline.lab_report.pool import pooled
from napari_wbc.pipeline.lab_report.values import report_json

OTHER = {"neutrophil": 30, "band neutrophil": 5, "monocyte": 60}


def test_without_a_slide_there_is_nothing_to_pool():
    with pytest.raises(WbcError, match="no slide to be pooled"):
        pooled(Analysis(()))


def test_the_same_cells_are_not_counted_twice(tmp_path):
    one = slide(tmp_path, ORDINARY)
    with pytest.raises(WbcError, match="have the same cells"):
        pooled(analysis(one, one))


def test_films_are_counted_as_one_and_their_difference_is_named(tmp_path):
    one = slide(tmp_path, ORDINARY, name="one")
    two = slide(tmp_path, OTHER, name="two", first=1000)
    whole, parts = pooled(analysis(one, two))
    report = content(whole.slides[0], settings(), "now", parts=parts)
    assert (report.slide, report.counted.located) == ("one + two", 195)
    (uneven,) = [line for line in report.quality if "differ" in line]
    assert uneven.startswith("The slides differ more than chance explains")
    assert "60 monocytes in two" in uneven
    masked = content(whole.slides[0], settings(masked=True), "now", parts=parts)
    assert "60 monocytes in slide 2" in json.dumps(report_json(masked))


def test_the_stain_alarm_of_the_second_film_is_told(tmp_path):
    def odd(one, unlikeness):
        cells = [
            replace(cell, prediction=replace(cell.prediction, unlikeness=unlikeness))
            for cell in one.table.values()
        ]
        return replace(one, table=CellTable(cells))

    usual = odd(slide(tmp_path, ORDINARY, name="one"), 0.3)
    foreign = odd(slide(tmp_path, ORDINARY, name="two", first=1000), 0.95)
    whole, parts = pooled(analysis(usual, foreign))
    report = content(whole.slides[0], settings(), "now", parts=parts)
    (alarm,) = [line for line in report.quality if "stain" in line]
    assert alarm.startswith("two: The model does not know this stain")
    masked = content(whole.slides[0], settings(masked=True), "now", parts=parts)
    assert any(line.startswith("slide 2: The model does not know") for line in masked.quality)


def test_fields_of_one_blood_are_not_named(tmp_path):
    report = content(slide(tmp_path, ORDINARY, fields=2), settings(), "now")
    assert not [line for line in report.quality if "differ" in line]
