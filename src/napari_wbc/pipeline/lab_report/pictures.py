"""The pictures of a report: cells by class, and the fields with where the cells lie."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError
from napari_wbc.explain.canvas import overlay, painted
from napari_wbc.imaging.crop import cut_crops
from napari_wbc.imaging.pyramid.opening import is_whole_slide, open_pyramid
from napari_wbc.imaging.pyramid.overview import overview as slide_overview
from napari_wbc.imaging.pyramid.slide_crops import slide_crops
from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import BBox
from napari_wbc.model.heat import Heat
from napari_wbc.model.slide import FieldOfView
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.pipeline.analysis import ReadField, SlideAnalysis

OF_A_CLASS = 10
"""Cells of a class in the gallery."""
FIELDS = 8
"""Fields in the overview."""
SIDE = 72
"""Pixels of a cell in the gallery."""
FACTOR = 1.5
"""Of the cell's longer side."""
WIDTH = 300
"""Pixels of a field in the overview."""
LEAST_RADIUS = 5.0
"""Pixels of a mark in the overview."""
NO_HEAT: Mapping[str, Heat] = {}
_SLIDE = 2 * WIDTH
"""Longer side, in pixels, of a whole slide before it is shrunk to :data:`WIDTH`."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A cell of the gallery; ``data`` is a ``data:`` address of a JPEG."""

    data: str
    title: str
    reviewed: bool
    heat: str = ""
    """The same with heat over it, where it was asked for and there is any."""


