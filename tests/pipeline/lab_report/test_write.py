"""The four files of a report: what they say, of hostile names, and of very few or many cells."""

from __future__ import annotations

import csv
import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import jsonschema
import pytest
from tests.pipeline.lab_report.reports import ORDINARY, analysis, settings, slide

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import read_field
from napari_wbc.model.audit import Audit, sample
from napari_wbc.model.blood_count import WbcCount
from napari_wbc.model.cell import Annotation
from napari_wbc.model.policy import Policy
from napari_wbc.model.progress import run
from napari_wbc.model.reference import Flag, Subject
from napari_wbc.model.target import Target
from napari_wbc.model.taxonomy import Place
from napari_wbc.pipeline.lab_report.content import content
from napari_wbc.pipeline.lab_report.fhir import fhir_bundle
from napari_wbc.pipeline.lab_report.pictures import pictures
from napari_wbc.pipeline.lab_report.reference import DATA
from napari_wbc.pipeline.lab_report.settings import Settings
from napari_wbc.pipeline.lab_report.write import FILES, report_steps

SCHEMA = json.loads((DATA / "report.schema.json").read_text())
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
NASTY = '../"x"\x1b[2J\x9b<b>=1+1'


class Tags(HTMLParser):
    """Names of tags in order, and all text."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.names = []
        self.words = ""

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def read(page):
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def written(folder, *slides, **options):
    reports = run(report_steps(analysis(*slides), folder / "out", settings(**options)))
    return [each.folder for each in reports]


def of(folder):
    values = json.loads((folder / "report.json").read_text())
    jsonschema.validate(values, SCHEMA)
    page = (folder / "report.html").read_text()
    return values, read(page), page


@pytest.mark.parametrize(
    "counts",
    [{}, {"neutrophil": 1}, {"lymphocyte": 7}, {"erythroblast": 3}, {"unidentified": 2}, ORDINARY],
    ids=["none", "one", "one class", "no leukocyte", "unidentified", "ordinary"],
)
@pytest.mark.parametrize("wbc", [None, WbcCount(17.4)])
def test_every_slide_has_a_report(counts, wbc, tmp_path):
    (folder,) = written(tmp_path, slide(tmp_path, counts), wbc=wbc)
    assert folder == tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    values, page, _ = of(folder)
    assert values["located"] == sum(counts.values())
    assert "Research use only" in page.words
    assert "nan" not in page.words.lower()


def test_a_report_of_a_reviewed_slide(tmp_path):
    counts = {**ORDINARY, "monocyte": 26, "erythroblast": 8, "unidentified": 4}
    options = {"wbc": WbcCount(17.4), "specimen": "H-1", "subject": Subject("female", 43)}
    (folder,) = written(tmp_path, slide(tmp_path, counts), **options)
    values, page, text = of(folder)
    by_class = {row["class"]: row for row in values["classes"]}
    assert by_class["monocyte"]["flag"] == "above, surely"
    assert by_class["neutrophil"]["flag"] == ""
    assert values["wbc_corrected"]
    assert (values["subject"], values["target"]["cells"]) == ({"sex": "female", "age": 43}, 100)
    (critical,) = values["critical"]
    assert (critical["finding"], critical["count"], critical["reviewed"]) == ("Erythroblasts", 8, 8)
    for part in ("above, surely", "Erythroblasts: 8 cells", "H-1", "A. Reader", "female, 43 years"):
        assert part in page.words
    assert "4 unidentified cells (3.2 %)" in page.words
    # A page that needs no other file, and runs nothing.
    assert "script" not in page.names
    assert not {"link", "iframe", "object"} & set(page.names)
    assert "http" not in text.replace("labdxtest.com", "")


def test_worked_figures_stand_in_the_report(tmp_path):
    counts = {"neutrophil": 60, "lymphocyte": 31, "basophil": 9, "erythroblast": 8}
    (folder,) = written(tmp_path, slide(tmp_path, counts), wbc=WbcCount(17.4))
    values, page, _ = of(folder)
    assert "16.11 (14.95 – 16.83)" in page.words
    assert "4.2 – 16.4" in page.words
    (beside,) = [row for row in values["beside"] if row["class"] == "erythroblast"]
    assert [round(x, 1) for x in beside["per_100_wbc"].values()] == [8.0, 3.4, 16.4]


def test_a_slide_that_nobody_has_reviewed_says_so(tmp_path):
    (folder,) = written(tmp_path, slide(tmp_path, ORDINARY, reviewed=False))
    values, page, _ = of(folder)
    assert values["reviewed"] == 0
    assert "Not reviewed: every label is the model's." in page.words
    assert "tiny 1 (0)" in page.words


def numbers(values):
    """Every estimate among JSON values."""
    if isinstance(values, dict):
        if {"low", "high"} <= values.keys() and "source" not in values:
            yield values
        for each in values.values():
            yield from numbers(each)
    elif isinstance(values, list):
        for each in values:
            yield from numbers(each)


@pytest.mark.parametrize("reviewed", [True, False])
def test_limits_that_leave_out_the_models_errors_are_not_printed(reviewed, tmp_path):
    counts = {**ORDINARY, "erythroblast": 8, "unidentified": 4}
    one = slide(tmp_path, counts, reviewed=reviewed)
    (folder,) = written(tmp_path, one, wbc=WbcCount(17.4))
    values, page, text = of(folder)
    estimates = list(numbers({key: values[key] for key in values if key != "audit"}))
    assert len(estimates) > 15
    with_limits = [each for each in estimates if each["low"] is not None]
    assert bool(with_limits) is reviewed
    assert ("worst-case" in page.words.lower()) is reviewed
    assert ('class="reach' in text) is reviewed
    assert ("how often the model errs on this slide is not known" in page.words) is not reviewed
    assert ("95 % limits" in page.words) is reviewed
    assert "16.11" in page.words
    assert "nan" not in page.words.lower()
    bundle = json.loads((folder / "fhir.json").read_text())
    components = [entry["resource"].get("component") for entry in bundle["entry"]]
    assert any(components) is reviewed


def test_a_complete_audit_gives_the_limits(tmp_path):
    guessed = slide(tmp_path, {"neutrophil": 60, "monocyte": 40}, reviewed=False)
    ids = [i for each in sample(guessed.table, Audit(40)).values() for i in each]
    said = [guessed.table[i].annotated(Annotation(guessed.table[i].label)) for i in ids]
    part = replace(guessed, table=guessed.table.with_cells(said))
    wide = content(part, settings(target=Target(100, 1)), "now", audit=Audit(40))
    assert set(wide.limits) == {line.row.name for line in wide.lines}
    assert "those of the audit" in wide.unchecked
    assert "limits of" in wide.quality[0]
    none = content(part, settings(target=Target(100, 1)), "now")
    assert not none.limits
    assert "limits are known once" in none.quality[0]
    notes = json.dumps(fhir_bundle(wide))
    value, low, high = wide.limits["monocyte"]
    assert f"By the audit: {value:.1f} % ({low:.1f} to {high:.1f})." in notes
    assert "By the audit" not in json.dumps(fhir_bundle(none))


@pytest.mark.parametrize(
    ("cells", "state"),
    [
        (0, "No cell was located."),
        (1, "Reviewed: a person labelled the cell."),
        (2, "Reviewed: a person labelled all 2 cells."),
    ],
)
def test_how_far_few_cells_are_reviewed(cells, state, tmp_path):
    (folder,) = written(tmp_path, slide(tmp_path, {"monocyte": cells}))
    assert state in of(folder)[1].words


def test_labels_that_no_class_counts_are_named(tmp_path):
    counts = {"neutrophil": 9, "blast": 2, "smudge cell": 1, "NRBC": 1, "artefact": 1}
    one = slide(tmp_path, {**counts, "not classed": 1, "unidentified": 1, "platelet": 1})
    lines = [line for line in content(one, settings(), "now").quality if "no class" in line]
    assert lines == [
        "Outside the percentages, since no class counts them: blast. Choose classes that have them "
        "if they are leukocytes."
    ]
    usual = content(slide(tmp_path, ORDINARY), settings(), "now").quality
    assert not any("no class" in line for line in usual)


def test_a_mark_lies_around_its_cell(tmp_path):
    one = slide(tmp_path, {"monocyte": 1}, fields=1)
    (overview,) = pictures(one, one.taxonomy, {}, read_field).overview
    # A box of 20 pixels in a field 90 wide, which is shown 300 wide.
    assert overview.places[0][2] == pytest.approx(0.55 * 20 * 300 / 90, abs=0.1)


def test_hostile_names_do_no_harm(tmp_path):
    nasty = slide(tmp_path, {NASTY: 2, "=1+1": 1, "neutrophil": 1}, name=NASTY)
    other = slide(tmp_path, {}, name="..")
    folders = written(tmp_path, nasty, other, specimen='"><script>alert(1)</script>')
    assert [folder.name for folder in folders] == ["01-x-2J-b-1-1", "02"]
    assert all(folder.parent == tmp_path / "out" for folder in folders)
    _values, page, text = of(folders[0])
    assert "<b>=1+1" not in text
    assert "script" not in page.names
    assert "\x1b" not in text
    assert '../"x"\\x1b[2J\\x9b<b>=1+1' in page.words
    with (folders[0] / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())
    for name in FILES:
        assert not CONTROL.search((folders[0] / name).read_text())
    assert "\\x1b[2J" in (folders[0] / "report.csv").read_text()
    values = json.loads((folders[0] / "report.json").read_text())
    assert values["slide"] == NASTY


def test_a_masked_report_names_neither_slide_nor_specimen(tmp_path):
    secret = slide(tmp_path, ORDINARY, name="Mueller")
    (folder,) = written(tmp_path, secret, specimen="H-1", masked=True)
    for file in FILES:
        text = (folder / file).read_text()
        assert "Mueller" not in text
        assert "H-1" not in text


def test_every_cell_is_in_the_table_with_who_and_when(tmp_path):
    (folder,) = written(tmp_path, slide(tmp_path, ORDINARY))
    with (folder / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 100
    assert {row["annotator"] for row in rows} == {"A. Reader"}
    assert all(row["when"].startswith("2026-11-30T09") for row in rows)


def test_the_hash_is_of_the_cells_and_the_settings_and_not_of_their_order(tmp_path):
    one = slide(tmp_path, ORDINARY)
    first = content(one, settings(), "now").cells_sha256
    assert content(one, settings(), "later").cells_sha256 == first
    given = content(one, settings(wbc=WbcCount(5)), "now").settings_sha256
    assert given != content(one, settings(), "now").settings_sha256
    bands = content(one, settings(policy=Policy(bands_apart=True)), "now").settings_sha256
    assert bands not in (given, content(one, settings(), "now").settings_sha256)
    # What nobody has chosen is not in the hash: a shipped table.
    assert (
        content(one, Settings(), "now").settings_sha256
        == content(one, settings(), "now").settings_sha256
    )
    # Nor are colours of classes; their names and places are.
    classes = one.taxonomy.classes
    for change, is_same in (({"color": "#000001"}, True), ({"place": Place.BESIDE}, False)):
        other = replace(one.taxonomy, classes=(replace(classes[0], **change), *classes[1:]))
        hashed = content(replace(one, taxonomy=other), settings(), "now").settings_sha256
        assert (hashed == content(one, settings(), "now").settings_sha256) is is_same
    other = slide(tmp_path, dict(reversed(ORDINARY.items())))
    assert content(other, settings(), "now").cells_sha256 == first
    fewer = slide(tmp_path, {**ORDINARY, "basophil": 0})
    assert content(fewer, settings(), "now").cells_sha256 != first


def test_nothing_is_abnormal_by_labels_that_only_the_model_gave(tmp_path):
    counts = {"neutrophil": 40, "lymphocyte": 20, "monocyte": 40}
    for reviewed, flag in ((True, Flag.ABOVE_SURELY), (False, Flag.NONE)):
        one = slide(tmp_path, counts, reviewed=reviewed)
        report = content(one, settings(wbc=WbcCount(10)), "now")
        (line,) = [line for line in report.lines if line.row.name == "monocyte"]
        assert (line.percent.flag, line.absolute.flag) == (flag, flag)
        assert bool(report.unchecked) is not reviewed
    # A complete audit may say so.
    guessed = slide(tmp_path, counts, reviewed=False)
    ids = [i for each in sample(guessed.table, Audit(60)).values() for i in each]
    said = [guessed.table[i].annotated(Annotation(guessed.table[i].label)) for i in ids]
    audited = replace(guessed, table=guessed.table.with_cells(said))
    report = content(audited, settings(), "now", audit=Audit(60))
    (line,) = [line for line in report.lines if line.row.name == "monocyte"]
    assert line.percent.flag is Flag.ABOVE_SURELY
    assert line.percent.estimate.value == 40


@pytest.mark.parametrize(
    ("reviewed", "doubt"),
    [
        (0, ", by the model only, not reviewed"),
        (2, ", 1 of 3 by the model only, not reviewed"),
        (3, ""),
    ],
)
def test_critical_cells_that_nobody_reviewed_are_named_so(reviewed, doubt, tmp_path):
    one = slide(tmp_path, {"neutrophil": 20, "blast": 3}, reviewed=False)
    ids = [i for i in one.table if i.startswith("blast")][:reviewed]
    said = [one.table[i].annotated(Annotation("blast")) for i in ids]
    (folder,) = written(tmp_path, replace(one, table=one.table.with_cells(said)))
    values, page, _ = of(folder)
    (critical,) = values["critical"]
    assert (critical["reviewed"], critical["predicted"]) == (reviewed, 3 - reviewed)
    text = f"Blasts: 3 cells{doubt}"
    assert critical["text"] == text
    assert text in page.words
    assert ("by the model only, not reviewed" in page.words) is (reviewed < 3)
    bundle = json.loads((folder / "fhir.json").read_text())
    assert f"Critical: {text}." in bundle["entry"][0]["resource"]["conclusion"]


def test_bands_apart_are_not_flagged_by_the_interval_of_all_neutrophils(tmp_path):
    counts = {"neutrophil": 10, "band neutrophil": 50, "lymphocyte": 40}
    one = slide(tmp_path, counts)
    merged = content(one, settings(), "now").lines[0]
    assert (merged.row.count, merged.percent.flag) == (60, Flag.NONE)
    apart = content(one, settings(policy=Policy(bands_apart=True)), "now").lines
    assert [line.row.count for line in apart[:2]] == [10, 50]
    assert apart[0].percent.interval is None
    assert content(one, settings(), "now").indices.left_shift.value == pytest.approx(250 / 3)


def test_an_image_that_is_gone_leaves_a_report(tmp_path):
    one = slide(tmp_path, ORDINARY)
    (tmp_path / "images" / "0.png").unlink()
    (folder,) = written(tmp_path, one)
    assert "1 more cannot be read" in of(folder)[1].words


@pytest.mark.parametrize("name", ["two\nlines", "x" * 201])
def test_a_specimen_that_is_none_is_refused(name):
    with pytest.raises(WbcError, match="no name of a specimen"):
        settings(specimen=name)


def test_a_thousand_cells_take_no_three_seconds(tmp_path):
    many = slide(tmp_path, {name: 10 * n for name, n in ORDINARY.items()}, fields=60)
    written(tmp_path / "first", slide(tmp_path, {}))
    start = time.process_time()
    written(tmp_path, many)
    assert time.process_time() - start < 3
