"""A reviewed project without a window."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy
from napari_wbc.model.failure import Failure
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline import project as pipeline_project
from napari_wbc.pipeline.analysis import Analysis, SlideAnalysis
from napari_wbc.pipeline.kept_analysis import note_key
from napari_wbc.pipeline.project import (
    export_project_steps,
    project_agreement,
    project_analysis,
    save_project,
)
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import create_workspace, open_workspace

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
    cells = [
        Cell(str(i), "slide/1.png", Detection(BBox(5, 20 * i, 15, 20 * i + 10))) for i in range(4)
    ]
    session.commit(session.table.with_cells(cells), "draw")
    for reading, labels in (("", FIRST), ("ben", SECOND)):
        session.open(slide, workspace, reading=reading)
        said = [
            c.annotated(Annotation(x)) for c, x in zip(session.table.values(), labels, strict=True)
        ]
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
    assert (found.slide, found.second, found.agreement.n, found.agreement.agreed) == (
        "slide",
        "ben",
        4,
        3,
    )
    assert found.agreement.kappa == pytest.approx(0.5)


def test_without_a_blind_reading_there_is_nothing_to_compare(project, tmp_path):
    create_workspace(tmp_path / "q.wbc", EIGHT_CLASSES).close()
    with pytest.raises(WbcError, match="only one reader so far"):
        project_agreement(tmp_path / "q.wbc")


NETWORK = LocatedBy("mask-rcnn/net 1", (("score", 0.5), ("overlap", 0.25)))


@pytest.fixture
def analyzed(tmp_path):
    """A project: a cell in each of two fields, red cells in the first, and a broken file."""
    folder = tmp_path / "slide"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        Image.fromarray(np.full((60, 90, 3), 200, np.uint8)).save(folder / name)
    (folder / "3.png").touch()
    slide = open_slide(folder)
    found = Detection(BBox(5, 5, 15, 15), located_by=NETWORK)
    cells = [Cell(str(i), f"slide/{i}.png", found, None, Annotation("monocyte")) for i in (1, 2)]
    failure = Failure(folder / "3.png", "3.png: the file is empty")
    counts = {"slide/1.png": {"red cell": 30, "platelet": 2}}
    notes = {"slide/2.png": "cell finders disagree: 1 against 12"}
    one = SlideAnalysis(slide, CellTable(cells), (failure,), counts, notes, searched_by=NETWORK)
    return save_project(Analysis((one,), "m 1"), tmp_path / "p.wbc")


def test_an_analysis_that_was_kept_says_the_same_when_it_is_read_again(analyzed, tmp_path):
    (one,) = project_analysis(analyzed).slides
    assert (one.detector, one.detector_parameters) == (
        NETWORK.detector,
        {"score": 0.5, "overlap": 0.25},
    )
    assert one.located_by == {NETWORK: 2}
    assert one.failures == (Failure(tmp_path / "slide" / "3.png", "3.png: the file is empty"),)
    assert one.blood_cells == {"slide/1.png": {"red cell": 30, "platelet": 2}}
    assert one.disagreements == {"slide/2.png": "cell finders disagree: 1 against 12"}


def test_an_export_tells_detector_failed_files_and_red_cells(analyzed, tmp_path):
    exported = run(export_project_steps(analyzed, tmp_path / "out"))
    assert [failure.path.name for failure in exported.failures] == ["3.png"]
    (told,) = json.loads((tmp_path / "out" / "differential.json").read_text())
    assert told["detector"] == "mask-rcnn/net 1"
    assert told["located_by"][0]["cells"] == 2
    assert told["failed"] == [{"path": "3.png", "error": "3.png: the file is empty"}]
    assert told["blood_cells"] == {"fields": 1, "leukocyte": 1, "platelet": 2, "red cell": 30}
    fields = pd.read_csv(tmp_path / "out" / "fields.csv")
    assert fields["fov"].tolist() == ["slide/1.png", "slide/2.png"]
    assert fields["red_cells_per_leukocyte"].tolist()[0] == 30
    assert fields["note"].tolist()[1] == "cell finders disagree: 1 against 12"


def test_a_file_that_failed_and_can_be_read_now_is_told_and_no_failure(analyzed, tmp_path):
    Image.fromarray(np.full((60, 90, 3), 200, np.uint8)).save(tmp_path / "slide" / "3.png")
    exported = run(export_project_steps(analyzed, tmp_path / "out"))
    assert exported.failures == ()
    (told,) = json.loads((tmp_path / "out" / "differential.json").read_text())
    assert [failure["error"] for failure in told["failed"]] == ["3.png: the file is empty"]


def test_cells_of_a_missing_image_are_in_all_but_an_overlay(analyzed, tmp_path):
    (tmp_path / "slide" / "1.png").unlink()
    out = tmp_path / "out"
    exported = run(export_project_steps(analyzed, out))
    assert sorted(failure.path.name for failure in exported.failures) == ["1.png", "3.png"]
    assert pd.read_csv(out / "cells.csv")["fov"].tolist() == ["slide/1.png", "slide/2.png"]
    assert pd.read_csv(out / "fields.csv")["cells"].tolist() == [1, 1]
    assert [len(one["features"]) for one in json.loads((out / "cells.geojson").read_text())] == [
        1,
        1,
    ]
    assert [path.name for path in (out / "overlays").rglob("*.png")] == ["2.png.png"]
    (told,) = json.loads((out / "differential.json").read_text())
    assert told["leukocytes"] == 2
    assert [failure["path"].rpartition("/")[2] for failure in told["failed"]] == ["3.png", "1.png"]


def test_what_a_project_holds_in_place_of_a_kept_analysis_does_no_harm(analyzed):
    workspace = open_workspace(analyzed)
    workspace.put(note_key("slide"), ["garbage"])
    workspace.close()
    (one,) = project_analysis(analyzed).slides
    assert (one.failures, one.blood_cells) == ((), {})


def test_cells_drawn_by_hand_are_said_to_be(project, tmp_path):
    (one,) = project_analysis(project).slides
    assert one.detector == "not known"
    run(export_project_steps(project, tmp_path / "out"))
    (told,) = json.loads((tmp_path / "out" / "differential.json").read_text())
    assert told["located_by"] == [{"detector": "not known", "parameters": {}, "cells": 4}]


def test_a_project_that_another_program_made_meanwhile_is_not_replaced(
    project, tmp_path, monkeypatch
):
    new = tmp_path / "new.wbc"
    analysis = project_analysis(project)
    keep = pipeline_project._keep

    def late(*arguments):
        keep(*arguments)
        new.write_bytes(b"theirs")

    monkeypatch.setattr(pipeline_project, "_keep", late)
    with pytest.raises(WbcError, match="is there already"):
        save_project(analysis, new)
    assert new.read_bytes() == b"theirs"
    assert not list(tmp_path.glob(".*.part*"))
