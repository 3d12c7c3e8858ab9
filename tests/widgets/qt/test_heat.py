"""Heat painted over a picture."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QImage, QPainter

from napari_wbc.widgets.qt.heat import paint_heat


class Warm:
    """All heat is in the right half."""

    values = np.repeat([[0.0, 0.0, 1.0, 1.0]], 4, axis=0).astype(np.float32)


def painted(*, clear: bool) -> QImage:
    image = QImage(40, 40, QImage.Format.Format_RGBA8888)
    image.fill(QColor("white"))
    painter = QPainter(image)
    paint_heat(painter, QRectF(0, 0, 40, 40), Warm(), clear=clear)
    painter.end()
    return image


def test_the_picture_is_seen_where_there_is_no_heat(qtbot):
    image = painted(clear=True)
    assert image.pixelColor(2, 20) == QColor("white")
    assert image.pixelColor(37, 20) != QColor("white")


def test_heat_alone_covers_the_picture(qtbot):
    assert painted(clear=False).pixelColor(2, 20) != QColor("white")
