"""The review queue on screen: what comes next, and how far one is."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_wbc.session.order import FIRST, RANKED, Filter, Order
from napari_wbc.session.queue import Progressed, ReviewQueue
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import TextLines, row, show_progress
from napari_wbc.widgets.qt.panel import Panel

__all__ = ["QueuePanel"]

EVERY_CLASS, EVERY_FIELD = "every class", "every field"
WHICH: dict[str, bool | None] = {"to review": False, "all": None, "reviewed": True}


class QueuePanel(Panel, QWidget):
    """Start a queue, and answer: accept, skip, back.

    Parameters
    ----------
    session : Session
    queue : ReviewQueue
    """

    accept_chosen = Signal()
    ranks_wanted = Signal(object)
    """With the :class:`~napari_wbc.session.order.Order` whose ranks the queue needs before it can start."""

    def __init__(self, session: Session, queue: ReviewQueue) -> None:
        super().__init__()
        self._session, self.queue = session, queue
        self._waits_for: Order | None = None
        self.order, self.label, self.field, self.which = (QComboBox() for _ in range(4))
        for box in (self.order, self.label, self.field, self.which):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(7)
        self.order.addItems(list(Order))
        self.order.setToolTip("Which cells come first")
        self.label.addItems([EVERY_CLASS, *session.taxonomy.labels])
        self.field.addItems([EVERY_FIELD, "this field"])
        self.which.addItems(list(WHICH))
        self.lowest, self.highest = (self._confidence(value) for value in (0.0, 1.0))
        self.start_button = _button("Start", "Queue the cells and show the first", self.start)
        self.accept = _button(
            "Accept ↵", "The label is right (key Return)", self.accept_chosen.emit
        )
        self.skip = _button("Skip .", "Later: put the cell at the end (key .)", queue.skip)
        self.back = _button("Back ,", "The cell before (key ,)", queue.back)
        self.bar, self.text = QProgressBar(), TextLines(2)
        self.bar.setFormat("%v of %m reviewed")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(row(self.order, self.which, self.start_button))
        layout.addWidget(row(self.label, self.field, self.lowest, self.highest))
        layout.addWidget(row(self.accept, self.skip, self.back))
        layout.addWidget(self.bar)
        layout.addWidget(self.text)
        self.listen(self._refresh, queue.current_changed, session.changed)
        self.listen(self._on_ranks, queue.ranks_changed)
        self.listen(self.stop_waiting, session.slide_changed)
        self._refresh()

    def value(self) -> tuple[Order, Filter]:
        """What is chosen."""
        label, field = self.label.currentText(), self._session.field
        low, high = sorted((self.lowest.value(), self.highest.value()))
        here = field is not None and self.field.currentIndex() == 1
        only = Filter(
            frozenset() if label == EVERY_CLASS else frozenset({label}),
            low,
            high,
            field.fov_id if here and field is not None else "",
            WHICH[self.which.currentText()],
        )
        return Order(self.order.currentText()), only

    def start(self) -> None:
        """Queue the cells that are chosen; where their ranks are not known yet, as soon as they are."""
        order, only = self.value()
        if order in (Order.DISAGREEMENTS, Order.DOUBTED) and only.reviewed is False:
            # Only reviewed cells can disagree with the model, or be doubted.
            self.which.setCurrentText("all")
            order, only = self.value()
        self._waits_for = None
        if order in RANKED and not self.queue.ranked(order):
            self._waits_for = order
            self._refresh()
            self.ranks_wanted.emit(order)
            return
        self.queue.start(order, only)
        self._refresh()

    def stop_waiting(self, *_why: object) -> None:
        """Wait no longer for ranks: they could not be found, or are of another slide."""
        self._waits_for = None
        self._refresh()

    def _on_ranks(self, order: Order) -> None:
        if order == self._waits_for:
            self._waits_for = None
            if order == self.value()[0]:  # nothing else has been chosen meanwhile
                self.queue.start(*self.value())
            self._refresh()

    def _confidence(self, value: float) -> QDoubleSpinBox:
        box = QDoubleSpinBox()
        box.setRange(0, 1)
        box.setSingleStep(0.05)
        box.setValue(value)
        box.setToolTip("Cells whose confidence lies between these two")
        return box

    def _refresh(self, *_what: object) -> None:
        progress = self.queue.progress()
        show_progress(self.bar, progress.reviewed, max(1, progress.total))
        at, n = self.queue.position
        current = bool(self.queue.current)
        for button in (self.accept, self.skip):
            button.setEnabled(current)
        self.back.setEnabled(at > 0)
        told = _told(progress, at, n, self._session.taxonomy.shorts)
        self.text.setText(f"Computing {self._waits_for}…" if self._waits_for else told)


def _told(progress: Progressed, at: int, n: int, shorts: dict[str, str]) -> str:
    """Place in the queue, time per cell, classes so far and how wide the limits are."""
    parts = [f"Cell {at + 1} of {n}" if at < n else f"Queue of {n} done" if n else "No queue yet"]
    if progress.seconds_per_cell is not None:
        parts.append(f"{progress.seconds_per_cell:.1f} s a cell")
    if progress.widest is not None:
        parts.append(f"95 % limits ± {progress.widest:.0f} points at most")
    elif progress.classes:
        first = f", {FIRST[progress.order]}" if n and progress.order in FIRST else ""
        parts.append(f"counts of the cells reviewed so far{first}")
    classes = " ".join(
        f"{shorts.get(label, label)} {count}" for label, count in progress.classes.items()
    )
    return " · ".join(parts) + (f"\n{classes}" if classes else "")


def _button(text: str, tip: str, action: Callable[[], object]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda _checked=False: action())
    return button
