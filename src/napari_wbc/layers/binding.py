"""The cells layer and the session's table, kept in step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from napari.layers import Shapes
from napari.layers.base import ActionType
from psygnal import Signal

from napari_wbc.layers.cells import (
    apply,
    dress,
    keep_defaults,
    on_image,
    read,
    shape_ids,
    shows,
)
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.slide import Slide
from napari_wbc.model.step import now
from napari_wbc.model.table import CellTable, TableDiff, diff
from napari_wbc.model.words import counted
from napari_wbc.session.reconcile import reconcile
from napari_wbc.session.session import Session


class CellsBinding:
    """Keeps the layer of the field in view and the session's table in step.

    ``least`` gives the side in pixels of the field below which a drawn shape is a slip of the hand
    and no cell.
    """

    edited = Signal(str)
    """Emitted with what a person did to the layer, in words, after it was taken in."""

    def __init__(
        self, session: Session, layer: Shapes, *, least: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.session = session
        self.layer = layer
        self._least = least
        self.extent: tuple[int, ...] | None = None
        """Height and width of the field's image, None until it is shown."""
        self.pushing = False
        """Whether what happens to the layer at this moment is our own doing."""
        self._pulling = False
        self._fov_id = session.field.fov_id if session.field else ""
        self.push()
        # First of all listeners: another may show another field, which reads the layer, and by then
        # the layer must show the new table.
        session.changed.connect(self._on_changed, priority=100)
        session.field_changed.connect(self._on_field)
        session.slide_changed.connect(self._on_slide)
        layer.events.data.connect(self._on_data)
        layer.events.features.connect(self._on_features)

    def close(self) -> None:
        """Take the last edits in and let go of layer and session."""
        self.settle()
        self.session.changed.disconnect(self._on_changed)
        self.session.field_changed.disconnect(self._on_field)
        self.session.slide_changed.disconnect(self._on_slide)
        self.layer.events.data.disconnect(self._on_data)
        self.layer.events.features.disconnect(self._on_features)

    @property
    def drawing(self) -> bool:
        """Whether a shape is being drawn or dragged at this moment."""
        return bool(
            getattr(self.layer, "_is_creating", False) or getattr(self.layer, "_is_moving", False)
        )

    def pull(self) -> None:
        """Read the layer and commit what a person did to it; mend what means nothing."""
        if self.pushing or self._pulling or not self._fov_id:
            return
        session = self.session
        cells = self._cells()
        drawn = read(self.layer, cells)
        rows = on_image(drawn, cells, self.extent, least=self._least())
        table = reconcile(
            session.table,
            rows,
            self._fov_id,
            session.taxonomy,
            annotator=session.reader,
            when=now(),
        )
        if table is session.table and rows == drawn and shows(self.layer, cells):
            return
        self._pulling = True
        what, text = described(diff(session.table, table))
        try:
            if not session.commit(table, what):
                self.push()
            elif text:
                self.edited.emit(text)
        finally:
            self._pulling = False

    def settle(self) -> None:
        """End what is being drawn or dragged, and pull: the table is about to change."""
        self._end_drawing()
        self.pull()

    def push(self, *, anew: bool = False) -> None:
        """Make the layer show the table; ``anew`` if it showed another field."""
        with self._quiet():
            apply(self.layer, self._cells(), self.session.taxonomy, anew=anew)

    def selected(self) -> tuple[str, ...]:
        """Ids of the selected cells."""
        ids = shape_ids(self.layer)
        return tuple(ids[i] for i in sorted(self.layer.selected_data) if i < len(ids))

    def select(self, cell_ids: set[str]) -> None:
        """Select the shapes of these cells."""
        with self._quiet(), self.layer.block_thumbnail_update():
            self.layer.selected_data = {
                i for i, key in enumerate(shape_ids(self.layer)) if key in cell_ids
            }
            keep_defaults(self.layer)

    def _cells(self) -> tuple[Cell, ...]:
        return self.session.table.of_field(self._fov_id)

    def _end_drawing(self) -> None:
        if self.drawing:
            self.layer._finish_drawing()
            # What is left of the drag would go on with a shape that is selected.
            self.layer.selected_data = set()

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        before = self.pushing
        self.pushing = True
        try:
            yield
        finally:
            self.pushing = before

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        if not self._pulling:
            with self._quiet():
                self._end_drawing()
        change = diff(old, new)
        ids = shape_ids(self.layer)
        moved = any(_moved(before.detection, after.detection) for before, after in change.changed)
        # Relabelled cells are dressed anew; only where shapes come, go or move is any rebuilt.
        if change.added or change.removed or moved or not set(ids) <= new.keys():
            self.push()
        else:
            with self._quiet():
                dress(self.layer, list(map(new.__getitem__, ids)), self.session.taxonomy)

    def _on_field(self, fov_id: str) -> None:
        self.settle()
        anew = fov_id != self._fov_id
        self._fov_id = fov_id
        self.extent = None
        self.push(anew=anew)

    def _on_slide(self, _slide: Slide) -> None:
        with self._quiet():
            self._end_drawing()
        self._fov_id = ""
        self.push()

    def _on_data(self, event: Any) -> None:
        action = getattr(event, "action", None)
        if action == ActionType.ADDED and not self.pushing:
            # The shape is drawn. napari notes that only later, and would finish it a second time
            # when a shape that is no cell is taken away.
            self.layer._is_creating = False
        if action in {ActionType.ADDED, ActionType.CHANGED, ActionType.REMOVED}:
            self.pull()

    def _on_features(self, _event: Any) -> None:
        if not self.drawing:
            self.pull()


def _moved(before: Detection, after: Detection) -> bool:
    """Whether a shape has to be set anew; a candidate that was accepted lies where it lay."""
    return before.bbox is not after.bbox or before.outline is not after.outline


def described(change: TableDiff) -> tuple[str, str]:
    """What a person did to a layer: as undo names it, and as it is said on screen.

    Examples
    --------
    >>> described(TableDiff())
    ('edit cells', '')
    """
    moved = [new for old, new in change.changed if old.detection != new.detection]
    parts = [
        ("draw", "Drew", change.added),
        ("move", "Moved", moved),
        ("delete", "Deleted", change.removed),
    ]
    made = [part for part in parts if part[2]]
    if len(made) != 1:
        return "edit cells", ""
    verb, past, changed = made[0]
    cells = counted(len(changed))
    return f"{verb} {cells}", f"{past} {cells}. Ctrl+Z takes it back."
