"""The picture of a cell in the gallery: thumbnail, heat or both, framed in the label's colour."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPixmap

from napari_wbc.model.cell import Cell
from napari_wbc.model.heat import Heat
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.session.heats import Heats
from napari_wbc.session.order import disagreed
from napari_wbc.widgets.qt.heat import paint_heat
from napari_wbc.widgets.qt.thumbnails import SIDE, UNREADABLE, Latest, Thumbnails

CELL, HEAT, OVERLAY = "cell", "heat", "overlay"
"""Pictures of a cell that stand side by side in a tile."""

MAX_BYTES = 64_000_000
"""Memory of the tiles that are kept."""
OTHER = "#999999"
"""Colour of a label that the taxonomy does not have."""
DARK = QColor(0, 0, 0, 190)
EDGE = QColor("#444444")
"""Line around the frame, which may be as light as the background."""
CHECK = "\N{CHECK MARK}"
"""A person has reviewed the cell."""
UNLIKE = "\N{NOT EQUAL TO}"
"""The cell is unlike the training data."""
ELSEWHERE = "\N{CIRCLED DOT OPERATOR}"
"""Most heat lies outside the cell."""


class Tiles:
    """Thumbnails framed in the colour of the label, with its short name and marks."""

    def __init__(self, thumbnails: Thumbnails, taxonomy: Taxonomy, heats: Heats) -> None:
        self._thumbnails = thumbnails
        self._taxonomy = taxonomy
        self._heats = heats
        self.parts: tuple[str, ...] = (CELL,)
        # The taxonomy makes both anew at each call, too slow for each tile.
        self._colors = taxonomy.colors
        self._shorts = taxonomy.shorts
        self._side = SIDE
        self._ratio = 1.0
        self.clear()

    def resize(self, side: int, ratio: float) -> None:
        """Draw tiles of a side in pixels, on a screen of ``ratio`` device pixels a pixel."""
        if (side, ratio) != (self._side, self._ratio):
            self._side, self._ratio = side, ratio
            self.clear()

    def show(self, parts: tuple[str, ...]) -> None:
        """Show these pictures of each cell, side by side."""
        if parts != self.parts:
            self.parts = parts
            self.clear()

    def clear(self) -> None:
        """Draw all tiles anew."""
        self._font = QFont()
        self._font.setPixelSize(max(9, min(15, self._side // 8)))
        self._font.setBold(True)
        self._metrics = QFontMetricsF(self._font)
        # Four bytes a pixel of the screen, which has several for each of Qt's pixels.
        tile_bytes = 4 * len(self.parts) * (self._side * self._ratio) ** 2
        capacity = MAX_BYTES // max(1, round(tile_bytes))
        self._made: Latest[str, tuple[Cell, Heat | None, QPixmap]] = Latest(capacity)
        self._empty: dict[str, QPixmap] = {}
        self._badges: dict[tuple[str, int], QPixmap] = {}

    def color(self, label: str) -> QColor:
        """Colour of a label."""
        return QColor(self._colors.get(label, OTHER))

    def short(self, label: str) -> str:
        """Short letters of a label."""
        return self._shorts.get(label, label[:3])

    def get(self, cell: Cell, *, draw: bool = True) -> QPixmap | None:
        """The tile of a cell; None without a thumbnail, or where it would have to be drawn."""
        made = self._made.get(cell.cell_id)
        heat = None if self.parts == (CELL,) else self._heats.get(cell.cell_id)
        # Cells never change: another label is another object.
        if made is not None and made[0] is cell and made[1] is heat:
            return made[2]
        thumbnail = self._thumbnails.get(cell) if draw else None
        if thumbnail is None:
            return None
        tile = self._draw(cell, thumbnail, heat)
        self._made.put(cell.cell_id, (cell, heat, tile))
        return tile

    def empty(self, label: str) -> QPixmap:
        """The placeholder for a cell of a label until its tile is there."""
        if label not in self._empty:
            self._empty[label] = self._draw_frame(label, None, None)
        return self._empty[label]

    def _draw_frame(self, label: str, thumbnail: QPixmap | None, heat: Heat | None) -> QPixmap:
        side = self._side
        border = max(3, side // 28)
        wide = side * len(self.parts)
        tile = QPixmap(round(wide * self._ratio), round(side * self._ratio))
        tile.setDevicePixelRatio(self._ratio)
        tile.fill(EDGE)
        painter = QPainter(tile)
        painter.fillRect(QRectF(1, 1, wide - 2, side - 2), self.color(label))
        for i, part in enumerate(self.parts):
            inner = QRectF(i * side + border, border, side - 2 * border, side - 2 * border)
            if thumbnail is None or (part == HEAT and heat is None):
                painter.fillRect(inner, QColor(UNREADABLE))
            elif part != HEAT:
                # Scaled here: the painter's own scaling takes no mean of pixels, and is coarse.
                pixels = round(inner.width() * self._ratio)
                smooth = Qt.TransformationMode.SmoothTransformation
                aspect = Qt.AspectRatioMode.IgnoreAspectRatio
                fitted = thumbnail.scaled(pixels, pixels, aspect, smooth)
                painter.drawPixmap(inner, fitted, QRectF(fitted.rect()))
            if heat is not None and thumbnail is not None and part != CELL:
                paint_heat(painter, inner, heat, clear=part == OVERLAY)
        painter.end()
        return tile

    def _draw(self, cell: Cell, thumbnail: QPixmap, heat: Heat | None) -> QPixmap:
        wide = self._side * len(self.parts)
        tile = self._draw_frame(cell.label, thumbnail, heat)
        painter = QPainter(tile)
        bottom = self._side - round(self._metrics.height())
        name = self._badge(self.short(cell.label), self.color(cell.label))
        painter.drawPixmap(0, bottom, name)
        if cell.prediction is not None:
            number = f"{cell.prediction.confidence * 100:.0f}"
            painter.drawPixmap(wide - self._wide(number), bottom, self._badge(number, DARK))
        x = wide
        for mark in self._marks(cell, heat):
            x -= self._wide(mark)
            painter.drawPixmap(x, 0, self._badge(mark, DARK))
        painter.end()
        return tile

    def _marks(self, cell: Cell, heat: Heat | None) -> Iterable[str]:
        if cell.annotation is not None:
            yield CHECK
        if disagreed(cell, self._taxonomy):
            yield "!"
        unlikeness = None if cell.prediction is None else cell.prediction.unlikeness
        if unlikeness is not None and unlikeness > 1:
            yield UNLIKE
        if heat is not None and heat.suspect:
            yield ELSEWHERE

    def _wide(self, text: str) -> int:
        return int(max(self._metrics.horizontalAdvance(text) + 4, self._metrics.height()) + 0.5)

    def _badge(self, text: str, color: QColor) -> QPixmap:
        """A text on a colour."""
        # Kept, since there are few and text is slow to draw.
        badge = self._badges.get((text, color.rgba()))
        if badge is None:
            area = QRectF(0, 0, self._wide(text), round(self._metrics.height()))
            badge = QPixmap(round(area.width() * self._ratio), round(area.height() * self._ratio))
            badge.setDevicePixelRatio(self._ratio)
            badge.fill(color)
            painter = QPainter(badge)
            painter.setFont(self._font)
            dark = color.alpha() < 255 or color.lightnessF() < 0.45
            painter.setPen(QColor("white" if dark else "black"))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
            painter.end()
            self._badges[text, color.rgba()] = badge
        return badge
