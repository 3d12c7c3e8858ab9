"""Small pictures of cells, cut in a thread when they are first looked at.

Invariant: a pixmap is made in the thread of the window, at most one batch at a time; a picture
belongs to a cell where it was detected, so a relabelled cell keeps it and a moved one does not.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QRectF, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter, QPixmap

from napari_wbc.errors import WbcError
from napari_wbc.imaging.crop import cut_crops
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.widgets.worker import Job

__all__ = ["SIDE", "Latest", "Thumbnails", "Tiles", "disagreed"]

SIDE = 96
"""Side of a thumbnail in pixels."""
FACTOR = 1.35
"""Side of what a thumbnail shows, as a multiple of the longer side of the cell's box."""
CAPACITY = 4096
"""Thumbnails that are kept, more than a large screen shows at once; 150 MB."""
FIELDS_KEPT = 8
BATCH = 64
"""Thumbnails a batch: as pixmaps they hold the window up for a few milliseconds."""
BATCH_SECONDS = 0.1
"""After this long a batch ends with the field it is at, so that what came into view meanwhile goes next."""
UNREADABLE = "#808080"

Pixels = npt.NDArray[np.uint8]
K = TypeVar("K")
V = TypeVar("V")


class Latest(Generic[K, V]):
    """A cache of what was used last.

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
        self._capacity = capacity
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def get(self, key: K) -> V | None:
        """What is kept for a key, else None."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> None:
        """Keep a value, and let go of what was not used for longest."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Let go of all."""
        self._entries.clear()


@dataclass(frozen=True, slots=True)
class _FieldBatch:
    """Cells of one field that are cut together; ``field`` is None where the slide has none such."""

    field: FieldOfView | None
    cells: tuple[Cell, ...]


class _Cutter:
    """Reads fields and cuts cells out of them; used by one thread at a time."""

    def __init__(self, read: Callable[[FieldOfView], Pixels]) -> None:
        self._read = read
        self._fields: Latest[FieldOfView, tuple[Pixels | None]] = Latest(FIELDS_KEPT)

    def cut(self, batch: Sequence[_FieldBatch]) -> Steps[list[tuple[Cell, Pixels | None]]]:
        """Cut cells until a batch is full or its time is over; None for those that cannot be read."""
        end = time.monotonic() + BATCH_SECONDS
        cut: list[tuple[Cell, Pixels | None]] = []
        for part in batch:
            image = None if part.field is None else self._pixels(part.field)
            if image is None:
                cut += [(cell, None) for cell in part.cells]
            else:
                boxes = [cell.detection.bbox for cell in part.cells]
                cut += zip(part.cells, cut_crops(image, boxes, size=SIDE, factor=FACTOR), strict=True)
            yield Progress("thumbnails", len(cut), 0)
            if time.monotonic() > end:
                break
        return cut

    def _pixels(self, field: FieldOfView) -> Pixels | None:
        # In a tuple, so that a field that cannot be read is known too and not tried for each cell.
        known = self._fields.get(field)
        if known is None:
            try:
                known = (self._read(field),)
            except (WbcError, OSError, ValueError):
                known = (None,)
            self._fields.put(field, known)
        return known[0]


