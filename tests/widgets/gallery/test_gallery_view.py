from __future__ import annotations

from dataclasses import replace

import pytest
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QToolTip
from tests.widgets.gallery.pictures import (
    CTRL,
    NAMES,
    cell,
    cells,
    click,
    drag,
    fill,
    header,
    heard,
    relabel,
    topmost,
    where,
)

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation
from napari_wbc.model.slide import Slide
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.widgets.gallery.arrange import arranged
from napari_wbc.widgets.gallery.gallery import Gallery
from napari_wbc.widgets.gallery.gallery_view import TILES
from napari_wbc.widgets.gallery.grid import HEADER, Item


class TestEmpty:
    def test_every_label_has_a_group(self, gallery, qtbot):
        assert [g.label for g in gallery.groups] == list(EIGHT_CLASSES.labels)
        assert gallery.verticalScrollBar().maximum() == 0
        assert not gallery.grab().isNull()

    def test_every_key_and_click_is_harmless(self, gallery, session, qtbot):
        for key in (
            "Left",
            "Right",
            "Up",
            "Down",
            "Home",
            "End",
            "PageUp",
            "PageDown",
            "Return",
            "Escape",
        ):
            qtbot.keyClick(gallery, getattr(Qt.Key, f"Key_{key}"))
        qtbot.keyClick(gallery, Qt.Key.Key_A, CTRL)
        click(qtbot, gallery, QPoint(200, 400))
        drag(qtbot, gallery, QPoint(400, 400), QPoint(10, 10))
        gallery.zoom(1)
        gallery.reveal("no such cell")
        assert session.selection == ()

    def test_no_group_has_no_size(self, gallery):
        gallery.collapse("no such label")
        assert gallery.groups == arranged(gallery._table, EIGHT_CLASSES)


class TestShown:
    def test_it_begins_at_the_cell_that_is_selected(self, session, gallery, qtbot):
        fill(session, cells(neutrophil=200))
        session.select(["n150"])
        other = Gallery(session, gallery._thumbnails, gallery._tiles._heats)
        qtbot.addWidget(other)
        other.resize(460, 500)
        other.show()
        seen = [anchor.cell_id for anchor in other._in_view()]
        assert "n150" in seen
        other.release()

    def test_opening_it_changes_nothing(self, session, gallery):
        fill(session, cells(neutrophil=3))
        other = Gallery(session, gallery._thumbnails, gallery._tiles._heats)
        assert other.groups[0].cell_ids == ("n0", "n1", "n2")
        assert session.undoable == "find"
        other.release()

    def test_paints_and_asks_for_thumbnails(self, gallery, session, qtbot):
        found = cells(neutrophil=2, monocyte=1)
        found[0] = replace(found[0], annotation=Annotation("blast"))
        fill(session, found)
        qtbot.waitUntil(lambda: gallery._tiles.get(session.table["n1"], draw=False) is not None)
        gallery.grab()
        assert [g.label for g in gallery.groups][-1] == "blast"

    def test_what_is_not_drawn_in_time_comes_in_the_next_frame(
        self, gallery, session, qtbot, monkeypatch
    ):
        fill(session, cells(neutrophil=12))
        qtbot.waitUntil(lambda: all(gallery._tiles.get(c) for c in session.table.values()))
        monkeypatch.setattr("napari_wbc.widgets.gallery.gallery_view.MAX_FRAME_S", 0.0)
        gallery._tiles.clear()
        drawn = heard(gallery._thumbnails.ready)
        gallery.viewport().update()
        qtbot.waitUntil(
            lambda: all(gallery._tiles.get(c, draw=False) for c in session.table.values())
        )
        assert drawn == []

    def test_order_and_filter(self, gallery, session):
        fill(
            session,
            [cell("a", "monocyte", 0.9), cell("b", "monocyte", 0.6), cell("c", "monocyte", 0.8)],
        )
        shown = lambda: gallery.groups[NAMES.index("monocyte")].cell_ids  # noqa: E731
        assert (gallery._order, shown()) == ("confidence", ("b", "c", "a"))
        gallery.set_order("likeness")
        assert (gallery._order, shown()) == ("likeness", ("a", "c", "b"))
        gallery.set_filter(lambda c: c.prediction.confidence < 0.85)
        assert shown() == ("c", "b")
        relabel(session, "lymphocyte", "a", "b")
        assert shown() == ("c",)
        gallery.set_filter(None)
        assert shown() == ("c",)
        with pytest.raises(WbcError, match="choose one of"):
            gallery.set_order("size")
        assert gallery._order == "likeness"

    def test_another_slide(self, gallery, session):
        fill(session, cells(neutrophil=100))
        gallery.verticalScrollBar().setValue(500)
        session.open(Slide("other", ()))
        assert gallery.verticalScrollBar().value() == 0
        assert not any(g.cell_ids for g in gallery.groups)

    def test_closed_it_listens_no_more(self, gallery, session, qtbot):
        other = Gallery(session, gallery._thumbnails, gallery._tiles._heats)
        other.release()
        fill(session, cells(neutrophil=3))
        session.select(["n1"])
        assert other.groups == ()
        assert not other.grab().isNull()

    def test_collapsed_it_is_a_header(self, gallery, session, qtbot):
        fill(session, cells(neutrophil=100, eosinophil=100))
        high = gallery.verticalScrollBar().maximum()
        gallery.verticalScrollBar().setValue(1000)
        click(qtbot, gallery, header(gallery, "neutrophil", 8))  # it stays in view with its cells
        assert gallery.verticalScrollBar().maximum() < high
        assert gallery.verticalScrollBar().value() == 0
        session.select(["n40"])  # where its header is
        qtbot.keyClick(gallery, Qt.Key.Key_Right)
        assert session.selection == ("e0",)
        click(qtbot, gallery, header(gallery, "neutrophil", 8))
        assert gallery.verticalScrollBar().maximum() == high

    def test_tooltip_is_plain(self, gallery, session, monkeypatch):
        texts = []
        monkeypatch.setattr(QToolTip, "showText", lambda _pos, text, *_rest: texts.append(text))
        fill(session, cells(neutrophil=1, eosinophil=1))
        relabel(session, "monocyte", "n0")
        for pos in (
            where(gallery, "n0"),
            where(gallery, "e0"),
            header(gallery, "monocyte"),
            QPoint(440, 60),
        ):
            event = QHelpEvent(QEvent.Type.ToolTip, pos, gallery.viewport().mapToGlobal(pos))
            QApplication.sendEvent(gallery.viewport(), event)
        person, model, head, none = texts
        assert "monocyte<br>said by Ann &lt;i&gt;<br>model: neutrophil 50%" in person
        assert "field: &lt;b&gt;field.png" in person
        assert "said by the model" in model
        assert "triangle" in head
        assert none == ""


