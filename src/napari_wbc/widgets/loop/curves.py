"""The course of a training run while it runs: what is learnt, and how well it holds on cells held out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

__all__ = ["Curves"]

COLORS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442")
"""Okabe and Ito 2008."""
LEFT, TOP, BOTTOM, GAP = 30, 18, 16, 24


class Curves(QWidget):
    """Losses on the left, accuracies from 0 to 1 on the right, one point an epoch.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.history: list[Mapping[str, float]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Curves of training")

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Wide and low."""
        return QSize(320, 150)

    def clear(self) -> None:
        """Forget the run before."""
        self.history = []
        self.setToolTip("")
        self.update()

    def add(self, values: Mapping[str, float]) -> None:
        """Draw one more epoch."""
        self.history.append(values)
        self.setToolTip(
            "\n".join(f"{name.replace('_', ' ')}: {value:.4g}" for name, value in values.items())
        )
        self.update()

    def paintEvent(self, _event: Any) -> None:  # noqa: N802 (Qt's name)
        """Draw both plots."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        half = (self.width() - GAP - 4) / 2  # the dots at the end need room
        names = [name for name in (self.history[-1] if self.history else {}) if name != "epoch"]
        accuracies = [name for name in names if _is_share(name)]
        losses = [name for name in names if not _is_share(name)]
        top = (
            max((row.get(name, 0.0) for row in self.history for name in losses), default=1.0) or 1.0
        )
        self._plot(
            painter,
            QRectF(LEFT, TOP, half - LEFT, self.height() - TOP - BOTTOM),
            "loss",
            losses,
            top,
        )
        right = QRectF(half + GAP + LEFT, TOP, half - LEFT, self.height() - TOP - BOTTOM)
        self._plot(painter, right, "accuracy", accuracies, 1.0)
        painter.end()

    def _plot(
        self, painter: QPainter, area: QRectF, title: str, names: list[str], top: float
    ) -> None:
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        faint = QColor(ink)
        faint.setAlpha(70)
        painter.setPen(faint)
        painter.drawRect(area)
        painter.setPen(ink)
        painter.drawText(
            QRectF(area.left(), 0, area.width(), TOP), Qt.AlignmentFlag.AlignLeft, title
        )
        for value in (0.0, top):
            y = area.bottom() - area.height() * value / top
            edge = QRectF(0, y - 8, area.left() - 3, 16) if area.left() == LEFT else None
            where = edge or QRectF(area.left() - LEFT, y - 8, LEFT - 3, 16)
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(where, flags, f"{value:.2g}")
        for k, name in enumerate(names):
            self._line(painter, area, name, QColor(COLORS[k % len(COLORS)]), top)
            # Losses fall from the left, accuracies rise to the top: there is room in the other
            # corner.
            y = (
                area.top() + 4 + 13 * k
                if title == "loss"
                else area.bottom() - 4 - 13 * (len(names) - k)
            )
            label = QRectF(area.left() + 6, y, area.width() - 10, 14)
            painter.drawText(
                label, Qt.AlignmentFlag.AlignRight, name.removeprefix("val_").replace("_", " ")
            )

    def _line(self, painter: QPainter, area: QRectF, name: str, color: QColor, top: float) -> None:
        n = max(1, len(self.history) - 1)
        points = QPolygonF(
            [
                QPointF(
                    area.left() + area.width() * i / n,
                    area.bottom() - area.height() * min(1.0, row[name] / top),
                )
                for i, row in enumerate(self.history)
                if name in row
            ]
        )
        painter.setPen(QPen(color, 2))
        painter.drawPolyline(points)
        for i in range(points.size()):
            painter.drawEllipse(points.at(i), 2, 2)


def _is_share(name: str) -> bool:
    """Whether a measure goes from 0 to 1."""
    return name.startswith("val_") or name.endswith("accuracy")
