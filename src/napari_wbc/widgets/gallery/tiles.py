"""How a cell looks in the gallery: thumbnail, heat or both, in a frame of its label's colour, with marks."""

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

__all__ = ["CELL", "HEAT", "OVERLAY", "Tiles"]

CELL, HEAT, OVERLAY = "cell", "heat", "overlay"
"""What a tile can show of a cell; several stand side by side."""

TILE_BYTES = 64_000_000
"""Memory of the tiles that are kept."""
OTHER = "#999999"
"""Colour of a label that the taxonomy does not know."""
DARK = QColor(0, 0, 0, 190)
EDGE = QColor("#444444")
"""Around the frame, which may be as light as the ground."""
CHECK, UNLIKE, ELSEWHERE = "\N{CHECK MARK}", "\N{NOT EQUAL TO}", "\N{CIRCLED DOT OPERATOR}"
"""Reviewed; unlike the training data; most heat lies outside the cell."""


class Tiles:
    """Thumbnails as the gallery shows them: framed in the colour of the label, with letters and marks.

    Parameters
    ----------
    thumbnails : Thumbnails
    taxonomy : Taxonomy
    heats : Heats, optional
        Where heat is looked for.
    """

    def __init__(
        self, thumbnails: Thumbnails, taxonomy: Taxonomy, heats: Heats | None = None
    ) -> None:
        self._thumbnails, self._taxonomy, self._heats = thumbnails, taxonomy, heats
        self._parts: tuple[str, ...] = (CELL,)
        self._colors, self._shorts = taxonomy.colors, taxonomy.shorts
        self._side, self._ratio = SIDE, 1.0
        self.clear()

    def resize(self, side: int, ratio: float) -> None:
        """Draw tiles of a side in pixels, on a screen of ``ratio`` device pixels a pixel."""
        if (side, ratio) != (self._side, self._ratio):
            self._side, self._ratio = side, ratio
            self.clear()

    @property
    def parts(self) -> tuple[str, ...]:
        """What is shown of each cell, side by side."""
        return self._parts

    def show(self, parts: tuple[str, ...]) -> None:
        """Show these of each cell, side by side."""
        if parts != self._parts:
            self._parts = parts
            self.clear()

    def clear(self) -> None:
        """Draw all tiles anew."""
        side, ratio = self._side, self._ratio
        self._font = QFont()
        self._font.setPixelSize(max(9, min(15, side // 8)))
        self._font.setBold(True)
        self._metrics = QFontMetricsF(self._font)
        most = TILE_BYTES // max(1, round((side * ratio) ** 2 * 4 * len(self._parts)))
        self._made: Latest[str, tuple[Cell, Heat | None, QPixmap]] = Latest(most)
        self._empty: dict[str, QPixmap] = {}
        self._badges: dict[tuple[str, int], QPixmap] = {}

    def color(self, label: str) -> QColor:
        """Colour of a label."""
        return QColor(self._colors.get(label, OTHER))

    def short(self, label: str) -> str:
        """Short letters of a label."""
        return self._shorts.get(label, label[:3])

    def get(self, cell: Cell, *, draw: bool = True) -> QPixmap | None:
        """The tile of a cell, None where there is no thumbnail yet, or where it is not to be drawn now."""
        known, heat = self._made.get(cell.cell_id), self._heat(cell)
        if known is not None and known[0] is cell and known[1] is heat:
            return known[2]
        thumbnail = self._thumbnails.get(cell) if draw else None
        if thumbnail is None:
            return None
        tile = self._draw(cell, thumbnail, heat)
        self._made.put(cell.cell_id, (cell, heat, tile))
        return tile

    def _heat(self, cell: Cell) -> Heat | None:
        if self._heats is None or self._parts == (CELL,):
            return None
        return self._heats.get(cell.cell_id)

    def empty(self, label: str) -> QPixmap:
        """What stands for a cell of a label until its tile is there."""
        if label not in self._empty:
            self._empty[label] = self._draw_frame(label, None, None)
        return self._empty[label]

    def _draw_frame(self, label: str, thumbnail: QPixmap | None, heat: Heat | None) -> QPixmap:
        side, border, wide = self._side, max(3, self._side // 28), self._side * len(self._parts)
        tile = QPixmap(round(wide * self._ratio), round(side * self._ratio))
        tile.setDevicePixelRatio(self._ratio)
        tile.fill(EDGE)
        painter = QPainter(tile)
        painter.fillRect(QRectF(1, 1, wide - 2, side - 2), self.color(label))
        for i, part in enumerate(self._parts):
            inner = QRectF(i * side + border, border, side - 2 * border, side - 2 * border)
            if thumbnail is None or (part == HEAT and heat is None):
                painter.fillRect(inner, QColor(UNREADABLE))
            elif part != HEAT:
                pixels = round(inner.width() * self._ratio)
                smooth = Qt.TransformationMode.SmoothTransformation
                fitted = thumbnail.scaled(
                    pixels, pixels, Qt.AspectRatioMode.IgnoreAspectRatio, smooth
                )
                painter.drawPixmap(inner, fitted, QRectF(fitted.rect()))
            if heat is not None and thumbnail is not None and part != CELL:
                paint_heat(painter, inner, heat, clear=part == OVERLAY)
        painter.end()
        return tile

    def _draw(self, cell: Cell, thumbnail: QPixmap, heat: Heat | None) -> QPixmap:
        label, side, wide = cell.label, self._side, self._side * len(self._parts)
        tile = self._draw_frame(label, thumbnail, heat)
        painter = QPainter(tile)
        bottom = side - round(self._metrics.height())
        painter.drawPixmap(0, bottom, self._badge(self.short(label), self.color(label)))
        if cell.prediction is not None:
            number = f"{cell.prediction.confidence * 100:.0f}"
            painter.drawPixmap(wide - self._wide(number), bottom, self._badge(number, DARK))
        left = wide
        for mark in (
            *self._marks(cell),
            *((ELSEWHERE,) if heat is not None and heat.suspect else ()),
        ):
            left -= self._wide(mark)
            painter.drawPixmap(left, 0, self._badge(mark, DARK))
        painter.end()
        return tile

    def _marks(self, cell: Cell) -> Iterable[str]:
        if cell.annotation is not None:
            yield CHECK
        if disagreed(cell, self._taxonomy):
            yield "!"
        unlikeness = None if cell.prediction is None else cell.prediction.unlikeness
        if unlikeness is not None and unlikeness > 1:
            yield UNLIKE

    def _wide(self, text: str) -> int:
        return int(max(self._metrics.horizontalAdvance(text) + 4, self._metrics.height()) + 0.5)

    def _badge(self, text: str, color: QColor) -> QPixmap:
        """A text on a ground; kept, since there are few and text is slow to draw."""
        known = self._badges.get((text, color.rgba()))
        if known is None:
            area = QRectF(0, 0, self._wide(text), round(self._metrics.height()))
            known = QPixmap(round(area.width() * self._ratio), round(area.height() * self._ratio))
            known.setDevicePixelRatio(self._ratio)
            known.fill(color)
            painter = QPainter(known)
            painter.setFont(self._font)
            light = color.alpha() < 255 or color.lightnessF() < 0.45
            painter.setPen(QColor("white" if light else "black"))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
            painter.end()
            self._badges[text, color.rgba()] = known
        return known
