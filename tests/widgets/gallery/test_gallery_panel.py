from __future__ import annotations

import pytest
from tests.widgets.gallery.pictures import cell, fill, relabel

from napari_wbc.session.heats import Heats
from napari_wbc.widgets.gallery import arrange
from napari_wbc.widgets.gallery.gallery_panel import ORDERS, PARTS, GalleryPanel


@pytest.fixture
def panel(session, thumbnails, qtbot):
    heats = Heats(session)
    panel = GalleryPanel(session, thumbnails, heats)
    qtbot.addWidget(panel)
    yield panel
    panel.release()
    heats.close()


def shown(panel):
    return "".join(cell_id for group in panel.gallery.groups for cell_id in group.cell_ids)


def test_every_order_can_be_chosen_and_the_first_is_the_gallerys_own(panel):
    assert sorted(ORDERS.values()) == sorted(arrange.ORDERS)
    assert panel.gallery._order == ORDERS[panel.order.currentText()]


def test_controls_change_the_gallery(panel, session):
    fill(session, [cell("a", "monocyte", 0.6), cell("b", "monocyte", 0.9)])
    assert shown(panel) == "ab"
    panel.order.setCurrentText("most certain first")
    assert shown(panel) == "ba"
    relabel(session, "monocyte", "a")
    panel.which.setCurrentText("to review")
    assert shown(panel) == "b"
    panel.which.setCurrentText("reviewed")
    assert shown(panel) == "a"
    panel.which.setCurrentText("all cells")
    assert shown(panel) == "ba"


def test_pictures_stand_side_by_side(panel):
    panel.parts.setCurrentText("cell, heat, both")
    assert panel.gallery._tiles.parts == PARTS["cell, heat, both"]
    assert panel.gallery._grid.across == 3


def test_released_it_shows_nothing(panel, session):
    fill(session, [cell("a", "monocyte", 0.6)])
    panel.release()
    assert panel.gallery.groups == ()
