"""Thumbnails of cells, cut in a thread when they are first shown.

Invariant: a pixmap is made in the thread of the window, at most one batch at a time; a picture
belongs to a cell where it was detected, so a relabelled cell keeps it and a moved one does not.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QColor, QImage, QPixmap

from napari_wbc.errors import WbcError
from napari_wbc.imaging.crop import cut_crops
from napari_wbc.imaging.pyramid.opening import is_whole_slide
from napari_wbc.imaging.pyramid.slide_crops import slide_crops
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView
from napari_wbc.widgets.qt.panel import single_shot
from napari_wbc.widgets.qt.worker import Job

SIDE = 96
"""Side of a thumbnail in pixels."""
FACTOR = 1.35
"""Side of the square that is cut, as a multiple of the longer side of the cell's box."""
CAPACITY = 4096
"""Thumbnails in memory, more than a large screen shows at once; 150 MB."""
MAX_FIELDS = 8
"""Fields in memory, in case their other cells are wanted."""
MAX_BATCH = 64
"""Thumbnails a batch: making their pixmaps holds the window up for a few milliseconds."""
MAX_BATCH_S = 0.1
"""Time after which a batch ends with its field, so that cells that came into view go next."""
UNREADABLE = "#808080"

Pixels = npt.NDArray[np.uint8]
K = TypeVar("K")
V = TypeVar("V")


