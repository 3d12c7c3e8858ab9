"""The review queue on screen: which cells come next, and how many are reviewed."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QProgressBar, QWidget

from napari_wbc.model.taxonomy import CANDIDATE
from napari_wbc.model.words import counted
from napari_wbc.session.order import FIRST, RANKED, Filter, Order
from napari_wbc.session.queue import Progressed, ReviewQueue
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import (
    TextLines,
    allow,
    button,
    choice,
    column,
    folded,
    primary,
    row,
    show_progress,
    text_label,
)
from napari_wbc.widgets.qt.panel import Panel

START_TIP = "Start a review of these cells, and show the first (Alt+R)"
NOT_STARTED = "No cell is under review. Press Start."
GO_ON_TIP = "Return to the cell under review, in whatever field it is (Alt+G)"
THERE = "The cell under review is selected already."
NO_CELLS = "No cells yet. Find them on the page Find, or draw them."
ORDER_TIPS = {
    Order.LEAST_CERTAIN: "Cells of which the model is least sure come first",
    Order.MOST_UNLIKE: "Cells that least resemble those the model learnt from come first",
    Order.DISAGREEMENTS: "Only cells that a person called something else than the model",
    Order.CLASS_BY_CLASS: "One class after the other",
    Order.RAREST: "Classes with few cells come first, such as blasts",
    Order.FIELD_BY_FIELD: "One field after the other",
    Order.RANDOM: "By chance, as in a manual count of the film",
    Order.MOST_GAIN: "Cells from which the model would learn most come first",
    Order.DOUBTED: "Only cells whose label may be a slip of the hand",
    Order.AUDIT: "Only a random sample of each class, to check the count of the model",
}
EVERY_CLASS, EVERY_FIELD = "every class", "every field"
REVIEWED: dict[str, bool | None] = {"to review": False, "all": None, "reviewed": True}


class QueuePanel(Panel, QWidget):
    """Start a queue, and answer: accept, skip, back."""

    accept_chosen = Signal()
    go_on_chosen = Signal()
    ranks_wanted = Signal(object)
    """With the :class:`~napari_wbc.session.order.Order` whose ranks the queue needs to start."""

    def __init__(self, session: Session, queue: ReviewQueue) -> None:
        super().__init__()
        self._session = session
        self.queue = queue
        self._waits_for: Order | None = None
        labels = (EVERY_CLASS, *session.taxonomy.labels, CANDIDATE)
        fields = (EVERY_FIELD, "this field")
        # Narrower than the longest text, since they share the width of a dock.
        self.order = choice(Order, "Which cells come first", least=7)
        for i, order in enumerate(Order):
            self.order.setItemData(i, ORDER_TIPS[order], Qt.ItemDataRole.ToolTipRole)
        self.label = choice(labels, "Cells of one class only", least=7)
        self.field = choice(fields, "Cells of the field you see only", least=7)
        self.which = choice(REVIEWED, "Cells still to review, all, or reviewed cells", least=7)
        self.lowest = _confidence(0.0)
        self.highest = _confidence(1.0)
        self.start_button = primary(button("Start", "", self.start))
        self.accept = button("Accept ↵", "", self.accept_chosen.emit)
        self.skip = button("Skip .", "", queue.skip)
        self.back = button("Back ,", "", queue.back)
        self.go_on = button("Go on", "", self.go_on_chosen.emit)
        self.bar = QProgressBar()
        self.text = TextLines(2)
        first = row(self.order, self.which, self.start_button)
        answers = row(self.accept, self.skip, self.back, self.go_on)
        between = row(text_label("model sure from"), self.lowest, text_label("to"), self.highest)
        self.only = folded("Only some cells", row(self.label, self.field), between)
        column(self, first, answers, self.bar, self.text)
        self.listen(self._refresh, queue.current_changed, session.changed)
        self.listen(self._on_ranks, queue.ranks_changed)
        self.listen(self.stop_waiting, session.slide_changed)
        self.listen(self._show_possible, session.selection_changed, session.field_changed)
        self._refresh()

    def value(self) -> tuple[Order, Filter]:
        """The chosen order and filter."""
        label = self.label.currentText()
        field = self._session.field if self.field.currentIndex() else None
        low, high = sorted((self.lowest.value(), self.highest.value()))
        only = Filter(
            frozenset() if label == EVERY_CLASS else frozenset({label}),
            low,
            high,
            "" if field is None else field.fov_id,
            REVIEWED[self.which.currentText()],
        )
        return Order(self.order.currentText()), only

    def start(self) -> None:
        """Queue the chosen cells, as soon as they are ranked where the order needs it."""
        order, only = self.value()
        # Only reviewed cells can disagree with the model, or be doubted.
        if order in (Order.DISAGREEMENTS, Order.DOUBTED) and only.reviewed is False:
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
        """Wait no longer for ranks: they could not be computed, or are of another slide."""
        self._waits_for = None
        self._refresh()

    def _on_ranks(self, order: Order) -> None:
        if order == self._waits_for:
            self._waits_for = None
            # The person may have chosen another order meanwhile.
            if order == self.value()[0]:
                self.queue.start(*self.value())
            self._refresh()

    def _refresh(self, *_what: object) -> None:
        progress = self.queue.progress()
        # A maximum of 0 would make the bar run to and fro, as if work was going on.
        show_progress(self.bar, progress.reviewed, max(1, progress.total))
        self.bar.setFormat("%v of %m reviewed" if progress.total else "no cells yet")
        allow(self.start_button, START_TIP, "" if progress.total else NO_CELLS)
        at, n = self.queue.position
        self._show_possible()
        if self._waits_for:
            self.text.setText(f"Computing {self._waits_for}…")
        else:
            self.text.setText(_summary(progress, at, n, self._session.taxonomy.shorts))

    def _show_possible(self, *_what: object) -> None:
        """Enable the answers that can be given now; the others say why not."""
        current, at = self.queue.current, self.queue.position[0]
        idle = "" if current else NOT_STARTED
        allow(self.accept, "Accept the label (Return)", idle)
        allow(self.skip, "Leave this cell for the end (.)", idle)
        allow(self.back, "Go to the previous cell (,)", "" if at > 0 else "No cell comes before.")
        there = self._session.selection == (current,)
        allow(self.go_on, GO_ON_TIP, idle or (THERE if there else ""))


def _summary(progress: Progressed, at: int, n: int, shorts: Mapping[str, str]) -> str:
    """Place in the queue, time per cell, and counts with their limits where there are any."""
    place = f"Cell {at + 1} of {n}" if at < n else f"Review of {counted(n)} done"
    if not n:
        place = "Not started"
        if progress.total and progress.reviewed == progress.total:
            place = "All cells are reviewed. Choose 'all' to see them again."
    parts = [place]
    if progress.seconds_per_cell is not None:
        parts.append(f"{progress.seconds_per_cell:.1f} s a cell")
    if progress.widest is not None:
        parts.append(f"95 % limits ± {progress.widest:.0f} points at most")
    elif progress.classes:
        # No limits: these cells are no random sample of the slide.
        order = f", {FIRST[progress.order]}" if n and progress.order in FIRST else ""
        parts.append(f"counts of the reviewed cells{order}")
    counts = [f"{shorts.get(label, label)} {n}" for label, n in progress.classes.items()]
    return "\n".join(filter(None, (" · ".join(parts), " ".join(counts))))


def _confidence(value: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0, 1)
    box.setSingleStep(0.05)
    box.setValue(value)
    box.setToolTip("Cells of which the model is this sure, 0 to 1")
    return box
