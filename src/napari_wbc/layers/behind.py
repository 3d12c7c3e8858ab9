"""Lines behind the cells of the field in view: dashes of candidates, dark casings of all others.

napari's shapes have neither dashes nor a second edge, so both are short vectors in layers below the
cells. A candidate is still a shape of the cells layer, without an edge there: it is selected, moved
and deleted as any other cell. Relabelling changes no line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Shapes, Vectors

from napari_wbc.layers.cells import EDGE_WIDTH, vertices
from napari_wbc.layers.edges import keep_visible
from napari_wbc.layers.placed import copy_transform, marked
from napari_wbc.model.cell import Detection
from napari_wbc.model.taxonomy import CANDIDATE
from napari_wbc.session.session import Session

CASING = "#101010"
"""Darker than any glass and darker than any colour of a class, by a contrast of 3 and more."""
DASHES = 16
"""Around each candidate, with as many gaps of the same length between them."""


def dashes(detections: Sequence[Detection]) -> npt.NDArray[np.float64]:
    """Dashes around detections, as napari's vectors: where each begins, and how far it reaches.

    Returns
    -------
    ndarray, shape (N, 2, 2)
        (row, col) in a layer over the field.

    Examples
    --------
    >>> dashes([]).shape
    (0, 2, 2)
    """
    around = [np.zeros((0, 2, 2))]
    for detection in detections:
        corners = vertices(detection)
        ring = np.concatenate([corners, corners[:1]])
        sides = np.hypot(*np.diff(ring, axis=0).T)
        walked = np.concatenate([[0.0], np.cumsum(sides)])
        stops = np.linspace(0, walked[-1], 2 * DASHES, endpoint=False)
        points = np.column_stack([np.interp(stops, walked, axis) for axis in ring.T])
        around.append(np.stack([points[::2], points[1::2] - points[::2]], axis=1))
    return np.concatenate(around)


def rings(detections: Sequence[Detection]) -> npt.NDArray[np.float64]:
    """Closed lines around detections, as napari's vectors; see :func:`dashes`.

    Each side is a little longer than it is, so that no gap is left at the corners.

    Examples
    --------
    >>> from napari_wbc.model.geometry import BBox
    >>> rings([Detection(BBox(0, 0, 10, 10))]).shape
    (4, 2, 2)
    """
    if not detections:
        return np.zeros((0, 2, 2))
    around = [vertices(detection) for detection in detections]
    corners = np.concatenate(around)
    ends = np.cumsum([len(ring) for ring in around])
    # The last corner of each ring leads back to its first.
    following = np.arange(1, len(corners) + 1)
    following[ends - 1] = np.concatenate([[0], ends[:-1]])
    sides = corners[following] - corners
    lengths = np.hypot(*sides.T)[:, None]
    more = sides / np.maximum(lengths, 1e-6) * (EDGE_WIDTH / 2)
    return np.stack([corners - more, sides + 2 * more], axis=1)


class LinesBehind:
    """Shows lines around some cells of the field in view; without any there is no layer at first.

    Once made, the layer stays and only its lines change: Mesa's software OpenGL may end the process
    where layers come and go while an image is hidden.
    """

    name = ""
    """Of the layer, and its kind."""
    wider = False
    """Whether the lines are wider than the outlines of cells."""

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self._cells: Shapes | None = None
        self._shown: list[Detection] = []
        self.layer: Vectors | None = None
        session.changed.connect(self._show)
        session.field_changed.connect(self._show)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Let go of session and viewer; the layer stays."""
        self._session.changed.disconnect(self._show)
        self._session.field_changed.disconnect(self._show)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        if self._cells is not None:
            self._cells.events.visible.disconnect(self._on_visible)

    def follow(self, cells: Shapes) -> None:
        """Lie below a cells layer, and be hidden with it."""
        self._cells = cells
        cells.events.visible.connect(self._on_visible)
        self._show()

    def keep_visible(self) -> None:
        """Make the lines as wide as they must be at the zoom of the camera."""
        if self.layer is not None:
            zoom = self._viewer.scene.camera.zoom
            keep_visible(self.layer, zoom, casing=self.wider)

    def _show(self, *_what: object) -> None:
        """Draw the lines around the cells as they are now."""
        wanted = self._detections()
        if wanted == self._shown or self._cells is None:
            return
        if self.layer is None:
            self.layer = self._made(self._cells)
            self.keep_visible()
        self._shown = wanted
        self.layer.data = self._lines(wanted)

    def _detections(self) -> list[Detection]:
        """Around which cells there are lines."""
        raise NotImplementedError

    def _lines(self, detections: Sequence[Detection]) -> npt.NDArray[np.float64]:
        """The lines, as napari's vectors."""
        raise NotImplementedError

    def _color(self) -> str:
        raise NotImplementedError

    def _made(self, cells: Shapes) -> Vectors:
        layer = Vectors(
            ndim=2,
            name=self.name,
            edge_width=cells.current_edge_width,
            edge_color=self._color(),
            vector_style="line",
            opacity=1,
            visible=cells.visible,
        )
        # Of this layer alone: napari draws each line into the thumbnail in Python, which takes
        # 16 ms a field, and gives no way to leave that out.
        layer._update_thumbnail = lambda: None
        marked(layer, self.name)
        copy_transform(cells, layer)
        layers = self._viewer.layers
        # A new layer becomes the active one, and the keys of the cells would be gone.
        active = layers.selection.active
        layers.insert(layers.index(cells), layer)
        layers.selection.active = active
        return layer

    def _on_visible(self, _event: Any) -> None:
        if self.layer is not None and self._cells is not None:
            self.layer.visible = self._cells.visible

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            self._shown = []
        elif event.value is self._cells:
            self._cells.events.visible.disconnect(self._on_visible)
            self._cells = None
            self._shown = []
            if self.layer is not None:
                self.layer.data = self._lines([])


class CandidateOutlines(LinesBehind):
    """Dashes around candidates."""

    name = "candidates"

    def _detections(self) -> list[Detection]:
        table = self._session.table
        field = self._session.field
        # Most slides have none, and a look at ten thousand cells takes a while.
        if field is None or not table.label_counts[CANDIDATE]:
            return []
        return [cell.detection for cell in table.of_field(field.fov_id) if cell.candidate]

    def _lines(self, detections: Sequence[Detection]) -> npt.NDArray[np.float64]:
        return dashes(detections)

    def _color(self) -> str:
        return self._session.taxonomy.colors[CANDIDATE]


class Casings(LinesBehind):
    """Dark lines behind the outlines of all other cells, a little wider than these."""

    name = "dark outlines"
    wider = True

    def _detections(self) -> list[Detection]:
        field = self._session.field
        if field is None:
            return []
        cells = self._session.table.of_field(field.fov_id)
        return [cell.detection for cell in cells if not cell.candidate]

    def _lines(self, detections: Sequence[Detection]) -> npt.NDArray[np.float64]:
        return rings(detections)

    def _color(self) -> str:
        return CASING
