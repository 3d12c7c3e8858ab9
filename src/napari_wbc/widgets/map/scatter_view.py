"""Points on a plane, as a picture that can be looked into: what is drawn, and what lies where.

Invariant: it knows nothing of cells. The points are drawn once into a pixmap; hovering and a lasso
are painted over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wbc.widgets.map.kinds import Kind, Places

__all__ = ["ScatterView", "draw_mark"]

MARGIN = 18
"""Pixels around the points when all are in view."""
REACH = 9
"""Pixels within which a point is under the mouse."""
CLOSEST, FARTHEST = 200.0, 0.2
"""How far one may zoom, as multiples of what shows all points."""
RADII = ((500, 5.5), (3000, 4.5))
"""Points up to which marks have this radius in pixels, else :data:`SMALLEST`."""
SMALLEST = 3.5
UNIT = {
    "square": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
    "triangle": ((0, -1.1), (1.05, 0.8), (-1.05, 0.8)),
    "diamond": ((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),
    "wedge": ((0, 1.1), (1.05, -0.8), (-1.05, -0.8)),
    "plus": tuple(
        (s * x, s * y)
        for s in (1, -1)
        for x, y in ((-0.4, -1.1), (0.4, -1.1), (0.4, -0.4), (1.1, -0.4), (1.1, 0.4), (0.4, 0.4))
    ),
    "star": tuple(
        (
            np.sin(i * np.pi / 5) * (0.5, 1.25)[i % 2 == 0],
            -np.cos(i * np.pi / 5) * (0.5, 1.25)[i % 2 == 0],
        )
        for i in range(10)
    ),
}
"""Corners of the marks that are polygons, for a radius of 1."""


def draw_mark(painter: QPainter, kind: Kind, middle: QPointF, radius: float) -> None:
    """Draw one mark, with a thin dark edge that parts it from others and from a light ground."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(0, 0, 0, 150), 0.8))
    painter.setBrush(QColor(kind.color))
    if kind.mark == "circle":
        painter.drawEllipse(middle, radius, radius)
        return
    corners = [
        (x * radius, y * radius) for x, y in UNIT["plus" if kind.mark == "cross" else kind.mark]
    ]
    if kind.mark == "cross":
        turn = 0.5**0.5
        corners = [((x - y) * turn, (x + y) * turn) for x, y in corners]
    painter.drawPolygon(QPolygonF([middle + QPointF(x, y) for x, y in corners]))


