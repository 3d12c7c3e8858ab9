"""Cells of an analysis come into the session: all at its end, those of a film as they are found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from napari_wbc.layers.field import FieldView
from napari_wbc.model.cell import Cell
from napari_wbc.model.slide import Slide
from napari_wbc.session.merge import merged
from napari_wbc.session.session import Session


class Landing:
    """Takes in the cells of one analysis; undo takes all of them back at once.

    Where a person did something in between, undo takes back one part after the other.

    Attributes
    ----------
    slide : Slide or None
        That is analyzed; None if there is no analysis whose cells may come.
    searched : frozenset of str
        Ids of the fields of which cells came in before the end.
    """

    def __init__(self, session: Session, view: FieldView) -> None:
        self._session = session
        self._view = view
        self.start(None)

    def start(self, slide: Slide | None) -> None:
        """Begin with an analysis of a slide; with None, take nothing more of the last one."""
        self.slide = slide
        self.searched: frozenset[str] = frozenset()
        self._landed: set[str] = set()
        """Ids of the cells that were put into the session."""
        self._waiting: list[Cell] = []
        self._first = 0
        self._last = 0
        self._refused = False

    @property
    def count(self) -> int:
        """How many of the cells that came before the end the session has now."""
        return sum(cell_id in self._session.table for cell_id in self._landed)

    def take(self, cells: Sequence[Cell]) -> bool:
        """Take in cells of a part of a film; returns whether the session took what came so far.

        While a person draws, or could redo something, they wait for the next ones.
        """
        self._waiting += cells
        # A new step would end redo. What the session refuses, as a blind reading does, is said once
        # and not with each tile.
        waits = self._view.drawing or self._session.redoable
        if waits or self._refused or not self._waiting:
            return False
        self._view.settle()
        fresh = self._waiting
        searched = {cell.fov_id for cell in fresh}
        self._refused = not self.commit(fresh, searched, landed=self._landed)
        if self._refused:
            return False
        self.searched |= searched
        self._landed.update(cell.cell_id for cell in fresh)
        self._waiting = []
        return True

    def commit(
        self, cells: Sequence[Cell], searched: Iterable[str], *, landed: Collection[str] = ()
    ) -> bool:
        """Put cells in the place of those of the searched fields that no person touched.

        Those with the ids ``landed`` stay. Returns whether the session has the cells; where it
        refuses, it says why.
        """
        session = self._session
        table = session.table
        new = merged(
            table,
            cells,
            searched,
            rejected=session.rejected(),
            annotated=session.annotated_elsewhere(),
            landed=landed,
        )
        follows = self._first if session.last_step == self._last else 0
        if not session.commit(new, "analyze", "model", follows=follows):
            return new == table
        self._last = session.last_step
        self._first = follows or self._last
        return True
