"""How the cells of a slide are laid out for review: in groups by label.

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

__all__ = ["ORDERS", "Group", "Keep", "arranged", "rearranged"]

Keep = Callable[[Cell], bool]


_KEYS: dict[str, Callable[[Cell], float]] = {
    "confidence": by_certainty,
    "unlikeness": by_unlikeness,
    "likeness": lambda cell: -by_certainty(cell),
    "field": lambda _cell: 0.0,
}

MANY = 20
"""Where more than one in so many cells is new or changed, sorting all anew is quicker."""

ORDERS = tuple(_KEYS)
"""Least certain first, most unlike the training data first, most certain first, as the table."""


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
    table : CellTable
    taxonomy : Taxonomy
        Each of its labels has a group, even without cells; labels it does not know follow by name.
    order : str
        One of :data:`ORDERS`. Cells without a prediction come first by ``confidence`` and last by
        ``likeness`` and ``unlikeness``; what is equal stays in the order of the table.
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
    return tuple(
        Group(label, tuple(cell.cell_id for cell in sorted(members.get(label, ()), key=key)))
        for label in _labels(members, taxonomy)
    )


def rearranged(
    groups: Sequence[Group],
    step: TableDiff,
    table: CellTable,
    taxonomy: Taxonomy,
    *,
    order: str = "confidence",
    keep: Keep | None = None,
) -> tuple[Group, ...]:
    """What :func:`arranged` gives for a table, from the groups of the table before.

    Parameters
    ----------
    groups : sequence of Group
        Of the table before, with the same taxonomy, order and filter.
    step : TableDiff
        What leads from the table before to this one; a few cells are put in their places without
        sorting all others again.
    table, taxonomy, order, keep
        As in :func:`arranged`.
    """
    before = [*step.removed, *(old for old, _new in step.changed)]
    after = [*step.added, *(new for _old, new in step.changed)]
    if len(after) * MANY > len(table):
        return arranged(table, taxonomy, order=order, keep=keep)
    gone = {cell.cell_id for cell in before}
    touched = {cell.label for cell in before}
    members = {
        group.label: [key for key in group.cell_ids if key not in gone]
        if group.label in touched
        else list(group.cell_ids)
        for group in groups
    }
    key, place = _key(order), {cell_id: i for i, cell_id in enumerate(table)}
    for cell in after:
        if keep is None or keep(cell):
            ids = members.setdefault(cell.label, [])
            insort(ids, cell.cell_id, key=lambda cell_id: (key(table[cell_id]), place[cell_id]))
    labels = _labels((label for label, ids in members.items() if ids), taxonomy)
    return tuple(Group(label, tuple(members.get(label, ()))) for label in labels)


def _labels(present: Iterable[str], taxonomy: Taxonomy) -> tuple[str, ...]:
    return (*taxonomy.labels, *sorted(set(present) - set(taxonomy.labels)))


def _key(order: str) -> Callable[[Cell], float]:
    if order not in _KEYS:
        raise WbcError(f"No order {order!r}; choose one of: {', '.join(ORDERS)}.")
    return _KEYS[order]
