"""Cells of one field as a Shapes layer.

A pixel's centre lies at whole numbers in napari and half a pixel further in a
:class:`~napari_wbc.model.geometry.BBox`; that half pixel is added and taken here alone.
Colours are set shape by shape (direct mode), never by a cycle, whose order would change with
the classes present.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from napari.layers import Shapes
from napari.layers.base import ActionType
from napari.utils.colormaps.standardize_color import transform_color

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.taxonomy import UNIDENTIFIED, Taxonomy
from napari_wbc.session.reconcile import TOLERANCE, ShapeRow, reconcile
from napari_wbc.session.session import Session

__all__ = ["CellsBinding", "apply", "make_layer", "read"]

HALF = 0.5
REBUILD_ABOVE = 50
"""More shapes than this to add or move, and the layer is built anew at once."""
TEXT_UP_TO = 200
"""Cells of a field above which labels are told by colour alone: napari's text costs a Shapes layer
quadratic time at every change, 1.5 s for 1,000 cells."""
ELLIPSE_VERTICES = 32
_DEFAULTS = {"cell_id": "", "label": UNIDENTIFIED, "short": "?", "confidence": np.nan}


def make_layer(cells: Sequence[Cell], taxonomy: Taxonomy, *, name: str = "cells", **kwargs: Any) -> Shapes:
    """A Shapes layer of cells.

    Parameters
    ----------
    cells : sequence of Cell
        Cells of one field.
    taxonomy : Taxonomy
        For colours and short names.
    name : str
    **kwargs
        Of :class:`napari.layers.Shapes`, such as scale and translate of the image.
    """
    layer = Shapes(
        ndim=2,
        name=name,
        edge_width=3,
        opacity=1,
        face_color="transparent",
        features=_features((), taxonomy),
        feature_defaults=_DEFAULTS,
        text={"string": "{short}", "size": 11, "color": "black", "anchor": "upper_left"},
        **kwargs,
    )
    apply(layer, cells, taxonomy)
    return layer


def read(layer: Shapes, known: Sequence[Cell] = ()) -> tuple[ShapeRow, ...]:
    """Read every shape of a layer.

    Lines and shapes without area hold no cell and are left out.

    Parameters
    ----------
    layer : Shapes
    known : sequence of Cell
        Cells whose outlines are given back as the same objects where a shape did not move,
        which spares comparing their vertices.
    """
    labels = layer.features["label"].astype(str) if "label" in layer.features else [""] * len(layer.data)
    cells = {cell.cell_id: cell for cell in known}
    rows = []
    for vertices, kind, cell_id, label in zip(layer.data, layer.shape_type, _ids(layer), labels, strict=True):
        cell = cells.get(cell_id)
        if cell is not None and _shows(vertices, cell):
            rows.append(ShapeRow(cell_id, label, cell.detection.bbox, cell.detection.outline))
            continue
        try:
            rows.append(ShapeRow(cell_id, label, *_geometry(np.asarray(vertices, dtype=float), kind)))
        except WbcError:
            continue
    return tuple(rows)


def apply(layer: Shapes, cells: Sequence[Cell], taxonomy: Taxonomy) -> None:
    """Make a layer show these cells, changing only what differs.

    Relabelling sets features and colours and rebuilds no shape.

    Parameters
    ----------
    layer : Shapes
    cells : sequence of Cell
        Cells of one field.
    taxonomy : Taxonomy
    """
    wanted = {cell.cell_id: cell for cell in cells}
    shown = _keep_in_place(layer, wanted)
    missing = [cell for key, cell in wanted.items() if key not in shown]
    if len(missing) > REBUILD_ABOVE:
        shown, missing = [], list(cells)
        layer.data = []
    if missing:
        layer.add(
            [_vertices(cell) for cell in missing],
            shape_type=["polygon" if cell.detection.outline else "rectangle" for cell in missing],
        )
    layer.text.visible = len(cells) <= TEXT_UP_TO
    _dress(layer, [wanted[key] for key in shown] + missing, taxonomy)


def _keep_in_place(layer: Shapes, wanted: dict[str, Cell]) -> list[str]:
    """Remove the shapes that show no wanted cell where it is; ids of the others, in order.

    A shape without a usable id is kept when it lies where a cell without a shape lies: it was
    drawn or pasted, and its cell has just been minted.
    """
    ids = _ids(layer)
    shown: dict[int, str] = {}
    free = dict(wanted)
    for i, (key, vertices) in enumerate(zip(ids, layer.data, strict=True)):
        if key in free and _shows(vertices, free[key]):
            shown[i] = free.pop(key).cell_id
    stale: set[int] = set()
    for i, vertices in enumerate(layer.data):
        if i not in shown:
            key = next((key for key, cell in free.items() if _shows(vertices, cell)), None)
            if key is None:
                stale.add(i)
            else:
                shown[i] = free.pop(key).cell_id
    kept = [shown[i] for i in sorted(shown)]
    if stale:
        selected = {shown[i] for i in layer.selected_data if i in shown}
        layer.selected_data = stale
        layer.remove_selected()
        layer.selected_data = {i for i, key in enumerate(kept) if key in selected}
    return kept


def _dress(layer: Shapes, cells: Sequence[Cell], taxonomy: Taxonomy) -> None:
    """Set features, colours and text of shapes that are in the order of ``cells``."""
    features = _features(cells, taxonomy)
    if not layer.features.reset_index(drop=True).equals(features):
        layer.features = features
        if len(cells):
            colors = transform_color([taxonomy.colors.get(cell.label, "#ffffff") for cell in cells])
            layer.edge_color = colors
    layer.feature_defaults = _DEFAULTS


def _features(cells: Sequence[Cell], taxonomy: Taxonomy) -> pd.DataFrame:
    shorts = taxonomy.shorts
    return pd.DataFrame(
        {
            "cell_id": pd.Series([cell.cell_id for cell in cells], dtype=object),
            "label": pd.Series([cell.label for cell in cells], dtype=object),
            "short": pd.Series([shorts.get(cell.label, "?") for cell in cells], dtype=object),
            "confidence": pd.Series(
                [cell.prediction.confidence if cell.prediction else np.nan for cell in cells], dtype=float
            ),
        }
    )


def _ids(layer: Shapes) -> list[str]:
    ids: list[str] = layer.features["cell_id"].astype(str).tolist() if "cell_id" in layer.features else []
    return ids + [""] * (len(layer.data) - len(ids))


def _vertices(cell: Cell) -> npt.NDArray[np.float64]:
    outline = cell.detection.outline
    return (outline.array() if outline else cell.detection.bbox.corners()) - HALF


def _shows(vertices: npt.NDArray[Any], cell: Cell) -> bool:
    wanted = _vertices(cell)
    return wanted.shape == vertices.shape and bool(np.abs(wanted - vertices).max() < TOLERANCE)


def _geometry(vertices: npt.NDArray[np.float64], kind: str) -> tuple[BBox, Outline | None]:
    vertices = vertices[:, -2:] + HALF
    if kind == "ellipse":
        center, axes = vertices.mean(axis=0), (vertices[1] - vertices[0]) / 2, (vertices[3] - vertices[0]) / 2
        angle = np.linspace(0, 2 * np.pi, ELLIPSE_VERTICES, endpoint=False)[:, None]
        outline = Outline.from_array(center + np.cos(angle) * axes[0] + np.sin(angle) * axes[1])
        return outline.bbox, outline
    box = BBox.around(vertices)
    if kind == "rectangle" and np.abs(np.sort(vertices, axis=0) - np.sort(box.corners(), axis=0)).max() < TOLERANCE:
        return box, None
    return box, Outline.from_array(vertices)


class CellsBinding:
    """Keeps a layer and the session's table in step.

    Parameters
    ----------
    session : Session
    layer : Shapes
        It shows the field in view.
    annotator : callable
        Who is at the screen, asked at each annotation.
    """

    def __init__(self, session: Session, layer: Shapes, annotator: Callable[[], str] = str) -> None:
        self.session, self.layer, self._annotator = session, layer, annotator
        self._pushing = False
        self.push()
        session.changed.connect(self._on_changed)
        session.field_changed.connect(self._on_field)
        layer.events.data.connect(self._on_data)
        layer.events.features.connect(self._on_features)

    def close(self) -> None:
        """Take the last edits in and let go of layer and session."""
        self.pull()
        self.session.changed.disconnect(self._on_changed)
        self.session.field_changed.disconnect(self._on_field)
        self.layer.events.data.disconnect(self._on_data)
        self.layer.events.features.disconnect(self._on_features)

    @property
    def drawing(self) -> bool:
        """Whether a shape is being drawn or dragged at this moment."""
        return bool(getattr(self.layer, "_is_creating", False) or getattr(self.layer, "_is_moving", False))

    def pull(self) -> None:
        """Read the layer and commit what a person did to it; mend what means nothing."""
        session, field = self.session, self.session.field
        if self._pushing or field is None or len(self.layer.features) != len(self.layer.data):
            return
        rows = read(self.layer, self._cells())
        when = datetime.now(UTC).isoformat(timespec="seconds")
        table = reconcile(
            session.table, rows, field.fov_id, session.taxonomy, annotator=self._annotator(), when=when
        )
        if not session.commit(table, "edit cells"):
            self.push()

    def push(self) -> None:
        """Make the layer show the table."""
        with self._quiet():
            apply(self.layer, self._cells(), self.session.taxonomy)

    def selected(self) -> tuple[str, ...]:
        """Ids of the selected cells."""
        ids = _ids(self.layer)
        return tuple(ids[i] for i in sorted(self.layer.selected_data) if i < len(ids))

    def select(self, cell_ids: set[str]) -> None:
        """Select the shapes of these cells."""
        with self._quiet():
            self.layer.selected_data = {i for i, key in enumerate(_ids(self.layer)) if key in cell_ids}
            self.layer.feature_defaults = _DEFAULTS

    def _cells(self) -> tuple[Cell, ...]:
        field = self.session.field
        return () if field is None else self.session.table.of_field(field.fov_id)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        before, self._pushing = self._pushing, True
        try:
            yield
        finally:
            self._pushing = before

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        step = diff(old, new)
        if step.added or step.removed or any(a.detection is not b.detection for a, b in step.changed):
            self.push()
        else:
            with self._quiet():
                _dress(self.layer, [new[key] for key in _ids(self.layer) if key in new], self.session.taxonomy)

    def _on_field(self, fov_id: str) -> None:
        del fov_id
        self.push()

    def _on_data(self, event: Any) -> None:
        if getattr(event, "action", None) in {ActionType.ADDED, ActionType.CHANGED, ActionType.REMOVED}:
            self.pull()

    def _on_features(self, event: Any) -> None:
        del event
        if not self.drawing:
            self.pull()