class Latest(OrderedDict[K, V]):
    """A cache of the entries that were used last.

    Parameters
    ----------
    capacity : int
        Most entries it keeps.

    Examples
    --------
    >>> cache = Latest[str, int](1)
    >>> cache.put("a", 1)
    >>> cache.put("b", 2)
    >>> cache.get("a"), cache.get("b")
    (None, 2)
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def get(self, key: K) -> V | None:  # type: ignore[override]
        """The value of a key, None where it has none."""
        if key in self:
            self.move_to_end(key)
        return super().get(key)

    def put(self, key: K, value: V) -> None:
        """Keep a value, and drop the entry that was not used for longest."""
        self[key] = value
        self.move_to_end(key)
        while len(self) > self._capacity:
            self.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _FieldBatch:
    """Cells of one field that are cut together; ``field`` is None if the slide has none such."""

    field: FieldOfView | None
    cells: tuple[Cell, ...]


class _Cutter:
    """Reads fields and cuts cells out of them; used by one thread at a time."""

    def __init__(self, read: Callable[[FieldOfView], Pixels], side: int) -> None:
        self._read = read
        self._side = side
        self._fields: Latest[FieldOfView, tuple[Pixels | None]] = Latest(MAX_FIELDS)
        self._films: dict[FieldOfView, bool] = {}

    def cut(self, batch: Sequence[_FieldBatch]) -> Steps[list[tuple[Cell, Pixels | None]]]:
        """Cut cells until the time of a batch is over; None where a field cannot be read."""
        end = time.monotonic() + MAX_BATCH_S
        cut: list[tuple[Cell, Pixels | None]] = []
        for part in batch:
            crops = self._crops(part)
            if crops is None:
                cut += [(cell, None) for cell in part.cells]
            else:
                cut += zip(part.cells, crops, strict=True)
            yield Progress("thumbnails", len(cut), 0)
            if time.monotonic() > end:
                break
        return cut

    def _crops(self, part: _FieldBatch) -> Pixels | None:
        """Crops of the cells of a field, shape (N, side, side, 3); None where it is unreadable."""
        boxes = [cell.detection.bbox for cell in part.cells]
        if part.field is not None and self._is_film(part.field):
            try:
                return slide_crops(part.field.path, boxes, size=self._side, factor=FACTOR)
            except WbcError:
                return None
        image = None if part.field is None else self._pixels(part.field)
        return None if image is None else cut_crops(image, boxes, size=self._side, factor=FACTOR)

    def _is_film(self, field: FieldOfView) -> bool:
        if field not in self._films:
            self._films[field] = is_whole_slide(field.path)
        return self._films[field]

    def _pixels(self, field: FieldOfView) -> Pixels | None:
        # In a tuple, so that a field that cannot be read is cached too, not tried for each cell.
        entry = self._fields.get(field)
        if entry is None:
            try:
                entry = (self._read(field),)
            except (WbcError, OSError, ValueError):
                entry = (None,)
            self._fields.put(field, entry)
        return entry[0]


class Thumbnails(QObject):
    """Makes the thumbnail of a cell when it is first asked for.

    Parameters
    ----------
    read : callable
        The pixels of a field, shape (height, width, 3), uint8 RGB; called in a thread.
    fields : callable
        From the id of a field to the field, None where the slide has no such field.
    side : int
        Of a thumbnail, in pixels.
    capacity : int
        Thumbnails in memory.
    """

    ready = Signal(object)
    """With the set of ids of the cells whose thumbnails are new."""

    def __init__(
        self,
        read: Callable[[FieldOfView], Pixels],
        fields: Callable[[str], FieldOfView | None],
        parent: QObject | None = None,
        *,
        side: int = SIDE,
        capacity: int = CAPACITY,
    ) -> None:
        super().__init__(parent)
        self._read = read
        self._fields = fields
        self._side = side
        self._cutter = _Cutter(read, side)
        self._made: Latest[str, tuple[Detection, QPixmap]] = Latest(capacity)
        self._wanted: dict[str, Cell] = {}
        self._batch: tuple[_FieldBatch, ...] = ()
        self._blank: QPixmap | None = None
        self._job = Job(self)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.finished.connect(self._start)
        # A batch starts when all that one paint asks for is known.
        self._soon = single_shot(self, self._start)

    @property
    def running(self) -> bool:
        """Whether a thread is at work."""
        return self._job.running

    def get(self, cell: Cell) -> QPixmap | None:
        """The square thumbnail of a cell; None until it is made."""
        made = self._made.get(cell.cell_id)
        if made is not None and made[0] == cell.detection:
            return made[1]
        # Popped first, so that the newest request comes last, which is made first.
        self._wanted.pop(cell.cell_id, None)
        self._wanted[cell.cell_id] = cell
        self._soon.start()
        return None

    def want(self, cells: Iterable[Cell]) -> None:
        """Ask for these cells, the first one first, and no longer for any other."""
        self._wanted = {}
        for cell in reversed(list(cells)):
            self.get(cell)

    def clear(self) -> None:
        """Forget all thumbnails and fields, as another slide is opened."""
        self.cancel()
        self._made.clear()
        # A new one, since a thread that still runs uses the old one.
        self._cutter = _Cutter(self._read, self._side)

    def cancel(self) -> None:
        """Drop all requests; a thread that is under way ends with the field it is at."""
        self._wanted = {}
        self._soon.stop()
        self._job.cancel()

    def _start(self) -> None:
        if not self._job.running and self._wanted:
            self._batch = self._next_batch()
            self._job.start(partial(self._cutter.cut, self._batch))

    def _next_batch(self) -> tuple[_FieldBatch, ...]:
        """The newest requests with the others of their fields, so that each field is read once."""
        by_field: dict[str, list[Cell]] = {}
        for cell in reversed(self._wanted.values()):
            by_field.setdefault(cell.fov_id, []).append(cell)
        parts: list[_FieldBatch] = []
        # Of a field with more cells than a batch takes, the others come with the next batch.
        room = MAX_BATCH
        for fov_id, cells in by_field.items():
            if room <= 0:
                break
            parts.append(_FieldBatch(self._fields(fov_id), tuple(cells[:room])))
            room -= len(cells)
        return tuple(parts)

    def _on_returned(self, cut: list[tuple[Cell, Pixels | None]]) -> None:
        for cell, crop in cut:
            pixmap = self._unreadable() if crop is None else pixmap_of(crop)
            self._made.put(cell.cell_id, (cell.detection, pixmap))
            if (wanted := self._wanted.get(cell.cell_id)) and wanted.detection == cell.detection:
                del self._wanted[cell.cell_id]
        if cut:
            self.ready.emit({cell.cell_id for cell, _crop in cut})

    def _on_failed(self, _message: str) -> None:
        # The job has logged the error, which would come again: these cells get the grey picture.
        for part in self._batch:
            self._on_returned([(cell, None) for cell in part.cells])

    def _unreadable(self) -> QPixmap:
        if self._blank is None:
            self._blank = QPixmap(self._side, self._side)
            self._blank.fill(QColor(UNREADABLE))
        return self._blank


def pixmap_of(crop: Pixels) -> QPixmap:
    """A pixmap of an image of shape (height, width, 3), uint8 RGB."""
    height, width = crop.shape[:2]
    pixels = np.ascontiguousarray(crop).data
    image = QImage(pixels, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)
