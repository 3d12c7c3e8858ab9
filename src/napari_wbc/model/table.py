"""The table of cells: the single source of truth on screen.

Invariant: a :class:`CellTable` never changes. Undo is a stack of tables, and two tables
share every cell that did not change, so a diff compares identities first.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from napari_wbc.model.cell import Cell

__all__ = ["CellTable", "TableDiff", "diff"]


class CellTable(Mapping[str, Cell]):
    """An immutable mapping from cell id to cell, in order of arrival.

    Examples
    --------
    >>> len(CellTable())
    0
    """

    __slots__ = ("_cells",)

    def __init__(self, cells: Iterable[Cell] = ()) -> None:
        self._cells: Mapping[str, Cell] = MappingProxyType({cell.cell_id: cell for cell in cells})

    def __getitem__(self, cell_id: str) -> Cell:
        return self._cells[cell_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    # A mapping's own of these ask for one cell at a time, which counts for ten thousand.
    def __contains__(self, cell_id: object) -> bool:
        return cell_id in self._cells

    def get(self, cell_id: str, default: Any = None) -> Any:
        """The cell of an id, or else the default."""
        return self._cells.get(cell_id, default)

    def values(self) -> ValuesView[Cell]:
        """The cells, in order."""
        return self._cells.values()

    def items(self) -> ItemsView[str, Cell]:
        """Ids and cells, in order."""
        return self._cells.items()

    def __len__(self) -> int:
        return len(self._cells)

    def __repr__(self) -> str:
        return f"CellTable({len(self)} cells)"

    def with_cells(self, cells: Iterable[Cell]) -> CellTable:
        """A table with these cells added, or in the place of those with their ids."""
        table = CellTable()
        table._cells = MappingProxyType({**self._cells, **{cell.cell_id: cell for cell in cells}})
        return table

    def without(self, cell_ids: Iterable[str]) -> CellTable:
        """A table less the cells with these ids; unknown ids are no error."""
        gone = set(cell_ids)
        return CellTable(cell for cell in self._cells.values() if cell.cell_id not in gone)

    def applied(self, change: TableDiff) -> CellTable:
        """The table that a change leads to."""
        table = self.without(cell.cell_id for cell in change.removed) if change.removed else self
        return table.with_cells((*change.added, *(new for _, new in change.changed)))

    def of_field(self, fov_id: str) -> tuple[Cell, ...]:
        """The cells of one field of view, in order."""
        return tuple(cell for cell in self._cells.values() if cell.fov_id == fov_id)


@dataclass(frozen=True, slots=True)
class TableDiff:
    """What leads from one table to another."""

    added: tuple[Cell, ...] = ()
    removed: tuple[Cell, ...] = ()
    changed: tuple[tuple[Cell, Cell], ...] = ()
    """Pairs (old, new) with one id."""

    @property
    def inverse(self) -> TableDiff:
        """What leads back."""
        return TableDiff(self.removed, self.added, tuple((new, old) for old, new in self.changed))

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


_LAST: dict[str, tuple[CellTable, CellTable, TableDiff]] = {}
"""The last answer of :func:`diff`: everyone who hears of a change asks for the same."""


def diff(old: CellTable, new: CellTable) -> TableDiff:
    """What leads from ``old`` to ``new``.

    Examples
    --------
    >>> bool(diff(CellTable(), CellTable()))
    False
    """
    if old is new:
        return TableDiff()
    known = _LAST.get("diff")
    if known is not None and known[0] is old and known[1] is new:
        return known[2]
    # The mappings inside, since a table's own look-up would be most of the time for 10,000 cells.
    was, now = old._cells, new._cells
    added = tuple(cell for key, cell in now.items() if key not in was)
    removed = tuple(cell for key, cell in was.items() if key not in now)
    changed = tuple(
        (before, cell)
        for key, cell in now.items()
        if (before := was.get(key)) is not None and before is not cell and before != cell
    )
    result = TableDiff(added, removed, changed)
    _LAST["diff"] = (old, new, result)
    return result
