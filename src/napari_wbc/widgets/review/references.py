"""Beside the cell under review: what the model thinks and why, and reviewed cells of each likely class."""

from __future__ import annotations

from collections.abc import Sequence

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

__all__ = ["ReferencePanel", "references"]

CLASSES = 3
EXAMPLES = 4
TILE = 44
BAR = 64


def references(table: CellTable, label: str, n: int, *, without: str = "") -> tuple[Cell, ...]:
    """The most certain reviewed cells of a label.

    Parameters
    ----------
    table : CellTable
    label : str
    n : int
        How many at most.
    without : str
        Id of a cell that is no example: the one under review.
    """
    said = [
        cell
        for cell in table.values()
        if cell.annotation is not None
        and cell.annotation.label == label
        and cell.cell_id != without
    ]

    def certainty(cell: Cell) -> float:
        prediction = cell.prediction
        if prediction is None or label not in prediction.names:
            return -1.0
        return prediction.probabilities[prediction.names.index(label)]

    return tuple(sorted(said, key=certainty, reverse=True)[:n])


class ReferencePanel(Panel, QWidget):
    """One row a likely class: its probability as a bar, and reviewed examples.

    Parameters
    ----------
    session : Session
    thumbnails : Thumbnails
    heats : Heats
        Whose heat of the cell is shown below it.
    """

    def __init__(self, session: Session, thumbnails: Thumbnails, heats: Heats) -> None:
        super().__init__()
        self._session, self._thumbnails, self._heats = session, thumbnails, heats
        self._cell: Cell | None = None
        self._rows: list[tuple[str, float, tuple[Cell, ...]]] | None = []
        """Worked out when they are painted: a key changes cell and table several times."""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Likely classes of the cell, with the most certain cells that were reviewed as such"
        )
        thumbnails.ready.connect(self._on_ready)
        self.listen(self._refresh, session.changed, heats.changed)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for the rows."""
        return QSize(BAR + 60 + (EXAMPLES + 1) * TILE, CLASSES * (TILE + 2))

    def show_cell(self, cell_id: str) -> None:
        """Show the likely classes of a cell; nothing where there is none."""
        self._cell = self._session.table.get(cell_id)
        self._refresh()

    def _refresh(self, *_tables: object) -> None:
        self._rows = None
        self.update()

    @property
    def rows(self) -> list[tuple[str, float, tuple[Cell, ...]]]:
        """Likely classes of the cell with their probabilities and examples."""
        if self._rows is None:
            table = self._session.table
            self._cell = cell = table.get(self._cell.cell_id) if self._cell else None
            self._rows = []
            if cell is not None and cell.prediction is not None:
                said = cell.prediction
                likely = sorted(zip(said.probabilities, said.names, strict=True), reverse=True)[
                    :CLASSES
                ]
                self._rows = [
                    (name, p, references(table, name, EXAMPLES, without=cell.cell_id))
                    for p, name in likely
                ]
        return self._rows

    def _on_ready(self, _cells: object) -> None:
        self.update()

    def _picture(self, painter: QPainter, cell: Cell, x: int, y: int) -> None:
        pixmap = self._thumbnails.get(cell)
        if pixmap is not None:
            painter.drawPixmap(QRect(x, y, TILE, TILE), pixmap)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw the rows; the cell itself stands at the left."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(self.palette().windowText().color())
        rows = self.rows
        if self._cell is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "No cell under review")
            return
        self._picture(painter, self._cell, 0, 0)
        heat = self._heats.get(self._cell.cell_id)
        if heat is not None:
            for i, clear in enumerate((True, False), start=1):
                area = QRect(0, i * (TILE + 2), TILE, TILE)
                if clear:
                    self._picture(painter, self._cell, area.x(), area.y())
                paint_heat(painter, QRectF(area), heat, clear=clear)
        for i, (name, p, cells) in enumerate(rows):
            color = QColor(self._session.taxonomy.colors.get(name, "#888888"))
            self._row(painter, i * (TILE + 2), (name, p, cells), color)

    def _row(
        self, painter: QPainter, y: int, shown: tuple[str, float, Sequence[Cell]], color: QColor
    ) -> None:
        name, p, cells = shown
        x, short = TILE + 6, self._session.taxonomy.shorts.get(name, "?")
        painter.fillRect(QRect(x, y + TILE // 2, round(BAR * p), 8), color)
        painter.drawRect(QRect(x, y + TILE // 2, BAR, 8))
        text = QRect(x, y, BAR + 20, TILE // 2)
        painter.drawText(
            text, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, f"{short} {p:.0%}"
        )
        for j, cell in enumerate(cells):
            self._picture(painter, cell, x + BAR + 24 + j * (TILE + 2), y)
