"""Reports of a project: audits that it keeps, and signatures that hold, break and are amended."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import jsonschema
import pytest
from tests.pipeline.lab_report.test_write import SCHEMA
from tests.pipeline.projects import SAID, make_project, relabel

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.audit import Audit
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.pipeline.kept_audit import audit_key, kept_audit
from napari_wbc.pipeline.lab_report.choice import Choice, choice_key
from napari_wbc.pipeline.lab_report.project import (
    draw_audit,
    project_report_steps,
)
from napari_wbc.pipeline.lab_report.reference import INTERVALS
from napari_wbc.pipeline.lab_report.sign import note_key
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import Workspace, open_workspace

REVIEWED = {"1.png": ["neutrophil"] * 4, "2.png": ["lymphocyte", "monocyte"]}
FEW = Choice(target=3)
USUAL = Choice()
# Kills itself at the n-th call of a function.
KILLED = """
import importlib, os, signal, sys
from pathlib import Path
from napari_wbc.model.progress import run
from napari_wbc.pipeline.lab_report.project import project_report_steps
from napari_wbc.pipeline.lab_report.choice import Choice
project, out, module, owner, name, n = sys.argv[1:]
place = importlib.import_module(module)
place = getattr(place, owner) if owner else place
work = getattr(place, name)
calls = []
def killed(*args, **options):
    result = work(*args, **options)
    calls.append(name)
    if len(calls) == int(n):
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(place, name, killed)
run(project_report_steps(project, out, Choice(target=3), sign="B"))
"""
WRITE = "napari_wbc.pipeline.lab_report.write"
PLACES = {
    "a file is written": (WRITE, "", "write_text", 1),
    "the signature is put": ("napari_wbc.storage.workspace.workspace", "Workspace", "put", 1),
    "the signature is kept": ("napari_wbc.pipeline.lab_report.project", "", "_keep", 1),
    # Five old files move away, then six new ones into place.
    "an old file is away": ("pathlib", "Path", "replace", 9),
    "a new file is in place": ("pathlib", "Path", "replace", 14),
}


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path, labels=REVIEWED)


def report(project, out, sign="", rules=FEW, **options):
    (each,) = run(project_report_steps(project, out, rules, sign=sign, **options))
    values = json.loads((out / "report.json").read_text())
    jsonschema.validate(values, SCHEMA)
    return each, values, (out / "report.html").read_text()


def status(out):
    bundle = json.loads((out / "fhir.json").read_text())
    return bundle["entry"][0]["resource"]["status"]


def test_a_report_that_nobody_signed(project, tmp_path):
    each, values, page = report(project, tmp_path / "out")
    assert (each.versions, values["signed"], each.broken) == ((), None, "")
    assert '<p class="line">Name</p>' in page


def test_a_report_is_signed_once_by_each_and_then_holds(project, tmp_path):
    out = tmp_path / "out"
    _, values, page = report(project, out, sign="Dr <b>A")
    assert values["signed"]["intact"]
    assert "Dr &lt;b&gt;A, 20" in page
    assert status(out) == "final"
    with pytest.raises(WbcError, match="has signed version 1 already"):
        report(project, out, sign="Dr <b>A")
    _, values, page = report(project, out, sign="B")
    assert [each["name"] for each in values["signed"]["signatures"]] == ["Dr <b>A", "B"]
    assert values["signed"]["version"] == 1
    _, values, _ = report(project, out)
    assert values["signed"]["intact"]


def test_a_change_breaks_the_signature_and_signing_again_amends(project, tmp_path):
    out = tmp_path / "out"
    report(project, out, sign="A")
    first = json.loads((out / "signed-1.json").read_text())
    relabel(project, "slide-1.png-0", "basophil")
    each, values, page = report(project, out)
    assert not values["signed"]["intact"]
    assert "Signature broken" in page
    assert "cells or labels have changed" in each.broken
    assert status(out) == "preliminary"
    _, values, page = report(project, out, sign="B")
    assert (values["signed"]["version"], values["signed"]["intact"]) == (2, True)
    assert "Amends version 1, signed by A" in page
    assert "Amended report, version 2" in page
    assert "Signature broken" not in page
    assert status(out) == "amended"
    assert json.loads((out / "signed-1.json").read_text()) == first


def test_other_settings_are_not_what_was_signed(project, tmp_path):
    report(project, tmp_path / "out", sign="A")
    rules = Choice(target=3, wbc=9.0)
    each, _, _ = report(project, tmp_path / "out", rules=rules)
    assert "the settings or the classes are others" in each.broken
    # A masked report has no signed one beside it that names the slide.
    report(project, tmp_path / "masked", masked=True)
    assert not list((tmp_path / "masked").glob("signed-*"))


def test_an_update_of_the_shipped_tables_changes_no_signed_report(project, tmp_path, monkeypatch):
    def flags(values):
        return {row["class"]: row["interval"] for row in values["classes"]}

    _, signed, _ = report(project, tmp_path / "out", sign="A", rules=FEW)
    wide = tmp_path / "wide.csv"
    shipped = INTERVALS.read_text(encoding="utf-8")
    wide.write_text(shipped.replace("neutrophil,%,,11,,40,75", "neutrophil,%,,11,,41,70"))
    assert wide.read_text() != shipped
    monkeypatch.setattr("napari_wbc.pipeline.lab_report.reference.INTERVALS", wide)
    each, values, _ = report(project, tmp_path / "out")
    assert not each.broken
    assert flags(values) == flags(signed)
    # A second person signs the same version, not another.
    _, values, _ = report(project, tmp_path / "out", sign="B")
    assert values["signed"]["version"] == 1
    # What is signed after a change is made with the tables of today.
    relabel(project, "slide-1.png-0", "basophil")
    _, values, _ = report(project, tmp_path / "out", sign="A")
    assert values["signed"]["version"] == 2
    assert flags(values)["neutrophil"]["low"] == 41
    record = json.loads((tmp_path / "out" / "signed-1.json").read_text())
    assert "findings" in record["tables"]
    # A table that the laboratory chose is another.
    own = Choice(intervals=str(INTERVALS), target=3)
    each, _, _ = report(project, tmp_path / "out", rules=own)
    assert "the settings or the classes are others" in each.broken


def told(project, out, choice=USUAL, **options):
    """What is told while a report is written, and its JSON."""
    steps = project_report_steps(project, out, choice, **options)
    notes = [progress.note for progress in steps if progress.note]
    return notes, json.loads((out / "report.json").read_text())


def kept(project):
    with closing(open_workspace(project, read_only=True)) as workspace:
        return workspace.get(choice_key("slide"))


def test_what_was_chosen_for_a_slide_is_kept_for_the_next_report(project, tmp_path):
    out = tmp_path / "out"
    notes, _ = told(project, out, Choice(specimen="H-1", wbc=17.4, bands_apart=True))
    assert notes == []
    assert kept(project) == {"specimen": "H-1", "wbc": 17.4, "bands_apart": True}
    notes, values = told(project, out)
    assert notes == ["slide: as chosen before: specimen H-1, WBC 17.4 x 10^9/L, bands apart."]
    assert (values["specimen"], values["wbc_given"]["value"]) == ("H-1", 17.4)
    assert values["policy"]["bands_apart"]
    notes, values = told(project, out, Choice(wbc=9.0))
    assert notes == [
        "slide: WBC 9 x 10^9/L instead of WBC 17.4 x 10^9/L, as the project had it.",
        "slide: as chosen before: specimen H-1, bands apart.",
    ]
    assert (values["specimen"], values["wbc_given"]["value"]) == ("H-1", 9)
    assert kept(project)["wbc"] == 9
    notes, values = told(project, out, anew=True)
    assert (notes, values["specimen"], values["wbc_given"]) == ([], "", None)
    assert kept(project) == {}


@pytest.mark.parametrize("sign", ["", "B"])
def test_of_a_project_that_lost_a_cell_there_is_no_report(project, tmp_path, sign):
    with closing(sqlite3.connect(project)) as file:
        (cell_id,) = file.execute("SELECT min(cell_id) FROM cells").fetchone()
        for table in ("annotations", "predictions", "cells"):
            file.execute(f"DELETE FROM {table} WHERE cell_id = ?", (cell_id,))
        file.commit()
    with pytest.raises(WbcError, match="1 of its cells"):
        run(project_report_steps(project, tmp_path / "out", FEW, sign=sign))
    with pytest.raises(WbcError, match="1 of its cells"):
        draw_audit(project)


@pytest.mark.parametrize("choice", [Choice(sex="female"), Choice(age=3.0), Choice(wbc=9.0)])
def test_whose_blood_it_is_is_not_said_of_several_slides(films, tmp_path, choice):
    with pytest.raises(WbcError, match="of one blood"):
        run(project_report_steps(films, tmp_path / "out", choice))


def test_what_was_chosen_is_not_kept_of_a_report_that_failed(project, tmp_path):
    with pytest.raises(WbcError, match="cannot be signed"):
        told(project, tmp_path / "out", Choice(target=300), sign="A")
    assert kept(project) is None
    with pytest.raises(WbcError, match="no WBC count"):
        told(project, tmp_path / "out", Choice(wbc=0.0))
    assert not (tmp_path / "out").exists()


def test_a_project_that_is_open_elsewhere_is_reported_and_keeps_no_choice(project, tmp_path):
    with closing(open_workspace(project)):
        notes, values = told(project, tmp_path / "out", Choice(specimen="H-1"))
    assert notes == ["Not kept in the project for the next report: another program has it open."]
    assert values["specimen"] == "H-1"
    assert kept(project) is None


def test_a_signed_report_holds_without_saying_again_what_was_chosen(project, tmp_path):
    report(project, tmp_path / "out", sign="A", rules=Choice(target=3, wbc=17.4))
    each, _, _ = report(project, tmp_path / "out", rules=Choice())
    assert not each.broken


@pytest.mark.parametrize(
    ("labels", "target", "message"),
    [
        ({"1.png": ["neutrophil", None]}, 1, "1 cell not reviewed, and no complete audit"),
        ({"1.png": ["neutrophil"]}, 2, "1 leukocyte of 2 counted"),
    ],
)
def test_a_report_that_is_not_ready_is_not_signed(labels, target, message, tmp_path):
    project = make_project(tmp_path, labels=labels)
    with pytest.raises(WbcError, match=message):
        report(project, tmp_path / "out", sign="A", rules=Choice(target=target))
    with closing(open_workspace(project, read_only=True)) as workspace:
        assert workspace.get(note_key("slide")) is None


@pytest.mark.parametrize("name", [" ", "two\nlines", "x" * 101, "\x1b[2J"])
def test_a_name_that_is_none_signs_nothing(name, project, tmp_path):
    with pytest.raises(WbcError, match="no name to sign with"):
        report(project, tmp_path / "out", sign=name)


def test_an_audit_is_kept_and_reported_once_it_is_reviewed(tmp_path):
    project = make_project(tmp_path, labels={"1.png": [None] * 3, "2.png": [None] * 4})
    frame = draw_audit(project, 2, seed=4)
    # Each predicted class has five cells, or all that there are.
    assert len(frame) == 5
    with closing(open_workspace(project, read_only=True)) as workspace:
        assert kept_audit(workspace.get(audit_key("slide"))) == Audit(2, 4)
    _, values, page = report(project, tmp_path / "out")
    assert (values["audit"]["drawn"], values["audit"]["reviewed"]) == (5, 0)
    assert "No estimate until all of them are" in page
    for cell_id in frame["cell_id"]:
        relabel(project, cell_id, "neutrophil")
    _, values, page = report(project, tmp_path / "out", sign="A")
    assert values["audit"]["classes"][0]["percent"]["value"] == 100
    assert "all reviewed" in page


@pytest.fixture
def films(tmp_path):
    """A project of two films, of which only the model has said anything."""
    labels = {"1.png": [None] * 3, "2.png": [None] * 4}
    path = make_project(tmp_path, "a", labels=labels)
    place = tmp_path / "b"
    place.mkdir()
    shutil.copy(tmp_path / "a" / "1.png", place / "1.png")
    with closing(open_workspace(path)) as workspace:
        session = Session()
        session.open(open_slide(place), workspace)
        made = [
            Cell(f"b-{i}", "b/1.png", Detection(BBox(5, 20 * i, 15, 20 * i + 12)), SAID)
            for i in range(3)
        ]
        session.commit(session.table.with_cells(made), "draw")
        session.close()
    return path


def test_an_audit_of_pooled_films_is_drawn_from_all_of_them(films, tmp_path):
    draw_audit(films, 2, seed=4)
    notes, values = told(films, tmp_path / "out", pool=True)
    assert values["audit"] is None
    assert any("not of all pooled ones, and is left out" in note for note in notes)
    frame = draw_audit(films, 10, seed=4, pool=True)
    assert set(frame["cell_id"].str[0]) == {"a", "b"}
    notes, values = told(films, tmp_path / "out", pool=True)
    assert notes == []
    assert (values["audit"]["drawn"], values["slide"]) == (10, "a + b")
    with closing(open_workspace(films)) as workspace:
        for slide in workspace.slides():
            session = Session()
            session.open(slide, workspace)
            said = [cell.annotated(Annotation("neutrophil")) for cell in session.table.values()]
            session.commit(session.table.with_cells(said), "label")
            session.close()
    notes, values = told(films, tmp_path / "out", Choice(target=3), pool=True, sign="A")
    assert values["audit"]["reviewed"] == 10
    assert values["signed"]["intact"]


def test_a_seed_is_drawn_and_kept_where_none_is_given(project):
    draw_audit(project)
    with closing(open_workspace(project, read_only=True)) as workspace:
        assert kept_audit(workspace.get(audit_key("slide"))).n == 50


@pytest.mark.parametrize("note", [[{}], [{"signatures": []}], 5, ["x"]])
def test_signatures_that_are_damaged_are_not_passed_over(note, project, tmp_path):
    with closing(open_workspace(project)) as workspace:
        workspace.put(note_key("slide"), note)
    with pytest.raises(WbcError, match="signatures of this project are damaged"):
        report(project, tmp_path / "out")


def ages(out):
    """Versions that the files of a report were written for."""
    values = [json.loads(path.read_text()) for path in out.glob("*.json")]
    said = {value["signed"]["version"] for value in values if "signed" in value}
    statuses = {"final": 1, "amended": 2}
    bundles = [value for value in values if value.get("resourceType") == "Bundle"]
    said |= {statuses[value["entry"][0]["resource"]["status"]] for value in bundles}
    pages = [path.read_text() for path in out.glob("*.html")]
    return said | {2 if "Amends version 1" in page else 1 for page in pages}


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_signed_report_of_another_project_is_never_replaced(project, tmp_path):
    out = tmp_path / "out"
    other = make_project(tmp_path, "b", labels=REVIEWED)
    # Who has signed nothing may be replaced.
    report(other, out)
    report(project, out, sign="A")
    before = files_of(out)
    for options in ({}, {"sign": "B"}):
        with pytest.raises(WbcError, match="this signed report is none of this slide"):
            report(other, out, **options)
    # Nor is the first slide's own, by a masked report, which would not have it beside.
    with pytest.raises(WbcError, match="names the slide, and this one is masked"):
        report(project, out, masked=True)
    # An older copy of the project does not know the signature.
    with closing(open_workspace(project)) as workspace:
        kept = workspace.get(note_key("slide"))
        workspace.put(note_key("slide"), None)
    with pytest.raises(WbcError, match="would be lost"):
        report(project, out)
    assert files_of(out) == before
    with closing(open_workspace(other)) as workspace:
        assert workspace.get(note_key("b")) is None
    with closing(open_workspace(project)) as workspace:
        workspace.put(note_key("slide"), kept)
    report(project, out, sign="B")
    assert len(json.loads((out / "signed-1.json").read_text())["signatures"]) == 2
    (out / "signed-1.json").write_text("[" * 100_000)
    with pytest.raises(WbcError, match="would be lost"):
        report(project, out)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_program_that_is_killed_while_it_signs_has_signed_or_not(place, project, tmp_path):
    out = tmp_path / "out"
    report(project, out, sign="A")
    relabel(project, "slide-1.png-0", "basophil")
    command = [sys.executable, "-c", KILLED, project, out, *map(str, place)]
    done = subprocess.run(command, check=False)
    assert done.returncode == -signal.SIGKILL
    # The files that are there are of one age.
    assert len(ages(out)) <= 1
    each, values, page = report(project, out)
    signed = PLACES["the signature is put"]
    later = list(PLACES.values()).index(place) > list(PLACES.values()).index(signed)
    assert len(each.versions) == (2 if later else 1)
    assert values["signed"]["intact"] is later
    assert ("Signature broken" in page) is not later
    names = {"report.html", "report.json", "report.csv", "fhir.json", "signed-1.json"}
    assert {path.name for path in out.iterdir()} == (names | {"signed-2.json"} if later else names)


def test_files_that_cannot_be_placed_leave_the_old_ones_and_say_what_is_signed(project, tmp_path):
    out = tmp_path / "out"
    report(project, out)
    (out / "notes.txt").write_text("ours")
    # No file can take the place of a folder.
    (out / "signed-1.json").mkdir()
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(WbcError, match=r"as they were.* The report is signed in the project"):
        report(project, out, sign="A")
    after = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert after == before
    (out / "signed-1.json").rmdir()
    _, values, _ = report(project, out)
    assert values["signed"]["intact"]
    assert (out / "notes.txt").read_text() == "ours"


def test_a_project_that_cannot_be_written_leaves_no_signed_report(project, tmp_path, monkeypatch):
    def full(*_arguments):
        raise WbcError("the disk is full")

    monkeypatch.setattr(Workspace, "put", full)
    with pytest.raises(WbcError, match="the disk is full"):
        report(project, tmp_path / "out", sign="A")
    assert not (tmp_path / "out").exists()


def test_an_image_that_fails_half_way_leaves_the_report_before_it(tmp_path, monkeypatch):
    slides = [make_project(tmp_path, name, labels=REVIEWED) for name in ("a", "b")]
    out = tmp_path / "out"
    report(slides[0], out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr("napari_wbc.pipeline.lab_report.write.fhir_bundle", lambda *_a, **_k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report(slides[1], out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
