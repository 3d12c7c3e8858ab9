from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QHelpEvent, QKeyEvent, QMouseEvent, QWheelEvent
from qtpy.QtWidgets import QApplication, QToolTip

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.taxonomy import EIGHT_CLASSES, UNIDENTIFIED
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.arrange import arranged
from napari_wbc.widgets.gallery.gallery import Gallery
from napari_wbc.widgets.gallery.gallery_view import TILES
from napari_wbc.widgets.gallery.grid import HEADER, Item
from napari_wbc.widgets.qt.thumbnails import Thumbnails

NAMES = EIGHT_CLASSES.names
FIELD = FieldOfView("slide/<b>field.png", Path("<b>field.png"))
LEFT = Qt.MouseButton.LeftButton
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def cell(name, label, confidence=0.9, **prediction):
    rest = (1 - confidence) / (len(NAMES) - 1)
    probabilities = tuple(confidence if n == label else rest for n in NAMES)
    made = Cell(name, FIELD.fov_id, Detection(BBox(5, 5, 25, 25)))
    return made.predicted(Prediction(NAMES, probabilities, **prediction))


def cells(**counts):
    """Cells n0, n1, ... of neutrophils and so on, the more certain the higher their number."""
    return [
        cell(f"{label[0]}{i}", label, 0.5 + i / 1000)
        for label, count in counts.items()
        for i in range(count)
    ]


@pytest.fixture
def session():
    session = Session()
    session.open(Slide("slide", (FIELD,)))
    return session


@pytest.fixture
def gallery(session, qtbot):
    thumbnails = Thumbnails(
        lambda _field: np.full((40, 40, 3), 200, np.uint8), {FIELD.fov_id: FIELD}.get
    )
    gallery = Gallery(session, thumbnails)
    qtbot.addWidget(gallery)
    gallery.resize(460, 500)  # four columns
    gallery.show()
    gallery.setFocus()
    yield gallery
    gallery.release()
    qtbot.waitUntil(lambda: not thumbnails.running)


def fill(session, found):
    session.commit(session.table.with_cells(found), "find")


def relabel(session, label, *names):
    said = Annotation(label, "Ann <i>")
    session.commit(
        session.table.with_cells(session.table[n].annotated(said) for n in names), f"label {label}"
    )


