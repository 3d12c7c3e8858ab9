"""The map: what it shows, and that mouse and keys choose what they mean."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from tests.widgets.red_fields import FIELDS

from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.feature_map import FeatureMap
from napari_wbc.session.session import Session
from napari_wbc.widgets.map.feature_map import NO_MAP, FeatureMapPanel

LEFT = Qt.MouseButton.LeftButton
NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
NAMES = EIGHT_CLASSES.names


def cell(i):
    said = Prediction(NAMES, tuple(float(n == NAMES[i % 4]) for n in NAMES))
    return Cell(f"c{i}", next(iter(FIELDS)), Detection(BBox(1, 1, 9, 9)), said)


@pytest.fixture
def session():
    session = Session()
    session.commit(session.table.with_cells(map(cell, range(30))), "fill")
    return session


@pytest.fixture
def panel(session, thumbnails, reader, qtbot):
    panel = FeatureMapPanel(session, thumbnails, lambda: "cdnn", reader)
    qtbot.addWidget(panel)
    panel.resize(600, 600)
    panel.show()
    yield panel
    panel.release()


def grid(session, n=30):
    """A map of cells in rows of six."""
    places = np.array([(i % 6, i // 6) for i in range(n)], np.float32)
    return FeatureMap(tuple(session.table)[:n], places, "pca", "cdnn 3")


@pytest.fixture
def shown(panel, session):
    panel.show_map(grid(session), session.table)
    return panel


def at(panel, i):
    return QPoint(*np.rint(panel.scatter.on_screen()[i]).astype(int).tolist())


def test_no_map_at_first(panel):
    assert panel.feature_map is None
    assert panel.scatter.empty_text == NO_MAP
    panel.grab()
    QTest.mouseClick(panel.scatter, LEFT, NONE, QPoint(50, 50))
    QTest.keyClick(panel.scatter, Qt.Key.Key_Right)


def test_no_cells_are_not_mapped(thumbnails, reader, qtbot):
    panel = FeatureMapPanel(Session(), thumbnails, lambda: "cdnn", reader)
    qtbot.addWidget(panel)
    panel.run.click()
    assert "no cells" in panel.message.text()
    assert not panel.busy
    panel.release()


def test_the_button_maps(panel, session, qtbot, monkeypatch):
    asked = []

    def steps(_slide, table, method, *, weights, read):
        del read
        asked.append((len(table), method, weights))
        yield Progress("mapping", 0, 1)
        return grid(session)

    monkeypatch.setattr("napari_wbc.widgets.map.feature_map.feature_map_steps", steps)
    panel.run.click()
    qtbot.waitUntil(lambda: panel.feature_map is not None, timeout=20_000)
    qtbot.waitUntil(lambda: not panel.busy, timeout=20_000)
    assert asked == [(30, "t-sne", "cdnn")]
    assert "30 cells by cdnn 3" in panel.message.text()


def test_a_lasso_selects_what_it_goes_round(shown, session):
    scatter = shown.scatter
    low, high = at(shown, 7), at(shown, 14)  # the middle four of rows and columns 1 and 2
    corners = [
        (low.x() - 20, low.y() - 20),
        (high.x() + 20, low.y() - 20),
        (high.x() + 20, high.y() + 20),
    ]
    corners.append((low.x() - 20, high.y() + 20))
    QTest.mousePress(scatter, LEFT, NONE, QPoint(*corners[0]))
    for corner in corners[1:]:
        QTest.mouseMove(scatter, QPoint(*corner))
    scatter.grab()
    QTest.mouseRelease(scatter, LEFT, NONE, QPoint(*corners[-1]))
    assert set(session.selection) == {"c7", "c8", "c13", "c14"}
    QTest.mouseClick(scatter, LEFT, SHIFT, at(shown, 0))
    assert set(session.selection) == {"c7", "c8", "c13", "c14", "c0"}
    QTest.mouseClick(scatter, LEFT, NONE, at(shown, 29))
    assert session.selection == ("c29",)
    QTest.mouseClick(scatter, LEFT, NONE, (at(shown, 0) + at(shown, 7)) / 2)
    assert session.selection == ()


def test_after_zoom_and_pan_points_are_still_hit(shown, session):
    shown.scatter.zoom(3)
    shown.scatter.pan(at(shown, 14).toPointF() * -1 + QPoint(200, 150).toPointF())
    QTest.mouseClick(shown.scatter, LEFT, NONE, at(shown, 14))
    assert session.selection == ("c14",)
    QTest.keyClick(shown.scatter, Qt.Key.Key_Home)
    assert shown.scatter.rect().contains(at(shown, 0))


def test_a_double_click_and_keys_reach_a_cell(shown, session, qtbot):
    with qtbot.waitSignal(shown.cell_activated) as went:
        QTest.mouseDClick(shown.scatter, LEFT, NONE, at(shown, 8))
    assert went.args == ["c8"]
    session.select(["c8"])
    QTest.mouseClick(shown.scatter, LEFT, NONE, at(shown, 8))
    QTest.keyClick(shown.scatter, Qt.Key.Key_Right)
    assert session.selection == ("c9",)
    QTest.keyClick(shown.scatter, Qt.Key.Key_Down, SHIFT)
    assert len(session.selection) == 2
    with qtbot.waitSignal(shown.key_pressed) as pressed:
        QTest.keyClick(shown.scatter, Qt.Key.Key_3)
    assert pressed.args == ["3"]


def test_what_is_selected_elsewhere_stands_out(shown, session):
    before = shown.scatter.grab().toImage()
    session.select(["c3"])
    assert shown.scatter._chosen.nonzero()[0].tolist() == [3]
    assert shown.scatter.grab().toImage() != before


def test_it_follows_the_table(shown, session):
    said = session.table["c0"].annotated(Annotation("basophil", "ada"))
    session.commit(session.table.with_cells([said]), "label")
    assert shown.scatter._ringed.nonzero()[0].tolist() == [0]
    assert "1 differ" in shown.message.text()
    session.commit(session.table.without(["c5"]), "delete")
    assert np.isnan(shown.scatter.places[5]).all()
    session.undo()
    assert np.isfinite(shown.scatter.places[5]).all()
    session.commit(session.table.with_cells([cell(31)]), "draw")
    assert "1 not on the map" in shown.message.text()
    for by in ("prediction", "reviewed", "field", "label"):
        shown.by.setCurrentText(by)
        shown.grab()
        assert shown.legend.texts


def test_another_slide_has_no_map(shown, session):
    session.slide_changed.emit(session.slide)
    assert shown.feature_map is None


def test_ten_thousand_points_are_painted(panel, session, qtbot):
    cells = [cell(i) for i in range(10_000)]
    session.commit(CellTable(cells), "fill")
    places = np.random.default_rng(0).normal(size=(10_000, 2)).astype(np.float32)
    panel.show_map(FeatureMap(tuple(session.table), places, "pca", "cdnn 3"), session.table)
    assert not panel.scatter.grab().isNull()
    QTest.mouseMove(panel.scatter, at(panel, 4))
    qtbot.waitUntil(lambda: panel.scatter.pointed is not None, timeout=20_000)
    panel.scatter.grab()
