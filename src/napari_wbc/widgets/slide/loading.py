"""Reads the image of the field in view, and that of the next one ahead, in threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from qtpy.QtCore import QObject, Signal

from napari_wbc.errors import WbcError
from napari_wbc.layers.field import FieldView
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView
from napari_wbc.widgets.qt.worker import LatestJob

Read: TypeAlias = tuple[FieldOfView, Any, str]
"""A field, what is shown of it or None, and the error that left it without pixels."""


class FieldLoader(QObject):
    """Reads fields for a view."""

    loaded = Signal(object)
    """With field, pixels (None where they cannot be read) and the error."""

    def __init__(self, view: FieldView, parent: QObject) -> None:
        super().__init__(parent)
        self._view = view
        self._now = LatestJob(self)
        self._next = LatestJob(self)
        self._ahead: dict[FieldOfView, Any] = {}
        self._now.returned.connect(self.loaded)
        self._next.returned.connect(self._on_next)

    @property
    def running(self) -> bool:
        """Whether anything is being read."""
        return self._now.running or self._next.running

    def cancel(self) -> None:
        """Stop reading, and drop the field that was read ahead."""
        self._now.cancel()
        self._next.cancel()
        self._ahead = {}

    def load(self, field: FieldOfView) -> None:
        """Read a field, or emit at once the one that was read ahead."""
        pixels = self._ahead.pop(field, None)
        if pixels is None:
            self._now.request(partial(_read_steps, field, self._view.read_shown))
        else:
            self.loaded.emit((field, pixels, ""))

    def look_ahead(self, field: FieldOfView) -> None:
        """Read the field that comes next."""
        if field not in self._ahead:
            self._next.request(partial(_read_steps, field, self._view.read_shown))

    def _on_next(self, read: Read) -> None:
        field, pixels, _ = read
        if pixels is not None:
            self._ahead = {field: pixels}


def _read_steps(field: FieldOfView, read: Callable[[FieldOfView], Any]) -> Steps[Read]:
    yield Progress("reading", 0, 1)
    try:
        return field, read(field), ""
    except (WbcError, OSError) as error:
        return field, None, str(error)