def where(gallery, name):
    """Middle of a cell's thumbnail in the viewport."""
    left, top, width, height = gallery._grid.rect(gallery._item_of(name))
    return QPoint(left + width // 2, top + height // 2 - gallery.verticalScrollBar().value())


def header(gallery, label, x=200):
    group = [g.label for g in gallery.groups].index(label)
    return QPoint(x, gallery._header_top(group) + 8)


def click(qtbot, gallery, pos, modifiers=Qt.KeyboardModifier.NoModifier):
    qtbot.mouseClick(gallery.viewport(), LEFT, modifiers, pos)


def move(gallery, pos):
    """Move the mouse; Qt's own test function moves the cursor and hopes that the screen says so."""
    view, none = gallery.viewport(), Qt.KeyboardModifier.NoModifier
    at, on_screen = QPointF(pos), QPointF(view.mapToGlobal(pos))
    event = QMouseEvent(QEvent.Type.MouseMove, at, on_screen, Qt.MouseButton.NoButton, LEFT, none)
    QApplication.sendEvent(view, event)


def drag(qtbot, gallery, start, end, modifiers=Qt.KeyboardModifier.NoModifier, drop=True):
    view = gallery.viewport()
    qtbot.mousePress(view, LEFT, modifiers, start)
    move(gallery, (start + end) / 2)
    move(gallery, end)
    if drop:
        qtbot.mouseRelease(view, LEFT, modifiers, end)


def topmost(gallery):
    """The cell at the top of the viewport, and its row there."""
    return next((name, y) for _label, name, y in gallery._in_view() if name)


def heard(signal):
    said = []
    signal.connect(lambda *args: said.append(args))
    return said


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
    def test_opening_it_changes_nothing(self, session, gallery):
        fill(session, cells(neutrophil=3))
        other = Gallery(session, gallery._thumbnails)
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
        monkeypatch.setattr("napari_wbc.widgets.gallery.gallery_view.FRAME_SECONDS", 0.0)
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
        assert (gallery.order, shown()) == ("confidence", ("b", "c", "a"))
        gallery.set_order("likeness")
        assert (gallery.order, shown()) == ("likeness", ("a", "c", "b"))
        gallery.set_filter(lambda c: c.prediction.confidence < 0.85)
        assert shown() == ("c", "b")
        relabel(session, "lymphocyte", "a", "b")
        assert shown() == ("c",)
        gallery.set_filter(None)
        assert shown() == ("c",)
        with pytest.raises(WbcError, match="choose one of"):
            gallery.set_order("size")
        assert gallery.order == "likeness"

    def test_another_slide(self, gallery, session):
        fill(session, cells(neutrophil=100))
        gallery.verticalScrollBar().setValue(500)
        session.open(Slide("other", ()))
        assert gallery.verticalScrollBar().value() == 0
        assert not any(g.cell_ids for g in gallery.groups)

    def test_closed_it_listens_no_more(self, gallery, session, qtbot):
        other = Gallery(session, gallery._thumbnails)
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

    def test_collapsed_by_key(self, gallery, session, qtbot):
        fill(session, cells(neutrophil=8))
        session.select(["n1"])
        qtbot.keyClick(gallery, Qt.Key.Key_Minus)
        assert gallery._grid.shown(0) == 0
        qtbot.keyClick(gallery, Qt.Key.Key_Plus)
        assert gallery._grid.shown(0) == 8

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
        assert gallery.tile == TILES[0]
        gallery.zoom(100)
        assert gallery.tile == TILES[-1]

    def test_wheel(self, gallery, session):
        fill(session, cells(neutrophil=300))
        middle = QPointF(gallery.viewport().rect().center())
        where_on_screen = QPointF(gallery.viewport().mapToGlobal(middle.toPoint()))
        for modifiers in (CTRL, Qt.KeyboardModifier.NoModifier):
            event = QWheelEvent(
                middle,
                where_on_screen,
                QPoint(),
                QPoint(0, -120),
                Qt.MouseButton.NoButton,
                modifiers,
                Qt.ScrollPhase.NoScrollPhase,
                False,
            )
            QApplication.sendEvent(gallery.viewport(), event)
        assert gallery.tile == 80
        assert gallery.verticalScrollBar().value() > 0


class TestSelect:
    @pytest.fixture(autouse=True)
    def _filled(self, session, gallery):
        fill(session, cells(neutrophil=10, eosinophil=3))

    def test_click_toggle_and_range(self, gallery, session, qtbot):
        click(qtbot, gallery, where(gallery, "n1"))
        assert session.selection == ("n1",)
        click(qtbot, gallery, where(gallery, "n3"), CTRL)
        assert session.selection == ("n3", "n1")
        click(qtbot, gallery, where(gallery, "n1"), CTRL)
        assert session.selection == ("n3",)
        click(qtbot, gallery, where(gallery, "e0"), SHIFT)
        assert session.selection == ("e0", *(f"n{i}" for i in range(3, 10)))
        click(qtbot, gallery, where(gallery, "n2"), SHIFT)
        assert session.selection == ("n2", "n3")
        click(qtbot, gallery, where(gallery, "n2"))
        assert session.selection == ("n2",)
        click(qtbot, gallery, where(gallery, "n2"), CTRL)
        assert session.selection == ()

    def test_a_click_on_nothing_selects_nothing(self, gallery, session, qtbot):
        session.select(["n1"])
        click(qtbot, gallery, QPoint(1, 60), CTRL)
        assert session.selection == ("n1",)
        click(qtbot, gallery, QPoint(1, 60))
        assert session.selection == ()

    def test_rubber_band(self, gallery, session, qtbot):
        corner = where(gallery, "n0") - QPoint(54, 54)
        drag(qtbot, gallery, corner, where(gallery, "n5"))
        assert session.selection == ("n0", "n1", "n4", "n5")
        drag(qtbot, gallery, where(gallery, "n3") + QPoint(54, 0), where(gallery, "n3"), CTRL)
        assert session.selection == ("n0", "n1", "n4", "n5", "n3")
        drag(qtbot, gallery, where(gallery, "n0") - QPoint(54, 0), where(gallery, "n9"), drop=False)
        assert session.selection == ("n0", "n1", "n4", "n5", "n3")
        gallery.grab()
        qtbot.keyClick(gallery, Qt.Key.Key_Escape)
        qtbot.mouseRelease(gallery.viewport(), LEFT, pos=where(gallery, "n9"))
        assert session.selection == ("n0", "n1", "n4", "n5", "n3")

    def test_the_group_of_the_current_cell_or_under_the_mouse(self, gallery, session, qtbot):
        session.select(["e1"])
        qtbot.keyClick(gallery, Qt.Key.Key_A, CTRL)
        assert session.selection == ("e1", "e0", "e2")
        move(gallery, where(gallery, "n2"))
        qtbot.keyClick(gallery, Qt.Key.Key_A, CTRL)
        assert set(session.selection) == {f"n{i}" for i in range(10)}
        QApplication.sendEvent(gallery, QEvent(QEvent.Type.Leave))
        qtbot.mouseDClick(gallery.viewport(), LEFT, pos=header(gallery, "eosinophil"))
        assert session.selection == ("e0", "e1", "e2")

    def test_arrows(self, gallery, session, qtbot):
        def press(key, modifiers=Qt.KeyboardModifier.NoModifier):
            qtbot.keyClick(gallery, getattr(Qt.Key, f"Key_{key}"), modifiers)
            return session.selection

        assert press("Right") == ("n0",)
        assert press("Right") == ("n1",)
        assert press("Down") == ("n5",)
        assert press("Down") == ("n9",)
        assert press("Down") == ("e1",)
        assert press("Up") == ("n9",)
        assert press("Left") == ("n8",)
        assert press("Right", SHIFT) == ("n9", "n8")
        assert press("Right", SHIFT) == ("e0", "n8", "n9")
        assert press("Home") == ("n0",)
        assert press("Left") == ("n0",)
        assert press("End") == ("e2",)

    def test_after_relabelling_the_next_key_goes_to_the_neighbour(self, gallery, session, qtbot):
        session.select(["n3"])
        relabel(session, "basophil", "n3")
        assert session.selection == ("n3",)
        session.undo()
        qtbot.keyClick(gallery, Qt.Key.Key_Right)
        assert session.selection == ("n4",)
        session.select(["n3"])
        session.redo()
        qtbot.keyClick(gallery, Qt.Key.Key_Right)
        assert session.selection == ("n4",)
        qtbot.keyClick(gallery, Qt.Key.Key_Right)
        assert session.selection == ("n5",)

    def test_elsewhere_selected_is_scrolled_to(self, gallery, session, qtbot):
        fill(session, cells(neutrophil=200))
        session.select(["e2", "n0"])
        view = gallery.viewport().rect()
        assert view.contains(where(gallery, "e2"))
        session.select(["n100"])
        assert view.contains(where(gallery, "n100"))
        before = gallery.verticalScrollBar().value()
        session.select([])
        session.select(["no such cell"])
        assert gallery.verticalScrollBar().value() == before

    def test_here_selected_is_not_scrolled_to(self, gallery, session, qtbot):
        fill(session, cells(neutrophil=200))
        session.select(["n0"])
        gallery.verticalScrollBar().setValue(1000)
        click(qtbot, gallery, where(gallery, topmost(gallery)[0]) + QPoint(0, 40), CTRL)
        assert gallery.verticalScrollBar().value() == 1000
        assert len(session.selection) == 2

    def test_pages(self, gallery, session, qtbot):
        fill(session, cells(neutrophil=200))
        qtbot.keyClick(gallery, Qt.Key.Key_PageDown)
        assert gallery.verticalScrollBar().value() == gallery.verticalScrollBar().pageStep()
        qtbot.keyClick(gallery, Qt.Key.Key_PageUp)
        assert gallery.verticalScrollBar().value() == 0

    def test_go_to_a_cell(self, gallery, session, qtbot):
        went = heard(gallery.cell_activated)
        qtbot.mouseDClick(gallery.viewport(), LEFT, pos=where(gallery, "n4"))
        session.select(["n7"])
        qtbot.keyClick(gallery, Qt.Key.Key_Return)
        assert went == [("n4",), ("n7",)]


class TestDrag:
    @pytest.fixture(autouse=True)
    def _filled(self, session, gallery):
        fill(session, cells(neutrophil=6, eosinophil=3))
        session.select(["n1", "n2", "e0"])

    def test_to_a_group(self, gallery, session, qtbot):
        chosen = heard(gallery.label_chosen)
        drag(qtbot, gallery, where(gallery, "n2"), where(gallery, "e2"))
        assert chosen == [("eosinophil", ("n1", "n2"))]
        assert session.selection == ("n1", "n2", "e0")

    def test_to_the_header_of_an_empty_group(self, gallery, qtbot):
        chosen = heard(gallery.label_chosen)
        gallery.zoom(-3)
        drag(qtbot, gallery, where(gallery, "n2"), header(gallery, UNIDENTIFIED))
        assert chosen == [(UNIDENTIFIED, ("n1", "n2", "e0"))]

    def test_of_a_cell_that_was_not_selected(self, gallery, session, qtbot):
        chosen = heard(gallery.label_chosen)
        drag(qtbot, gallery, where(gallery, "n4"), header(gallery, "eosinophil"))
        assert chosen == [("eosinophil", ("n4",))]
        assert session.selection == ("n4",)

    def test_to_its_own_group_or_to_nowhere_does_nothing(self, gallery, qtbot):
        chosen = heard(gallery.label_chosen)
        drag(qtbot, gallery, where(gallery, "n1"), where(gallery, "n5"))
        drag(qtbot, gallery, where(gallery, "n1"), QPoint(-40, 200))
        assert chosen == []

    def test_to_a_label_that_the_taxonomy_does_not_know(self, gallery, session, qtbot):
        relabel(session, "smudge", "n5")
        gallery.zoom(-3)
        chosen = heard(gallery.label_chosen)
        drag(qtbot, gallery, where(gallery, "n1"), where(gallery, "n5"))
        assert chosen == []

    def test_escape(self, gallery, qtbot):
        chosen = heard(gallery.label_chosen)
        drag(qtbot, gallery, where(gallery, "n1"), where(gallery, "e1"), drop=False)
        assert gallery.viewport().cursor().shape() == Qt.CursorShape.ClosedHandCursor
        gallery.grab()
        qtbot.keyClick(gallery, Qt.Key.Key_Escape)
        assert gallery.viewport().cursor().shape() == Qt.CursorShape.ArrowCursor
        qtbot.mouseRelease(gallery.viewport(), LEFT, pos=where(gallery, "e1"))
        assert chosen == []

    def test_near_the_edge_it_scrolls(self, gallery, session, qtbot):
        fill(session, cells(neutrophil=100))
        low = QPoint(200, gallery.viewport().height() - 4)
        drag(qtbot, gallery, where(gallery, "n1"), low, drop=False)
        qtbot.waitUntil(lambda: gallery.verticalScrollBar().value() > 60)
        qtbot.keyClick(gallery, Qt.Key.Key_Escape)
        qtbot.waitUntil(lambda: not gallery._scroller.isActive())

    def test_what_is_dragged_may_go(self, gallery, session, qtbot):
        chosen = heard(gallery.label_chosen)
        drag(qtbot, gallery, where(gallery, "n1"), where(gallery, "e1"), drop=False)
        session.undo()
        gallery.grab()
        qtbot.mouseRelease(gallery.viewport(), LEFT, pos=header(gallery, "eosinophil"))
        assert chosen == []


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "modifiers", "name"),
        [
            (Qt.Key.Key_1, Qt.KeyboardModifier.NoModifier, "1"),
            (Qt.Key.Key_1, Qt.KeyboardModifier.KeypadModifier, "1"),
            (Qt.Key.Key_1, SHIFT, "1"),
            (Qt.Key.Key_N, Qt.KeyboardModifier.NoModifier, "N"),
            (Qt.Key.Key_Delete, Qt.KeyboardModifier.NoModifier, "Delete"),
            (Qt.Key.Key_Backspace, Qt.KeyboardModifier.NoModifier, "Backspace"),
            (Qt.Key.Key_Space, Qt.KeyboardModifier.NoModifier, "Space"),
            (Qt.Key.Key_Z, CTRL, "Control-Z"),
            (Qt.Key.Key_Z, CTRL | SHIFT, "Control-Shift-Z"),
            (Qt.Key.Key_N, SHIFT, ""),
            (Qt.Key.Key_N, CTRL, ""),
            (Qt.Key.Key_F5, Qt.KeyboardModifier.NoModifier, ""),
        ],
    )
    def test_are_passed_on(self, gallery, qtbot, key, modifiers, name):
        pressed = heard(gallery.key_pressed)
        shortcut = QKeyEvent(QEvent.Type.ShortcutOverride, key, modifiers)
        shortcut.ignore()
        QApplication.sendEvent(gallery, shortcut)
        assert shortcut.isAccepted() == bool(name)
        qtbot.keyClick(gallery, key, modifiers)
        assert pressed == ([(name,)] if name else [])


def test_the_header_of_the_topmost_group_stays_in_view(gallery, session):
    fill(session, cells(neutrophil=100, eosinophil=4))
    gallery.verticalScrollBar().setValue(900)
    assert gallery._at(QPoint(200, 5)) == Item(0, HEADER)
    assert gallery._label_at(QPoint(200, 5)) == "neutrophil"