class Thumbnails(QObject):
    """Thumbnails of cells, made when they are asked for.

    Parameters
    ----------
    read : callable
        The pixels of a field, shape (height, width, 3), uint8 RGB; called in a thread.
    fields : callable
        From the id of a field to the field, None where the slide has none such.
    parent : QObject, optional
    capacity : int
        Most thumbnails that are kept.
    """

    ready = Signal(object)
    """With the set of ids of the cells whose thumbnails came."""

    def __init__(
        self,
        read: Callable[[FieldOfView], Pixels],
        fields: Callable[[str], FieldOfView | None],
        parent: QObject | None = None,
        *,
        capacity: int = CAPACITY,
    ) -> None:
        super().__init__(parent)
        self._read, self._fields = read, fields
        self._cutter = _Cutter(read)
        self._made: Latest[str, tuple[Detection, QPixmap]] = Latest(capacity)
        self._wanted: dict[str, Cell] = {}
        self._batch: tuple[_FieldBatch, ...] = ()
        self._blank: QPixmap | None = None
        self._job = Job(self)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.finished.connect(self._start)
        # A batch starts when all that one paint asks for is known.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._start)

    @property
    def running(self) -> bool:
        """Whether a thread is at work."""
        return self._job.running

    def get(self, cell: Cell) -> QPixmap | None:
        """The thumbnail of a cell, :data:`SIDE` pixels wide and high; None where it has to be made first."""
        known = self._made.get(cell.cell_id)
        if known is not None and (known[0] is cell.detection or known[0] == cell.detection):
            return known[1]
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
        self._cutter = _Cutter(self._read)  # a thread that still runs keeps the one it has

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
        """The newest requests and what else is wanted of their fields, so that each is read once."""
        by_field: dict[str, list[Cell]] = {}
        for cell in reversed(self._wanted.values()):
            by_field.setdefault(cell.fov_id, []).append(cell)
        parts: list[_FieldBatch] = []
        room = BATCH
        for fov_id, cells in by_field.items():
            if room <= 0:
                break
            parts.append(_FieldBatch(self._fields(fov_id), tuple(cells[:room])))
            room -= len(cells)
        return tuple(parts)

    def _on_returned(self, cut: list[tuple[Cell, Pixels | None]]) -> None:
        for cell, crop in cut:
            pixmap = self._unreadable() if crop is None else _pixmap(crop)
            self._made.put(cell.cell_id, (cell.detection, pixmap))
            if (wanted := self._wanted.get(cell.cell_id)) and wanted.detection == cell.detection:
                del self._wanted[cell.cell_id]
        if cut:
            self.ready.emit({cell.cell_id for cell, _crop in cut})

    def _on_failed(self, _message: str) -> None:
        # Whatever went wrong, and the job has logged it, would go wrong again.
        self._on_returned([(cell, None) for part in self._batch for cell in part.cells])

    def _unreadable(self) -> QPixmap:
        if self._blank is None:
            self._blank = QPixmap(SIDE, SIDE)
            self._blank.fill(QColor(UNREADABLE))
        return self._blank


def _pixmap(crop: Pixels) -> QPixmap:
    """A pixmap of an image of shape (height, width, 3), uint8 RGB."""
    height, width = crop.shape[:2]
    image = QImage(np.ascontiguousarray(crop).data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)


def disagreed(cell: Cell, taxonomy: Taxonomy) -> bool:
    """Whether a person says another class than the model; a finer class counts as the one that covers it."""
    if cell.annotation is None or cell.prediction is None:
        return False
    said = taxonomy.class_of(cell.annotation.label) or cell.annotation.label
    return said not in (cell.prediction.label, taxonomy.class_of(cell.prediction.cell_class))


TILE_BYTES = 64_000_000
"""Memory of the tiles that are kept."""
OTHER = "#999999"
"""Colour of a label that the taxonomy does not know."""
DARK = QColor(0, 0, 0, 190)
EDGE = QColor("#444444")
"""Around the frame, which may be as light as the ground."""
CHECK, UNLIKE = "\N{CHECK MARK}", "\N{NOT EQUAL TO}"


