"""Cells of scanned films by region: the parts that a coarse pass finds, and those that are drawn.

Invariant: a cell is in a region if the middle of its box is. Regions may overlap, so their counts
do not add up to those of the film.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

from napari_wbc.detect.film_plan import plan_steps
from napari_wbc.detect.mask_rcnn import DetectorPreset
from napari_wbc.imaging.pyramid.opening import open_pyramid
from napari_wbc.imaging.pyramid.zones import Zone, Zones, with_areas, zones_steps
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.differential import DEFAULT, Differential, differential
from napari_wbc.model.policy import Policy
from napari_wbc.model.progress import Steps
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import Taxonomy

Regions: TypeAlias = Mapping[str, Mapping[str, shapely.Geometry]]
"""Scanned film to its regions by name, in (x, y) pixels of the film."""
MONOLAYER, REST = "monolayer", "the rest of the film"
ZONE_NAMES: Mapping[Zone, str] = {
    "monolayer": MONOLAYER,
    "thin": "thin part",
    "thick": "thick part",
}


@dataclass(frozen=True, slots=True)
class RegionCount:
    """The differential of one region."""

    name: str
    counted: Differential


def zone_areas(zones: Zones) -> dict[str, shapely.Geometry]:
    """The zones of a film that hold cells, by name; those that it lacks are left out."""
    areas = {name: zones.area(zone) for zone, name in ZONE_NAMES.items()}
    return {name: area for name, area in areas.items() if shapely.area(area) > 0}


def zones_among(regions: Mapping[str, shapely.Geometry]) -> dict[str, shapely.Geometry]:
    """Those of the regions of a film that are its zones."""
    return {name: regions[name] for name in ZONE_NAMES.values() if name in regions}


def film_zones_steps(path: Path, kept: Mapping[str, shapely.Geometry]) -> Steps[Zones]:
    """The zones of a film, as a coarse pass finds them, or as they were kept.

    Raises
    ------
    ReadError
        If the slide cannot be read.
    WbcError
        If it shows nothing but glass.
    """
    with open_pyramid(path) as pyramid:
        preset = DetectorPreset()
        plan = yield from plan_steps(pyramid, preset)
        zones = yield from zones_steps(pyramid, preset.red_cell / plan.scale)
    areas = {zone: kept[name] for zone, name in ZONE_NAMES.items() if name in kept}
    return with_areas(zones, areas) if areas else zones


def with_drawn(
    zones: Mapping[str, shapely.Geometry], drawn: Mapping[str, shapely.Geometry]
) -> dict[str, shapely.Geometry]:
    """Zones and drawn regions; a drawn one that is named like a zone says that it is drawn.

    Examples
    --------
    >>> area = shapely.box(0, 0, 1, 1)
    >>> list(with_drawn({"monolayer": area}, {"edge": area, "monolayer": area}))
    ['monolayer', 'edge', 'monolayer (drawn)']
    """
    regions = dict(zones)
    for name, area in drawn.items():
        regions[f"{name} (drawn)" if name in ZONE_NAMES.values() else name] = area
    return regions


def inside(cells: Sequence[Detection], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    """Whether the middle of each cell lies in an area."""
    if not cells:
        return np.zeros(0, bool)
    rows, cols = np.array([cell.bbox.center for cell in cells]).T
    return np.asarray(shapely.contains_xy(area, cols, rows))


def by_region(
    table: CellTable, regions: Regions, taxonomy: Taxonomy, policy: Policy = DEFAULT
) -> tuple[RegionCount, ...]:
    """The differential of each region; regions of one name on several films are counted together.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import EIGHT_CLASSES
    >>> by_region(CellTable(), {}, EIGHT_CLASSES)
    ()
    """
    cells: dict[str, list[Cell]] = {}
    for fov_id, areas in regions.items():
        of_film = table.of_field(fov_id)
        for name, area in areas.items():
            within = inside([cell.detection for cell in of_film], area)
            of_region = [cell for cell, one in zip(of_film, within, strict=True) if one]
            cells.setdefault(name, []).extend(of_region)
    return tuple(
        RegionCount(name, differential(name, CellTable(of_region), taxonomy, policy))
        for name, of_region in cells.items()
    )


def monolayer_and_rest(table: CellTable, regions: Regions) -> dict[str, dict[str, int]]:
    """Cells by label in the monolayer of films, and elsewhere; empty where it is unknown."""
    labels: dict[str, dict[str, int]] = {}
    for fov_id, areas in regions.items():
        if MONOLAYER not in areas:
            continue
        of_film = table.of_field(fov_id)
        within = inside([cell.detection for cell in of_film], areas[MONOLAYER])
        for cell, one in zip(of_film, within, strict=True):
            part = labels.setdefault(f"the {MONOLAYER}" if one else REST, {})
            part[cell.label] = part.get(cell.label, 0) + 1
    return labels
