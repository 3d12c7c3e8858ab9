"""A patient's name in images and folders, and a login, are in nothing that is handed on."""

from __future__ import annotations

import shutil
import sys
from contextlib import closing

import pytest
from tests.pipeline.projects import export
from tests.planted import NAME, holding, images

from napari_wbc.cli.app import app
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session.session import Session
from napari_wbc.storage.formats.registry import FORMATS
from napari_wbc.storage.workspace import create_workspace
from napari_wbc.weights.registry import find_weights


@pytest.fixture
def project(tmp_path):
    """A project in a folder of the name, with an image of each kind, labelled by somebody of it."""
    folder = tmp_path / NAME
    images(folder / "slide")
    (folder / "slide" / "broken.png").touch()
    slide = open_slide(folder / "slide")
    session = Session()
    session.reader = NAME
    with closing(create_workspace(folder / "slide.wbc", EIGHT_CLASSES)) as workspace:
        session.open(slide, workspace)
        cells = []
        for field in slide.fields:
            for i, label in enumerate(("neutrophil", "monocyte", None)):
                cell = Cell.new(field.fov_id, Detection(BBox(5, 25 * i, 20, 25 * i + 15)))
                cells.append(cell.annotated(Annotation(label, NAME) if label else None))
        session.commit(session.table.with_cells(cells), "draw")
        session.close()
    return folder / "slide.wbc"


@pytest.mark.parametrize("written_as", FORMATS)
def test_a_training_set_holds_no_name(project, tmp_path, written_as):
    assert sorted(holding(project.parent / "slide"))
    made = export(project, tmp_path / "set", written_as=written_as)
    assert made.fields == 7
    assert list(holding(tmp_path / "set")) == []
    kept = export(project, tmp_path / "kept", written_as=written_as, keep_metadata=True)
    assert list(holding(kept.folder)) != []


def run(*arguments):
    """A command, whatever its exit code."""
    with pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments])
    return ended.value.code


@pytest.mark.skipif(sys.platform != "linux", reason="the paths of this test are Linux's")
def test_no_command_writes_a_name(project, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_WBC_MODELS", str(tmp_path / "models"))
    weights = project.parent / "start.safetensors"
    shutil.copy(find_weights("cdnn"), weights)
    slide = project.parent / "slide"
    out = tmp_path / "out"
    out.mkdir()
    done = {
        "analyze": run("analyze", slide, "--out", out / "a", "--detector", "hsv"),
        "classify": run("classify", slide, "--out", out / "c.csv"),
        "export": run("export", project, "--out", out / "e"),
        "set": run("set", "export", project, "--out", out / "s", "--split", "train"),
        "evaluate": run(
            *("evaluate", "--data", out / "s", "--split", "train", "--out", out / "v"),
            *("--weights", weights),
        ),
        "doubts": run("doubts", out / "s", "--out", out / "d.csv", "--weights", weights),
        "choose": run("choose", project, "--out", out / "ch.csv", "--weights", weights),
        "compare": run(
            *("compare", "--data", out / "s", "--split", "train", "--out", out / "w"),
            *("--old", weights, "--new", "large"),
        ),
        "finetune": run(
            *("finetune", out / "s", "--start", weights, "--out", out / "f", "--epochs", "1"),
            *("--device", "cpu"),
        ),
    }
    assert set(done.values()) <= {0, 3}
    assert list(holding(out)) == []
