"""Beside the cell under review: its likely classes, its heat, and reviewed cells to compare."""

from __future__ import annotations

from typing import NamedTuple

from qtpy.QtCore import QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wbc.model.cell import Cell
from napari_wbc.model.table import CellTable
from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.heat import paint_heat
from napari_wbc.widgets.qt.panel import Panel
from napari_wbc.widgets.qt.thumbnails import Thumbnails

MAX_CLASSES = 3
MAX_EXAMPLES = 4
TILE = 44
"""Side of a picture in pixels."""
BAR = 64
"""Length of a bar for a probability of 1, in pixels."""


class LikelyClass(NamedTuple):
    """A class, its probability (0 to 1), and reviewed cells of it."""

    name: str
    probability: float
    examples: tuple[Cell, ...]


def references(table: CellTable, label: str, n: int, *, without: str = "") -> tuple[Cell, ...]:
    """The most certain reviewed cells of a label.

    Parameters
    ----------
    n : int
        How many at most.
    without : str
        Id of a cell that is no example: the cell under review.
    """
    examples = []
    for cell in table.values():
        annotation = cell.annotation
        if annotation is not None and annotation.label == label and cell.cell_id != without:
            examples.append(cell)

    def certainty(cell: Cell) -> float:
        prediction = cell.prediction
        # A model of other classes says nothing of this label.
        if prediction is None or label not in prediction.names:
            return -1.0
        return prediction.probabilities[prediction.names.index(label)]

    return tuple(sorted(examples, key=certainty, reverse=True)[:n])


class ReferencePanel(Panel, QWidget):
    """One row a likely class: its probability as a bar, and reviewed examples."""

    def __init__(self, session: Session, thumbnails: Thumbnails, heats: Heats) -> None:
        super().__init__()
        self._session = session
        self._thumbnails = thumbnails
        self._heats = heats
        self._cell: Cell | None = None
        # Made when they are painted, since one key changes cell and table several times.
        self._rows: list[LikelyClass] | None = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Likely classes, each with the most certain cells reviewed as this class")
        thumbnails.ready.connect(self._on_ready)
        self.listen(self._refresh, session.changed, heats.changed)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for the rows."""
        return QSize(BAR + 60 + (MAX_EXAMPLES + 1) * TILE, MAX_CLASSES * (TILE + 2))

    def show_cell(self, cell_id: str) -> None:
        """Show the likely classes of a cell; none where the table has no such cell."""
        self._cell = self._session.table.get(cell_id)
        self._refresh()

    def _refresh(self, *_tables: object) -> None:
        self._rows = None
        self.update()

    def _on_ready(self, _cells: object) -> None:
        self.update()

    def _likely(self) -> list[LikelyClass]:
        if self._rows is None:
            table = self._session.table
            # The cell may have been moved, labelled or deleted since.
            self._cell = table.get(self._cell.cell_id) if self._cell else None
            self._rows = []
            if self._cell is not None and self._cell.prediction is not None:
                prediction = self._cell.prediction
                pairs = zip(prediction.probabilities, prediction.names, strict=True)
                for p, name in sorted(pairs, reverse=True)[:MAX_CLASSES]:
                    cells = references(table, name, MAX_EXAMPLES, without=self._cell.cell_id)
                    self._rows.append(LikelyClass(name, p, cells))
        return self._rows

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw the rows; the cell itself stands at the left."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(self.palette().windowText().color())
        rows = self._likely()
        if self._cell is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "No cell under review")
            return
        self._paint_picture(painter, self._cell, QRect(0, 0, TILE, TILE))
        heat = self._heats.get(self._cell.cell_id)
        if heat is not None:
            over = QRect(0, TILE + 2, TILE, TILE)
            self._paint_picture(painter, self._cell, over)
            paint_heat(painter, QRectF(over), heat, clear=True)
            paint_heat(painter, QRectF(over.translated(0, TILE + 2)), heat, clear=False)
        for i, likely in enumerate(rows):
            self._paint_row(painter, i * (TILE + 2), likely)

    def _paint_picture(self, painter: QPainter, cell: Cell, area: QRect) -> None:
        pixmap = self._thumbnails.get(cell)
        if pixmap is not None:
            painter.drawPixmap(area, pixmap)

    def _paint_row(self, painter: QPainter, y: int, likely: LikelyClass) -> None:
        taxonomy = self._session.taxonomy
        x = TILE + 6
        bar = QRect(x, y + TILE // 2, BAR, 8)
        # The model may have classes that the taxonomy of the project does not have.
        color = QColor(taxonomy.colors.get(likely.name, "#888888"))
        painter.fillRect(QRect(x, bar.y(), round(BAR * likely.probability), 8), color)
        painter.drawRect(bar)
        painter.drawText(
            QRect(x, y, BAR + 20, TILE // 2),
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom,
            f"{taxonomy.shorts.get(likely.name, '?')} {likely.probability:.0%}",
        )
        for j, cell in enumerate(likely.examples):
            left = x + BAR + 24 + j * (TILE + 2)
            self._paint_picture(painter, cell, QRect(left, y, TILE, TILE))
