"""The differential against statsmodels, and the files a report is made of."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from statsmodels.stats.proportion import proportion_confint

from napari_wbc.errors import WbcError
from napari_wbc.files.locks import held
from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy, Prediction
from napari_wbc.model.differential import FEWEST, differential
from napari_wbc.model.failure import Failure
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.policy import Policy
from napari_wbc.model.progress import run
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import (
    EIGHT_CLASSES,
    FIVE_CLASSES,
    NOT_CLASSED,
    TAXONOMIES,
    UNIDENTIFIED,
)
from napari_wbc.pipeline import report
from napari_wbc.pipeline.analysis import Analysis, SlideAnalysis
from napari_wbc.pipeline.report import Written, differential_json, draw_overlay, write_results

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
        share.count == 0 and math.isnan(share.percent + share.low + share.high)
        for share in none.shares
    )
    assert [b.count for b in none.beside] == [0, 0, 0, 0]
    assert math.isnan(none.beside[0].per_100_wbc)


@given(
    st.fixed_dictionaries({label: st.integers(0, 60) for label in EIGHT_CLASSES.labels}),
    st.sampled_from([0.9, 0.95]),
)
def test_limits_are_clopper_and_pearsons(counts, level):
    result = counted(counts, policy=Policy(level=level))
    total = sum(n for label, n in counts.items() if label not in OUTSIDE)
    assert result.total == total
    assert [s.name for s in result.shares] == [
        name for name in EIGHT_CLASSES.names if name not in OUTSIDE
    ]
    assert {b.name: b.count for b in result.beside} == {label: counts[label] for label in OUTSIDE}
    if not total:
        return
    for share in result.shares:
        low, high = proportion_confint(counts[share.name], total, alpha=1 - level, method="beta")
        assert share.count == counts[share.name]
        assert share.percent == pytest.approx(100 * share.count / total)
        assert (share.low, share.high) == pytest.approx((100 * low, 100 * high), abs=1e-6)
    rate = 100 * counts["erythroblast"] / total if total >= FEWEST else math.nan
    assert result.beside[0].per_100_wbc == pytest.approx(rate, nan_ok=True)
    assert [b.per_100_wbc for b in result.beside[1:]] == [None, None, None]


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(5, 100, 1.6, 11.3), (10, 200, 2.4, 9.0), (20, 400, 3.1, 7.6), (9, 100, 4.2, 16.4)],
)
def test_limits_are_those_of_the_tables(count, n, low, high):
    (share,) = [
        s
        for s in counted({"basophil": count, "neutrophil": n - count}).shares
        if s.name == "basophil"
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
    found = SlideAnalysis(slide, cells({"basophil": 2, UNIDENTIFIED: 1}), (failure,))
    return Analysis((found,), "cdnn 1")


def test_an_analysis_of_nothing_is_written(tmp_path):
    assert run(write_results(Analysis(()), tmp_path)) == Written(tmp_path)
    assert json.loads((tmp_path / "cells.geojson").read_text()) == []
    assert json.loads((tmp_path / "differential.json").read_text()) == []
    assert len(pd.read_csv(tmp_path / "cells.csv")) == 0


def test_a_report_is_six_things_and_outlines_by_field(analysis, tmp_path):
    out = tmp_path / "out"
    steps = list(write_results(analysis, out))
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
    assert [one["fov"] for one in json.loads((out / "cells.geojson").read_text())] == [
        "s/a.png",
        "s/b.png",
    ]
    assert np.asarray(Image.open(out / "overlays/s/a.png.png")).shape == (60, 80, 3)


@pytest.mark.parametrize("name", ["../../escaped", "s/../../../escaped"])
def test_a_field_whose_name_leads_out_of_the_folder_is_refused(analysis, tmp_path, name):
    (one,) = analysis.slides
    slide = Slide("s", (FieldOfView(name, one.slide.fields[0].path),))
    outside = dataclasses.replace(
        analysis, slides=(dataclasses.replace(one, slide=slide, failures=()),)
    )
    with pytest.raises(WbcError, match="leads out of"):
        list(write_results(outside, tmp_path / "deep" / "out"))
    assert not list(tmp_path.rglob("escaped*"))


def test_a_field_that_vanished_is_a_note(analysis, tmp_path):
    (tmp_path / "s" / "b.png").unlink()
    notes = [s.note for s in write_results(analysis, tmp_path / "out")]
    assert notes[0] == ""
    assert "b.png" in notes[1]


def test_of_a_field_that_vanished_all_but_the_overlay_is_written(analysis, tmp_path):
    out, gone = tmp_path / "out", tmp_path / "s" / "a.png"
    run(write_results(analysis, out))
    gone.unlink()
    written = run(write_results(analysis, out))
    assert [failure.path for failure in written.failures] == [gone]
    assert sorted(path.name for path in (out / "overlays").rglob("*.png")) == ["b.png.png"]
    assert len(pd.read_csv(out / "cells.csv")) == 3
    assert pd.read_csv(out / "fields.csv")["cells"].tolist() == [3, 0]
    assert [len(one["features"]) for one in json.loads((out / "cells.geojson").read_text())] == [
        3,
        0,
    ]
    (one,) = json.loads((out / "differential.json").read_text())
    assert [Path(failure["path"]).name for failure in one["failed"]] == ["broken.png", "a.png"]


def test_overlays_and_outlines_of_an_earlier_run_go_and_other_files_stay(analysis, tmp_path):
    out = tmp_path / "out"
    run(write_results(analysis, out))
    (out / "overlays" / "mine.png").write_bytes(b"mine")
    (one,) = analysis.slides
    fewer = dataclasses.replace(one, slide=Slide("s", one.slide.fields[:1]), failures=())
    run(write_results(Analysis((fewer,)), out))
    drawn = sorted(path.name for path in out.rglob("*.png"))
    assert drawn == ["a.png.png", "mine.png"]
    assert not (out / "geojson").exists()


def test_results_are_not_written_while_another_program_writes_there(
    analysis, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    run(write_results(analysis, out))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr(report, "MAX_WAIT", 0)
    with held(out / ".lock"), pytest.raises(WbcError, match="another program is writing"):
        run(write_results(Analysis(()), out))
    assert {path: path.read_bytes() for path in before} == before


def test_cells_of_a_failed_field_or_of_none_are_in_all_tables(analysis, tmp_path):
    (one,) = analysis.slides
    elsewhere = [
        Cell(fov, fov, Detection(BBox(1, 1, 9, 9))) for fov in ("s/broken.png", "s/gone.png")
    ]
    more = dataclasses.replace(one, table=one.table.with_cells(elsewhere))
    written = run(write_results(Analysis((more,)), tmp_path / "out"))
    fields = pd.read_csv(tmp_path / "out" / "fields.csv")
    assert dict(zip(fields["fov"], fields["cells"], strict=True)) == {
        "s/a.png": 3,
        "s/b.png": 0,
        "s/broken.png": 1,
        "s/gone.png": 1,
    }
    assert [failure.path.name for failure in written.failures] == ["broken.png", "gone.png"]
    assert "put it back" in written.failures[1].message


NAMES = st.sampled_from(
    [*EIGHT_CLASSES.labels, "band neutrophil", "blast", "mononuclear"]
) | st.text(max_size=3)
FIELDS = tuple(FieldOfView(f"s/{i}.png", Path(f"/no such folder/{i}.png")) for i in range(3))
LOCATORS = st.sampled_from([None, LocatedBy("hsv/nucleus"), LocatedBy("net 1", (("score", 0.5),))])


@st.composite
def reviewed(draw):
    """A slide of three fields, two of which may fail, with cells and labels of any kind."""
    made = []
    for i, label in enumerate(draw(st.lists(NAMES, max_size=9))):
        fov_id = draw(st.sampled_from([*(field.fov_id for field in FIELDS), "s/gone.png"]))
        where = Detection(BBox(1, 1, 9, 9), None, 1.0, draw(st.booleans()), draw(LOCATORS))
        said = draw(st.booleans())
        prediction = None if said else Prediction((label, f"not {label}"), (1.0, 0.0))
        made.append(Cell(str(i), fov_id, where, prediction, Annotation(label) if said else None))
    failures = draw(st.lists(st.sampled_from(FIELDS), unique=True, max_size=2))
    counted = draw(st.lists(st.sampled_from(FIELDS), unique=True))
    return SlideAnalysis(
        Slide("s", FIELDS),
        CellTable(made),
        tuple(Failure(field.path, "broken") for field in failures),
        {field.fov_id: {"red cell": 3} for field in counted},
        taxonomy=draw(st.sampled_from(list(TAXONOMIES.values()))),
    )


@settings(max_examples=60)
@given(reviewed())
def test_every_cell_is_in_one_row_of_every_file(slide):
    n = len(slide.table)
    counted = slide.differential
    assert counted.total + sum(row.count for row in counted.beside) == n
    with TemporaryDirectory() as folder:
        out = Path(folder)
        run(write_results(Analysis((slide,)), out))
        options = {"keep_default_na": False}  # a label may be "NA"
        assert len(pd.read_csv(out / "cells.csv", **options)) == n
        assert pd.read_csv(out / "differential.csv", **options)["count"].sum() == n
        fields = pd.read_csv(out / "fields.csv")
        (told,) = json.loads((out / "differential.json").read_text(encoding="utf-8"))
        drawn = json.loads((out / "cells.geojson").read_text(encoding="utf-8"))
    assert fields["cells"].sum() == n
    assert fields["leukocytes"].sum() == told["leukocytes"] == counted.total
    assert sum(row["count"] for row in (*told["classes"], *told["beside"])) == n
    assert sum(row["cells"] for row in told["located_by"]) == n
    collections = [drawn] if isinstance(drawn, dict) else drawn
    assert sum(len(one["features"]) for one in collections) == n
    if slide.blood_cells:
        inside = fields[fields["fov"].isin(slide.blood_cells)]["leukocytes"].sum()
        assert told["blood_cells"]["leukocyte"] == inside


def test_a_label_of_no_class_has_a_row_after_all_others():
    table = cells({"band neutrophil": 2, "platelet": 3, "blast": 1, UNIDENTIFIED: 1})
    result = differential("s", table, FIVE_CLASSES)
    assert {share.name: share.count for share in result.shares if share.count} == {"neutrophil": 2}
    assert [(row.name, row.count, row.per_100_wbc) for row in result.beside] == [
        (UNIDENTIFIED, 1, None),
        (NOT_CLASSED, 0, None),
        ("blast", 1, None),
        ("platelet", 3, None),
    ]


NETWORK = LocatedBy("mask-rcnn/net 1", (("score", 0.5), ("overlap", 0.5)))
STRICT = LocatedBy("mask-rcnn/net 1", (("score", 0.9), ("overlap", 0.5)))
COLOUR = LocatedBy("hsv/nucleus", (("sensitivity", 0.5),))


def located(*locators, searched_by=None):
    """The JSON of a slide with a cell of each."""
    made = []
    for i, locator in enumerate(locators):
        drawn, located_by = locator == "hand", locator if isinstance(locator, LocatedBy) else None
        made.append(
            Cell(str(i), "s/0.png", Detection(BBox(0, 0, 9, 9), None, 1.0, drawn, located_by))
        )
    slide = SlideAnalysis(Slide("s", FIELDS), CellTable(made), searched_by=searched_by)
    analysis = Analysis((slide,))
    (one,) = json.loads(json.dumps(differential_json(analysis), allow_nan=False))
    assert analysis.detector == one["detector"]
    return one


def test_a_slide_without_cells_names_what_searched_it():
    assert (located()["detector"], located()["located_by"]) == ("", [])
    one = located(searched_by=NETWORK)
    assert (one["detector"], one["detector_parameters"]) == (
        NETWORK.detector,
        {"score": 0.5, "overlap": 0.5},
    )
    assert one["located_by"] == []


def test_what_located_the_cells_is_told_with_parameters_and_those_drawn_by_hand_last():
    one = located("hand", NETWORK, COLOUR, NETWORK, "not known", searched_by=COLOUR)
    assert one["located_by"] == [
        {"detector": "hsv/nucleus", "parameters": {"sensitivity": 0.5}, "cells": 1},
        {"detector": "mask-rcnn/net 1", "parameters": {"score": 0.5, "overlap": 0.5}, "cells": 2},
        {"detector": "not known", "parameters": {}, "cells": 1},
        {"detector": "by hand", "parameters": {}, "cells": 1},
    ]
    assert one["detector"] == "hsv/nucleus, mask-rcnn/net 1, not known, by hand"
    assert one["detector_parameters"] == {}


@pytest.mark.parametrize(
    ("locators", "detector", "parameters"),
    [
        ((NETWORK, "hand"), "mask-rcnn/net 1, by hand", {"score": 0.5, "overlap": 0.5}),
        ((NETWORK, STRICT), "mask-rcnn/net 1", {}),
        (("hand",), "by hand", {}),
        (("not known",), "not known", {}),
    ],
)
def test_parameters_are_those_of_the_single_detector(locators, detector, parameters):
    one = located(*locators)
    assert (one["detector"], one["detector_parameters"]) == (detector, parameters)


def test_the_json_is_strict_and_tells_what_failed(analysis):
    (one,) = json.loads(json.dumps(differential_json(analysis), allow_nan=False))
    assert (one["slide"], one["fields"], one["leukocytes"]) == ("s", 3, 2)
    assert (one["detector"], one["model"]) == ("not known", "cdnn 1")
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
    counts = {
        "s/a.png": {"red cell": 40, "platelet": 2},
        "s/b.png": {"red cell": 20, "platelet": 1},
    }
    counted = dataclasses.replace(analysis, slides=(dataclasses.replace(one, blood_cells=counts),))
    assert differential_json(counted)[0]["blood_cells"] == {
        "fields": 2,
        "leukocyte": 2,
        "platelet": 3,
        "red cell": 60,
    }
    assert counted.fields["red_cells"].tolist() == [40, 20]
    assert counted.fields["cells"].tolist() == [3, 0]
    assert counted.fields["leukocytes"].tolist() == [2, 0]
    assert counted.fields["red_cells_per_leukocyte"].tolist()[0] == 20


def test_of_a_slide_without_cells_the_json_has_nulls():
    empty = Analysis((SlideAnalysis(Slide("s", ()), CellTable()),), "m")
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
    assert (
        np.abs(overlay[48:51, 25:45].astype(int) - rgb).sum(axis=2).min() < 100
    )  # lines are smoothed


def test_a_covered_label_is_drawn_as_the_class_it_counts_as():
    covered, whole = (
        draw_overlay(
            FIELD,
            [Cell("id", "a", Detection(BBox(20, 20, 50, 50)), annotation=Annotation(label))],
            EIGHT_CLASSES,
        )
        for label in ("band neutrophil", "neutrophil")
    )
    np.testing.assert_array_equal(covered, whole)


@pytest.mark.parametrize(
    "box", [BBox(-50, -50, -40, -40), BBox(-5, -5, 500, 500), BBox(59, 79, 60, 80)]
)
def test_cells_over_the_edge_do_no_harm(box):
    overlay = draw_overlay(FIELD, [Cell("id", "a", Detection(box))], EIGHT_CLASSES)
    assert overlay.shape == FIELD.shape


def test_a_name_of_255_bytes_has_an_overlay_and_outlines(tmp_path):
    names = [f"{letter}{'ü' * 125}.png" for letter in "ab"]
    fields = []
    for name in names:
        assert len(name.encode()) == 255
        Image.fromarray(np.full((30, 30, 3), 200, np.uint8)).save(tmp_path / name)
        fields.append(FieldOfView(f"s/{name}", tmp_path / name))
    slide = SlideAnalysis(Slide("s", tuple(fields)), CellTable())
    written = run(write_results(Analysis((slide,)), tmp_path / "out"))
    assert written.failures == ()
    for folder, suffix in (("overlays", ".png"), ("geojson", ".geojson")):
        files = sorted((tmp_path / "out" / folder / "s").iterdir())
        assert len(files) == 2
        assert all(file.suffix == suffix and len(file.name.encode()) <= 255 for file in files)
