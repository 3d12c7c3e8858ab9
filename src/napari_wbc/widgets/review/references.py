"""The cell under review, large, beside its likely classes and reviewed cells to compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qtpy.QtCore import QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.heat import Heat, methods_of
from napari_wbc.model.slide import FieldOfView
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.analysis import ReadField
from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.heat import paint_heat
from napari_wbc.widgets.qt.layout import column
from napari_wbc.widgets.qt.panel import Panel
from napari_wbc.widgets.qt.thumbnails import Thumbnails

MAX_CLASSES = 3
MAX_EXAMPLES = 3
PICTURE = 240
"""Side of the picture of the cell under review, in pixels."""
GAP = 8
TILE = 44
"""Side of an example in pixels."""
ROW = TILE + 2
"""Height of a row, in pixels."""
BAR = 96
"""Length of a bar for a probability of 1, in pixels."""
MAX_ZOOM = 4.0
ZOOM_STEP = 1.25
ELSEWHERE = " (not in view)"
RECENT = 12
"""Large pictures in memory."""


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
    """The cell, and one row a likely class: its probability as a bar, and reviewed examples.

    Parameters
    ----------
    read, fields : callable
        As in :class:`~napari_wbc.widgets.qt.thumbnails.Thumbnails`.
    """

    def __init__(
        self,
        session: Session,
        thumbnails: Thumbnails,
        heats: Heats,
        *,
        read: ReadField,
        fields: Callable[[str], FieldOfView | None],
    ) -> None:
        super().__init__()
        self._session = session
        self._thumbnails = thumbnails
        self._fields = fields
        self._large = Thumbnails(read, fields, self, side=PICTURE, capacity=RECENT)
        self._heats = heats
        self._shows_heat = False
        self._zoom = 1.0
        self._cell: Cell | None = None
        # Made when they are painted, since one key changes cell and table several times.
        self._rows: list[LikelyClass] | None = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "The cell under review: Ctrl and wheel zooms, F2 shows its heat. At the right its "
            "likely classes, each with the most certain cells reviewed as this class."
        )
        for pictures in (thumbnails, self._large):
            pictures.ready.connect(self._on_ready)
        self.listen(self._large.clear, session.slide_changed)
        self.at_release(self._large.cancel)
        self.listen(self._refresh, session.changed, heats.changed)
        self.listen(self._on_ready, session.field_changed)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for the picture and the rows beside it."""
        height = max(PICTURE, super().sizeHint().height())
        return QSize(PICTURE + GAP + BAR + MAX_EXAMPLES * ROW, height)

    def put_below(self, widget: QWidget) -> None:
        """Lay a widget out below the rows, beside the picture."""
        layout = column(self, widget)
        layout.addStretch()
        layout.setContentsMargins(PICTURE + GAP, MAX_CLASSES * ROW, 0, 0)

    @property
    def busy(self) -> bool:
        """Whether a large picture is being made."""
        return self._large.running

    def show_heat(self) -> None:
        """Show or hide the heat of the cell over its picture.

        Raises
        ------
        WbcError
            If no cell is under review, or no heat of it was computed yet.
        """
        if self._cell is None:
            raise WbcError("No cell is under review. Press Start, or click a cell.")
        if not self._shows_heat and self._heat() is None:
            raise WbcError("This cell has no heat yet. Explain it on the page Improve.")
        self._shows_heat = not self._shows_heat
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 (Qt's name)
        """With Ctrl, zoom the picture; else scroll the page."""
        if not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            event.ignore()
            return
        step = ZOOM_STEP if event.angleDelta().y() > 0 else 1 / ZOOM_STEP
        self._zoom = min(MAX_ZOOM, max(1.0, self._zoom * step))
        self.update()

    def _heat(self) -> Heat | None:
        return self._heats.get(self._cell.cell_id) if self._cell is not None else None

    def show_cell(self, cell_id: str) -> None:
        """Show the likely classes of a cell; none where the table has no such cell."""
        self._cell = self._session.table.get(cell_id)
        self._refresh()

    def _refresh(self, *_tables: object) -> None:
        self._rows = None
        self.update()

    def _on_ready(self, _what: object) -> None:
        self.update()

    @property
    def caption(self) -> str:
        """The field that the cell lies in, and whether another one is in view."""
        field = self._fields(self._cell.fov_id) if self._cell is not None else None
        if field is None:
            return ""
        return field.path.name if field == self._session.field else f"{field.path.name}{ELSEWHERE}"

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
        """Draw the cell, and the rows at its right."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(self.palette().windowText().color())
        rows = self._likely()
        if self._cell is None:
            area = QRect(0, 0, PICTURE, PICTURE)
            text = "No cell under review.\nStart above, or click a cell."
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
            return
        self._paint_cell(painter, self._cell)
        for i, likely in enumerate(rows):
            self._paint_row(painter, i * ROW, likely)

    def _paint_cell(self, painter: QPainter, cell: Cell) -> None:
        area = QRect(0, 0, PICTURE, PICTURE)
        # Until the large picture is made, the small one stands in for it.
        pixmap = self._large.get(cell) or self._thumbnails.get(cell)
        if pixmap is None:
            self._paint_line(painter, area, self.caption)
            return
        side = round(PICTURE * self._zoom)
        corner = (PICTURE - side) // 2
        zoomed = QRect(corner, corner, side, side)
        painter.save()
        painter.setClipRect(area)
        painter.drawPixmap(zoomed, pixmap)
        heat = self._heat()
        if self._shows_heat and heat is not None:
            paint_heat(painter, QRectF(zoomed), heat, clear=True)
            name = f"Heat: {methods_of([heat])}"
            self._paint_line(painter, area, name, above=self.fontMetrics().lineSpacing() + 4)
        self._paint_line(painter, area, self.caption)
        painter.restore()

    def _paint_line(self, painter: QPainter, area: QRect, text: str, *, above: int = 0) -> None:
        """Write a line at the bottom of the picture, or so many pixels above it."""
        height = self.fontMetrics().lineSpacing() + 4
        line = QRect(0, PICTURE - height - above, area.width(), height)
        painter.fillRect(line, QColor(0, 0, 0, 160))
        painter.setPen(QColor("white"))
        # A number at the end of a name tells fields apart.
        short = self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, area.width() - 8)
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, short)

    def _paint_picture(self, painter: QPainter, cell: Cell, area: QRect) -> None:
        pixmap = self._thumbnails.get(cell)
        if pixmap is not None:
            painter.drawPixmap(area, pixmap)

    def _paint_row(self, painter: QPainter, y: int, likely: LikelyClass) -> None:
        taxonomy = self._session.taxonomy
        x = PICTURE + GAP
        bar = QRect(x, y + TILE // 2, BAR, 8)
        # The model may have classes that the taxonomy of the project does not have.
        color = QColor(taxonomy.colors.get(likely.name, "#888888"))
        painter.fillRect(QRect(x, bar.y(), round(BAR * likely.probability), 8), color)
        painter.drawRect(bar)
        painter.drawText(
            QRect(x, y, BAR, TILE // 2),
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom,
            f"{taxonomy.shorts.get(likely.name, '?')} {likely.probability:.0%}",
        )
        for j, cell in enumerate(likely.examples):
            left = x + BAR + GAP + j * ROW
            # Half a cell would mislead.
            if left + TILE > self.width():
                break
            self._paint_picture(painter, cell, QRect(left, y, TILE, TILE))
