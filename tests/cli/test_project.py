"""Projects in the shell: an export names the images that are gone, and writes the rest."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
from PIL import Image
from tests.pipeline.projects import make_project
from typer.testing import CliRunner

from napari_wbc.cli.app import app
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.cell import Annotation
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import open_workspace


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def project(tmp_path, weights):
    """Two fields analyzed by colour, one of which is no image, kept as a project."""
    folder = tmp_path / "slide"
    folder.mkdir()
    for i in range(2):
        Image.fromarray(synthetic_smear(i, n_leukocytes=3).image).save(folder / f"{i}.png")
    (folder / "broken.png").touch()
    path = tmp_path / "p.wbc"
    done = call(
        *("analyze", folder, "--out", tmp_path / "first", "--project", path, "--detector", "hsv"),
        *("--weights", weights, "--device", "cpu", "-q"),
    )
    assert done.exit_code == 3
    return path


def told(out):
    (one,) = json.loads((out / "differential.json").read_text())
    return one


def test_an_export_says_what_the_analysis_said(project, tmp_path):
    (tmp_path / "slide" / "broken.png").unlink()
    shutil.copyfile(tmp_path / "slide" / "0.png", tmp_path / "slide" / "broken.png")
    exported = call("export", project, "--out", tmp_path / "out", "-q")
    assert (exported.exit_code, exported.stderr) == (0, "")
    first, out = told(tmp_path / "first"), told(tmp_path / "out")
    assert first["detector"] == "hsv/nucleus"
    assert first["detector_parameters"]["sensitivity"] == 0.5
    assert out == first
    for name in ("cells.csv", "fields.csv", "differential.csv", "cells.geojson"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_images_that_cannot_be_read_are_exit_code_3_and_named(project, tmp_path):
    (tmp_path / "slide" / "1.png").unlink()
    exported = call("export", project, "--out", tmp_path / "out", "-q")
    assert exported.exit_code == 3
    lines = exported.stderr.splitlines()
    assert len(lines) == 3
    assert "broken.png: the file is empty" in lines[0]
    assert "1.png: no such image file" in lines[1]
    assert lines[2].startswith("2 of 3 images cannot be read")
    out = tmp_path / "out"
    assert (
        len(pd.read_csv(out / "cells.csv"))
        == len(pd.read_csv(tmp_path / "first" / "cells.csv"))
        > 3
    )
    assert [path.name for path in (out / "overlays").rglob("*.png")] == ["0.png.png"]


def test_two_readers_are_compared(project):
    workspace, session = open_workspace(project), Session()
    (slide,) = workspace.slides()
    for reading, second in (("", "basophil"), ("ben", "monocyte")):
        session.open(slide, workspace, reading=reading)
        cells = list(session.table.values())[:4]
        labels = ("basophil", second, "monocyte", "monocyte")
        labelled = [c.annotated(Annotation(x)) for c, x in zip(cells, labels, strict=True)]
        session.commit(session.table.with_cells(labelled), "label")
    session.close()
    workspace.close()
    compared = call("agreement", project)
    assert compared.exit_code == 0
    assert "0.500" in compared.stdout


def test_a_project_is_verified_against_an_analyser(call, tmp_path):
    project = make_project(tmp_path)
    theirs = tmp_path / "analyser.csv"
    theirs.write_text(
        "slide,class,percent\nslide,NEUT%,13\nslide,monocyte,80\nslide,LUC,2\n[b]x,monocyte,4\n"
    )
    code, printed, told = call("verify", project, "--against", theirs, "--out", tmp_path / "v.csv")
    assert code == 0
    assert "1 of 1" in printed
    assert "0 of 1" in printed
    assert "left out: [b]x" in told
    assert "LUC (2.0 % on average)" in told
    assert len((tmp_path / "v.csv").read_text().splitlines()) == 3
    assert (tmp_path / "v-classes.csv").read_text().startswith("class,slides,within")
    assert (tmp_path / "v.png").read_bytes().startswith(b"\x89PNG")


def test_films_are_counted_by_two_examiners(call, tmp_path):
    code, _, told = call("h20", make_project(tmp_path), "--out", tmp_path / "h20.csv")
    assert code == 2
    assert "only one reader so far" in told
