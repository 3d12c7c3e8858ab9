"""Two readers compared: agreement, kappa, what they differ on, and what they settle on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_wbc.errors import WbcError
from napari_wbc.measure.agreement import Agreement, agreement, annotations_of, consensus
from napari_wbc.model.cell import Annotation
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.step import now
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.described import FIRST
from napari_wbc.widgets.qt.layout import row
from napari_wbc.widgets.qt.panel import Panel
from napari_wbc.widgets.qt.worker import Job

if TYPE_CHECKING:
    from napari_wbc.storage.workspace import Workspace

__all__ = ["ReadersPanel"]

Said = dict[str, Annotation]


class ReadersPanel(Panel, QWidget):
    """Compare two readings of the slide, and settle what they differ on.

    Parameters
    ----------
    session : Session
    """

    said = Signal(str)
    consensus_found = Signal(object)
    """With the annotations by cell id."""
    cell_chosen = Signal(str)
    """With the id of the cell whose row was clicked."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.jobs = Job(self)
        self._labels: tuple[Said, Said] = ({}, {})
        self._choices: dict[str, str] = {}
        self.first, self.second = QComboBox(), QComboBox()
        self.compare = QPushButton("Compare")
        self.compare.setToolTip(
            "Cells that both have labelled: agreement, Cohen's kappa, and what differs"
        )
        self.result = QLabel(
            "A second reader starts a blind reading above; then compare the two here."
        )
        self.result.setWordWrap(True)
        self.table = QTableWidget(0, 4)
        self.table.setHorizontalHeaderLabels(["field", "first", "second", "settled"])
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.label = QComboBox()
        self.label.addItems(session.taxonomy.labels)
        settle, one, two = (
            QPushButton("Settle on"),
            QPushButton("First is right"),
            QPushButton("Second is right"),
        )
        self.write = QPushButton("Write consensus")
        self.write.setToolTip(
            "Keep what both say and what you settled as a reading of its own; both readings stay as they are"
        )
        layout = QVBoxLayout(self)
        layout.setSpacing(3)
        layout.addWidget(row(self.first, self.second, self.compare))
        layout.addWidget(self.result)
        layout.addWidget(self.table)
        layout.addWidget(row(one, two, settle, self.label))
        layout.addWidget(self.write)
        self.compare.clicked.connect(self.start)
        self.table.currentCellChanged.connect(self._on_row)
        one.clicked.connect(lambda: self.settle(column=1))
        two.clicked.connect(lambda: self.settle(column=2))
        settle.clicked.connect(lambda: self.settle(self.label.currentText()))
        self.write.clicked.connect(self.write_consensus)
        self.jobs.returned.connect(self._on_compared)
        self.jobs.failed.connect(self.said)
        self.listen(self._on_slide, session.slide_changed)
        self.listen(self._on_changed, session.changed)
        self.at_release(self.jobs.cancel)
        self._on_slide()

    def showEvent(self, event: object) -> None:  # noqa: N802 (Qt's name)
        """Offer the readings there are by now."""
        super().showEvent(event)
        self._offer()

    def start(self) -> None:
        """Compare the two readings that are chosen."""
        session = self._session
        session.flush()
        if session.workspace is None:
            self.said.emit("Two readers need a project; this image is not from a file.")
            return
        if session.reading:
            self.said.emit(
                "A blind reading shows no other; go back to the first reader to compare."
            )
            return
        pair = tuple("" if box.currentText() == FIRST else box.currentText() for box in self._boxes)
        if not self.jobs.running:
            self.jobs.start(
                partial(
                    _compare_steps, session.workspace, session.slide.name, pair, session.taxonomy
                )
            )

    def settle(self, label: str = "", *, column: int = 0) -> None:
        """Settle the chosen rows on a label, or on what stands in a column."""
        for i in sorted({index.row() for index in self.table.selectedIndexes()}):
            chosen = label or self.table.item(i, column).text()
            self._choices[self.table.item(i, 0).data(0x100)] = chosen
            self.table.item(i, 3).setText(chosen)

    def write_consensus(self) -> None:
        """Hand over what both say and what was settled, for a reading of its own."""
        session = self._session
        try:
            agreed = consensus(*self._labels, self._choices, session.taxonomy, when=now())
        except WbcError as error:
            self.said.emit(str(error))
            return
        if agreed:
            self.consensus_found.emit(agreed)
        else:
            self.said.emit(
                "Compare first, and settle what differs: there is nothing that both say yet."
            )

    @property
    def _boxes(self) -> tuple[QComboBox, QComboBox]:
        return self.first, self.second

    def _offer(self) -> None:
        workspace, slide = self._session.workspace, self._session.slide.name
        names = (
            [FIRST, *(name for name in workspace.readings(slide) if name)] if workspace else [FIRST]
        )
        for i, box in enumerate(self._boxes):
            before = box.currentText()
            box.clear()
            box.addItems(names)
            box.setCurrentIndex(
                names.index(before) if before in names[i:] else min(i, len(names) - 1)
            )

    def _on_slide(self, *_slide: object) -> None:
        self._labels, self._choices = ({}, {}), {}
        self.table.setRowCount(0)
        self._offer()

    def _on_changed(self, *_tables: object) -> None:
        """What was compared is not what is said any more."""
        if any(self._labels):
            self._on_slide()
            self.result.setText("A label has changed since: compare again.")

    def _on_compared(self, found: tuple[Agreement, Said, Said]) -> None:
        result, *labels = found
        self._labels, self._choices = (labels[0], labels[1]), {}
        self.result.setText(_told(result))
        table = self._session.table
        self.table.setRowCount(len(result.disagreements))
        for i, (cell_id, one, two) in enumerate(result.disagreements):
            where = table[cell_id].fov_id.rsplit("/")[-1] if cell_id in table else "gone"
            for j, text in enumerate((where, one, two, "")):
                self.table.setItem(i, j, QTableWidgetItem(text))
            self.table.item(i, 0).setData(0x100, cell_id)

    def _on_row(self, i: int, *_rest: int) -> None:
        item = self.table.item(i, 0)
        if item is not None:
            self.cell_chosen.emit(item.data(0x100))


def _compare_steps(
    workspace: Workspace, slide: str, pair: tuple[str, ...], taxonomy: Taxonomy
) -> Steps[tuple[Agreement, Said, Said]]:
    """Agreement of two readings, and what each says."""
    yield Progress("comparing", 0, 1)
    first, second = (annotations_of(workspace.table(slide, reading)) for reading in pair)
    return agreement(first, second, taxonomy), first, second


def _told(found: Agreement) -> str:
    """One line on how far two readers agree."""
    if not found.n:
        return "No cell has been labelled by both."
    text = f"{found.n} cells labelled by both, {found.agreed} alike ({found.percent:.1f} %)"
    if found.kappa is None:
        return text
    return (
        f"{text}; Cohen's kappa {found.kappa:.2f} ({found.kappa_low:.2f} to {found.kappa_high:.2f})"
    )
