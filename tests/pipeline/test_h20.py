"""Two films by two examiners: every count, how far they agree, and films that differ."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.h20 import FIRST, h20
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import create_workspace

ORDINARY = ["neutrophil"] * 140 + ["lymphocyte"] * 60
ODD = ["neutrophil"] * 60 + ["lymphocyte"] * 100 + ["monocyte"] * 40


def project_of(folder, films):
    """A project with a slide a film: labels of the first reader and of the blind one, "ben"."""
    workspace, session = create_workspace(folder / "p.wbc", EIGHT_CLASSES), Session()
    for name, readings in films.items():
        (folder / name).mkdir()
        Image.fromarray(np.full((60, 90, 3), 200, np.uint8)).save(folder / name / "1.png")
        slide = open_slide(folder / name)
        session.open(slide, workspace)
        n = max(map(len, readings.values()), default=0)
        box = Detection(BBox(5, 5, 15, 15))
        cells = [Cell(f"{name} {i:03d}", f"{name}/1.png", box) for i in range(n)]
        session.commit(session.table.with_cells(cells), "draw")
        for reading, labels in readings.items():
            session.open(slide, workspace, reading=reading)
            pairs = zip(session.table.values(), labels, strict=False)
            said = [cell.annotated(Annotation(label)) for cell, label in pairs]
            session.commit(session.table.with_cells(said), "label")
    session.close()
    workspace.close()
    return folder / "p.wbc"


def test_without_a_second_examiner_there_is_no_h20(tmp_path):
    project = project_of(tmp_path, {"one": {"": ORDINARY}})
    with pytest.raises(WbcError, match="only one reader so far"):
        h20(project)


def test_two_films_of_one_blood(tmp_path):
    # Ben takes the last lymphocyte of each film for a monocyte.
    theirs = [*ORDINARY[:-1], "monocyte"]
    films = {name: {"": ORDINARY, "ben": theirs} for name in ("one", "two")}
    result = h20(project_of(tmp_path, films))
    assert [(film, who, each.total) for film, who, each in result.films] == [
        ("one", FIRST, 200),
        ("two", FIRST, 200),
        ("one", "ben", 200),
        ("two", "ben", 200),
    ]
    assert [(who, each.total) for who, each in result.examiners] == [(FIRST, 400), ("ben", 400)]
    assert (result.compared.n, result.compared.agreed) == (400, 398)
    assert result.notes == ()
    frame = result.frame
    mean = frame[(frame["examiner"] == "mean") & (frame["class"] == "lymphocyte")]
    assert mean["percent"].tolist() == [29.75]


def test_films_that_differ_and_small_counts_are_named(tmp_path):
    films = {"one": {"": ORDINARY, "ben": ORDINARY[:100]}, "two": {"": ODD, "ben": ODD}}
    notes = h20(project_of(tmp_path, films)).notes
    assert "ben: 100 leukocytes of one; H20 asks for 200." in notes
    assert any(note.startswith("first reader: The films differ more") for note in notes)
