"""Heat as a picture on the screen."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QRectF
from qtpy.QtGui import QImage, QPainter

from napari_wbc.explain.canvas import STRENGTH, colored, opacity
from napari_wbc.model.heat import Heat


def paint_heat(painter: QPainter, area: QRectF, heat: Heat, *, clear: bool) -> None:
    """Paint the heat of a cell into an area that shows the cell's square.

    With ``clear`` the picture below is seen through the heat, in full where there is none.
    """
    n = len(heat.values)
    alpha = opacity(heat.values) * STRENGTH if clear else np.ones_like(heat.values)
    pixels = np.dstack([colored(heat.values), np.rint(alpha * 255).astype(np.uint8)])
    image = QImage(np.ascontiguousarray(pixels).data, n, n, 4 * n, QImage.Format.Format_RGBA8888)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(area, image)
    painter.restore()
