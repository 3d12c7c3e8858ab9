"""`napari-wbc evaluate` and `compare`: tables, a verdict and a report."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from napari_wbc.cli.compare import compare
from napari_wbc.errors import WbcError


@pytest.fixture
def run_compare():
    """Run the command alone, as it is made part of the command line."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(compare)
    return lambda *arguments: CliRunner(env={"COLUMNS": "200"}).invoke(
        app, [str(one) for one in arguments]
    )


@pytest.fixture
def data(tmp_path):
    """A folder with four cells."""
    for i, name in enumerate(("neutrophil", "monocyte")):
        folder = tmp_path / "cells" / "test" / name
        folder.mkdir(parents=True)
        for k in range(2):
            Image.fromarray(np.full((48, 48, 3), 60 * (i + k + 1), np.uint8)).save(
                folder / f"{k}.png"
            )
    return tmp_path / "cells"


def test_sets_and_a_new_model_are_needed(run_compare):
    assert run_compare().exit_code == 2


def test_a_detector_is_no_classifier(run_compare, data, detector_weights, tmp_path):
    found = run_compare("--data", data, "--new", detector_weights, "--out", tmp_path / "out")
    assert "these are weights of a detector" in str(found.exception)


def test_an_empty_split_is_told(run_compare, data, weights, tmp_path):
    found = run_compare(
        "--data",
        data,
        "--old",
        weights,
        "--new",
        weights,
        "--out",
        tmp_path / "out",
        "--split",
        "val",
    )
    assert isinstance(found.exception, WbcError)
    assert "no cell in the split 'val'" in str(found.exception)
    assert not list((tmp_path / "out").iterdir())


def test_the_verdict_is_said_and_a_report_written(run_compare, data, weights, tmp_path):
    found = run_compare(
        *("--data", data, "--old", weights, "--new", weights, "--out", tmp_path / "out"),
        *("--no-heat", "--device", "cpu", "--taxonomy", "five"),
    )
    assert found.exit_code == 0, found.exception
    assert "? Undecided. Neither model is right where the other is wrong" in found.stdout
    assert "Balanced accuracy" in found.stdout
    assert "Research use only" in found.stdout
    assert "slides are not known" in found.stderr
    assert (tmp_path / "out" / "report.html").is_file()


def test_eight_classes_are_measured_as_two(call, cells, weights, tmp_path):
    out = tmp_path / "tables"
    code, said, err = call(
        "evaluate",
        "--data",
        cells,
        "--weights",
        weights,
        "--taxonomy",
        "two",
        "--out",
        out,
        "-q",
        "--no-heat",
    )
    assert code == 0
    assert "balanced" in said
    assert f"written to {out}" in said
    assert err == "Left out, no class of the taxonomy: platelet (1)\n"
    written = json.loads((out / "scores.json").read_text())
    assert sorted(written["classes"]) == ["mononuclear", "polynuclear"]
    assert written["sources"]["lab"]["n"] == 2
    assert (out / "confusion.png").is_file()


def test_an_unknown_taxonomy_is_one_line(call, cells, weights):
    code, out, err = call(
        "evaluate", "--data", cells, "--weights", weights, "--taxonomy", "ninety", "-q"
    )
    assert (code, out) == (2, "")
    assert "ninety" in err
    assert err.count("\n") == 1
