"""The column ``possible_classes`` of a reviewed project."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_wbc.imaging.read import open_slide
from napari_wbc.model.audit import Audit, sample
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.kept_audit import audit_key, audit_note
from napari_wbc.pipeline.project import export_project_steps
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import create_workspace

NAMES = ("neutrophil", "monocyte", "lymphocyte")
AUDIT = Audit(20, 1)


@pytest.fixture
def export(tmp_path):
    """``cells.csv`` of a slide, some of whose cells are reviewed as monocytes."""

    def of(reviewed, audit=None):
        folder = tmp_path / "slide"
        folder.mkdir()
        for i in (1, 2):
            Image.fromarray(np.full((60, 90, 3), 200, np.uint8)).save(folder / f"{i}.png")
        workspace, session = create_workspace(tmp_path / "p.wbc", EIGHT_CLASSES), Session()
        session.open(open_slide(folder), workspace)
        found = Detection(BBox(5, 5, 15, 15))
        unsure = Prediction(NAMES, (0.6, 0.3, 0.1))
        cells = [Cell(f"a{i}", "slide/1.png", found, unsure) for i in range(20)]
        cells += [Cell(f"b{i}", "slide/2.png", found, unsure) for i in range(10)]
        session.commit(session.table.with_cells(cells), "draw")
        said = [session.table[each].annotated(Annotation("monocyte")) for each in reviewed(cells)]
        session.commit(session.table.with_cells(said), "label")
        if audit:
            workspace.put(audit_key("slide"), audit_note(audit))
        table = session.table
        session.close()
        workspace.close()
        run(export_project_steps(tmp_path / "p.wbc", tmp_path / "out"))
        frame = pd.read_csv(tmp_path / "out" / "cells.csv", keep_default_na=False)
        return table, frame.set_index("cell_id")

    return of


def audited(cells):
    return [each for ids in sample(CellTable(cells), AUDIT).values() for each in ids]


def test_too_few_reviewed_cells_give_no_column(export):
    _table, frame = export(lambda cells: [c.cell_id for c in cells[:19]])
    assert "possible_classes" not in frame


@pytest.mark.parametrize(
    ("reviewed", "audit"),
    [(lambda cells: [c.cell_id for c in cells[:20]], None), (audited, AUDIT)],
    ids=["first field", "audit"],
)
def test_cells_that_nobody_reviewed_have_their_possible_classes(export, reviewed, audit):
    table, frame = export(reviewed, audit)
    for cell_id, text in frame["possible_classes"].items():
        by_person = table[cell_id].annotation is not None
        assert text == ("" if by_person else "neutrophil; monocyte")
    assert list(frame)[-9:-8] == ["possible_classes"]
    assert (frame["possible_classes"] != "").sum() == 10


def test_of_an_audit_that_is_not_complete_nothing_is_told(export):
    _table, frame = export(lambda cells: audited(cells)[1:], AUDIT)
    assert "possible_classes" not in frame
