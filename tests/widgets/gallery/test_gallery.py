from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication
from tests.widgets.gallery.pictures import (
    CTRL,
    LEFT,
    SHIFT,
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

from napari_wbc.model.taxonomy import UNIDENTIFIED


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

    def test_here_selected_is_not_scrolled_to(self, gallery, session, qtbot):
        fill(session, cells(neutrophil=200))
        session.select(["n0"])
        gallery.verticalScrollBar().setValue(1000)
        click(qtbot, gallery, where(gallery, topmost(gallery)[0]) + QPoint(0, 40), CTRL)
        assert gallery.verticalScrollBar().value() == 1000
        assert len(session.selection) == 2

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
        assert gallery._tile == 80
        assert gallery.verticalScrollBar().value() > 0


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
