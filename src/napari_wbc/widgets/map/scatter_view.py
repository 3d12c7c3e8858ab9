"""Points on a plane, as a picture that can be zoomed and panned.

Invariant: it knows nothing of cells. The points are drawn once into a pixmap; hovering and a lasso
are painted over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QPointF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wbc.widgets.map.kinds import Kind, Places

MARGIN = 18
"""Pixels around the points when all are in view."""
REACH = 9
"""Pixels within which a point is under the mouse."""
MAX_ZOOM, MIN_ZOOM = 200.0, 0.2
"""Multiples of the scale that shows all points."""
RADII = ((500, 5.5), (3000, 4.5))
"""Largest number of points for which marks have this radius in pixels, else :data:`MIN_RADIUS`."""
MIN_RADIUS = 3.5

_TURNS = np.pi / 5 * np.arange(10)
_STAR = np.transpose((np.sin(_TURNS), -np.cos(_TURNS))) * np.tile((1.25, 0.5), 5)[:, None]
_ARM = np.array([(-0.4, -1.1), (0.4, -1.1), (0.4, -0.4), (1.1, -0.4), (1.1, 0.4), (0.4, 0.4)])
_PLUS = np.concatenate((_ARM, -_ARM))
CORNERS = {
    "square": np.array([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]),
    "triangle": np.array([(0, -1.1), (1.05, 0.8), (-1.05, 0.8)]),
    "diamond": np.array([(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)]),
    "wedge": np.array([(0, 1.1), (1.05, -0.8), (-1.05, -0.8)]),
    "plus": _PLUS,
    "cross": _PLUS @ np.array([(1, 1), (-1, 1)]) / np.sqrt(2),
    "star": _STAR,
}
"""Corners of the marks that are polygons, for a radius of 1; y points down."""


def draw_mark(painter: QPainter, kind: Kind, middle: QPointF, radius: float) -> None:
    """Draw one mark; its thin dark edge parts it from others and from a light ground."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(0, 0, 0, 150), 0.8))
    painter.setBrush(QColor(kind.color))
    if kind.mark == "circle":
        painter.drawEllipse(middle, radius, radius)
        return
    corners = (CORNERS[kind.mark] * radius).tolist()
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
        self._middle = np.zeros(2)
        """The place in the middle of the widget."""
        self._scale = self._fit = 1.0
        """Pixels a unit of the map: now, and where all points are in view."""
        self._fits = True
        self.empty_text = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(160, 80)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """A square of middle size."""
        return QSize(420, 420)

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
        kind : ndarray, shape (N,), int
            Which of them each point is of.
        """
        self._kinds = kinds
        self._kind = kind
        self._ringed = ringed
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
        shown = self.places[np.isfinite(self.places[:, 0])].astype(float)
        if not len(shown):
            shown = np.array([(0.0, 0.0), (1.0, 1.0)])
        low = shown.min(axis=0)
        high = shown.max(axis=0)
        room = np.maximum((self.width() - 2 * MARGIN, self.height() - 2 * MARGIN), 1)
        self._middle = (low + high) / 2
        # A single point, or points in one line, have no extent to divide by.
        self._fit = self._scale = float((room / np.maximum(high - low, 1e-3)).min())
        self._fits = True
        self.redraw()

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Look closer about a point of the screen, the middle where None."""
        offset = np.zeros(2) if at is None else np.array((at.x(), at.y())) - self._centre
        scale = float(np.clip(self._scale * factor, MIN_ZOOM * self._fit, MAX_ZOOM * self._fit))
        # What lies under the mouse stays there.
        self._middle = self._middle + offset / self._scale - offset / scale
        self._scale = scale
        self._fits = False
        self.redraw()

    def pan(self, by: QPointF) -> None:
        """Move the points by pixels of the screen."""
        self._middle = self._middle - np.array((by.x(), by.y())) / self._scale
        self._fits = False
        self.redraw()

    @property
    def _centre(self) -> npt.NDArray[np.float64]:
        return np.array((self.width() / 2, self.height() / 2))

    def on_screen(self) -> npt.NDArray[np.float64]:
        """Where the points are on the screen, shape (N, 2), pixels ``(x, y)``."""
        return np.asarray((self.places - self._middle) * self._scale + self._centre)

    def at(self, pos: QPointF) -> int | None:
        """The point under a place of the screen."""
        distance = np.hypot(*(self.on_screen() - (pos.x(), pos.y())).T)
        if not np.isfinite(distance).any():
            return None
        nearest = int(np.nanargmin(distance))
        return nearest if distance[nearest] <= REACH else None

    @property
    def radius(self) -> float:
        """Of a mark, in pixels."""
        return next((radius for most, radius in RADII if len(self.places) <= most), MIN_RADIUS)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 (Qt's name)
        """Keep all in view, or else the middle where it is."""
        super().resizeEvent(event)
        if self._fits:
            self.reset()
        else:
            self.redraw()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw on the ground of another theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self.redraw()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Show the points; drawn before, unless something changed."""
        painter = QPainter(self)
        if not np.isfinite(self.places).any():
            painter.fillRect(self.rect(), self.palette().base())
            painter.setPen(self.palette().windowText().color())
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.empty_text)
        else:
            # Hovering and a lasso paint many frames of the same points.
            if self._picture is None:
                self._picture = self._draw_points()
            painter.drawPixmap(0, 0, self._picture)
            self.paint_over(painter)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(self.palette().highlight().color())
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def paint_over(self, painter: QPainter) -> None:
        """Paint what comes and goes."""

    def _draw_points(self) -> QPixmap:
        at = self.on_screen()
        # Points that are NaN are in no view: comparisons with NaN are False.
        inside = ((at >= -REACH) & (at <= 2 * self._centre + REACH)).all(axis=1)
        chosen = self._chosen
        picture = _blank(self.width(), self.height(), self.devicePixelRatioF())
        picture.fill(self.palette().base().color())
        painter = QPainter(picture)
        # The chosen points lie over the others, which fade.
        if chosen.any():
            painter.setOpacity(0.45)
        self._stamp(painter, draw_mark, at, inside & ~chosen)
        painter.setOpacity(1)
        self._stamp(painter, _draw_chosen, at, inside & chosen)
        self._stamp(painter, _draw_ring, at, inside & self._ringed)
        painter.end()
        return picture

    def _stamp(
        self,
        painter: QPainter,
        draw: Callable[[QPainter, Kind, QPointF, float], None],
        at: npt.NDArray[np.float64],
        which: npt.NDArray[np.bool_],
    ) -> None:
        # Each kind is drawn once and stamped: ten thousand polygons a frame would take too long.
        side = 2 * round(1.5 * self.radius + 4) + 1
        middle = QPointF(side / 2, side / 2)
        stamps = []
        for kind in self._kinds:
            stamp = _blank(side, side, painter.device().devicePixelRatioF())
            stamp.fill(QColor(0, 0, 0, 0))
            brush = QPainter(stamp)
            brush.setRenderHint(QPainter.RenderHint.Antialiasing)
            draw(brush, kind, middle, self.radius)
            brush.end()
            stamps.append(stamp)
        # Points keep their order, the kinds mixed, so that no kind covers all others.
        corners = np.rint(at[which] - side / 2).astype(int).tolist()
        for (x, y), kind_number in zip(corners, self._kind[which].tolist(), strict=True):
            painter.drawPixmap(x, y, stamps[kind_number])


def _blank(width: float, height: float, ratio: float) -> QPixmap:
    # A pixmap counts pixels of the screen; a dense screen has several for each pixel of Qt.
    picture = QPixmap(max(1, round(width * ratio)), max(1, round(height * ratio)))
    picture.setDevicePixelRatio(ratio)
    return picture


def _draw_chosen(painter: QPainter, kind: Kind, middle: QPointF, radius: float) -> None:
    """A larger mark on a halo that shows on every ground."""
    painter.setPen(QPen(QColor("black"), 1))
    painter.setBrush(QColor("white"))
    painter.drawEllipse(middle, radius * 1.35 + 2, radius * 1.35 + 2)
    draw_mark(painter, kind, middle, radius * 1.15)


def _draw_ring(painter: QPainter, _kind: Kind, middle: QPointF, radius: float) -> None:
    """A red ring with a dark edge."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for color, width in ((QColor(0, 0, 0, 200), 3.2), (QColor("#ff3030"), 1.8)):
        painter.setPen(QPen(color, width))
        painter.drawEllipse(middle, radius + 2.5, radius + 2.5)
