"""Counting, and writing what was found."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError
from napari_wbc.files.atomic import within, write_bytes, write_text
from napari_wbc.imaging.read import read_field
from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.storage.formats.geojson import feature_collection, write_geojson
from napari_wbc.storage.tables import write_csv
from napari_wbc.weights.card import RESEARCH_USE

if TYPE_CHECKING:
    from napari_wbc.pipeline.analyze import Analysis, SlideAnalysis

__all__ = ["Written", "differential_json", "draw_overlay", "write_results"]


@dataclass(frozen=True, slots=True)
class Written:
    """Results on the disk.

    Parameters
    ----------
    folder : Path
    failures : tuple of Failure
        Images that could not be read, and so have no overlay; their cells are in all else.
    """

    folder: Path
    failures: tuple[Failure, ...] = ()


def differential_json(analysis: Analysis) -> list[dict[str, Any]]:
    """The differentials as JSON values; what is not a number becomes null."""
    return [_slide_json(slide, analysis) for slide in analysis.slides]


def _slide_json(slide: SlideAnalysis, analysis: Analysis) -> dict[str, Any]:
    counted = slide.differential
    return {
        "slide": slide.slide.name,
        "fields": len(slide.slide.fields),
        "failed": [{"path": str(f.path), "error": f.message} for f in slide.failures],
        "detector": slide.detector,
        "detector_parameters": slide.detector_parameters,
        "located_by": [
            {"detector": by.detector, "parameters": dict(by.parameters), "cells": cells}
            for by, cells in slide.located_by.items()
        ],
        "model": analysis.model_id,
        "taxonomy": slide.taxonomy.name,
        "threshold": analysis.threshold,
        "confidence_level": counted.confidence_level,
        "leukocytes": counted.total,
        "classes": [
            {
                "class": share.name,
                "count": share.count,
                "percent": _number(share.percent),
                "low": _number(share.low),
                "high": _number(share.high),
            }
            for share in counted.shares
        ],
        "beside": [
            {"class": row.name, "count": row.count, "per_100_wbc": _number(row.per_100_wbc)}
            for row in counted.beside
        ],
        **_blood_cells(slide),
        "use": RESEARCH_USE,
    }


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 2)


def _blood_cells(slide: SlideAnalysis) -> dict[str, Any]:
    """Red cells and platelets of the fields where they were counted, and leukocytes there."""
    if not slide.blood_cells:
        return {}
    leukocytes = sum(slide.leukocytes_in(fov_id) for fov_id in slide.blood_cells)
    totals: Counter[str] = Counter()
    for counts in slide.blood_cells.values():
        totals.update(counts)
    return {
        "blood_cells": {
            "fields": len(slide.blood_cells),
            "leukocyte": leukocytes,
            **dict(sorted(totals.items())),
        }
    }


def write_results(
    analysis: Analysis,
    out: str | Path,
    taxonomy: Taxonomy,
    *,
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]] | None = None,
) -> Steps[Written]:
    """Write cells, fields, outlines, differentials and overlays.

    Where an image cannot be read, its cells are in all but an overlay, and ``differential.json``
    tells it.

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
    Written

    Raises
    ------
    WbcError
        If something cannot be written.
    """
    out = Path(out)
    write_csv(out / "cells.csv", analysis.cells)
    write_csv(out / "differential.csv", analysis.differential)
    write_csv(out / "fields.csv", analysis.fields)
    _write_json(analysis, out)
    fields = _listed(analysis)
    collections = [feature_collection(field.fov_id, field.cells, taxonomy) for field in fields]
    write_geojson(out / "cells.geojson", collections)
    failed: dict[str, list[Failure]] = {}
    for done, (field, collection) in enumerate(zip(fields, collections, strict=True), start=1):
        note = ""
        try:
            _write_overlay(field, read or read_field, taxonomy, out / "overlays")
        except ReadError as error:
            note = str(error)
            path = field.image.path if field.image else Path(field.fov_id)
            failed.setdefault(field.slide, []).append(Failure(path, note))
        if len(fields) > 1:
            write_geojson(within(out / "geojson", f"{field.fov_id}.geojson"), [collection])
        yield Progress("drawing overlays", done, len(fields), note)
    if failed:
        _write_json(_with_failures(analysis, failed), out)
    return Written(out, tuple(chain.from_iterable(failed.values())))


@dataclass(frozen=True, slots=True)
class _Listed:
    """A field in the results; without an image where it is none of its slide's any more."""

    slide: str
    fov_id: str
    image: FieldOfView | None
    cells: tuple[Cell, ...]


def _listed(analysis: Analysis) -> list[_Listed]:
    listed = []
    for slide in analysis.slides:
        images = {field.fov_id: field for field in slide.slide.fields}
        listed += [
            _Listed(slide.slide.name, fov_id, images.get(fov_id), slide.table.of_field(fov_id))
            for fov_id in slide.listed_fields
        ]
    return listed


def _write_json(analysis: Analysis, out: Path) -> None:
    text = json.dumps(differential_json(analysis), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(out / "differential.json", f"{text}\n")


def _with_failures(analysis: Analysis, failed: Mapping[str, Sequence[Failure]]) -> Analysis:
    """The analysis with more failures, by slide; of a file that failed before, the new reason is told."""
    slides = []
    for slide in analysis.slides:
        failures = {
            failure.path: failure
            for failure in (*slide.failures, *failed.get(slide.slide.name, ()))
        }
        slides.append(replace(slide, failures=tuple(failures.values())))
    return replace(analysis, slides=tuple(slides))


def _write_overlay(
    field: _Listed,
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]],
    taxonomy: Taxonomy,
    folder: Path,
) -> None:
    """Write the overlay of a field; where its image cannot be read, that of an earlier run is deleted."""
    path = within(folder, f"{field.fov_id}.png")
    try:
        if field.image is None:
            raise ReadError(f"{field.fov_id}: the slide has no such image any more; put it back.")
        image = read(field.image)
    except ReadError:
        path.unlink(missing_ok=True)
        raise
    picture = draw_overlay(image, field.cells, taxonomy)
    encoded = cv2.imencode(".png", picture[..., ::-1])[1]
    write_bytes(path, encoded.tobytes())


def draw_overlay(
    image: npt.NDArray[np.uint8], cells: Iterable[Cell], taxonomy: Taxonomy
) -> npt.NDArray[np.uint8]:
    """A copy of a field with its cells outlined in the colour of the class that they count as.

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
    color = taxonomy.colors.get(taxonomy.row_of(cell.label), "#ffffff")
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def _write_label(
    picture: npt.NDArray[np.uint8], cell: Cell, taxonomy: Taxonomy, size: float, thick: int
) -> None:
    """Short name and confidence on a dark plate above the cell, inside the field."""
    text = taxonomy.short_of(cell.label)
    if cell.prediction:
        text += f" {cell.prediction.confidence:.2f}"
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    box = cell.detection.bbox
    x = int(min(max(box.left, 2), max(picture.shape[1] - width - 2, 2)))
    y = int(max(box.top - 6, height + 4))
    cv2.rectangle(
        picture, (x - 2, y - height - 3), (x + width + 2, y + 3), (20, 20, 20), cv2.FILLED
    )
    cv2.putText(
        picture,
        text,
        (x, y),
        cv2.FONT_HERSHEY_SIMPLEX,
        size,
        _rgb(cell, taxonomy),
        thick,
        cv2.LINE_AA,
    )
