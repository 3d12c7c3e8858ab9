"""A drawn box becomes the outline of the cell in it, in the workbench."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.cell import Annotation
from napari_wbc.model.geometry import BBox
from napari_wbc.widgets.analysis import fitting

SMEAR = synthetic_smear(3)


@pytest.fixture
def opened(bench, tmp_path, wait):
    folder = tmp_path / "smear"
    folder.mkdir()
    Image.fromarray(SMEAR.image).save(folder / "a.png")
    bench.open_slide(open_slide(folder))
    wait(bench)
    return bench


def draw(bench, box):
    """Draw a box as the mouse does, which covers pixels from middle to middle."""
    corners = np.array([[box.top, box.left], [box.bottom, box.right]]) - 0.5
    bench.viewer.layers["cells"].add(corners, shape_type="rectangle")


def test_a_drawn_box_is_fitted_and_undo_gives_it_back(opened, wait, detector):
    box = SMEAR.cells[0].bbox
    draw(opened, box)
    (drawn,) = opened.session.table.values()
    assert drawn.detection.outline is None
    wait(opened)
    (cell,) = opened.session.table.values()
    assert cell.cell_id == drawn.cell_id
    assert cell.detection.outline is not None
    assert cell.detection.bbox.iou(box) > 0.75
    assert len(opened.viewer.layers["cells"].data[0]) == len(cell.detection.outline.vertices)
    assert "gives the box back" in opened.status.text()
    opened.review.undo.click()
    wait(opened)
    assert tuple(opened.session.table.values()) == (drawn,)
    opened.review.undo.click()
    assert not opened.session.table
    opened.review.redo.click()
    opened.review.redo.click()
    wait(opened)
    assert opened.session.table[cell.cell_id] == cell


def test_a_box_without_a_cell_stays(opened, wait, detector):
    draw(opened, BBox(0, 0, 12, 12))
    (drawn,) = opened.session.table.values()
    wait(opened)
    assert tuple(opened.session.table.values()) == (drawn,)


def test_no_outline_comes_between_while_the_next_box_is_drawn(opened, wait, detector, qtbot):
    draw(opened, SMEAR.cells[0].bbox)
    layer = opened.view.binding.layer
    layer._is_creating = True
    qtbot.waitUntil(lambda: not opened.fitter._job.running, timeout=20_000)
    assert opened.fitter.busy
    (cell,) = opened.session.table.values()
    assert cell.detection.outline is None
    layer._is_creating = False
    wait(opened)
    (cell,) = opened.session.table.values()
    assert cell.detection.outline is not None


def test_a_person_may_want_boxes(opened, wait, detector, monkeypatch):
    monkeypatch.setattr("napari_wbc.widgets.analysis.fitting.preference", lambda *_names: False)
    draw(opened, SMEAR.cells[0].bbox)
    wait(opened)
    (cell,) = opened.session.table.values()
    assert cell.detection.outline is None


def test_after_a_failure_the_next_box_is_fitted_alone(opened, wait, detector, monkeypatch):
    asked = []
    fit = fitting.fit_steps

    def fail_once(cells, *rest):
        asked.append(len(cells))
        if len(asked) == 1:
            raise WbcError("The field cannot be read.")
        return fit(cells, *rest)

    monkeypatch.setattr(fitting, "fit_steps", fail_once)
    draw(opened, BBox(0, 0, 12, 12))
    wait(opened)
    draw(opened, SMEAR.cells[0].bbox)
    wait(opened)
    assert asked == [1, 1]


def test_an_outline_leaves_redo_alone(opened, wait, detector, qtbot):
    session = opened.session
    draw(opened, SMEAR.cells[0].bbox)
    (drawn,) = session.table.values()
    # Before the outline comes, another step is made and taken back.
    labelled = drawn.annotated(Annotation("monocyte"))
    session.commit(session.table.with_cells([labelled]), "label")
    session.undo()
    wait(opened)
    assert session.redoable == "label"
    assert session.table[drawn.cell_id].detection.outline is None
    session.redo()
    wait(opened)
    assert session.table[drawn.cell_id].detection.outline is not None
    assert session.table[drawn.cell_id].label == "monocyte"