@dataclass(frozen=True, slots=True)
class Row:
    """A class of the gallery; its first cells."""

    name: str
    cells: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """A field with the places of its cells, as shares of its width and height, 0 to 100."""

    data: str
    name: str
    width: int
    height: int
    places: tuple[tuple[float, float, float, str], ...]
    """x, y and radius in pixels of the picture, and the label."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """All pictures of a report."""

    gallery: tuple[Row, ...] = ()
    overview: tuple[Overview, ...] = ()
    missing: int = 0
    """Fields whose image could not be read."""

    @property
    def heated(self) -> bool:
        """Whether a cell of the gallery has heat."""
        return any(picture.heat for row in self.gallery for picture in row.pictures)

    @property
    def guessed(self) -> bool:
        """Whether a cell of the gallery is labelled by the model only."""
        return any(not picture.reviewed for row in self.gallery for picture in row.pictures)


def gallery_cells(analysis: SlideAnalysis, taxonomy: Taxonomy) -> tuple[Cell, ...]:
    """The cells that the gallery of a report shows."""
    return tuple(chain.from_iterable(_chosen(analysis.table.values(), taxonomy).values()))


def pictures(
    analysis: SlideAnalysis,
    taxonomy: Taxonomy,
    names: Mapping[str, str],
    read: ReadField,
    heats: Mapping[str, Heat] = NO_HEAT,
) -> Pictures:
    """Cut the gallery and shrink the overview of a slide, reading each field once.

    The gallery has the first cells of each class by chance of their ids, so that it is not made of
    the model's surest.

    Parameters
    ----------
    names : mapping of str to str
        What the report calls each field.
    heats : mapping of str to Heat
        Of the cells of the gallery, by id.
    """
    chosen = _chosen(analysis.table.values(), taxonomy)
    by_field: dict[str, list[Cell]] = {}
    for cells in chosen.values():
        for cell in cells:
            by_field.setdefault(cell.fov_id, []).append(cell)
    shown = _fullest(analysis)
    crops: dict[str, str] = {}
    hot: dict[str, str] = {}
    overview: list[Overview] = []
    missing = 0
    for field in analysis.slide.fields:
        if field.fov_id not in by_field and field.fov_id not in shown:
            continue
        cells = by_field.get(field.fov_id, [])
        boxes = [cell.detection.bbox for cell in cells]
        try:
            image, cut, shrunk = _cut(field, boxes, read)
        except ReadError:
            missing += 1
            continue
        crops |= _jpegs(cells, cut)
        # A whole slide is not read as one image, so its cells have no heat.
        warm = [cell for cell in cells if cell.cell_id in heats and shrunk == 1]
        if warm:
            canvas = painted([heats[cell.cell_id] for cell in warm], image.shape[:2])
            around = [cell.detection.bbox for cell in warm]
            hot |= _jpegs(warm, cut_crops(overlay(image, canvas), around, size=SIDE, factor=FACTOR))
        if field.fov_id in shown:
            name = names.get(field.fov_id, field.fov_id)
            here = analysis.table.of_field(field.fov_id)
            overview.append(_overview(name, image, here, shrunk))
    counts: dict[str, int] = {}
    for label, n in analysis.table.label_counts.items():
        counts[taxonomy.row_of(label)] = counts.get(taxonomy.row_of(label), 0) + n
    gallery: list[Row] = []
    for name, cells in chosen.items():
        there = tuple(
            Picture(
                crops[cell.cell_id],
                cell.label,
                cell.annotation is not None,
                hot.get(cell.cell_id, ""),
            )
            for cell in cells
            if cell.cell_id in crops
        )
        gallery.append(Row(name, counts[name], there))
    return Pictures(tuple(gallery), tuple(overview), missing)


def _jpegs(cells: Sequence[Cell], crops: npt.NDArray[np.generic]) -> dict[str, str]:
    """JPEGs of cells by id."""
    return {cell.cell_id: _jpeg(crop) for cell, crop in zip(cells, crops, strict=True)}


def _cut(
    field: FieldOfView, boxes: Sequence[BBox], read: ReadField
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], float]:
    """The image of a field, crops of its cells, and by how much the image is shrunk already."""
    if not is_whole_slide(field.path):
        image = read(field)
        return image, cut_crops(image, boxes, size=SIDE, factor=FACTOR), 1.0
    picture = slide_overview(field.path, _SLIDE)
    with open_pyramid(field.path) as pyramid:
        shrunk = picture.shape[1] / pyramid.levels[0].width
    return picture, slide_crops(field.path, boxes, size=SIDE, factor=FACTOR), shrunk


def _chosen(cells: Iterable[Cell], taxonomy: Taxonomy) -> Mapping[str, list[Cell]]:
    """The cells of the gallery by row, in the order of the taxonomy."""
    rows: dict[str, list[Cell]] = {name: [] for name in taxonomy.labels}
    # Ids are drawn by chance or are digests, so their order has nothing to do with the label.
    for cell in sorted(cells, key=lambda cell: cell.cell_id):
        row = rows.setdefault(taxonomy.row_of(cell.label), [])
        if len(row) < OF_A_CLASS:
            row.append(cell)
    return {name: row for name, row in rows.items() if row}


def _fullest(analysis: SlideAnalysis) -> frozenset[str]:
    """The fields with most cells."""
    fields = [field.fov_id for field in analysis.slide.fields]
    fields.sort(key=lambda fov_id: -len(analysis.table.of_field(fov_id)))
    return frozenset(fields[:FIELDS])


def _overview(
    name: str, image: npt.NDArray[np.uint8], cells: Iterable[Cell], shrunk: float
) -> Overview:
    height, width = image.shape[:2]
    shrink = WIDTH / width
    size = (WIDTH, max(1, round(height * shrink)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    places: list[tuple[float, float, float, str]] = []
    for cell in cells:
        box = cell.detection.bbox
        row, column = box.center
        # Around the cell, not on it.
        radius = max(LEAST_RADIUS, 0.55 * max(box.height, box.width) * shrunk * shrink)
        place = (round(number * shrunk * shrink, 1) for number in (column, row))
        places.append((*place, round(radius, 1), cell.label))
    return Overview(_jpeg(small), name, *size, tuple(places))


def _jpeg(image: npt.NDArray[np.generic]) -> str:
    # OpenCV writes BGR.
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    return f"data:image/jpeg;base64,{b64encode(data).decode()}"
