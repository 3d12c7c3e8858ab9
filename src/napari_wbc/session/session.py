"""The open slide: its table of cells, and the way back."""

from __future__ import annotations

from psygnal import Signal

from napari_wbc.errors import WbcError
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy

__all__ = ["Session"]


class Session:
    """The state that the screen shows.

    Parameters
    ----------
    taxonomy : Taxonomy
        The classes a cell may have.

    Examples
    --------
    >>> from napari_wbc.model.cell import Cell, Detection
    >>> from napari_wbc.model.geometry import BBox
    >>> session = Session()
    >>> session.commit(session.table.with_cells([Cell.new("a.png", Detection(BBox(0, 0, 9, 9)))]), "draw")
    True
    >>> session.undo(), len(session.table)
    ('draw', 0)
    """

    changed = Signal(CellTable, CellTable)
    """Emitted with (old, new) after the table changed."""
    field_changed = Signal(str)
    """Emitted with the ``fov_id`` of the field that came into view."""
    slide_changed = Signal(Slide)
    """Emitted with the slide after another one was opened."""

    def __init__(self, taxonomy: Taxonomy = EIGHT_CLASSES) -> None:
        self.taxonomy = taxonomy
        self._slide = Slide("", ())
        self._field: FieldOfView | None = None
        self._table = CellTable()
        self._past: list[tuple[CellTable, str]] = []
        self._future: list[tuple[CellTable, str]] = []
        self._saved = self._table

    @property
    def table(self) -> CellTable:
        """All cells of the slide."""
        return self._table

    @property
    def slide(self) -> Slide:
        """The open slide."""
        return self._slide

    @property
    def field(self) -> FieldOfView | None:
        """The field in view, None before a slide is open."""
        return self._field

    @property
    def undoable(self) -> str:
        """What :meth:`undo` would take back, empty when there is nothing."""
        return self._past[-1][1] if self._past else ""

    @property
    def redoable(self) -> str:
        """What :meth:`redo` would do again, empty when there is nothing."""
        return self._future[-1][1] if self._future else ""

    @property
    def unsaved(self) -> int:
        """How many cells were added, removed or changed since the table was last saved.

        What a model found counts only on top of what a person did: it can be found again.
        """
        step = diff(self._saved, self._table)
        return len(step.added) + len(step.removed) + len(step.changed)

    def mark_saved(self, table: CellTable) -> None:
        """Note that a table has been written out."""
        self._saved = table

    def open(self, slide: Slide) -> None:
        """Open a slide; its first field comes into view, cells and undo start empty."""
        old, self._table = self._table, CellTable()
        self._saved = self._table
        self._past.clear()
        self._future.clear()
        self._slide, self._field = slide, None
        self.slide_changed.emit(slide)
        if old:
            self.changed.emit(old, self._table)
        if slide.fields:
            self.show_field(slide.fields[0].fov_id)

    def show_field(self, fov_id: str) -> None:
        """Bring a field of the slide into view.

        Raises
        ------
        WbcError
            If the slide has no such field.
        """
        found = next((field for field in self._slide.fields if field.fov_id == fov_id), None)
        if found is None:
            raise WbcError(f"Slide {self._slide.name!r} has no field {fov_id!r}; choose one of its fields.")
        if found != self._field:
            self._field = found
            self.field_changed.emit(fov_id)

    def commit(self, table: CellTable, what: str, *, by_model: bool = False) -> bool:
        """Make a table the current one.

        Parameters
        ----------
        table : CellTable
        what : str
            What was done, as undo will name it.
        by_model : bool
            Whether a model did it, not a person.

        Returns
        -------
        bool
            Whether anything changed; if not, nothing is emitted and undo is as before.
        """
        old = self._table
        if not diff(old, table):
            return False
        if by_model and not self.unsaved:
            self._saved = table
        self._past.append((old, what))
        self._future.clear()
        self._table = table
        self.changed.emit(old, table)
        return True

    def undo(self) -> str:
        """Take the last commit back; returns what it was, empty when there is none."""
        return self._travel(self._past, self._future)

    def redo(self) -> str:
        """Do again what was taken back; returns what it was, empty when there is none."""
        return self._travel(self._future, self._past)

    def _travel(self, source: list[tuple[CellTable, str]], target: list[tuple[CellTable, str]]) -> str:
        if not source:
            return ""
        table, what = source.pop()
        old, self._table = self._table, table
        target.append((old, what))
        self.changed.emit(old, table)
        return what
