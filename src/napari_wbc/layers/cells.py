"""Cells of one field as a Shapes layer.

A pixel's centre lies at whole numbers in napari and half a pixel further in a
:class:`~napari_wbc.model.geometry.BBox`; that half pixel is added and taken here alone.
Colours are set shape by shape (direct mode), never by a cycle, whose order would change with
the classes present.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes
from napari.utils.colormaps.standardize_color import transform_color

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import CANDIDATE, UNIDENTIFIED, Taxonomy
from napari_wbc.session.reconcile import TOLERANCE, ShapeRow

if TYPE_CHECKING:
    import pandas as pd

HALF = 0.5
EDGE_WIDTH = 3
"""Of an outline, in pixels of the field."""
REBUILD_ABOVE = 50
"""More shapes than this to add or move, and the layer is built anew at once."""
ELLIPSE_VERTICES = 32
DEFAULTS: dict[str, Any] = {
    "cell_id": "",
    "label": UNIDENTIFIED,
    "short": "?",
    "confidence": np.nan,
}
"""Features of a shape that shows no cell yet."""


def make_layer(cells: Sequence[Cell], taxonomy: Taxonomy, **kwargs: Any) -> Shapes:
    """A Shapes layer of the cells of one field; ``kwargs``, such as scale, are those of Shapes."""
    layer = Shapes(
        ndim=2,
        name="cells",
        edge_width=EDGE_WIDTH,
        opacity=1,
        face_color="transparent",
        features=_features((), taxonomy),
        feature_defaults=DEFAULTS,
        **kwargs,
    )
    apply(layer, cells, taxonomy)
    return layer


def read(layer: Shapes, cells: Sequence[Cell] = ()) -> tuple[ShapeRow, ...]:
    """Read every shape of a layer; lines and shapes without area hold no cell and are left out.

    Outlines of ``cells`` are given back as the same objects where a shape did not move, which
    spares comparing their vertices.
    """
    ids = shape_ids(layer)
    by_id = CellTable(cells)
    labels = layer.features["label"].astype(str) if _named(layer) else [""] * len(ids)
    # Without usable features a shape is the cell that lies where it lies.
    places = None if _named(layer) else _Places(cells)
    rows = []
    for points, kind, cell_id, label in zip(layer.data, layer.shape_type, ids, labels, strict=True):
        cell = by_id.get(cell_id) if places is None else places.take(points)
        if cell is not None and _shows(points, cell):
            text = label if places is None else cell.label
            rows.append(ShapeRow(cell.cell_id, text, cell.detection.bbox, cell.detection.outline))
            continue
        try:
            rows.append(ShapeRow(cell_id, label, *_geometry(np.asarray(points, dtype=float), kind)))
        except WbcError:
            continue
    return tuple(rows)


def on_image(
    rows: Sequence[ShapeRow],
    cells: Sequence[Cell],
    extent: tuple[int, ...] | None,
    *,
    least: float = 0.0,
) -> tuple[ShapeRow, ...]:
    """Leave out shapes that cannot be cells: those drawn beside the image or too small.

    A cell that was dragged off the image, or made too small, stays as it was.

    ``extent`` is height and width of the image; where None, shapes may lie anywhere. ``least`` is
    the longer side in pixels below which a shape is a slip of the hand.
    """
    height, width = extent or (math.inf, math.inf)
    start = 0.0 if extent else -math.inf
    by_id = CellTable(cells)
    possible = []
    for row in rows:
        box = row.bbox
        inside = box.bottom > start and box.right > start and box.top < height and box.left < width
        cell = by_id.get(row.cell_id)
        side = max(box.height, box.width)
        before = 0.0 if cell is None else max(cell.detection.bbox.height, cell.detection.bbox.width)
        shrank = cell is None or side < before - TOLERANCE
        # A cell that was small before, as a platelet, may be moved as it is.
        if inside and (side >= least or not shrank):
            possible.append(row)
        elif cell is not None:
            detection = cell.detection
            possible.append(ShapeRow(row.cell_id, row.label, detection.bbox, detection.outline))
    return tuple(possible)


def apply(layer: Shapes, cells: Sequence[Cell], taxonomy: Taxonomy, *, anew: bool = False) -> None:
    """Make a layer show these cells of one field, changing only what differs.

    Relabelling sets features and colours and rebuilds no shape. Selected cells stay selected.
    With ``anew`` the layer has shapes of another field, of which none is looked for.
    """
    # The thumbnail shows faces, of which these shapes have none, and costs most.
    with layer.block_thumbnail_update():
        _apply(layer, cells, taxonomy, anew=anew)


def _apply(layer: Shapes, cells: Sequence[Cell], taxonomy: Taxonomy, *, anew: bool) -> None:
    import pandas as pd

    wanted = CellTable(cells)
    shown: list[str | None] = [None] * layer.nshapes
    selected: set[str] = set()
    if not anew:
        shown, selected = _shown(layer, cells)
    stale = {i for i, key in enumerate(shown) if key is None}
    in_place = list(filter(None, shown))
    missing = list(wanted.without(in_place).values())
    if not _in_step(layer):
        layer.features = pd.DataFrame([DEFAULTS] * layer.nshapes, columns=list(DEFAULTS))
        layer.edge_color = "white"
        layer.face_color = "transparent"
    if len(missing) > REBUILD_ABOVE:
        in_place = []
        missing = list(cells)
        # The new shapes follow at once. Told of an empty layer, napari would measure all layers
        # three times in between.
        with layer.events.blocker_all():
            layer.data = []
    elif stale:
        layer.selected_data = stale
        layer.remove_selected()
    if missing:
        layer.add(
            [vertices(cell.detection) for cell in missing],
            shape_type=["polygon" if cell.detection.outline else "rectangle" for cell in missing],
            edge_color=_edges(missing, taxonomy),
            face_color="transparent",
        )
    order = list(map(wanted.__getitem__, in_place)) + missing
    # Setting the same selection again would draw its box once more.
    chosen = {i for i, cell in enumerate(order) if cell.cell_id in selected}
    if chosen != set(layer.selected_data):
        layer.selected_data = chosen
    dress(layer, order, taxonomy)


def dress(layer: Shapes, cells: Sequence[Cell], taxonomy: Taxonomy) -> None:
    """Set features and colours of shapes that are in the order of ``cells``."""
    features = _features(cells, taxonomy)
    if not layer.features.reset_index(drop=True).equals(features):
        layer.features = features
        edges = _edges(cells, taxonomy)
        if not np.array_equal(layer.edge_color, edges):
            with layer.block_thumbnail_update():
                layer.edge_color = edges
    keep_defaults(layer)


def keep_defaults(layer: Shapes) -> None:
    """Let a shape that is drawn next show no cell; napari gives it the features of another."""
    now = layer.feature_defaults
    # Setting them checks all features, so only what differs is set.
    if list(now) != list(DEFAULTS) or (now["cell_id"][0], now["label"][0]) != ("", UNIDENTIFIED):
        layer.feature_defaults = DEFAULTS


def shape_ids(layer: Shapes) -> list[str]:
    """What the layer's features say of each shape's cell; empty where they cannot be believed."""
    return list(layer.features["cell_id"].astype(str)) if _named(layer) else [""] * layer.nshapes


def shows(layer: Shapes, cells: Sequence[Cell]) -> bool:
    """Whether a layer's features are those of exactly these cells, in their order."""
    if not _in_step(layer) or layer.nshapes != len(cells) or not _named(layer):
        return False
    ids = layer.features["cell_id"].tolist()
    labels = layer.features["label"].tolist()
    return bool(list(zip(ids, labels, strict=True)) == [(c.cell_id, c.label) for c in cells])