class TestScroll:
    @pytest.mark.parametrize("scroll", [0, 333, 2000, 10**6])
    def test_relabelling_keeps_what_is_in_view(self, gallery, session, scroll):
        fill(session, cells(neutrophil=100, eosinophil=30, lymphocyte=60))
        gallery.verticalScrollBar().setValue(scroll)
        before = topmost(gallery)
        relabel(session, "lymphocyte", "n1", "n2", "n3", "n4", "n5")
        assert topmost(gallery)[1] == before[1]
        assert before in [(name, y) for _label, name, y in gallery._in_view()]
        session.undo()
        assert before in [(name, y) for _label, name, y in gallery._in_view()]

    def test_the_neighbour_of_what_left_stays(self, gallery, session):
        fill(session, cells(neutrophil=100))
        gallery.verticalScrollBar().setValue(700)
        name, y = topmost(gallery)
        after = f"n{int(name[1:]) + 1}"
        relabel(session, "platelet", name)
        assert topmost(gallery) == (after, y)

    def test_all_in_view_may_leave(self, gallery, session):
        fill(session, cells(neutrophil=100))
        gallery.verticalScrollBar().setValue(700)
        gone = [name for _label, name, _y in gallery._in_view() if name]
        relabel(session, "platelet", *gone)
        assert topmost(gallery)[0] == f"n{int(gone[-1][1:]) + 1}"
        relabel(session, "platelet", *(f"n{i}" for i in range(100)))
        assert gallery.verticalScrollBar().value() <= gallery.verticalScrollBar().maximum()

    def test_room_that_was_held_is_given_up(self, gallery, session):
        fill(session, cells(neutrophil=100))
        bar = gallery.verticalScrollBar()
        bar.setValue(bar.maximum())
        relabel(session, "eosinophil", *(f"n{i}" for i in range(40, 60)))
        held = bar.maximum()
        bar.setValue(0)
        assert bar.maximum() == gallery._room() <= held

    def test_the_top_stays_the_top_while_cells_are_found(self, gallery, session):
        fill(session, [cell("late", "neutrophil", 0.99)])
        fill(session, cells(neutrophil=50))
        assert gallery.verticalScrollBar().value() == 0

    def test_zoom_and_width_keep_what_is_in_view(self, gallery, session, qtbot):
        fill(session, cells(neutrophil=300))
        gallery.verticalScrollBar().setValue(3000)
        before = topmost(gallery)
        for change in (
            lambda: gallery.zoom(1),
            lambda: gallery.zoom(-3),
            lambda: gallery.resize(700, 500),
            lambda: qtbot.keyClick(gallery, Qt.Key.Key_Plus, CTRL),
        ):
            change()
            assert topmost(gallery)[1] == before[1]
            assert before in [(name, y) for _label, name, y in gallery._in_view()]

    def test_zoom_ends_at_the_smallest_and_the_largest(self, gallery):
        gallery.zoom(-100)
        assert gallery._tile == TILES[0]
        gallery.zoom(100)
        assert gallery._tile == TILES[-1]


def test_the_header_of_the_topmost_group_stays_in_view(gallery, session):
    fill(session, cells(neutrophil=100, eosinophil=4))
    gallery.verticalScrollBar().setValue(900)
    assert gallery._at(QPoint(200, 5)) == Item(0, HEADER)
    assert gallery._label_at(QPoint(200, 5)) == "neutrophil"
