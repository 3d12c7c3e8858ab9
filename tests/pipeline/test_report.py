"""The differential against statsmodels, and the files a report is made of."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from statsmodels.stats.proportion import proportion_confint

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import run
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED, UNIDENTIFIED
from napari_wbc.pipeline.analyze import Analysis, Failure, SlideAnalysis
from napari_wbc.pipeline.report import differential, differential_json, draw_overlay, write_results

OUTSIDE = {"erythroblast", "platelet", UNIDENTIFIED, NOT_CLASSED}


def cells(counts):
    box = Detection(BBox(5, 5, 15, 15))
    return CellTable(
        Cell(f"{label} {i}", "s/a.png", box, annotation=Annotation(label))
        for label, n in counts.items()
        for i in range(n)
    )


def counted(counts, **options):
    return differential("s", cells(counts), EIGHT_CLASSES, **options)


def test_no_cells_have_no_percentages():
    none = counted({})
    assert none.total == 0
    assert all(
        share.count == 0 and math.isnan(share.percent + share.low + share.high) for share in none.shares
    )
    assert [b.count for b in none.beside] == [0, 0, 0, 0]
    assert math.isnan(none.beside[0].per_100_wbc)


@given(
    st.fixed_dictionaries({label: st.integers(0, 60) for label in EIGHT_CLASSES.labels}),
    st.sampled_from([0.9, 0.95]),
)
def test_limits_are_clopper_and_pearsons(counts, level):
    result = counted(counts, confidence_level=level)
    total = sum(n for label, n in counts.items() if label not in OUTSIDE)
    assert result.total == total
    assert [s.name for s in result.shares] == [name for name in EIGHT_CLASSES.names if name not in OUTSIDE]
    assert {b.name: b.count for b in result.beside} == {label: counts[label] for label in OUTSIDE}
    if not total:
        return
    for share in result.shares:
        low, high = proportion_confint(counts[share.name], total, alpha=1 - level, method="beta")
        assert share.count == counts[share.name]
        assert share.percent == pytest.approx(100 * share.count / total)
        assert (share.low, share.high) == pytest.approx((100 * low, 100 * high), abs=1e-6)
    assert result.beside[0].per_100_wbc == pytest.approx(100 * counts["erythroblast"] / total)
    assert [b.per_100_wbc for b in result.beside[1:]] == [None, None, None]


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(5, 100, 1.6, 11.3), (10, 200, 2.4, 9.0), (20, 400, 3.1, 7.6), (9, 100, 4.2, 16.4)],
)
def test_limits_are_those_of_the_tables(count, n, low, high):
    (share,) = [
        s for s in counted({"basophil": count, "neutrophil": n - count}).shares if s.name == "basophil"
    ]
    assert (round(share.low, 1), round(share.high, 1)) == (low, high)


@pytest.fixture
def analysis(tmp_path):
    paths = [tmp_path / "s" / name for name in ("a.png", "b.png", "broken.png")]
    paths[0].parent.mkdir()
    for path in paths[:2]:
        Image.fromarray(np.full((60, 80, 3), 230, np.uint8)).save(path)
    paths[2].touch()
    slide = Slide("s", tuple(FieldOfView(f"s/{path.name}", path) for path in paths))
    failure = Failure(paths[2], f"{paths[2]}: the file is empty")
    return Analysis(
        (SlideAnalysis(slide, cells({"basophil": 2, UNIDENTIFIED: 1}), (failure,)),), "hsv", "cdnn 1"
    )


def test_an_analysis_of_nothing_is_written(tmp_path):
    assert run(write_results(Analysis((), "hsv", "m"), tmp_path, EIGHT_CLASSES)) == tmp_path
    assert json.loads((tmp_path / "cells.geojson").read_text()) == []
    assert json.loads((tmp_path / "differential.json").read_text()) == []
    assert len(pd.read_csv(tmp_path / "cells.csv")) == 0


def test_a_report_is_six_things_and_outlines_by_field(analysis, tmp_path):
    out = tmp_path / "out"
    steps = list(write_results(analysis, out, EIGHT_CLASSES))
    assert [(s.done, s.total, s.note) for s in steps] == [(1, 2, ""), (2, 2, "")]
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == [
        "cells.csv",
        "cells.geojson",
        "differential.csv",
        "differential.json",
        "fields.csv",
        str(Path("geojson/s/a.png.geojson")),
        str(Path("geojson/s/b.png.geojson")),
        str(Path("overlays/s/a.png.png")),
        str(Path("overlays/s/b.png.png")),
    ]
    (alone,) = [json.loads((out / "geojson/s/a.png.geojson").read_text())]
    assert (alone["type"], alone["fov"]) == ("FeatureCollection", "s/a.png")
    assert [one["fov"] for one in json.loads((out / "cells.geojson").read_text())] == ["s/a.png", "s/b.png"]
    assert np.asarray(Image.open(out / "overlays/s/a.png.png")).shape == (60, 80, 3)


@pytest.mark.parametrize("name", ["../../escaped", "s/../../../escaped"])
def test_a_field_whose_name_leads_out_of_the_folder_is_refused(analysis, tmp_path, name):
    (one,) = analysis.slides
    slide = Slide("s", (FieldOfView(name, one.slide.fields[0].path),))
    outside = dataclasses.replace(analysis, slides=(dataclasses.replace(one, slide=slide, failures=()),))
    with pytest.raises(WbcError, match="leads out of"):
        list(write_results(outside, tmp_path / "deep" / "out", EIGHT_CLASSES))
    assert not list(tmp_path.rglob("escaped*"))


def test_a_field_that_vanished_is_a_note(analysis, tmp_path):
    (tmp_path / "s" / "b.png").unlink()
    notes = [s.note for s in write_results(analysis, tmp_path / "out", EIGHT_CLASSES)]
    assert notes[0] == ""
    assert "b.png" in notes[1]


def test_the_json_is_strict_and_tells_what_failed(analysis):
    (one,) = json.loads(json.dumps(differential_json(analysis), allow_nan=False))
    assert (one["slide"], one["fields"], one["leukocytes"]) == ("s", 3, 2)
    assert (one["detector"], one["model"]) == ("hsv", "cdnn 1")
    assert one["failed"][0]["path"].endswith("broken.png")
    assert one["classes"][2] == {
        "class": "basophil",
        "count": 2,
        "percent": 100.0,
        "low": 15.81,
        "high": 100.0,
    }
    assert "Research use only" in one["use"]


def test_red_cells_and_platelets_are_told_where_they_were_counted(analysis):
    assert "blood_cells" not in differential_json(analysis)[0]
    (one,) = analysis.slides
    counts = {"s/a.png": {"red cell": 40, "platelet": 2}, "s/b.png": {"red cell": 20, "platelet": 1}}
    counted = dataclasses.replace(analysis, slides=(dataclasses.replace(one, blood_cells=counts),))
    assert differential_json(counted)[0]["blood_cells"] == {
        "fields": 2,
        "leukocyte": 3,
        "platelet": 3,
        "red cell": 60,
    }
    assert counted.fields["red_cells"].tolist() == [40, 20]
    assert counted.fields["leukocytes"].tolist() == [3, 0]


def test_of_a_slide_without_cells_the_json_has_nulls():
    empty = Analysis((SlideAnalysis(Slide("s", ()), CellTable()),), "hsv", "m")
    (one,) = json.loads(json.dumps(differential_json(empty), allow_nan=False))
    assert {c["percent"] for c in one["classes"]} == {None}


FIELD = np.full((60, 80, 3), 230, np.uint8)


def test_without_cells_an_overlay_is_the_field():
    overlay = draw_overlay(FIELD, [], EIGHT_CLASSES)
    np.testing.assert_array_equal(overlay, FIELD)
    assert overlay is not FIELD


@pytest.mark.parametrize("label", ["basophil", "no such class"])
def test_an_overlay_draws_around_the_cell_in_the_colour_of_its_label(label):
    outline = Outline.from_array([(20, 20), (20, 50), (50, 50), (50, 20)])
    cell = Cell("id", "a", Detection(outline.bbox, outline), annotation=Annotation(label))
    before = FIELD.copy()
    overlay = draw_overlay(FIELD, [cell], EIGHT_CLASSES)
    np.testing.assert_array_equal(FIELD, before)
    assert overlay.shape == FIELD.shape
    changed = (overlay != FIELD).any(axis=2)
    assert changed[48:51, 25:45].any()
    assert not changed[24:46, 24:46].any()
    color = EIGHT_CLASSES.colors.get(label, "#ffffff")
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    assert np.abs(overlay[48:51, 25:45].astype(int) - rgb).sum(axis=2).min() < 100  # lines are smoothed


@pytest.mark.parametrize("box", [BBox(-50, -50, -40, -40), BBox(-5, -5, 500, 500), BBox(59, 79, 60, 80)])
def test_cells_over_the_edge_do_no_harm(box):
    overlay = draw_overlay(FIELD, [Cell("id", "a", Detection(box))], EIGHT_CLASSES)
    assert overlay.shape == FIELD.shape
