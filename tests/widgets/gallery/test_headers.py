"""Frames and headers of the gallery."""

from __future__ import annotations

from qtpy.QtCore import QRect
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QWidget

from napari_wbc.widgets.gallery.headers import ink, paint_frame

AREA = QRect(10, 10, 20, 20)
RED = QColor("red")


def framed(**state: bool) -> QImage:
    image = QImage(40, 40, QImage.Format.Format_RGB32)
    image.fill(QColor("white"))
    painter = QPainter(image)
    paint_frame(painter, AREA, RED, **state)
    painter.end()
    return image


def test_only_a_chosen_tile_has_a_frame(qtbot):
    assert framed(chosen=True, current=False).pixelColor(8, 20) == RED
    assert framed(chosen=False, current=False).pixelColor(8, 20) == QColor("white")


def test_a_frame_leaves_the_picture_free(qtbot):
    assert framed(chosen=True, current=True).pixelColor(20, 20) == QColor("white")


def test_ink_is_the_colour_of_text_of_the_theme(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    text = widget.palette().color(widget.foregroundRole())
    assert ink(widget).getRgb()[:3] == text.getRgb()[:3]
    assert ink(widget, 40).alpha() == 40
