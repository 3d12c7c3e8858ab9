"""The cells of a slide one after the other, for the person who checks them.

Invariant: a queue is a snapshot of ids. What a person answers never changes its order, and a
cell that has left the table is passed over, not forgotten: undo may bring it back.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import filterfalse
from typing import Any

import numpy as np
from psygnal import Signal

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell
from napari_wbc.model.limits import confidence_limits
from napari_wbc.model.slide import Slide
from napari_wbc.model.step import now
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.taxonomy import UNIDENTIFIED, Place, Taxonomy
from napari_wbc.session.order import EVERY_CELL, SAMPLES, Filter, Order, queue_of
from napari_wbc.session.session import Session

MAX_INTERVAL = 60.0
"""Seconds between two answers; after a longer time the person was doing something else."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far the review of a slide is.

    Parameters
    ----------
    reviewed, total : int
        Annotated cells and all cells of the slide.
    seconds_per_cell : float, optional
        Median time from one answer to the next; None before the second answer.
    classes : mapping of str to int
        Annotated labels that occur, in the order of the taxonomy, and their cells.
    widest : float, optional
        Half the width of the widest 95 % confidence interval (Clopper and Pearson, Biometrika 1934)
        of a leukocyte class among the annotated leukocytes, in percentage points, 0 to 50; None
        where there are none, or where they are no sample of the slide.
    order : Order
        In which the cells are reviewed.

    Notes
    -----
    The annotated cells are a sample where they are all cells, or the first in an order that does
    not choose by what the cells are. Of cells reviewed least certain first, limits that are called
    95 % hold the truth in fewer than half of all slides.
    """

    reviewed: int
    total: int
    seconds_per_cell: float | None
    classes: Mapping[str, int]
    widest: float | None
    order: Order = field(default=Order.LEAST_CERTAIN, compare=False)


def _widest(counts: Mapping[str, int], taxonomy: Taxonomy) -> float | None:
    leukocytes = [counts.get(name, 0) for name in taxonomy.names_at(Place.LEUKOCYTE)]
    total = sum(leukocytes)
    if not total:
        return None
    limits = [confidence_limits(count, total) for count in leukocytes]
    return 50 * float(np.ptp(limits, axis=1).max())


class ReviewQueue:
    """One cell of a session after the other, and the answers a person gives.

    The session gets the answers; the current cell is selected in it, in the field it lies in.
    ``clock`` gives seconds from any start.

    Examples
    --------
    >>> queue = ReviewQueue(Session())
    >>> queue.start(Order.LEAST_CERTAIN)
    >>> queue.current, queue.position
    ('', (0, 0))
    """

    current_changed = Signal(str)
    """Emitted with the id of the new current cell; empty at the end of the queue."""
    ranks_changed = Signal(Order)
    """Emitted with the order of which ranks were handed in."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._clock = clock
        self._order = Order.LEAST_CERTAIN
        self._only = EVERY_CELL
        self.ids: tuple[str, ...] = ()
        """The cells of the queue in order; the same object as long as they stay the same."""
        self.current = ""
        """Id of the cell under review, empty at the end."""
        self._at = 0
        self._lost: int | None = None
        """Where it stood when the rest of its cells left the table; undo may bring them back."""
        self._skipped: dict[str, None] = {}
        self._ranks: dict[Order, tuple[CellTable, dict[str, int]]] = {}
        self._answers: list[tuple[Cell, Annotation]] = []
        self._last: float | None = None
        self._intervals: list[float] = []
        # The whole slide in the order of the queue: sorting it at each answer would take long.
        self._whole: tuple[CellTable, Order, tuple[str, ...]]
        self._whole = (session.table, Order.LEAST_CERTAIN, ())
        session.changed.connect(self._on_changed)
        session.slide_changed.connect(self._on_slide)

    def close(self) -> None:
        """Stop following the session."""
        self._session.changed.disconnect(self._on_changed)
        self._session.slide_changed.disconnect(self._on_slide)

    @property
    def position(self) -> tuple[int, int]:
        """How many cells of the queue come before the current one, and how many it has."""
        return self._at, len(self.ids)

    @property
    def done(self) -> bool:
        """Whether a person has come to the end, which a queue without its cells is not."""
        return not self.current and self._lost is None

    @property
    def place(self) -> dict[str, Any]:
        """Where the review is, as JSON values for :meth:`resume`."""
        return {
            "order": str(self._order),
            "filter": {**asdict(self._only), "labels": sorted(self._only.labels)},
            "cell_id": self.current,
            "skipped": list(self._skipped),
        }

    def start(self, order: Order, only: Filter = EVERY_CELL) -> None:
        """Queue the cells as they are now and stand at the first."""
        self._queue(order, only, ())
        self._stand(0)

    def rank(self, order: Order, ids: Sequence[str], table: CellTable | None = None) -> None:
        """Set the ranks of an order of :data:`~napari_wbc.session.order.RANKED` for the next start.

        ``ids`` are cells, first rank first, found of ``table``; of the session's where None.
        """
        ranks = {cell_id: i for i, cell_id in enumerate(ids)}
        self._ranks[order] = (self._session.table if table is None else table, ranks)
        self.ranks_changed.emit(order)

    def ranked(self, order: Order) -> bool:
        """Whether there are ranks of an order, and no cell or label has changed since."""
        return order in self._ranks and self._ranks[order][0] is self._session.table

    @property
    def following(self) -> str:
        """Id of the cell after the current one, empty where there is none."""
        table = self._session.table
        return next(filter(table.__contains__, self.ids[self._at + 1 :]), "")

    def resume(self, place: object, ids: object = None) -> None:
        """Go on where a :attr:`place` says, as far as its cells are still there.

        What is no place starts a queue of every cell, least certain first. ``ids`` are the cells as
        :attr:`ids` had them; where they are not known, the queue is made anew of the cells that its
        filter admits by now.
        """
        order, only, current, skipped = _read_place(place)
        self._queue(order, only, skipped)
        if isinstance(ids, list) and set(map(type, ids)) <= {str}:
            self.ids = tuple(ids)
            # Without a current cell the queue was at its end.
            if not current:
                self._stand(len(self.ids))
                return
        self._stand(self.ids.index(current) if current in self.ids else 0)

    def next(self) -> None:
        """Leave the current cell as it is and go on."""
        self._stand(self._at + 1)

    def back(self) -> None:
        """Return to the cell before, if there is one."""
        place = self._at - 1
        while place >= 0 and self.ids[place] not in self._session.table:
            place -= 1
        self._stand(place if place >= 0 else self._at)

    def skip(self) -> None:
        """Go on, and put the current cell at the end of the queue, once."""
        if not self.current or self.current in self._skipped or self._at == len(self.ids) - 1:
            self.next()
            return
        self._skipped[self.current] = None
        self.ids = (*self.ids[: self._at], *self.ids[self._at + 1 :], self.current)
        self._stand(self._at)

    def go_to(self, cell_id: str) -> None:
        """Stand at a cell of the queue; WbcError if the queue has no such cell, or it is gone."""
        if cell_id not in self._session.table or cell_id not in self.ids:
            raise WbcError("This cell is not in this review; start one that has it.")
        self._stand(self.ids.index(cell_id))

    def accept(self, annotator: str) -> None:
        """Annotate the current cell with the label it has, a candidate with its prediction's.

        It goes on then. It raises WbcError if that is ``unidentified``, or as :meth:`give`.
        """
        label = self._cell().accepted().label
        if label == UNIDENTIFIED:
            raise WbcError("The model is not sure of this cell; choose a class for it.")
        self.give(label, annotator)

    def give(self, label: str, annotator: str) -> None:
        """Annotate the current cell, and go on; stay where the session takes no change.

        It raises WbcError if the taxonomy has no such label, or the queue is at its end.
        """
        cell = self._cell()
        taxonomy = self._session.taxonomy
        if label not in taxonomy.labels:
            raise WbcError(f"{label!r} is no label; choose one of {', '.join(taxonomy.labels)}.")
        annotation = Annotation(label, annotator, now())
        if cell.annotation != annotation:
            annotated = self._session.table.with_cells([cell.annotated(annotation)])
            self._session.commit(annotated, f"label {label}")
            # The session may refuse it, and then says why.
            if self._session.table[cell.cell_id].annotation != annotation:
                return
            self._answers.append((cell, annotation))
        self._time()
        self.next()

    def progress(self) -> Progressed:
        """How far the review of the slide is, whatever the queue's filter."""
        table = self._session.table
        taxonomy = self._session.taxonomy
        counts = table.annotated_counts
        ordered = {label: counts[label] for label in (*taxonomy.labels, *counts) if counts[label]}
        seconds = statistics.median(self._intervals) if self._intervals else None
        widest = _widest(counts, taxonomy) if self._is_sample(sum(counts.values())) else None
        return Progressed(sum(counts.values()), len(table), seconds, ordered, widest, self._order)

    def _is_sample(self, reviewed: int) -> bool:
        """Whether the annotated cells are a sample of the slide, or all of it."""
        table = self._session.table
        if reviewed == len(table):
            return True
        if self._order not in SAMPLES:
            return False
        before, order, ids = self._whole
        change = diff(before, table)
        if order != self._order or change.added or change.removed:
            ids = queue_of(table, self._session.taxonomy, self._order)
        self._whole = (table, self._order, ids)
        return all(table[key].annotation is not None for key in ids[:reviewed])

    def _queue(self, order: Order, only: Filter, skipped: tuple[str, ...]) -> None:
        ranks = self._ranks[order][1] if order in self._ranks else None
        ids = queue_of(self._session.table, self._session.taxonomy, order, only, ranks)
        self._order = order
        self._only = only
        self._skipped = dict.fromkeys(skipped)
        first = filterfalse(self._skipped.__contains__, ids)
        last = filter(set(ids).__contains__, self._skipped)
        self.ids = (*first, *last)
        # Before the first cell, so that standing at it is a change that is told.
        self._at = -1
        self.current = ""
        self._answers.clear()

    def _cell(self) -> Cell:
        if not self.current:
            raise WbcError("The review is at its end; start another one.")
        return self._session.table[self.current]

    def _stand(self, at: int, *, lost: int | None = None) -> None:
        """Make the first cell from a place on that is still in the table the current one."""
        session = self._session
        self._lost = lost
        end = len(self.ids)
        at = next((i for i in range(at, end) if self.ids[i] in session.table), end)
        current = self.ids[at] if at < end else ""
        if (at, current) == (self._at, self.current):
            return
        self._at = at
        self.current = current
        if current:
            fov_id = session.table[current].fov_id
            if session.field is None or session.field.fov_id != fov_id:
                session.show_field(fov_id)
        session.select((current,) if current else ())
        self.current_changed.emit(current)

    def _time(self) -> None:
        """Note when an answer was given."""
        now = self._clock()
        before = self._last
        self._last = now
        if before is not None and now - before <= MAX_INTERVAL:
            self._intervals.append(now - before)

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        """Return to the last answer where it was taken back, and leave a cell that is gone."""
        if self._answers:
            before, annotation = self._answers[-1]
            was = old.get(before.cell_id)
            now = new.get(before.cell_id)
            answered = was is not None and was.annotation == annotation
            if answered and now and now.annotation == before.annotation != annotation:
                self._answers.pop()
                self.go_to(before.cell_id)
        if self.current and self.current not in new:
            self._stand(self._at, lost=self._at)
        elif self._lost is not None and any(key in new for key in self.ids[self._lost :]):
            self._stand(self._lost)

    def _on_slide(self, _slide: Slide) -> None:
        """Drop the queue of another slide; no new one has been asked for yet."""
        self._intervals = []
        self._last = None
        self._ranks = {}
        if self.ids:
            self._order = Order.LEAST_CERTAIN
            self._only = EVERY_CELL
            self.ids = ()
            self._skipped = {}
            self._answers = []
            self._stand(0)


def _read_place(place: object) -> tuple[Order, Filter, str, tuple[str, ...]]:
    """Order, filter, current cell and skipped cells of a place; what is no place has none."""
    match place:
        case {
            "order": str(order),
            "filter": {
                "labels": list(labels),
                "lowest": int() | float() as lowest,
                "highest": int() | float() as highest,
                "fov_id": str(fov_id),
                "reviewed": None | bool() as reviewed,
            },
            "cell_id": str(cell_id),
            "skipped": list(skipped),
        } if (
            order in list(Order)
            and set(map(type, (*labels, *skipped))) <= {str}
            and 0 <= lowest <= highest <= 1
        ):
            only = Filter(frozenset(labels), lowest, highest, fov_id, reviewed)
            return Order(order), only, cell_id, tuple(skipped)
    return Order.LEAST_CERTAIN, EVERY_CELL, "", ()
