"""Heat of the cells that were explained: kept as long as the slide is open, never saved.

Invariant: heat is of a cell where it lies and as it is predicted; one that is moved, predicted anew
or taken out loses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from psygnal import Signal

from napari_wbc.model.heat import Heat
from napari_wbc.model.table import CellTable, diff
from napari_wbc.session.session import Session


class Heats:
    """Heat by cell of a session."""

    changed = Signal()
    """Emitted after heat came or went."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._heats: dict[str, Heat] = {}
        session.changed.connect(self._on_changed)
        session.slide_changed.connect(self.clear)

    def close(self) -> None:
        """Stop following the session."""
        self._session.changed.disconnect(self._on_changed)
        self._session.slide_changed.disconnect(self.clear)

    def __len__(self) -> int:
        return len(self._heats)

    def __iter__(self) -> Iterator[Heat]:
        return iter(self._heats.values())

    def get(self, cell_id: str) -> Heat | None:
        """Heat of a cell, None for one that was not explained yet."""
        return self._heats.get(cell_id)

    def of_field(self, fov_id: str) -> tuple[Heat, ...]:
        """Heat of the cells of one field."""
        return tuple(heat for heat in self if heat.fov_id == fov_id)

    def put(self, heats: Iterable[Heat]) -> int:
        """Keep heat of cells that have not changed since; returns how many these are."""
        table = self._session.table
        fresh = {}
        for heat in heats:
            cell = table.get(heat.cell_id)
            if cell is not None and heat.is_of(cell):
                fresh[heat.cell_id] = heat
        if fresh:
            self._heats.update(fresh)
            self.changed.emit()
        return len(fresh)

    def clear(self) -> None:
        """Forget all."""
        if self._heats:
            self._heats = {}
            self.changed.emit()

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        if not self._heats:
            return
        change = diff(old, new)
        before = len(self._heats)
        for cell in change.removed:
            self._heats.pop(cell.cell_id, None)
        # A cell that only got a label is still what was explained.
        for _, cell in change.changed:
            heat = self._heats.get(cell.cell_id)
            if heat is not None and not heat.is_of(cell):
                del self._heats[cell.cell_id]
        if len(self._heats) < before:
            self.changed.emit()
