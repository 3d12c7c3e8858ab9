"""What the colours of heat mean, and by which method it was found."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wbc.explain.canvas import colored, opacity
from napari_wbc.model.heat import methods_of
from napari_wbc.model.words import counted
from napari_wbc.session.heats import Heats
from napari_wbc.widgets.qt.panel import Panel

LEAST, MOST = "no evidence", "most evidence"
LEVELS = 64


class HeatLegend(Panel, QWidget):
    """A bar of the colours, and a line that names the method and the number of cells."""

    def __init__(self, heats: Heats) -> None:
        super().__init__()
        self._heats = heats
        levels = np.linspace(0, 1, LEVELS, dtype=np.float32)[None]
        # As it lies over an image: where there is little heat, the image shines through.
        alpha = np.rint(opacity(levels) * 255).astype(np.uint8)
        self._colors = np.ascontiguousarray(np.dstack([colored(levels), alpha]))
        self.text = ""
        """The line above the bar; empty without heat."""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Within each cell: pixels without colour say nothing for the class, the brightest say "
            "most. Colours of two cells cannot be compared."
        )
        self.listen(self._refresh, heats.changed)
        self._refresh()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for the line and the bar."""
        return QSize(100, 2 * self.fontMetrics().lineSpacing() + 4)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw the line, and the bar between its two words."""
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        line = self.fontMetrics().lineSpacing()
        painter.drawText(QRect(0, 0, self.width(), line), Qt.AlignmentFlag.AlignLeft, self.text)
        below = QRect(0, line + 2, self.width(), line)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, LEAST)
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, MOST)
        left = self.fontMetrics().horizontalAdvance(LEAST) + 8
        right = self.fontMetrics().horizontalAdvance(MOST) + 8
        bar = below.adjusted(left, 2, -right, -2)
        image = QImage(self._colors.data, LEVELS, 1, 4 * LEVELS, QImage.Format.Format_RGBA8888)
        painter.drawImage(bar, image)
        painter.drawRect(bar)

    def _refresh(self) -> None:
        n = len(self._heats)
        self.text = f"{methods_of(self._heats)}, {counted(n)}" if n else ""
        self.setVisible(bool(n))
        self.setAccessibleName(f"Heat by {self.text}")
        self.update()
