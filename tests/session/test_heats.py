"""Heat follows the cells it is of."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.heat import Heat
from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session

CELLS = [Cell(f"c{i}", f"s/{i % 2}.png", Detection(BBox(i, i, i + 9, i + 9))) for i in range(4)]

CALLED = Prediction(("basophil", "monocyte"), (0.2, 0.8))


def heat(cell, method="grad-cam"):
    return Heat(cell, 0, 0, 9, np.ones((4, 4), np.float32), method, "monocyte")


@pytest.fixture
def session():
    session = Session()
    session.commit(session.table.with_cells(CELLS), "fill")
    return session


@pytest.fixture
def heats(session):
    heats = Heats(session)
    heats.emitted = []
    heats.changed.connect(lambda: heats.emitted.append(len(heats)))
    return heats


def test_none_at_first(heats):
    assert (len(heats), heats.get("c0"), heats.of_field("s/0.png")) == (0, None, ())
    heats.clear()
    heats.put([])
    assert heats.emitted == []


def test_heat_is_kept_by_cell_and_field_and_replaced(heats):
    heats.put(map(heat, CELLS))
    assert [h.cell_id for h in heats.of_field("s/1.png")] == ["c1", "c3"]
    heats.put([heat(CELLS[1], "lime")])
    assert heats.get("c1").method == "lime"
    assert heats.emitted == [4, 4]
    heats.clear()
    assert heats.emitted == [4, 4, 0]


def test_cells_that_are_gone_by_now_get_none(heats, session):
    session.commit(session.table.without(["c2"]), "delete")
    heats.put(map(heat, CELLS))
    assert heats.get("c2") is None


def test_cells_that_changed_while_they_were_asked_about_get_none(heats, session):
    session.commit(
        session.table.with_cells([CELLS[1].moved(Detection(BBox(0, 0, 20, 20)))]), "move"
    )
    session.commit(session.table.with_cells([CELLS[3].predicted(CALLED)]), "classify")
    assert heats.put(map(heat, CELLS)) == 2
    assert [heats.get(f"c{i}") is None for i in range(4)] == [False, True, False, True]


def test_a_label_keeps_heat_and_a_move_or_prediction_or_deletion_takes_it(heats, session):
    heats.put(map(heat, CELLS))
    session.commit(
        session.table.with_cells([CELLS[0].annotated(Annotation("basophil", "ada"))]), "label"
    )
    assert heats.emitted == [4]
    session.commit(
        session.table.with_cells([CELLS[1].moved(Detection(BBox(0, 0, 20, 20)))]), "move"
    )
    session.commit(session.table.without(["c3"]), "delete")
    session.commit(session.table.with_cells([session.table["c0"].predicted(CALLED)]), "classify")
    assert heats.emitted == [4, 3, 2, 1]
    session.undo()
    session.undo()
    assert heats.get("c3") is None, "what comes back is asked again"


def test_another_slide_has_none(heats, session, tmp_path):
    heats.put(map(heat, CELLS))
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    session.open(open_slide(tmp_path))
    assert len(heats) == 0
    heats.close()


@pytest.mark.parametrize(
    ("inside", "suspect"), [(0.9, False), (0.5, False), (0.4, True), (float("nan"), False)]
)
def test_heat_elsewhere_is_suspect(inside, suspect):
    one = Heat(CELLS[0], 0, 0, 9, np.ones((4, 4), np.float32), "lime", "basophil", inside=inside)
    assert one.suspect is suspect
