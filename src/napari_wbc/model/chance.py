"""Orders of cells that have nothing to do with what they are."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable

from napari_wbc.model.cell import Cell


@functools.lru_cache(maxsize=200_000)
def chance(cell_id: str) -> int:
    """A number that has nothing to do with the cell, the same each time."""
    digest = hashlib.sha256(cell_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


def by_field(cells: Iterable[Cell]) -> Callable[[Cell], tuple[int, int]]:
    """Key that sorts cells by field, in the order of these, and within a field by chance."""
    # By chance: a cell finder may list its surest cells first.
    names = dict.fromkeys(cell.fov_id for cell in cells)
    fields = {fov_id: i for i, fov_id in enumerate(names)}
    return lambda cell: (fields[cell.fov_id], chance(cell.cell_id))
