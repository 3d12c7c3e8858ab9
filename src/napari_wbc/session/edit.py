"""Cells cut in two, cells made one, and candidates accepted.

Invariant: tables are never changed, and what comes out of a cut or a union are new cells: a
prediction of the old ones would be one of other pixels.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import shapely

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell, Detection, LocatedBy
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.table import CellTable

Point = tuple[float, float]

MIN_PART = 1.0
"""Square pixels below which a part is no cell."""
MAX_GAP = 1.0
"""Pixels between two outlines that still touch, as those of neighbouring masks do."""
WAIST = 0.9
"""Part of the chords around it below which a chord is a waist and not a rough edge."""
CUTS = 65
"""Cuts that are compared along the middle half of a cell; odd, so that one is in the middle."""
TILTS = (0, 5, -5, 10, -10, 15, -15, 20, -20, 25, -25, 30, -30)
"""Degrees by which a cut may lean, as it must between two cells of unequal size."""


def accepted(table: CellTable, cell_ids: Iterable[str]) -> CellTable:
    """Take candidates for cells, whose predictions count from now on; other cells stay as they are.

    Raises
    ------
    WbcError
        If one of the cells is not there.

    Examples
    --------
    >>> table = CellTable([Cell.new("a.png", Detection(BBox(0, 0, 9, 9), candidate=True))])
    >>> table.label_counts["candidate"], accepted(table, table).label_counts["candidate"]
    (1, 0)
    """
    return table.with_cells(map(Cell.accepted, _cells(table, cell_ids).values()))


def split(table: CellTable, cell_id: str, *, along: tuple[Point, Point] | None = None) -> CellTable:
    """Cut a cell in two.

    Two cells that touch are cut at their waist: the shortest chord about across the longest axis,
    in the middle half of the cell. A cell without a waist is cut across its longest axis through
    its centroid.

    The cell is gone from the result; two new ones, without prediction and annotation, are the
    largest part on either side of the cut. They have outlines, unless the cell had none and they
    are upright boxes.

    Parameters
    ----------
    along : pair of (row, col), optional
        Two points of the line to cut by, in pixels of the field.

    Raises
    ------
    WbcError
        If there is no such cell, the two points are one, or a part is less than a square pixel.

    Examples
    --------
    >>> cell = Cell.new("a.png", Detection(BBox(0, 0, 10, 30)))
    >>> halves = split(CellTable([cell]), cell.cell_id)
    >>> [(half.detection.bbox.left, half.detection.bbox.right) for half in halves.values()]
    [(0.0, 15.0), (15.0, 30.0)]
    """
    (cell,) = _cells(table, [cell_id]).values()
    whole = _polygon(cell.detection)
    line = _best_cut(whole) if along is None else np.array(along, dtype=float)
    if not np.isfinite(line).all() or np.linalg.norm(line[1] - line[0]) < 1e-6:
        raise WbcError("A cut needs two points that lie apart; draw a line across the cell.")
    parts = [_largest(whole.intersection(half)) for half in _halves(line, whole)]
    if any(part is None or part.area < MIN_PART for part in parts):
        raise WbcError(
            "The line leaves nothing on one side of the cell; draw it across the cell."
            if along
            else "The cell is too small to be cut; delete it and draw two cells."
        )
    outlined = cell.detection.outline is not None
    located_by = cell.detection.located_by
    halves = [_detection(part, outlined, located_by) for part in parts if part is not None]
    halves.sort(key=lambda detection: (detection.bbox.top, detection.bbox.left))
    new = [Cell.new(cell.fov_id, detection) for detection in halves]
    return table.without([cell_id]).with_cells(new)


def joined(table: CellTable, cell_ids: Iterable[str]) -> CellTable:
    """Make at least two cells of a field one.

    The cells are gone from the result; a new one has their union where they touch (within a pixel),
    else its convex hull. Where none of them has an outline, it has none either, but the box around
    them. It keeps the first annotation if all annotations say the same label, and has no
    prediction.

    Raises
    ------
    WbcError
        If there are fewer than two cells, one is not there, or they lie in several fields.

    Examples
    --------
    >>> cells = [Cell.new("a.png", Detection(BBox(0, left, 10, left + 10))) for left in (0, 10)]
    >>> table = CellTable(cells)
    >>> [new.detection.bbox for new in joined(table, table).values()]
    [BBox(top=0.0, left=0.0, bottom=10.0, right=20.0)]
    """
    chosen = _cells(table, cell_ids)
    cells = chosen.values()
    fields = {cell.fov_id for cell in cells}
    if len(cells) < 2:
        raise WbcError("One cell cannot be joined; select at least two cells.")
    if len(fields) > 1:
        raise WbcError(
            f"The cells lie in {len(fields)} fields; select cells of one field to join them."
        )
    outlined = any(cell.detection.outline for cell in cells)
    union = _union([_polygon(cell.detection) for cell in cells])
    located_by = {cell.detection.located_by for cell in cells}
    # A cell joined of several finders' cells was located by none of them.
    finder = located_by.pop() if len(located_by) == 1 else None
    detection = _detection(union if outlined else union.envelope, outlined, finder)
    annotations = [cell.annotation for cell in cells if cell.annotation]
    agreed = len(chosen.annotated_counts) == 1
    new = Cell.new(fields.pop(), detection).annotated(annotations[0] if agreed else None)
    return table.without(chosen).with_cells([new])


def _cells(table: CellTable, cell_ids: Iterable[str]) -> CellTable:
    """The cells with these ids, each once."""
    ids = dict.fromkeys(cell_ids)
    if not ids.keys() <= table.keys():
        raise WbcError("A selected cell is no longer in the table; select again.")
    return CellTable(map(table.__getitem__, ids))


def _polygon(detection: Detection) -> shapely.Polygon:
    """The outline, x the row and y the column; of one that crosses itself, the largest part."""
    box = detection.bbox
    upright = shapely.box(box.top, box.left, box.bottom, box.right)
    if detection.outline is None:
        return upright
    return _largest(shapely.make_valid(shapely.Polygon(detection.outline.vertices))) or upright


def _largest(geometry: shapely.geometry.base.BaseGeometry) -> shapely.Polygon | None:
    """The largest polygon of what a geometry consists of, its holes filled."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    areas = [part for part in parts if isinstance(part, shapely.Polygon) and part.area]
    polygons = [shapely.Polygon(part.exterior) for part in areas]
    return max(polygons, key=shapely.area, default=None)