class ScatterView(QWidget):
    """Points by kind; those that are chosen stand out, and some have a ring."""

    def __init__(self) -> None:
        super().__init__()
        self.places: Places = np.zeros((0, 2), np.float32)
        """``(x, y)`` of each point; NaN where a point is not shown."""
        self._kinds: Sequence[Kind] = ()
        self._kind = np.zeros(0, int)
        self._ringed = self._chosen = np.zeros(0, bool)
        self._picture: QPixmap | None = None
        self._middle, self._scale, self._fits = np.zeros(2), 1.0, True
        self.empty_text = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(160, 120)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """A square of middle size."""
        return QSize(420, 420)

    # What is shown

    def show_places(self, places: Places) -> None:
        """Show other points, all of them in view."""
        self.places = places
        self._kind = np.zeros(len(places), int)
        self._ringed = self._chosen = np.zeros(len(places), bool)
        self.reset()

    def show_looks(
        self, kinds: Sequence[Kind], kind: npt.NDArray[np.int_], ringed: npt.NDArray[np.bool_]
    ) -> None:
        """Colour the points.

        Parameters
        ----------
        kinds : sequence of Kind
        kind : ndarray, shape (N,), int
            Which of them each point is of.
        ringed : ndarray, shape (N,), bool
        """
        self._kinds, self._kind, self._ringed = kinds, kind, ringed
        self.redraw()

    def show_chosen(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Let some points stand out, shape (N,)."""
        self._chosen = chosen
        self.redraw()

    def redraw(self) -> None:
        """Draw the points anew with the next frame."""
        self._picture = None
        self.update()

    def reset(self) -> None:
        """Bring all points into view."""
        self._fits = True
        shown = self.places[np.isfinite(self.places[:, 0])].astype(float)
        low, high = (
            (shown.min(axis=0), shown.max(axis=0)) if len(shown) else (np.zeros(2), np.ones(2))
        )
        room = np.maximum((self.width() - 2 * MARGIN, self.height() - 2 * MARGIN), 1)
        self._middle = (low + high) / 2
        self._fit = self._scale = float((room / np.maximum(high - low, 1e-3)).min())
        self.redraw()

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Look closer about a point of the screen, the middle where None."""
        here = self._offset(self._centre() if at is None else at)
        scale = float(np.clip(self._scale * factor, FARTHEST * self._fit, CLOSEST * self._fit))
        self._middle = self._middle + here / self._scale - here / scale
        self._scale, self._fits = scale, False
        self.redraw()

    def pan(self, by: QPointF) -> None:
        """Move the points by pixels of the screen."""
        self._middle = self._middle - np.array((by.x(), by.y())) / self._scale
        self._fits = False
        self.redraw()

    # What lies where

    def on_screen(self) -> npt.NDArray[np.float64]:
        """Where the points are on the screen, shape (N, 2), pixels ``(x, y)``."""
        centre = self._centre()
        moved: npt.NDArray[np.float64] = (self.places - self._middle) * self._scale + (
            centre.x(),
            centre.y(),
        )
        return moved

    def at(self, pos: QPointF) -> int | None:
        """The point under a place of the screen."""
        if not len(self.places):
            return None
        apart = np.hypot(*(self.on_screen() - (pos.x(), pos.y())).T)
        apart[np.isnan(apart)] = np.inf
        nearest = int(np.argmin(apart))
        return nearest if apart[nearest] <= REACH else None

    def _centre(self) -> QPointF:
        return QPointF(self.width() / 2, self.height() / 2)

    def _offset(self, pos: QPointF) -> npt.NDArray[np.float64]:
        apart = pos - self._centre()
        return np.array((apart.x(), apart.y()))

    # Painting

    @property
    def radius(self) -> float:
        """Of a mark, in pixels."""
        return next((radius for most, radius in RADII if len(self.places) <= most), SMALLEST)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 (Qt's name)
        """Keep all in view, or else the middle where it is."""
        super().resizeEvent(event)
        if self._fits:
            self.reset()
        self.redraw()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Show the points; drawn before, unless something changed."""
        painter = QPainter(self)
        if not np.isfinite(self.places).any():
            painter.fillRect(self.rect(), self.palette().base())
            painter.setPen(self.palette().windowText().color())
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.empty_text)
        else:
            if self._picture is None:
                self._picture = self._drawn()
            painter.drawPixmap(0, 0, self._picture)
            self.paint_over(painter)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(self.palette().highlight().color())
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def paint_over(self, painter: QPainter) -> None:
        """Paint what comes and goes."""

    def _drawn(self) -> QPixmap:
        """A picture of the points: first all, in their order, then rings, then the chosen ones."""
        ratio = self.devicePixelRatioF()
        picture = _blank(self.width(), self.height(), ratio)
        picture.fill(self.palette().base().color())
        painter = QPainter(picture)
        at, size = self.on_screen(), QRectF(self.rect()).adjusted(-9, -9, 9, 9)
        inside = (at >= (size.left(), size.top())).all(axis=1) & (
            at <= (size.right(), size.bottom())
        ).all(axis=1)
        radius = self.radius
        marks = [
            _stamp(2 * radius + 4, ratio, partial(draw_mark, kind=k, radius=radius))
            for k in self._kinds
        ]
        large = [
            _stamp(3 * radius + 8, ratio, partial(_draw_chosen, kind=k, radius=radius))
            for k in self._kinds
        ]
        ring = _stamp(2 * radius + 11, ratio, partial(_draw_ring, radius=radius + 2.5))
        if self._chosen.any():
            painter.setOpacity(0.45)  # so that the chosen ones stand out
        self._stamp_all(painter, at, inside & ~self._chosen, marks)
        painter.setOpacity(1)
        self._stamp_all(painter, at, inside & self._chosen, large)
        self._stamp_all(painter, at, inside & self._ringed, [ring] * len(marks))
        painter.end()
        return picture

    def _stamp_all(
        self,
        painter: QPainter,
        at: npt.NDArray[np.float64],
        which: npt.NDArray[np.bool_],
        stamps: Sequence[QPixmap],
    ) -> None:
        if not which.any():
            return
        half = stamps[0].deviceIndependentSize().width() / 2
        corners = np.rint(at[which] - half).astype(int).tolist()
        draw = painter.drawPixmap
        for (x, y), kind in zip(corners, self._kind[which].tolist(), strict=True):
            draw(x, y, stamps[kind])


def _blank(width: float, height: float, ratio: float) -> QPixmap:
    picture = QPixmap(max(1, round(width * ratio)), max(1, round(height * ratio)))
    picture.setDevicePixelRatio(ratio)
    return picture


def _stamp(side: float, ratio: float, draw: partial[None]) -> QPixmap:
    """A mark to be drawn many times."""
    side = 2 * round(side / 2) + 1
    picture = _blank(side, side, ratio)
    picture.fill(QColor(0, 0, 0, 0))
    painter = QPainter(picture)
    draw(painter, middle=QPointF(side / 2, side / 2))
    painter.end()
    return picture


def _draw_chosen(painter: QPainter, kind: Kind, middle: QPointF, radius: float) -> None:
    """A larger mark on a halo that no ground swallows."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor("black"), 1))
    painter.setBrush(QColor("white"))
    painter.drawEllipse(middle, radius * 1.35 + 2, radius * 1.35 + 2)
    draw_mark(painter, kind, middle, radius * 1.15)


def _draw_ring(painter: QPainter, middle: QPointF, radius: float) -> None:
    """A red ring with a dark edge."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for color, width in ((QColor(0, 0, 0, 200), 3.2), (QColor("#ff3030"), 1.8)):
        painter.setPen(QPen(color, width))
        painter.drawEllipse(middle, radius, radius)
