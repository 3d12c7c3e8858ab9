"""``napari-wbc report`` and ``analyze --report``."""

from __future__ import annotations

import importlib
import json

import pytest
from tests.pipeline.projects import make_project


def test_a_project_becomes_a_report(call, tmp_path):
    project = make_project(tmp_path)
    out = tmp_path / "out"
    code, printed, _ = call("report", project, "--out", out, "--wbc", "17.4", "-q")
    assert (code, printed) == (0, "")
    values = json.loads((out / "report.json").read_text())
    assert (values["located"], values["wbc_given"]["value"]) == (8, 17.4)
    code, printed, _ = call("report", project, "--out", out, "--specimen", "H-1")
    assert code == 0
    assert printed.strip().endswith("report.html")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--wbc", "0"], "no WBC count"),
        (["--sex", "x"], "give female or male"),
        (["--age", "-1"], "Age -1"),
        (["--correct-from", "-1"], "give 0 or more"),
        (["--target", "0"], "no target"),
        (["--reading", "none"], "no reading"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(options, message, call, tmp_path):
    code, _, told = call("report", make_project(tmp_path), "--out", tmp_path / "out", *options)
    assert code == 2
    assert message in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("report", "--out", "a/b"),
        ("export", "--out", "a/b"),
        ("audit", "--out", "a/b.csv"),
        ("h20", "--out", "a/b.csv"),
        ("verify", "--against", "t.csv", "--out", "a/b.csv"),
    ],
    ids=lambda command: command[0],
)
def test_a_project_that_is_not_there_is_named_and_leaves_no_folder(command, call, folder):
    name, *options = command
    code, _, told = call(name, "nope.wbc", *options)
    assert code == 2
    assert told.endswith("nope.wbc: there is no such file; choose another.\n")
    assert sorted(path.name for path in folder.iterdir()) == ["a.png"]


def test_a_report_that_is_refused_leaves_no_folder(call, folder):
    project = make_project(folder, labels={"1.png": ["neutrophil"]})
    for options in (("--sign", "A"), ("--sex", "x"), ("--slide", "none")):
        code, _, told = call("report", project, "--out", "a/b", "-q", *options)
        assert (code, len(told.splitlines())) == (2, 1)
    assert not (folder / "a").exists()


@pytest.mark.parametrize("out", ["x" * 300, "a.png", "a.png/b"])
def test_a_folder_that_cannot_be_is_told_in_one_line(out, call, folder):
    project = make_project(folder, labels={"1.png": ["neutrophil"]})
    code, _, told = call("report", project, "--out", out, "-q")
    assert code == 2
    assert len(told.splitlines()) == 1
    assert "choose another place" in told


def test_critical_findings_say_who_called_them_so(call, tmp_path):
    labels = {"1.png": ["neutrophil", "blast"]}
    project = make_project(tmp_path, labels=labels)
    _, _, told = call("report", project, "--out", tmp_path / "out", "-q")
    assert "slide: critical: Blasts: 1 cell\n" in told


def test_a_slide_that_nobody_reviewed_is_marked(call, folder):
    out = folder / "out"
    code, _, _ = call("analyze", "a.png", "--out", out, "--detector", "hsv", "--report", "-q")
    assert code == 0
    page = (out / "report" / "report.html").read_text()
    assert "No cell was located." in page


def test_heat_of_analyze_is_of_its_report(call, folder, monkeypatch):
    code, _, told = call("analyze", "a.png", "--out", folder / "out", "--heat")
    assert code == 2
    assert "add --report" in told
    assert not (folder / "out").exists()
    asked = []
    write = "napari_wbc.pipeline.lab_report.write"
    steps = importlib.import_module(write).report_steps
    monkeypatch.setattr(
        f"{write}.report_steps",
        lambda *args, **options: asked.append(options["heat"]) or steps(*args, **options),
    )
    options = ("--detector", "hsv", "--report", "--heat", "-q")
    code, _, _ = call("analyze", "a.png", "--out", folder / "out", *options)
    assert (code, asked) == (0, [True])


def test_a_report_is_audited_and_signed(call, tmp_path):
    project = make_project(tmp_path, labels={"1.png": ["neutrophil", "lymphocyte"]})
    drawn = tmp_path / "audit.csv"
    code, printed, _ = call("audit", project, "--out", drawn, "--n", "2", "--seed", "1")
    assert code == 0
    assert "2 cells to review" in printed
    assert len(drawn.read_text().splitlines()) == 3
    out = tmp_path / "out"
    code, _, told = call("report", project, "--out", out, "--sign", "A", "-q")
    assert code == 2
    assert "slide: cannot be signed yet: 2 leukocytes of 100 counted." in told
    code, _, _ = call("report", project, "--out", out, "--sign", "A", "--target", "2", "-q")
    assert code == 0
    code, _, told = call("report", project, "--out", out, "-q")
    assert (code, told) == (0, "slide: as chosen before: target 2 cells.\n")
    code, _, told = call("report", project, "--out", out, "--target", "3", "-q")
    assert code == 0
    assert "slide: Since A signed version 1, the settings or the classes are others." in told


@pytest.mark.parametrize("sex", ["F", "f", "Female", "FEMALE"])
def test_a_sex_is_written_as_people_write_it(sex, call, tmp_path):
    out = tmp_path / "out"
    code, _, _ = call("report", make_project(tmp_path), "--out", out, "--sex", sex, "-q")
    assert code == 0
    assert "female" in (out / "report.html").read_text()


def test_escape_codes_in_names_reach_no_terminal(call, tmp_path):
    project = make_project(tmp_path, "a\x1b[2J", labels={"1.png": ["blast", "neutrophil"]})
    out = tmp_path / "out"
    options = ("--sign", "A", "--target", "1")
    code, printed, told = call("report", project, "--out", out, *options)
    assert code == 0, told
    assert "a\\x1b[2J: critical: Blasts: 1 cell" in told
    code, again, told_again = call("report", project, "--out", out, "--sign", "A\x1b[2J")
    assert code == 2
    text = printed + told + again + told_again
    assert "\x1b[2J" not in text
    for file in out.iterdir():
        assert "\x1b" not in file.read_text()
