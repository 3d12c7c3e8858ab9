"""The heat that was found so far, cell by cell: kept as long as the slide is open, never saved.

Invariant: heat is of a cell where it lies and as it is predicted; one that is moved, predicted anew
or taken out loses it.
"""

from __future__ import annotations

from collections.abc import Iterable

from psygnal import Signal

from napari_wbc.model.heat import Heat
from napari_wbc.model.slide import Slide
from napari_wbc.model.table import CellTable, diff
from napari_wbc.session.session import Session

__all__ = ["Heats"]


class Heats:
    """Heat by cell.

    Parameters
    ----------
    session : Session
        Whose cells it is of.
    """

    changed = Signal()
    """Emitted after heat came or went."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._heats: dict[str, Heat] = {}
        session.changed.connect(self._on_changed)
        session.slide_changed.connect(self._on_slide)

    def close(self) -> None:
        """Let go of the session."""
        self._session.changed.disconnect(self._on_changed)
        self._session.slide_changed.disconnect(self._on_slide)

    def __len__(self) -> int:
        return len(self._heats)

    def get(self, cell_id: str) -> Heat | None:
        """Heat of a cell, None where none was found yet."""
        return self._heats.get(cell_id)

    def of_field(self, fov_id: str) -> tuple[Heat, ...]:
        """Heat of the cells of one field."""
        return tuple(heat for heat in self._heats.values() if heat.fov_id == fov_id)

    def put(self, heats: Iterable[Heat]) -> int:
        """Keep heat of cells that are there as they were asked about; how many there are of these."""
        table = self._session.table
        fresh = {h.cell_id: h for h in heats if h.cell_id in table and h.is_of(table[h.cell_id])}
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
        step = diff(old, new)
        gone = [cell.cell_id for cell in step.removed if cell.cell_id in self._heats]
        changed = (after for _, after in step.changed if after.cell_id in self._heats)
        gone += [cell.cell_id for cell in changed if not self._heats[cell.cell_id].is_of(cell)]
        for cell_id in gone:
            del self._heats[cell_id]
        if gone:
            self.changed.emit()

    def _on_slide(self, _slide: Slide) -> None:
        self.clear()
