"""The losses and accuracies of a training run, drawn while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wbc.train.run import measure_name

COLORS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442")
"""Okabe and Ito 2008."""
LEFT, TOP, BOTTOM, GAP = 30, 18, 16, 24
LINE_HEIGHT = 13


class Curves(QWidget):
    """Losses on the left, accuracies from 0 to 1 on the right, one point an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Mapping[str, float]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Curves of training")

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Wide and low."""
        return QSize(320, 150)

    def clear(self) -> None:
        """Remove the curves of the last run."""
        self.history = []
        self.setToolTip("")
        self.update()

    def add(self, values: Mapping[str, float]) -> None:
        """Draw one more epoch."""
        self.history.append(values)
        lines = [f"{measure_name(name)}: {value:.4g}" for name, value in values.items()]
        self.setToolTip("\n".join(lines))
        self.update()

    def paintEvent(self, _event: Any) -> None:  # noqa: N802 (Qt's name)
        """Draw both plots."""
        losses: list[str] = []
        accuracies: list[str] = []
        for name in self.history[-1] if self.history else ():
            if name.startswith("val_") or name.endswith("accuracy"):
                accuracies.append(name)
            elif name != "epoch":
                losses.append(name)
        top = 0.0
        for row in self.history:
            top = max([top, *(row.get(name, 0.0) for name in losses)])

        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        # The dots of the last epoch reach over the right edge of a plot.
        width = (self.width() - GAP - 4) / 2 - LEFT
        area = QRectF(LEFT, TOP, width, self.height() - TOP - BOTTOM)
        # Losses fall from the left and accuracies rise to the top, so that the names of losses
        # have room at the top right, and those of accuracies at the bottom right.
        self._plot(painter, area, "error", losses, top=top or 1.0, names_at=area.top() + 4)
        area.translate(LEFT + width + GAP, 0)
        names_at = area.bottom() - 4 - LINE_HEIGHT * len(accuracies)
        self._plot(painter, area, "accuracy", accuracies, top=1.0, names_at=names_at)
        painter.end()

    def _plot(
        self,
        painter: QPainter,
        area: QRectF,
        title: str,
        names: Sequence[str],
        *,
        top: float,
        names_at: float,
    ) -> None:
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        faint = QColor(ink)
        faint.setAlpha(70)
        painter.setPen(faint)
        painter.drawRect(area)
        painter.setPen(ink)
        right = Qt.AlignmentFlag.AlignRight
        heading = QRectF(area.left(), 0, area.width(), TOP)
        painter.drawText(heading, Qt.AlignmentFlag.AlignLeft, title)
        for value, y in ((0.0, area.bottom()), (top, area.top())):
            tick = QRectF(area.left() - LEFT, y - 8, LEFT - 3, 16)
            painter.drawText(tick, right | Qt.AlignmentFlag.AlignVCenter, f"{value:.2g}")
        for i, name in enumerate(names):
            painter.setPen(QPen(QColor(COLORS[i % len(COLORS)]), 2))
            self._draw_line(painter, area, name, top)
            line = QRectF(area.left() + 6, names_at + LINE_HEIGHT * i, area.width() - 10, 14)
            painter.drawText(line, right, measure_name(name))

    def _draw_line(self, painter: QPainter, area: QRectF, name: str, top: float) -> None:
        step = area.width() / max(1, len(self.history) - 1)
        points: list[QPointF] = []
        for i, row in enumerate(self.history):
            # Not every epoch has every measure.
            if name in row:
                height = area.height() * min(1.0, row[name] / top)
                points.append(QPointF(area.left() + step * i, area.bottom() - height))
        painter.drawPolyline(points)
        for point in points:
            painter.drawEllipse(point, 2, 2)
