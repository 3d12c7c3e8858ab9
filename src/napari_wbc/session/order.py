"""Which cells a review has, and which come first; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.chance import by_field, chance
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import Taxonomy


class Order(StrEnum):
    """Which cells come first; cells that are alike keep the order of the table."""

    LEAST_CERTAIN = "least certain"
    """Candidates, cells without a prediction, and then by confidence, lowest first."""
    MOST_UNLIKE = "most unlike"
    """By distance from the training data, farthest first; where it is not known, last."""
    DISAGREEMENTS = "disagreements"
    """Only cells of which person and model say different things, the model's surest first.

    A model that is below its threshold has said nothing, so neither its most probable class nor
    ``unidentified`` is another answer than its own.
    """
    CLASS_BY_CLASS = "class by class"
    """By label in the order of the taxonomy, least certain first within a label."""
    RAREST = "rarest first"
    """By how many cells of the slide have the label, fewest first: on a film, blasts and
    erythroblasts come before the hundreds of all others. Least certain first within a label.
    """
    FIELD_BY_FIELD = "field by field"
    """By field in the order of the table, within a field by chance."""
    RANDOM = "random"
    """By chance, the same each time: the first cells are a random sample of the slide."""
    MOST_GAIN = "most gain"
    """By what a label would teach the model, as :mod:`napari_wbc.pipeline.choose` ranks the cells.

    Cells without a rank come after these, least certain first.
    """
    DOUBTED = "doubted labels"
    """Only cells whose label :mod:`napari_wbc.pipeline.choose` doubts, the most doubted first."""
    AUDIT = "audit"
    """Only cells of the slide's audit (:mod:`napari_wbc.model.audit`), by chance."""


SAMPLES = (Order.FIELD_BY_FIELD, Order.RANDOM)
"""Orders that do not choose by what the cells are, so that the first cells stand for all."""
FIRST = {
    Order.LEAST_CERTAIN: "hardest first",
    Order.MOST_UNLIKE: "most unlike first",
    Order.DISAGREEMENTS: "disagreements only",
    Order.CLASS_BY_CLASS: "class by class",
    Order.RAREST: "rarest first",
    Order.MOST_GAIN: "most gain first",
    Order.DOUBTED: "doubted labels only",
    Order.AUDIT: "audit only",
}
"""Of each order that chooses: how, in words."""

RANKED = (Order.MOST_GAIN, Order.DOUBTED, Order.AUDIT)
"""Orders that need ranks, which take a while to find or are drawn."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which cells a queue has.

    Parameters
    ----------
    labels : frozenset of str
        Labels of the cells; every label where empty.
    lowest, highest : float
        Limits of the confidence, both included, 0 to 1; a cell without a prediction has 0.
    fov_id : str
        The field of the cells; every field where empty.
    reviewed : bool, optional
        Whether a person has annotated the cells; None for either.

    Raises
    ------
    WbcError
        If the limits are not in order within 0 to 1.
    """

    labels: frozenset[str] = frozenset()
    lowest: float = 0.0
    highest: float = 1.0
    fov_id: str = ""
    reviewed: bool | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.lowest <= self.highest <= 1:
            raise WbcError(
                f"Confidence from {self.lowest} to {self.highest} is no range; "
                "give two numbers from 0 to 1, the lower one first."
            )

    def admits(self, cell: Cell) -> bool:
        """Whether a cell is one of those wanted."""
        if self.reviewed is not None and self.reviewed != (cell.annotation is not None):
            return False
        if self.fov_id and cell.fov_id != self.fov_id:
            return False
        if self.labels and cell.label not in self.labels:
            return False
        # A cell without a prediction counts as one of confidence 0.
        return self.lowest <= max(by_certainty(cell), 0.0) <= self.highest


EVERY_CELL = Filter()
"""The filter that keeps nothing back."""


def queue_of(
    table: CellTable,
    taxonomy: Taxonomy,
    order: Order,
    only: Filter = EVERY_CELL,
    ranks: Mapping[str, int] | None = None,
) -> tuple[str, ...]:
    """Ids of the cells to review, in order.

    Where the order is one of :data:`RANKED`, ``ranks`` gives the rank of each cell id, lowest
    first.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import EIGHT_CLASSES
    >>> queue_of(CellTable(), EIGHT_CLASSES, Order.LEAST_CERTAIN)
    ()
    """
    cells = list(filter(only.admits, table.values()))
    ranks = ranks or {}
    if order == Order.DISAGREEMENTS:
        cells = [cell for cell in cells if disagreed(cell, taxonomy)]
    elif order in (Order.DOUBTED, Order.AUDIT):
        cells = [cell for cell in cells if cell.cell_id in ranks]
    cells.sort(key=_key(order, table, taxonomy, ranks))
    return tuple(cell.cell_id for cell in cells)


def _key(
    order: Order, table: CellTable, taxonomy: Taxonomy, ranks: Mapping[str, int]
) -> Callable[[Cell], tuple[float, ...]]:
    """What to sort cells by."""
    of_a_cell: dict[Order, Callable[[Cell], tuple[float, ...]]] = {
        # What may be no cell at all is the least certain of all.
        Order.LEAST_CERTAIN: lambda cell: (not cell.candidate, by_certainty(cell)),
        Order.MOST_UNLIKE: lambda cell: (by_unlikeness(cell),),
        Order.DISAGREEMENTS: lambda cell: (-by_certainty(cell),),
        Order.RANDOM: lambda cell: (chance(cell.cell_id),),
    }
    match order:
        case Order.CLASS_BY_CLASS:
            rank = {label: i for i, label in enumerate(taxonomy.labels)}
            return lambda cell: (rank.get(cell.label, len(rank)), by_certainty(cell))
        case Order.RAREST:
            rank = {label: i for i, label in enumerate(taxonomy.labels)}
            counts = table.label_counts
            return lambda cell: (
                counts[cell.label],
                rank.get(cell.label, len(rank)),
                by_certainty(cell),
            )
        case Order.FIELD_BY_FIELD:
            return by_field(table.values())
        case Order.MOST_GAIN | Order.DOUBTED | Order.AUDIT:
            return lambda cell: (ranks.get(cell.cell_id, math.inf), by_certainty(cell))
        case _:
            return of_a_cell[order]


def by_certainty(cell: Cell) -> float:
    """Key that sorts the least certain cell first; one without a prediction before all others."""
    return -1.0 if cell.prediction is None else cell.prediction.confidence


def by_unlikeness(cell: Cell) -> float:
    """Key that sorts the cell most unlike the training data first."""
    unlikeness = None if cell.prediction is None else cell.prediction.unlikeness
    return math.inf if unlikeness is None else -unlikeness


def disagreed(cell: Cell, taxonomy: Taxonomy) -> bool:
    """Whether a person says another class than the model, above its threshold or below.

    A finer class counts as the one that covers it.
    """
    if cell.annotation is None or cell.prediction is None:
        return False
    annotated = taxonomy.row_of(cell.annotation.label)
    return annotated not in (cell.prediction.label, taxonomy.class_of(cell.prediction.cell_class))
