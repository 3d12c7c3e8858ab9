from __future__ import annotations

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QApplication
from tests.widgets.gallery.pictures import (
    CTRL,
    LEFT,
    SHIFT,
    cells,
    fill,
    header,
    heard,
    move,
    relabel,
    where,
)


class TestSelect:
    @pytest.fixture(autouse=True)
    def _filled(self, session, gallery):
        fill(session, cells(neutrophil=10, eosinophil=3))

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

    def test_collapsed_by_key(self, gallery, session, qtbot):
        fill(session, cells(neutrophil=8))
        session.select(["n1"])
        qtbot.keyClick(gallery, Qt.Key.Key_Minus)
        assert gallery._grid.shown(0) == 0
        qtbot.keyClick(gallery, Qt.Key.Key_Plus)
        assert gallery._grid.shown(0) == 8