class Tiles:
    """Thumbnails as the gallery shows them: framed in the colour of the label, with letters and marks.

    Parameters
    ----------
    thumbnails : Thumbnails
    taxonomy : Taxonomy
    """

    def __init__(self, thumbnails: Thumbnails, taxonomy: Taxonomy) -> None:
        self._thumbnails, self._taxonomy = thumbnails, taxonomy
        self._colors, self._shorts = taxonomy.colors, taxonomy.shorts
        self._side, self._ratio = SIDE, 1.0
        self.clear()

    def resize(self, side: int, ratio: float) -> None:
        """Draw tiles of a side in pixels, on a screen of ``ratio`` device pixels a pixel."""
        if (side, ratio) != (self._side, self._ratio):
            self._side, self._ratio = side, ratio
            self.clear()

    def clear(self) -> None:
        """Draw all tiles anew."""
        side, ratio = self._side, self._ratio
        self._font = QFont()
        self._font.setPixelSize(max(9, min(15, side // 8)))
        self._font.setBold(True)
        self._metrics = QFontMetricsF(self._font)
        most = TILE_BYTES // max(1, round((side * ratio) ** 2 * 4))
        self._made: Latest[str, tuple[Cell, QPixmap]] = Latest(most)
        self._empty: dict[str, QPixmap] = {}
        self._badges: dict[tuple[str, int], QPixmap] = {}

    def color(self, label: str) -> QColor:
        """Colour of a label."""
        return QColor(self._colors.get(label, OTHER))

    def short(self, label: str) -> str:
        """Short letters of a label."""
        return self._shorts.get(label, label[:3])

    def get(self, cell: Cell, *, draw: bool = True) -> QPixmap | None:
        """The tile of a cell, None where there is no thumbnail yet, or where it is not to be drawn now."""
        known = self._made.get(cell.cell_id)
        if known is not None and known[0] is cell:
            return known[1]
        thumbnail = self._thumbnails.get(cell) if draw else None
        if thumbnail is None:
            return None
        tile = self._draw(cell, thumbnail)
        self._made.put(cell.cell_id, (cell, tile))
        return tile

    def empty(self, label: str) -> QPixmap:
        """What stands for a cell of a label until its tile is there."""
        if label not in self._empty:
            self._empty[label] = self._draw_frame(label, None)
        return self._empty[label]

    def _draw_frame(self, label: str, thumbnail: QPixmap | None) -> QPixmap:
        side, border = self._side, max(3, self._side // 28)
        tile = QPixmap(round(side * self._ratio), round(side * self._ratio))
        tile.setDevicePixelRatio(self._ratio)
        tile.fill(EDGE)
        painter = QPainter(tile)
        painter.fillRect(QRectF(1, 1, side - 2, side - 2), self.color(label))
        inner = QRectF(border, border, side - 2 * border, side - 2 * border)
        if thumbnail is None:
            painter.fillRect(inner, QColor(UNREADABLE))
        else:
            pixels = round(inner.width() * self._ratio)
            smooth = Qt.TransformationMode.SmoothTransformation
            fitted = thumbnail.scaled(pixels, pixels, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)
            painter.drawPixmap(inner, fitted, QRectF(fitted.rect()))
        painter.end()
        return tile

    def _draw(self, cell: Cell, thumbnail: QPixmap) -> QPixmap:
        label, side = cell.label, self._side
        tile = self._draw_frame(label, thumbnail)
        painter = QPainter(tile)
        bottom = side - round(self._metrics.height())
        painter.drawPixmap(0, bottom, self._badge(self.short(label), self.color(label)))
        if cell.prediction is not None:
            number = f"{cell.prediction.confidence * 100:.0f}"
            painter.drawPixmap(side - self._wide(number), bottom, self._badge(number, DARK))
        left = side
        for mark in self._marks(cell):
            left -= self._wide(mark)
            painter.drawPixmap(left, 0, self._badge(mark, DARK))
        painter.end()
        return tile

    def _marks(self, cell: Cell) -> Iterable[str]:
        if cell.annotation is not None:
            yield CHECK
        if disagreed(cell, self._taxonomy):
            yield "!"
        unlikeness = None if cell.prediction is None else cell.prediction.unlikeness
        if unlikeness is not None and unlikeness > 1:
            yield UNLIKE

    def _wide(self, text: str) -> int:
        return int(max(self._metrics.horizontalAdvance(text) + 4, self._metrics.height()) + 0.5)

    def _badge(self, text: str, color: QColor) -> QPixmap:
        """A text on a ground; kept, since there are few and text is slow to draw."""
        known = self._badges.get((text, color.rgba()))
        if known is None:
            area = QRectF(0, 0, self._wide(text), round(self._metrics.height()))
            known = QPixmap(round(area.width() * self._ratio), round(area.height() * self._ratio))
            known.setDevicePixelRatio(self._ratio)
            known.fill(color)
            painter = QPainter(known)
            painter.setFont(self._font)
            light = color.alpha() < 255 or color.lightnessF() < 0.45
            painter.setPen(QColor("white" if light else "black"))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
            painter.end()
            self._badges[text, color.rgba()] = known
        return known