def vertices(detection: Detection) -> npt.NDArray[np.float64]:
    """Where a detection lies in a layer over its field, shape (N, 2), (row, col)."""
    return (detection.outline.array() if detection.outline else detection.bbox.corners()) - HALF


def _in_step(layer: Shapes) -> bool:
    """Whether each shape has a row of features.

    napari takes away a polygon that was given up, and a shape that lost its last vertices,
    without their row.
    """
    return len(layer.features) == len(layer.data)


def _named(layer: Shapes) -> bool:
    """Whether the features can say which cells the shapes stand for."""
    return _in_step(layer) and {"cell_id", "label"} <= set(layer.features)


class _Places:
    """Cells, to be found by where they lie."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._cells = list(cells)
        # Top, left, bottom and right of each box; reshaped, since there may be no cell.
        corners = [cell.detection.bbox.corners()[[0, 2]] for cell in self._cells]
        self._edges = np.array(corners, dtype=float).reshape(-1, 4) - HALF

    def take(self, points: npt.NDArray[Any]) -> Cell | None:
        """A cell with the bounding box of these points that was not taken before, if any."""
        edges = np.concatenate([points.min(axis=0), points.max(axis=0)])
        near = np.flatnonzero(np.abs(self._edges - edges).max(axis=1) < TOLERANCE)
        if not len(near):
            return None
        place = next((i for i in near if _shows(points, self._cells[i])), near[0])
        # Never near any points again: a cell is taken once.
        self._edges[place] = np.inf
        return self._cells[place]


def _shown(layer: Shapes, cells: Sequence[Cell]) -> tuple[list[str | None], set[str]]:
    """The id of the cell that each shape shows where it is, None where none; ids of the selected.

    A shape without a usable id shows the cell that lies where it lies: it was drawn or pasted,
    and its cell has just been minted.
    """
    ids = shape_ids(layer)
    data = layer.data
    free = {cell.cell_id: cell for cell in cells}
    shown: list[str | None] = [None] * len(data)
    for i, (key, points) in enumerate(zip(ids, data, strict=True)):
        if key in free and _shows(points, free[key]):
            shown[i] = free.pop(key).cell_id
    places = _Places(free.values())
    stands_for = dict(enumerate(shown))
    for i, points in enumerate(data):
        if shown[i] is None:
            cell = places.take(points)
            if cell is not None:
                stands_for[i] = cell.cell_id
                shown[i] = cell.cell_id if _shows(points, cell) else None
            elif ids[i] in free:
                stands_for[i] = ids[i]
    selected = set(filter(None, map(stands_for.get, layer.selected_data)))
    return shown, selected


def _features(cells: Sequence[Cell], taxonomy: Taxonomy) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for cell in cells:
        confidence = cell.prediction.confidence if cell.prediction else np.nan
        rows.append((cell.cell_id, cell.label, taxonomy.short_of(cell.label), confidence))
    # Types are set, since those of a table without rows would differ and make it look changed.
    table = pd.DataFrame(rows, columns=list(DEFAULTS), dtype=object)
    return table.astype({"confidence": float})


def _edges(cells: Sequence[Cell], taxonomy: Taxonomy) -> npt.NDArray[np.float32]:
    """Colours of the shapes' edges, shape (N, 4), RGBA, 0 to 1."""
    colors = {name: transform_color(color)[0] for name, color in taxonomy.colors.items()}
    # Candidates have dashes instead, in a layer of their own.
    colors[CANDIDATE] = np.zeros(4, np.float32)
    white = np.ones(4, np.float32)
    names = [taxonomy.row_of(cell.label) for cell in cells]
    return np.array([colors.get(name, white) for name in names], np.float32).reshape(-1, 4)


def _shows(points: npt.NDArray[Any], cell: Cell) -> bool:
    wanted = vertices(cell.detection)
    return wanted.shape == points.shape and bool(np.abs(wanted - points).max() < TOLERANCE)


def _geometry(points: npt.NDArray[np.float64], kind: str) -> tuple[BBox, Outline | None]:
    points = points[:, -2:] + HALF
    if kind == "ellipse":
        center = points.mean(axis=0)
        across = (points[1] - points[0]) / 2
        down = (points[3] - points[0]) / 2
        angle = np.linspace(0, 2 * np.pi, ELLIPSE_VERTICES, endpoint=False)[:, None]
        outline = Outline.from_array(center + np.cos(angle) * across + np.sin(angle) * down)
        return outline.bbox, outline
    box = BBox.around(points)
    if kind == "rectangle":
        corners = np.sort(box.corners(), axis=0)
        # A turned rectangle has its corners off the bounding box and is kept as an outline.
        if np.allclose(np.sort(points, axis=0), corners, rtol=0, atol=TOLERANCE):
            return box, None
    return box, Outline.from_array(points)
