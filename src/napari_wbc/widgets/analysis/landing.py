"""Cells of an analysis come into the session: all at its end, those of a film as they are found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from napari_wbc.layers.field import FieldView
from napari_wbc.model.cell import Cell
from napari_wbc.session.merge import merged
from napari_wbc.session.session import Session


class Landing:
    """Takes in the cells of one analysis; undo takes all of them back at once.

    Where a person did something in between, undo takes back one part after the other.

    Attributes
    ----------
    cells : list of Cell
        Those that came before the end.
    """

    def __init__(self, session: Session, view: FieldView) -> None:
        self._session = session
        self._view = view
        self.start()

    def start(self) -> None:
        """Begin with an analysis."""
        self.cells: list[Cell] = []
        self._first = 0
        self._last = 0
        self._refused = False

    def take(self, cells: Sequence[Cell]) -> None:
        """Take in cells of a part of a film; while a person draws, they wait for the next ones."""
        self.cells += cells
        # What the session refuses, as a blind reading does, is said once and not with each tile.
        if not (self._view.drawing or self._refused):
            self._view.settle()
            self._refused = not self.commit(self.cells, {cell.fov_id for cell in self.cells})

    def commit(self, cells: Sequence[Cell], searched: Iterable[str]) -> bool:
        """Put cells in the place of those of the searched fields that no person touched.

        Returns whether the session has them; where it refuses, it says why.
        """
        session = self._session
        table = session.table
        new = merged(
            table,
            cells,
            searched,
            rejected=session.rejected(),
            annotated=session.annotated_elsewhere(),
        )
        follows = self._first if session.last_step == self._last else 0
        if not session.commit(new, "analyze", "model", follows=follows):
            return new == table
        self._last = session.last_step
        self._first = follows or self._last
        return True
