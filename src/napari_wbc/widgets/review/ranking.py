"""Finds the ranks that a review queue asks for, in a thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_wbc.model.progress import Progress
from napari_wbc.model.slide import FieldOfView
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.choose import Choice, Doubted, choose_steps, doubt_steps
from napari_wbc.session.order import Order
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.panel import Panel
from napari_wbc.widgets.qt.worker import LatestJob

__all__ = ["Ranking"]

MOST = 200
"""Cells that are ranked by gain; nobody labels more before the model learns of it."""


class Ranking(Panel, QObject):
    """Ranks the cells of the slide for the orders that need it, and hands them to the queue.

    Parameters
    ----------
    session : Session
    queue : ReviewQueue
    weights : callable
        Name or file of the classifier's weights.
    read : callable
        The pixels of a field, shape (height, width, 3), uint8 RGB; called in a thread.
    parent : QObject, optional
    """

    said = Signal(str)
    """With one line for the person at the screen: how far it is, or what went wrong."""
    ended = Signal()
    """After the ranks were handed in, or could not be found."""

    def __init__(
        self,
        session: Session,
        queue: ReviewQueue,
        weights: Callable[[], str],
        read: Callable[[FieldOfView], npt.NDArray[np.uint8]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._queue, self._weights, self._read = session, queue, weights, read
        self._asked: tuple[Order, CellTable] = Order.MOST_GAIN, CellTable()
        self._job = LatestJob(self)
        self._job.progressed.connect(self._on_progress)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self.said)
        self._job.finished.connect(self._on_finished)
        self.listen(self._on_slide, session.slide_changed)
        self.at_release(self._job.cancel)

    @property
    def running(self) -> bool:
        """Whether ranks are being found."""
        return self._job.running

    def find(self, order: Order) -> None:
        """Rank the cells of the slide as they are now; what was asked for before is dropped."""
        slide, table, weights = self._session.slide, self._session.table, self._weights()
        self._asked = order, table
        located = [(slide, table)]
        if order == Order.DOUBTED:
            self._job.request(partial(doubt_steps, located, weights, read=self._read))
        else:
            self._job.request(partial(choose_steps, located, weights, MOST, read=self._read))

    def _on_progress(self, progress: Progress) -> None:
        self.said.emit(progress.note or f"{self._asked[0].capitalize()}: {progress.step}")

    def _on_returned(self, found: Choice | Doubted) -> None:
        order, table = self._asked
        self._queue.rank(order, found.cell_ids, table)
        left_out = f"; {len(found.failures)} fields could not be read" if found.failures else ""
        self.said.emit(f"{order.capitalize()}: {len(found.cell_ids)} cells{left_out}")

    def _on_finished(self) -> None:
        if not self._job.running:
            self.ended.emit()

    def _on_slide(self, *_slide: object) -> None:
        self._job.cancel()
