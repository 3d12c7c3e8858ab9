"""`napari-wbc choose` and `napari-wbc doubts`: what they write and say; exit codes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from napari_wbc.cli.choose import choose, doubts
from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import create_workspace
from napari_wbc.train.doubts import Doubts


@pytest.fixture
def call():
    """Run one of the two; return exit code, stdout and stderr."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(choose)
    app.command()(doubts)

    def command(*arguments):
        result = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return command


@pytest.fixture
def project(tmp_path):
    """A slide of two fields with eight cells each, six of which have a label."""
    folder = tmp_path / "slide"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("1.png", "2.png"):
        Image.fromarray(rng.integers(0, 256, (60, 200, 3), dtype=np.uint8)).save(folder / name)
    slide = open_slide(folder)
    workspace, session = create_workspace(tmp_path / "p.wbc", EIGHT_CLASSES), Session()
    session.open(slide, workspace)
    cells = []
    for field in slide.fields:
        for i in range(8):
            cell = Cell(
                f"{field.path.stem}-{i}", field.fov_id, Detection(BBox(5, 20 * i, 25, 20 * i + 20))
            )
            said = Annotation(("basophil", "monocyte")[i % 2], "ada") if i < 6 else None
            cells.append(cell.annotated(said))
    session.commit(session.table.with_cells(cells), "label")
    session.close()
    workspace.close()
    return tmp_path / "p.wbc"


def test_a_project_without_slides_is_an_error(call, tmp_path):
    create_workspace(tmp_path / "p.wbc", EIGHT_CLASSES).close()
    for command in ("choose", "doubts"):
        with pytest.raises(WbcError, match="no slide"):
            call(command, tmp_path / "p.wbc", "--out", tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("command", ["choose", "doubts"])
def test_what_is_no_csv_file_is_refused_at_once(call, command, project, tmp_path):
    before = project.read_bytes()
    for out in (tmp_path, project):
        with pytest.raises(WbcError, match=r"ends in \.csv"):
            call(command, project, "--out", out)
    assert project.read_bytes() == before


def test_cells_to_label_are_written_in_order(call, project, weights, tmp_path):
    out = tmp_path / "new" / "cells.csv"
    code, told, errors = call("choose", project, "--n", 3, "--out", out, "--weights", weights, "-q")
    assert (code, told, errors) == (0, "", "")
    table = pd.read_csv(out)
    assert table["rank"].tolist() == [1, 2, 3]
    assert set(table["cell_id"]) < {"1-6", "1-7", "2-6", "2-7"}
    assert (table["label"] == "unidentified").all()
    assert table["confidence"].between(0, 1).all()
    row = table.iloc[0]
    left = 20 * int(row["cell_id"][-1])
    assert row[["top", "left", "bottom", "right"]].tolist() == [5, left, 25, left + 20]
    assert (row["slide"], row["fov"]) == ("slide", f"slide/{row['cell_id'][0]}.png")


def test_fields_to_open_are_printed(call, project, weights, tmp_path):
    code, told, _ = call("choose", project, "--out", tmp_path / "cells.csv", "--weights", weights)
    assert code == 0
    assert "fields worth opening first" in told
    assert "slide/1.png" in told
    assert f"4 cells written to {tmp_path / 'cells.csv'}" in told.replace("\n", "")


def test_a_broken_field_is_exit_code_3(call, project, weights, tmp_path):
    (tmp_path / "slide" / "1.png").write_bytes(b"no image")
    out = tmp_path / "cells.csv"
    code, _, errors = call("choose", project, "--out", out, "--weights", weights, "-q")
    assert code == 3
    assert "1.png is left out" in errors
    assert "1 file failed" in errors
    assert set(pd.read_csv(out)["cell_id"]) == {"2-6", "2-7"}


@pytest.fixture
def second_doubted(monkeypatch):
    def fake(_features, labels, _groups, classes):
        yield from ()
        doubt = np.where(np.arange(len(labels)) == 1, 0.9, 0.0)
        return Doubts(np.array([1]), np.full(len(labels), classes.index("platelet")), doubt)

    monkeypatch.setattr("napari_wbc.train.doubts.doubts_steps", fake)


@pytest.mark.usefixtures("second_doubted")
def test_doubted_labels_of_a_project_are_written_and_printed(call, project, weights, tmp_path):
    out = tmp_path / "doubts.csv"
    code, told, _ = call("doubts", project, "--out", out, "--weights", weights)
    assert code == 0
    assert pd.read_csv(out).to_dict("records") == [
        {
            "slide": "slide",
            "fov": "slide/1.png",
            "cell_id": "1-1",
            "label": "monocyte",
            "suggested": "platelet",
            "doubt": 0.9,
        }
    ]
    assert "Doubted most" in told
    assert "Doubted: 1 of 12 labels" in told


@pytest.mark.usefixtures("second_doubted")
def test_doubted_labels_of_a_training_set_are_written(call, weights, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(10):
        path = tmp_path / "set" / "train" / "basophil" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    out = tmp_path / "doubts.csv"
    assert call("doubts", tmp_path / "set", "--out", out, "--weights", weights, "-q") == (0, "", "")
    table = pd.read_csv(out)
    assert table["fov"].str.endswith("1.png").all()
    assert table[["slide", "label", "suggested"]].to_numpy().tolist() == [
        ["set", "basophil", "platelet"]
    ]


def test_too_few_labels_are_one_sentence_and_no_file(call, weights, tmp_path):
    path = tmp_path / "set" / "train" / "basophil" / "1.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(path)
    with pytest.raises(WbcError, match="at least 10 labelled cells"):
        call("doubts", tmp_path / "set", "--out", tmp_path / "x.csv", "--weights", weights)
    assert not (tmp_path / "x.csv").exists()