def _detection(
    part: shapely.geometry.base.BaseGeometry, outlined: bool, located_by: LocatedBy | None
) -> Detection:
    """A drawn cell of this shape, as a mere box if that is all it is."""
    if not outlined and part.envelope.area - part.area < 1e-6 * part.area:
        return Detection(BBox(*map(float, part.bounds)), drawn=True, located_by=located_by)
    outline = Outline.from_array(shapely.get_coordinates(part)[:-1])
    return Detection(outline.bbox, outline, drawn=True, located_by=located_by)


def _halves(line: npt.NDArray[np.float64], whole: shapely.Polygon) -> list[shapely.Polygon]:
    """The plane on both sides of a line, as far as a shape reaches."""
    along = (line[1] - line[0]) / np.linalg.norm(line[1] - line[0])
    across = np.array([-along[1], along[0]])
    center = np.array(whole.centroid.coords[0])
    foot = line[0] + along * ((center - line[0]) @ along)
    top, left, bottom, right = whole.bounds
    reach = 2 * (bottom - top + right - left) + float(np.linalg.norm(center - foot))
    start = foot - reach * along
    end = foot + reach * along
    side = reach * across
    first = shapely.Polygon([start, end, end + side, start + side])
    return [first, shapely.Polygon([start, end, end - side, start - side])]


def _best_cut(whole: shapely.Polygon) -> npt.NDArray[np.float64]:
    """Two points of the line to cut by: at the waist, or else across the longest axis."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(whole))
    if len(corners) < 4:
        raise WbcError("The cell is too thin to be cut; delete it and draw two cells.")
    sides = corners[1] - corners[0], corners[2] - corners[1]
    long, short = sorted(sides, key=np.linalg.norm, reverse=True)
    waist = _waist(whole, corners[:4].mean(axis=0), long)
    if waist is not None:
        return waist
    centroid = np.array(whole.centroid.coords[0])
    return np.array([centroid - short, centroid + short])


def _waist(
    whole: shapely.Polygon, center: npt.NDArray[np.float64], long: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64] | None:
    """Two points of the shortest cut about across an axis, if it is a waist."""
    places = center + np.linspace(-0.25, 0.25, CUTS)[:, None] * long
    waists: list[tuple[float, npt.NDArray[np.float64]]] = []
    for angle in np.radians(TILTS):
        cos, sin = np.cos(angle), np.sin(angle)
        across = np.array([-long[1] * cos - long[0] * sin, long[0] * cos - long[1] * sin])
        lines = np.stack([places - across, places + across], axis=1)
        chords = np.asarray(
            shapely.length(shapely.intersection(shapely.linestrings(lines), whole))
        ).round(6)
        # Parallel chords of a convex shape are shortest at an end (Brunn): one inside is a waist.
        if chords.min() < WAIST * min(chords[0], chords[-1]):
            shortest = np.flatnonzero(chords == chords.min())
            waists.append((float(chords.min()), lines[shortest[len(shortest) // 2]]))
    return min(waists, key=lambda cut: cut[0], default=(0.0, None))[1]


def _union(shapes: list[shapely.Polygon]) -> shapely.Polygon:
    """What shapes cover together: as it is where they touch, else its convex hull."""
    union = shapely.union_all(shapes)
    if not isinstance(union, shapely.Polygon):
        # Rounding leaves hairlines between shapes that share an edge, and masks may share a mere
        # corner. Growing with sharp corners and shrinking with round ones bridges both and moves
        # nothing else.
        union = union.buffer(MAX_GAP / 2, join_style="mitre").buffer(
            -MAX_GAP / 2, join_style="round"
        )
    if isinstance(union, shapely.Polygon) and not union.is_empty:
        return shapely.Polygon(union.exterior)
    hull = shapely.union_all(shapes).convex_hull
    assert isinstance(hull, shapely.Polygon)
    return hull
