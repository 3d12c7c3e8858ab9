"""The cells of a slide in groups by label, sorted within each group.

Invariant: pure. The same table gives the same groups in the same order.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.table import CellTable, TableDiff
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.session.order import by_certainty, by_unlikeness

Keep = Callable[[Cell], bool]

_KEYS: dict[str, Callable[[Cell], float]] = {
    "confidence": by_certainty,
    "unlikeness": by_unlikeness,
    "likeness": lambda cell: -by_certainty(cell),
    # All alike: Python's sort is stable, so cells stay in the order of the table.
    "field": lambda _cell: 0.0,
}
ORDERS = tuple(_KEYS)
"""Least certain first, most unlike the training data first, most certain first, as the table."""

MIN_CELLS_A_CHANGE = 20
"""With fewer cells than this for each new or changed one, sorting all anew is quicker."""


@dataclass(frozen=True, slots=True)
class Group:
    """The cells of one label, in the order they are shown."""

    label: str
    cell_ids: tuple[str, ...] = ()


def arranged(
    table: CellTable, taxonomy: Taxonomy, *, order: str = "confidence", keep: Keep | None = None
) -> tuple[Group, ...]:
    """Group cells by label.

    Parameters
    ----------
    taxonomy : Taxonomy
        Each of its labels has a group, even without cells. Other labels follow by name.
    order : str
        One of :data:`ORDERS`. Cells without a prediction come first by ``confidence`` and last by
        ``likeness`` and ``unlikeness``. Cells that are equal stay in the order of the table.
    keep : callable, optional
        Which cells are shown; all by default.

    Raises
    ------
    WbcError
        If there is no such order.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import TWO_CLASSES
    >>> [group.label for group in arranged(CellTable(), TWO_CLASSES)]
    ['mononuclear', 'polynuclear', 'unidentified', 'not classed']
    """
    key = _key(order)
    members: dict[str, list[Cell]] = {}
    for cell in table.values():
        if keep is None or keep(cell):
            members.setdefault(cell.label, []).append(cell)
    groups = []
    for label in _labels(members, taxonomy):
        cells = sorted(members.get(label, ()), key=key)
        groups.append(Group(label, tuple(cell.cell_id for cell in cells)))
    return tuple(groups)


def rearranged(
    groups: Sequence[Group],
    step: TableDiff,
    table: CellTable,
    taxonomy: Taxonomy,
    *,
    order: str = "confidence",
    keep: Keep | None = None,
) -> tuple[Group, ...]:
    """The groups of a table, as :func:`arranged` gives them, from those of the table before.

    Parameters
    ----------
    groups : sequence of Group
        Of the table before, with the same taxonomy, order and filter.
    step : TableDiff
        The change from the table before to this one. A few cells are put in their places without
        sorting all others again.
    table, taxonomy, order, keep
        As in :func:`arranged`.
    """
    before = list(step.removed)
    after = list(step.added)
    for old, new in step.changed:
        before.append(old)
        after.append(new)
    if len(after) * MIN_CELLS_A_CHANGE > len(table):
        return arranged(table, taxonomy, order=order, keep=keep)
    gone = {cell.cell_id for cell in before}
    touched = {cell.label for cell in before}
    members: dict[str, list[str]] = {}
    for group in groups:
        # Most groups have lost no cell, and are copied without a look at each.
        cell_ids = list(group.cell_ids)
        if group.label in touched:
            cell_ids = [cell_id for cell_id in cell_ids if cell_id not in gone]
        # A group of a label that the taxonomy does not have goes with its last cell.
        if cell_ids:
            members[group.label] = cell_ids
    key = _key(order)
    # The place in the table settles what the sort key leaves equal, as a stable sort does.
    place = {cell_id: i for i, cell_id in enumerate(table)}
    for cell in after:
        if keep is None or keep(cell):
            cell_ids = members.setdefault(cell.label, [])
            insort(cell_ids, cell.cell_id, key=lambda name: (key(table[name]), place[name]))
    labels = _labels(members, taxonomy)
    return tuple(Group(label, tuple(members.get(label, ()))) for label in labels)


def _labels(present: Iterable[str], taxonomy: Taxonomy) -> tuple[str, ...]:
    return (*taxonomy.labels, *sorted(set(present) - set(taxonomy.labels)))


def _key(order: str) -> Callable[[Cell], float]:
    if order not in _KEYS:
        raise WbcError(f"No order {order!r}; choose one of: {', '.join(ORDERS)}.")
    return _KEYS[order]
