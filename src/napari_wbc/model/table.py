"""The table of cells: the single source of truth on screen.

Invariant: a :class:`CellTable` never changes. Undo applies the inverse of a step, and two tables
share every cell that did not change, so a diff compares identities first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from napari_wbc.model.cell import Cell


class CellTable(Mapping[str, Cell]):
    """An immutable mapping from cell id to cell, in order of arrival.

    Examples
    --------
    >>> len(CellTable())
    0
    """

    __slots__ = ("_annotated", "_cells", "_fields", "_labels", "_unclassified")

    def __init__(self, cells: Iterable[Cell] = ()) -> None:
        self._cells: Mapping[str, Cell] = MappingProxyType({cell.cell_id: cell for cell in cells})
        # Counted when they are asked for; a table made of another by one change goes on from its
        # counts.
        self._labels: Counter[str] | None = None
        self._annotated: Counter[str] | None = None
        self._unclassified: int | None = None
        self._fields: dict[str, list[str]] | None = None

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
        fresh = {cell.cell_id: cell for cell in cells}
        table = CellTable()
        table._cells = MappingProxyType({**self._cells, **fresh})
        added = []
        changed = []
        moved = False
        for key, cell in fresh.items():
            before = self._cells.get(key)
            if before is None:
                added.append(cell)
            elif before != cell:
                changed.append((before, cell))
                moved = moved or before.fov_id != cell.fov_id
        change = TableDiff(tuple(added), (), tuple(changed))
        _remember(self, table, change)
        if self._labels is not None:
            table._labels = _counted(self._labels, change, attrgetter("label"))
        if self._annotated is not None:
            table._annotated = _counted(self._annotated, change, _annotated)
        if self._unclassified is not None:
            more = sum(cell.prediction is None for cell in added)
            more += sum(after.prediction is None for _, after in changed)
            less = sum(before.prediction is None for before, _ in changed)
            table._unclassified = self._unclassified + more - less
        # The lists of ids by field stay true while no cell comes, goes or changes its field.
        if not added and not moved:
            table._fields = self._fields
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
        if self._fields is None:
            self._fields = {}
            for cell in self._cells.values():
                self._fields.setdefault(cell.fov_id, []).append(cell.cell_id)
        return tuple(self._cells[key] for key in self._fields.get(fov_id, ()))

    @property
    def label_counts(self) -> Mapping[str, int]:
        """How many cells have each label; 0 for one that none has."""
        if self._labels is None:
            self._labels = Counter(map(attrgetter("label"), self._cells.values()))
        return self._labels

    @property
    def annotated_counts(self) -> Mapping[str, int]:
        """How many cells a person gave each label; 0 for one that none was given."""
        if self._annotated is None:
            self._annotated = Counter(filter(None, map(_annotated, self._cells.values())))
        return self._annotated

    @property
    def unclassified(self) -> int:
        """How many cells have no prediction."""
        if self._unclassified is None:
            self._unclassified = sum(cell.prediction is None for cell in self._cells.values())
        return self._unclassified


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


def _annotated(cell: Cell) -> str:
    return cell.annotation.label if cell.annotation else ""


def _counted(
    counts: Counter[str], change: TableDiff, label_of: Callable[[Cell], str]
) -> Counter[str]:
    """Counts by label after cells were added or changed."""
    now = counts.copy()
    now.update(map(label_of, change.added))
    for before, after in change.changed:
        now[label_of(before)] -= 1
        now[label_of(after)] += 1
    # "" stands for the cells without such a label; + drops labels that no cell has any more.
    del now[""]
    return +now


_LAST: list[tuple[CellTable, CellTable, TableDiff]] = []
"""The last answer of :func:`diff`: everyone who hears of a change asks for the same."""


def _remember(old: CellTable, new: CellTable, change: TableDiff) -> None:
    _LAST[:] = [(old, new, change)]


def diff(old: CellTable, new: CellTable) -> TableDiff:
    """What leads from ``old`` to ``new``.

    Examples
    --------
    >>> bool(diff(CellTable(), CellTable()))
    False
    """
    if old is new:
        return TableDiff()
    for last_old, last_new, change in _LAST:
        if last_old is old and last_new is new:
            return change
    # The mappings inside, since a table's own look-up would be most of the time for 10,000 cells.
    was = old._cells
    now = new._cells
    removed = tuple(cell for key, cell in was.items() if key not in now)
    added: list[Cell] = []
    changed: list[tuple[Cell, Cell]] = []
    for key, cell in now.items():
        before = was.get(key)
        if before is None:
            added.append(cell)
        # Most cells are the same object in both tables, and comparing objects is cheap.
        elif before is not cell and before != cell:
            changed.append((before, cell))
    result = TableDiff(tuple(added), removed, tuple(changed))
    _remember(old, new, result)
    return result
