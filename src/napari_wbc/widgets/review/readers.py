"""Two readers compared: agreement, kappa, differences, and their consensus."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHeaderView, QTableWidgetItem, QWidget

from napari_wbc.measure.agreement import Agreement, agreement, annotations_of, consensus
from napari_wbc.model.cell import Annotation
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.step import now
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.words import counted
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.described import FIRST
from napari_wbc.widgets.qt.layout import allow, button, choice, column, row, text_label
from napari_wbc.widgets.qt.panel import Panel, guarded
from napari_wbc.widgets.qt.table import TextTable
from napari_wbc.widgets.qt.worker import Job

if TYPE_CHECKING:
    from napari_wbc.storage.workspace import Workspace

Reading = dict[str, Annotation]
"""Annotations of one reader by cell id."""
NO_PROJECT = "Readings need a project. An image that is not from a file has none."
BLIND = "A blind reading shows no other labels. Choose the first reader to compare."
CELL_ID = Qt.ItemDataRole.UserRole
ROW_HEIGHT = 24
SETTLED = 3
"""Column of the label that the readers settled on."""


class ReadersPanel(Panel, QWidget):
    """Compare two readings of the slide, and settle their differences."""

    warned = Signal(str)
    consensus_found = Signal(object)
    """With the annotations by cell id."""
    cell_chosen = Signal(str)
    """With the id of the cell whose row was clicked."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.jobs = Job(self)
        self._readings: tuple[Reading, Reading] = ({}, {})
        self._choices: dict[str, str] = {}
        self.first = choice(())
        self.second = choice(())
        self.compare = button("Compare", "", self.start)
        self.result = text_label(
            "For a second reader, choose New blind reading… on the page Slide. "
            "Then compare the two readings here.",
            wrap=True,
        )
        self.table = TextTable(("field", "first", "second", "settled"), ROW_HEIGHT)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        label = choice(session.taxonomy.labels)
        first = button("First is right", "", lambda: self.settle(column=1))
        second = button("Second is right", "", lambda: self.settle(column=2))
        settle = button("Settle on", "", lambda: self.settle(label.currentText()))
        self._settling = (
            (first, "Take the first label"),
            (second, "Take the second label"),
            (settle, "Take the label at the right"),
        )
        self.write = button("Write consensus", "", guarded(self.warned.emit, self.write_consensus))
        readings = row(self.first, self.second, self.compare)
        answers = row(first, second), row(settle, label)
        column(self, readings, self.result, self.table, *answers, self.write)
        self.table.currentCellChanged.connect(self._on_row)
        self.table.itemSelectionChanged.connect(self._show_possible)
        self.jobs.finished.connect(self._show_possible)
        self.jobs.returned.connect(self._on_compared)
        self.jobs.failed.connect(self.warned)
        self.listen(self._on_slide, session.slide_changed)
        self.listen(self._on_changed, session.changed)
        self.at_release(self.jobs.cancel)
        self._on_slide()

    def showEvent(self, event: object) -> None:  # noqa: N802 (Qt's name)
        """Offer the readings that the project has by now."""
        super().showEvent(event)
        self._offer()

    def start(self) -> None:
        """Compare the two chosen readings."""
        session = self._session
        # The comparison reads the project in a thread, so the last labels have to be in it.
        session.flush()
        if session.workspace is None:
            self.warned.emit(NO_PROJECT)
            return
        if session.reading:
            self.warned.emit(BLIND)
            return
        if self.jobs.running:
            return
        names = [box.currentText() for box in (self.first, self.second)]
        pair = tuple("" if name == FIRST else name for name in names)
        slide, taxonomy = session.slide.name, session.taxonomy
        self.jobs.start(partial(_compare_steps, session.workspace, slide, pair, taxonomy))

    def settle(self, label: str = "", *, column: int = 0) -> None:
        """Settle the selected rows on a label, or on that of a column."""
        # A selected row has an index for each of its columns.
        for i in sorted({index.row() for index in self.table.selectedIndexes()}):
            chosen = label or self.table.item(i, column).text()
            self._choices[self.table.item(i, 0).data(CELL_ID)] = chosen
            self.table.item(i, SETTLED).setText(chosen)

    def write_consensus(self) -> None:
        """Hand over the labels that both gave or that were settled, for a reading of its own."""
        taxonomy = self._session.taxonomy
        agreed = consensus(*self._readings, self._choices, taxonomy, when=now())
        if agreed:
            self.consensus_found.emit(agreed)
        else:
            self.warned.emit("There is no consensus yet. Compare two readings first.")

    def _offer(self) -> None:
        workspace = self._session.workspace
        names = [FIRST]
        if workspace is not None:
            names += filter(None, workspace.readings(self._session.slide.name))
        for i, box in enumerate((self.first, self.second)):
            before = box.currentText()
            box.clear()
            box.addItems(names)
            # The second box begins at the second reading, so that two different ones are compared.
            fallback = min(i, len(names) - 1)
            box.setCurrentIndex(names.index(before) if before in names[i:] else fallback)
        self._show_possible()

    def _show_possible(self) -> None:
        """Enable what can be done now; a disabled button says why in its tooltip."""
        reason = ""
        if self._session.workspace is None:
            reason = NO_PROJECT
        elif self._session.reading:
            reason = BLIND
        elif self.first.count() < 2:
            reason = "There is one reading only. Choose New blind reading… on the page Slide."
        elif self.jobs.running:
            reason = "Two readings are being compared."
        allow(self.compare, "Compare cells that both readers labelled", reason)
        selected = "" if self.table.selectedIndexes() else "Select a row of the table first."
        for push, tip in self._settling:
            allow(push, tip, selected)
        compared = "" if any(self._readings) else "Compare two readings first."
        tip = "Keep the common and the settled labels as a third reading"
        allow(self.write, tip, compared)

    def _on_slide(self, *_slide: object) -> None:
        self._readings = ({}, {})
        self._choices = {}
        self.table.setRowCount(0)
        self._offer()

    def _on_changed(self, *_tables: object) -> None:
        # The comparison is of labels before this change.
        if any(self._readings):
            self._on_slide()
            self.result.setText("A label has changed. Compare again.")

    def _on_compared(self, compared: tuple[Agreement, Reading, Reading]) -> None:
        result, first, second = compared
        self._readings = (first, second)
        self._choices = {}
        self.result.setText(_summary(result))
        table = self._session.table
        self.table.setRowCount(len(result.disagreements))
        for i, (cell_id, *labels) in enumerate(result.disagreements):
            field = table[cell_id].fov_id.rsplit("/")[-1] if cell_id in table else "deleted"
            for j, text in enumerate((field, *labels, "")):
                self.table.setItem(i, j, QTableWidgetItem(text))
            self.table.item(i, 0).setData(CELL_ID, cell_id)
        self._show_possible()

    def _on_row(self, i: int, *_places: int) -> None:
        # -1 where the table has no row any more.
        item = self.table.item(i, 0)
        if item is not None:
            self.cell_chosen.emit(item.data(CELL_ID))


def _compare_steps(
    workspace: Workspace, slide: str, pair: tuple[str, ...], taxonomy: Taxonomy
) -> Steps[tuple[Agreement, Reading, Reading]]:
    """Agreement of two readings, and both."""
    yield Progress("comparing", 0, 1)
    first, second = (annotations_of(workspace.table(slide, reading)) for reading in pair)
    return agreement(first, second, taxonomy), first, second


def _summary(result: Agreement) -> str:
    """One line on how far two readers agree."""
    if not result.n:
        return "No cell was labelled by both readers."
    text = f"{counted(result.n)} labelled by both, {result.agreed} alike ({result.percent:.1f} %)"
    if result.kappa is None:
        return text
    low, high = result.kappa_low, result.kappa_high
    return f"{text}; Cohen's kappa {result.kappa:.2f} ({low:.2f} to {high:.2f})"
