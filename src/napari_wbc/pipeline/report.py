"""Counting, and writing what was found."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Cell
from napari_wbc.model.differential import Beside, Differential, Share, confidence_limits
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import NOT_CLASSED, UNIDENTIFIED, Place, Taxonomy
from napari_wbc.storage.atomic import within, write_bytes, write_text
from napari_wbc.storage.formats.csv import write_csv
from napari_wbc.storage.formats.geojson import feature_collection, write_geojson

if TYPE_CHECKING:
    from napari_wbc.pipeline.analyze import Analysis, SlideAnalysis
from napari_wbc.weights.card import RESEARCH_USE

__all__ = ["differential", "differential_json", "draw_overlay", "write_results"]


def differential(
    slide: str, table: CellTable, taxonomy: Taxonomy, *, confidence_level: float = 0.95
) -> Differential:
    """Count a slide's cells by label.

    Limits are Clopper and Pearson's (Biometrika 1934), one class against all others.

    Parameters
    ----------
    slide : str
        Its name.
    table : CellTable
    taxonomy : Taxonomy
    confidence_level : float
        Of the limits, 0 to 1.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import EIGHT_CLASSES
    >>> differential("empty", CellTable(), EIGHT_CLASSES).total
    0
    """
    counts = table.label_counts
    leukocytes = taxonomy.names_at(Place.LEUKOCYTE)
    total = sum(counts[name] for name in leukocytes)
    shares = tuple(_share(name, counts[name], total, confidence_level) for name in leukocytes)
    related = tuple(
        Beside(name, counts[name], 100 * counts[name] / total if total else math.nan)
        for name in taxonomy.names_at(Place.PER_100_WBC)
    )
    others = tuple(
        Beside(name, counts[name]) for name in (*taxonomy.names_at(Place.BESIDE), UNIDENTIFIED, NOT_CLASSED)
    )
    return Differential(slide, shares, related + others, confidence_level)


def _share(name: str, count: int, total: int, level: float) -> Share:
    if not total:
        return Share(name, 0, math.nan, math.nan, math.nan)
    low, high = confidence_limits(count, total, level)
    return Share(name, count, 100 * count / total, 100 * low, 100 * high)


def differential_json(analysis: Analysis) -> list[dict[str, Any]]:
    """The differentials as JSON values; what is not a number becomes null."""

    def number(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else round(value, 2)

    return [
        {
            "slide": one.slide.name,
            "fields": len(one.slide.fields),
            "failed": [{"path": str(f.path), "error": f.message} for f in one.failures],
            "detector": analysis.detector,
            "detector_parameters": dict(analysis.parameters),
            "model": analysis.model_id,
            "taxonomy": one.taxonomy.name,
            "threshold": analysis.threshold,
            "confidence_level": (counted := one.differential).confidence_level,
            "leukocytes": counted.total,
            "classes": [
                {
                    "class": s.name,
                    "count": s.count,
                    "percent": number(s.percent),
                    "low": number(s.low),
                    "high": number(s.high),
                }
                for s in counted.shares
            ],
            "beside": [
                {"class": b.name, "count": b.count, "per_100_wbc": number(b.per_100_wbc)}
                for b in counted.beside
            ],
            **_blood_cells(one),
            "use": RESEARCH_USE,
        }
        for one in analysis.slides
    ]


def _blood_cells(one: SlideAnalysis) -> dict[str, Any]:
    """Red cells and platelets of the fields where they were counted, and leukocytes there."""
    if not one.blood_cells:
        return {}
    leukocytes = sum(len(one.table.of_field(fov)) for fov in one.blood_cells)
    names = sorted({name for counts in one.blood_cells.values() for name in counts})
    totals = {name: sum(counts.get(name, 0) for counts in one.blood_cells.values()) for name in names}
    return {"blood_cells": {"fields": len(one.blood_cells), "leukocyte": leukocytes, **totals}}


def write_results(
    analysis: Analysis,
    out: str | Path,
    taxonomy: Taxonomy,
    *,
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]] | None = None,
) -> Steps[Path]:
    """Write cells, fields, outlines, differentials and overlays.

    Parameters
    ----------
    analysis : Analysis
    out : str or Path
        Folder, made where missing; files of the same names are replaced.
    taxonomy : Taxonomy
    read : callable, optional
        Gives the pixels of a field; from its file where None.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    WbcError
        If something cannot be written.
    """
    out = Path(out)
    write_csv(out / "cells.csv", analysis.cells)
    write_csv(out / "differential.csv", analysis.differential)
    write_csv(out / "fields.csv", analysis.fields)
    write_text(
        out / "differential.json",
        json.dumps(differential_json(analysis), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    )
    fields = [
        (field, one.table.of_field(field.fov_id)) for one in analysis.slides for field in one.read_fields
    ]
    collections = [feature_collection(field.fov_id, cells, taxonomy) for field, cells in fields]
    write_geojson(out / "cells.geojson", collections)
    for done, ((field, cells), collection) in enumerate(zip(fields, collections, strict=True), start=1):
        note = ""
        try:
            image = read(field) if read else read_image(field.path)
        except ReadError as error:
            note = str(error)
        else:
            picture = draw_overlay(image, cells, taxonomy)
            encoded = cv2.imencode(".png", picture[..., ::-1])[1]
            write_bytes(within(out / "overlays", f"{field.fov_id}.png"), encoded.tobytes())
        if len(fields) > 1:
            write_geojson(within(out / "geojson", f"{field.fov_id}.geojson"), [collection])
        yield Progress("drawing overlays", done, len(fields), note)
    return out


def draw_overlay(
    image: npt.NDArray[np.uint8], cells: Iterable[Cell], taxonomy: Taxonomy
) -> npt.NDArray[np.uint8]:
    """A copy of a field with its cells outlined in the colour of their label.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
    cells : iterable of Cell
    taxonomy : Taxonomy

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
    """
    picture = np.ascontiguousarray(image.copy())
    thick = max(1, round(max(image.shape[:2]) / 400))
    size = max(0.4, max(image.shape[:2]) / 1200)
    cells = list(cells)
    for cell in cells:
        outline, box = cell.detection.outline, cell.detection.bbox
        corners = (outline.array() if outline else box.corners()) - 0.5
        points = np.round(corners[:, ::-1]).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(picture, [points], True, (0, 0, 0), thick + 2, cv2.LINE_AA)
        cv2.polylines(picture, [points], True, _rgb(cell, taxonomy), thick, cv2.LINE_AA)
    for cell in cells:
        _write_label(picture, cell, taxonomy, size, thick)
    return picture


def _rgb(cell: Cell, taxonomy: Taxonomy) -> tuple[int, ...]:
    color = taxonomy.colors.get(cell.label, "#ffffff")
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def _write_label(
    picture: npt.NDArray[np.uint8], cell: Cell, taxonomy: Taxonomy, size: float, thick: int
) -> None:
    """Short name and confidence on a dark plate above the cell, inside the field."""
    text = taxonomy.shorts.get(cell.label, "?")
    if cell.prediction:
        text += f" {cell.prediction.confidence:.2f}"
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    box = cell.detection.bbox
    x = int(min(max(box.left, 2), max(picture.shape[1] - width - 2, 2)))
    y = int(max(box.top - 6, height + 4))
    cv2.rectangle(picture, (x - 2, y - height - 3), (x + width + 2, y + 3), (20, 20, 20), cv2.FILLED)
    cv2.putText(
        picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, _rgb(cell, taxonomy), thick, cv2.LINE_AA
    )
