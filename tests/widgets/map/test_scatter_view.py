"""The picture of the points: where they are, which is hit, and what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPointF
from qtpy.QtGui import QColor, QPainter, QPalette, QPixmap

from napari_wbc.widgets.map.kinds import MARKS, Kind
from napari_wbc.widgets.map.scatter_view import REACH, ScatterView, draw_mark

PLACES = np.array([[0, 0], [4, 0], [4, 2], [np.nan, np.nan]], np.float32)
KINDS = (Kind("a", "#ff0000", "circle"), Kind("b", "#00ff00", "star"))


@pytest.fixture
def view(qtbot):
    view = ScatterView()
    qtbot.addWidget(view)
    view.resize(300, 200)
    view.show()
    view.show_places(PLACES)
    view.show_looks(KINDS, np.array([0, 1, 0, 0]), np.zeros(4, bool))
    return view


def test_all_points_are_in_view_and_hit(view):
    at = view.on_screen()
    for i, (x, y) in enumerate(at[:3].tolist()):
        assert view.rect().contains(round(x), round(y))
        assert view.at(QPointF(x, y + REACH - 1)) == i
    assert np.isnan(at[3]).all()
    assert view.at(QPointF(*at[:3].mean(axis=0))) is None


def test_what_is_under_the_mouse_stays_there(view):
    before = view.on_screen()[1]
    view.zoom(3, QPointF(*before))
    np.testing.assert_allclose(view.on_screen()[1], before)
    view.pan(QPointF(5, 7))
    np.testing.assert_allclose(view.on_screen()[1], before + np.array((5, 7)))
    view.reset()
    np.testing.assert_allclose(view.on_screen()[1], before)


def test_no_points_are_hit_where_there_are_none(view):
    view.show_places(np.zeros((0, 2), np.float32))
    assert view.at(QPointF(10, 10)) is None
    assert not view.grab().isNull()


def test_points_are_drawn_in_the_colours_of_their_kinds(view):
    image = view.grab().toImage()
    ratio = image.devicePixelRatio()
    for (x, y), color in zip(view.on_screen()[:2], ("#ff0000", "#00ff00"), strict=True):
        assert image.pixelColor(int(x * ratio), int(y * ratio)).name() == color


def test_another_theme_draws_the_points_anew(view):
    before = view.grab().toImage()
    palette = view.palette()
    palette.setColor(QPalette.ColorRole.Base, QColor("#123456"))
    view.setPalette(palette)
    image = view.grab().toImage()
    assert image != before
    assert image.pixelColor(image.width() // 2, 5).name() == "#123456"


@pytest.mark.parametrize("mark", MARKS)
def test_every_mark_covers_its_middle(qapp, mark):
    del qapp
    picture = QPixmap(21, 21)
    picture.fill(QColor("white"))
    painter = QPainter(picture)
    draw_mark(painter, Kind("a", "#ff0000", mark), QPointF(10.5, 10.5), 8)
    painter.end()
    assert picture.toImage().pixelColor(10, 10).name() == "#ff0000"
