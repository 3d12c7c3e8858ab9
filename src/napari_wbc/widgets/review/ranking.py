"""Ranks cells in a thread, for the review queues that need it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_wbc.model.audit import sample
from napari_wbc.model.table import CellTable
from napari_wbc.model.words import counted
from napari_wbc.pipeline.analysis import ReadField
from napari_wbc.pipeline.choose import Choice, Doubted, choose_steps, doubt_steps
from napari_wbc.pipeline.kept_audit import audit_key, audit_note, kept_audit, new_audit
from napari_wbc.session.order import Order
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.activity import Activity
from napari_wbc.widgets.qt.panel import Panel
from napari_wbc.widgets.qt.worker import LatestJob

MAX_RANKED = 200
"""Cells that are ranked by gain; nobody labels more before the model learns from them."""


class Ranking(Panel, QObject):
    """Ranks the cells of the slide and hands the ranks to the queue.

    Parameters
    ----------
    weights : callable
        Name or file of the classifier's weights.
    """

    said = Signal(str)
    """With how many cells are ranked."""
    warned = Signal(str)
    """With what went wrong."""
    ended = Signal()
    """After the ranks were handed in, or could not be found."""

    def __init__(
        self,
        session: Session,
        queue: ReviewQueue,
        weights: Callable[[], str],
        read: ReadField,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._queue = queue
        self._weights = weights
        self._read = read
        self._asked: tuple[Order, CellTable] = Order.MOST_GAIN, CellTable()
        self._job = LatestJob(self)
        Activity(self._job, "Ranking", self._job.cancel)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self.warned)
        self._job.finished.connect(self._on_finished)
        self.listen(self._on_slide, session.slide_changed)
        self.at_release(self._job.cancel)

    @property
    def running(self) -> bool:
        """Whether ranks are being computed."""
        return self._job.running

    def find(self, order: Order) -> None:
        """Rank the cells as they are now; an earlier request is dropped."""
        if order == Order.AUDIT:
            self._draw()
            return
        # Ranks are of this table; after a change they have to be computed anew.
        self._asked = order, self._session.table
        located = [(self._session.slide, self._session.table)]
        weights = self._weights()
        if order == Order.DOUBTED:
            self._job.request(partial(doubt_steps, located, weights, read=self._read))
        else:
            self._job.request(partial(choose_steps, located, weights, MAX_RANKED, read=self._read))

    def _draw(self) -> None:
        """Rank the cells of the audit that the project keeps, or of a new one, by chance."""
        session = self._session
        key = audit_key(session.slide.name)
        audit = kept_audit(session.workspace.get(key)) if session.workspace else None
        if audit is None:
            audit = new_audit()
            session.note(key, audit_note(audit))
            # The next start reads it from the project.
            if not session.flush():
                self.warned.emit(f"The audit is not kept: {session.saved.sentence}")
                self.ended.emit()
                return
        drawn = list(chain.from_iterable(sample(session.table, audit).values()))
        # Class by class, the place in the queue would tell what the model says.
        places = np.random.default_rng(audit.seed).permutation(len(drawn))
        self._queue.rank(Order.AUDIT, [drawn[place] for place in places])
        self.said.emit(f"Audit: {counted(len(drawn))}, by chance within each predicted class")
        self.ended.emit()

    def _on_returned(self, result: Choice | Doubted) -> None:
        order, table = self._asked
        self._queue.rank(order, result.cell_ids, table)
        text = f"{order.capitalize()}: {counted(len(result.cell_ids))}"
        if result.failures:
            text += f"; {counted(len(result.failures), 'field')} could not be read"
        self.said.emit(text)

    def _on_finished(self) -> None:
        # A newer request has started in the place of a dropped one, and is still waited for.
        if not self._job.running:
            self.ended.emit()

    def _on_slide(self, *_slide: object) -> None:
        self._job.cancel()
