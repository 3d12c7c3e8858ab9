"""A reviewed project without a window."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_wbc.cli.app import app
from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.project import export_project_steps, project_agreement, project_analysis
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import create_workspace

FIRST = ["basophil", "basophil", "monocyte", "monocyte"]
SECOND = ["basophil", "monocyte", "monocyte", "monocyte"]


@pytest.fixture
def project(tmp_path):
    """A slide of one field and four cells, read by two."""
    folder = tmp_path / "slide"
    folder.mkdir()
    Image.fromarray(np.full((60, 90, 3), 200, np.uint8)).save(folder / "1.png")
    slide = open_slide(folder)
    workspace, session = create_workspace(tmp_path / "p.wbc", EIGHT_CLASSES), Session()
    session.open(slide, workspace)
    cells = [Cell(str(i), "slide/1.png", Detection(BBox(5, 20 * i, 15, 20 * i + 10))) for i in range(4)]
    session.commit(session.table.with_cells(cells), "draw")
    for reading, labels in (("", FIRST), ("ben", SECOND)):
        session.open(slide, workspace, reading=reading)
        said = [c.annotated(Annotation(x)) for c, x in zip(session.table.values(), labels, strict=True)]
        session.commit(session.table.with_cells(said), "label")
    session.close()
    workspace.close()
    return tmp_path / "p.wbc"


def test_a_project_without_slides_is_an_error(tmp_path):
    create_workspace(tmp_path / "p.wbc", EIGHT_CLASSES).close()
    with pytest.raises(WbcError, match="no slide"):
        project_analysis(tmp_path / "p.wbc")


@pytest.mark.parametrize(("reading", "labels"), [("", FIRST), ("ben", SECOND)])
def test_the_labels_of_a_reading_are_written(project, tmp_path, reading, labels):
    run(export_project_steps(project, tmp_path / "out", reading=reading))
    assert pd.read_csv(tmp_path / "out" / "cells.csv")["label"].tolist() == labels


def test_an_unknown_reading_is_an_error(project):
    with pytest.raises(WbcError, match=r"no reading 'eve'.*ben"):
        project_analysis(project, reading="eve")


def test_the_only_blind_reading_is_compared_with(project):
    (found,) = project_agreement(project)
    assert (found.slide, found.second, found.agreement.n, found.agreement.agreed) == ("slide", "ben", 4, 3)
    assert found.agreement.kappa == pytest.approx(0.5)


def test_without_a_blind_reading_there_is_nothing_to_compare(project, tmp_path):
    create_workspace(tmp_path / "q.wbc", EIGHT_CLASSES).close()
    with pytest.raises(WbcError, match="there are: none"):
        project_agreement(tmp_path / "q.wbc")


def test_in_the_shell(project, tmp_path):
    runner = CliRunner()
    exported = runner.invoke(app, ["export", str(project), "--out", str(tmp_path / "out"), "-q"])
    assert exported.exit_code == 0
    assert (tmp_path / "out" / "differential.csv").is_file()
    compared = runner.invoke(app, ["agreement", str(project)])
    assert compared.exit_code == 0
    assert "0.500" in compared.stdout
