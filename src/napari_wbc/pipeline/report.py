"""The files of an analysis: tables, outlines, differentials and overlays."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from filelock import Timeout

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import (
    all_or_nothing,
    make_folder,
    missing_folders,
    put_together,
    within,
    write_bytes,
    write_text,
)
from napari_wbc.files.locks import held
from napari_wbc.imaging.pyramid.opening import is_whole_slide, open_pyramid
from napari_wbc.imaging.pyramid.overview import overview
from napari_wbc.imaging.read import read_field
from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.pipeline.analysis import Analysis, ReadField, SlideAnalysis
from napari_wbc.storage.formats.geojson import feature_collection, write_geojson
from napari_wbc.storage.tables import read_rows, write_csv
from napari_wbc.weights.card import RESEARCH_USE

TABLES = ("cells.csv", "differential.csv", "fields.csv", "differential.json", "cells.geojson")
"""Files of a folder of results that are new together, or not at all."""
MAX_WAIT = 60
"""Seconds that another program may take to write its results there."""
_OVERVIEW = 4096
"""Longer side, in pixels, of the picture of a whole slide with its cells."""


@dataclass(frozen=True, slots=True)
class Written:
    """Results on the disk."""

    folder: Path
    failures: tuple[Failure, ...] = ()
    """Images that could not be read, and so have no overlay; all other files have their cells."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A field in the results; without an image if it is no longer one of its slide's."""

    slide: str
    fov_id: str
    image: FieldOfView | None
    cells: tuple[Cell, ...]


def differential_json(analysis: Analysis) -> list[dict[str, Any]]:
    """The differentials as JSON values; what is not a number becomes null."""
    return [_slide_json(slide, analysis) for slide in analysis.slides]


def _slide_json(slide: SlideAnalysis, analysis: Analysis) -> dict[str, Any]:
    counted = slide.differential
    located_by = []
    for locator, n in slide.located_by.items():
        parameters = dict(locator.parameters)
        located_by.append({"detector": locator.detector, "parameters": parameters, "cells": n})
    classes = []
    for share in counted.shares:
        percent, low, high = map(_number, (share.percent, share.low, share.high))
        entry = {"class": share.name, "count": share.count, "percent": percent}
        classes.append({**entry, "low": low, "high": high})
    beside = []
    for row in counted.beside:
        rate, low, high = map(_number, (row.per_100_wbc, row.low, row.high))
        entry = {"class": row.name, "count": row.count, "per_100_wbc": rate}
        beside.append({**entry, "low": low, "high": high})
    return {
        "slide": slide.slide.name,
        "fields": len(slide.slide.fields),
        "failed": list(map(_failed, slide.failures)),
        "detector": slide.detector,
        "detector_parameters": slide.detector_parameters,
        "located_by": located_by,
        "model": analysis.model_id,
        "taxonomy": slide.taxonomy.name,
        "threshold": analysis.threshold if slide.threshold is None else slide.threshold,
        "stain_alarm": slide.stain_alarm,
        "confidence_level": counted.confidence_level,
        "leukocytes": counted.total,
        "classes": classes,
        "beside": beside,
        **_blood_cells(slide),
        **_regions(slide),
        **({"looked_at": dict(slide.looked_at)} if slide.looked_at else {}),
        "use": RESEARCH_USE,
    }


def _regions(slide: SlideAnalysis) -> dict[str, Any]:
    """Counts by region of a scanned film; a slide without regions has none."""
    regions: list[dict[str, Any]] = []
    for region in slide.by_region:
        classes: list[dict[str, Any]] = []
        for share in region.counted.shares:
            percent = _number(share.percent)
            classes.append({"class": share.name, "count": share.count, "percent": percent})
        beside = {row.name: row.count for row in region.counted.beside if row.count}
        total = region.counted.total
        entry = {"region": region.name, "leukocytes": total, "classes": classes, "beside": beside}
        regions.append(entry)
    return {"regions": regions} if regions else {}


def _failed(failure: Failure) -> dict[str, str]:
    # Without its folder, which may be named after the patient.
    name = failure.path.name
    return {"path": name, "error": failure.message.replace(str(failure.path), name)}


def _number(value: float | None) -> float | None:
    # JSON has no NaN, and readers other than Python's refuse it.
    return None if value is None or math.isnan(value) else round(value, 2)


def _blood_cells(slide: SlideAnalysis) -> dict[str, Any]:
    """Red cells and platelets of the fields where they were counted, and leukocytes there."""
    if not slide.blood_cells:
        return {}
    totals: Counter[str] = Counter()
    for counts in slide.blood_cells.values():
        totals.update(counts)
    # Leukocytes of the same fields only, since people divide by them.
    leukocytes = sum(map(slide.leukocytes_in, slide.blood_cells))
    fields = {"fields": len(slide.blood_cells), "leukocyte": leukocytes}
    return {"blood_cells": {**fields, **dict(sorted(totals.items()))}}


def write_results(
    analysis: Analysis, out: str | Path, *, read: ReadField = read_field
) -> Steps[Written]:
    """Write cells, fields, outlines, differentials and overlays to a folder.

    The folder is made if it is missing. The tables of an earlier run are replaced together, and its
    overlays and outlines by field go with them. If an image cannot be read, its cells are in all
    files but an overlay, and ``differential.json`` names it.

    Raises
    ------
    WbcError
        If something cannot be written, or another program goes on writing results there.
    """
    out = Path(out)
    try:
        with all_or_nothing() as made:
            made.extend(missing_folders(out))
            make_folder(out)
            with held(out / ".lock", MAX_WAIT, passing=True):
                return (yield from _results_steps(analysis, out, read))
    except Timeout as error:
        raise WbcError(
            f"{out}: another program is writing results there; choose another folder."
        ) from error
    except OSError as error:
        raise WbcError(
            f"{out}: cannot be written ({error.strerror or error}); choose another place."
        ) from error


def _results_steps(analysis: Analysis, out: Path, read: ReadField) -> Steps[Written]:
    taxonomy = analysis.taxonomy
    fields = _fields(analysis)
    places = [_places(out, field.fov_id) for field in fields]
    collections = [feature_collection(field.fov_id, field.cells, taxonomy) for field in fields]
    # Tables come first: they need no image, so a cancelled or failing overlay costs none of them.
    with put_together(out, TABLES, _earlier(out)) as new:
        write_csv(new / "cells.csv", analysis.cells)
        write_csv(new / "differential.csv", analysis.differential)
        write_csv(new / "fields.csv", analysis.fields)
        _write_json(analysis, new)
        write_geojson(new / "cells.geojson", collections)
    failed: dict[str, list[Failure]] = {}
    for done, (field, place, collection) in enumerate(
        zip(fields, places, collections, strict=True), start=1
    ):
        note = ""
        overlay, outlines = place
        try:
            _write_overlay(field, read, taxonomy, overlay)
        except ReadError as error:
            note = str(error)
            path = field.image.path if field.image else Path(field.fov_id)
            failed.setdefault(field.slide, []).append(Failure(path, note))
        # QuPath opens the outlines of one image; of a single field cells.geojson is that file.
        if len(fields) > 1:
            write_geojson(outlines, [collection])
        yield Progress("drawing overlays", done, len(fields), note)
    if failed:
        _write_json(_with_failures(analysis, failed), out)
    return Written(out, tuple(chain.from_iterable(failed.values())))


def _places(out: Path, fov_id: str) -> tuple[Path, Path]:
    """Where the overlay and the outlines of a field are."""
    return within(out / "overlays", f"{fov_id}.png"), within(out / "geojson", f"{fov_id}.geojson")


def _earlier(out: Path) -> list[str]:
    """Overlays and outlines of the run whose tables are in a folder, relative to it."""
    # Only what that run listed: a person may keep other files beside them.
    places: list[Path] = []
    with suppress(ReadError, WbcError, ValueError):
        header, rows = read_rows(out / "fields.csv")
        column = header.index("fov")
        for row in rows:
            places += _places(out, row[column])
    existing = filter(Path.is_file, dict.fromkeys(places))
    return [path.relative_to(out).as_posix() for path in existing]


def _fields(analysis: Analysis) -> list[_Field]:
    fields = []
    for slide in analysis.slides:
        images = {field.fov_id: field for field in slide.slide.fields}
        for fov_id in slide.listed_fields:
            cells = slide.table.of_field(fov_id)
            fields.append(_Field(slide.slide.name, fov_id, images.get(fov_id), cells))
    return fields


def _write_json(analysis: Analysis, out: Path) -> None:
    text = json.dumps(differential_json(analysis), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(out / "differential.json", f"{text}\n")


def _with_failures(analysis: Analysis, failed: Mapping[str, Sequence[Failure]]) -> Analysis:
    """The analysis with more failures, by slide."""
    slides = []
    for slide in analysis.slides:
        failures = (*slide.failures, *failed.get(slide.slide.name, ()))
        # A file that failed before is named once, with the new reason.
        by_path = {failure.path: failure for failure in failures}
        slides.append(replace(slide, failures=tuple(by_path.values())))
    return replace(analysis, slides=tuple(slides))


def _write_overlay(field: _Field, read: ReadField, taxonomy: Taxonomy, path: Path) -> None:
    if field.image is None:
        raise ReadError(f"{field.fov_id}: the slide has no such image any more; put it back.")
    if not is_whole_slide(field.image.path):
        write_png(path, draw_overlay(read(field.image), field.cells, taxonomy))
        return
    image, cells = _shrunken(field.image.path, field.cells)
    # Of the thousands of cells of a whole slide, letters would cover each other and the slide.
    write_png(path, draw_overlay(image, cells, taxonomy, labels=False))


def _shrunken(path: Path, cells: Sequence[Cell]) -> tuple[npt.NDArray[np.uint8], list[Cell]]:
    """A whole slide as a picture, and its cells there."""
    picture = overview(path, _OVERVIEW)
    with open_pyramid(path) as pyramid:
        share = picture.shape[1] / pyramid.levels[0].width
    placed: list[Cell] = []
    for cell in cells:
        box = BBox.around(cell.detection.bbox.corners() * share)
        placed.append(replace(cell, detection=replace(cell.detection, bbox=box, outline=None)))
    return picture, placed


def write_png(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write an RGB image, whole or not at all."""
    # OpenCV writes BGR.
    write_bytes(path, cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def draw_overlay(
    image: npt.NDArray[np.uint8],
    cells: Iterable[Cell],
    taxonomy: Taxonomy,
    *,
    labels: bool = True,
) -> npt.NDArray[np.uint8]:
    """A copy of a field with its cells outlined in the colour of the class that they count as.

    Both images are RGB of shape (height, width, 3); ``labels`` are short names and confidences.
    """
    picture = np.ascontiguousarray(image.copy())
    # Lines and letters grow with the field, so that they are seen when it is shown as a whole.
    thick = max(1, round(max(image.shape[:2]) / 400))
    size = max(0.4, max(image.shape[:2]) / 1200)
    cells = list(cells)
    for cell in cells:
        outline = cell.detection.outline
        corners = outline.array() if outline else cell.detection.bbox.corners()
        # Ours are (row, col) from the corner of the first pixel, OpenCV's (x, y) from its middle.
        points = np.round(corners[:, ::-1] - 0.5).astype(np.int32).reshape(-1, 1, 2)
        # A dark rim keeps the colour readable on a cell of the same colour.
        cv2.polylines(picture, [points], True, (0, 0, 0), thick + 2, cv2.LINE_AA)
        cv2.polylines(picture, [points], True, _rgb(cell, taxonomy), thick, cv2.LINE_AA)
    # Labels come last: no outline of a neighbour crosses them.
    for cell in cells if labels else ():
        _write_label(picture, cell, taxonomy, size, thick)
    return picture


def _rgb(cell: Cell, taxonomy: Taxonomy) -> tuple[int, ...]:
    color = taxonomy.colors.get(taxonomy.row_of(cell.label), "#ffffff")
    return tuple(bytes.fromhex(color.removeprefix("#")))


def _write_label(
    picture: npt.NDArray[np.uint8], cell: Cell, taxonomy: Taxonomy, size: float, thick: int
) -> None:
    """Short name and confidence on a dark plate above the cell, inside the field."""
    text = taxonomy.short_of(cell.label)
    if cell.prediction:
        text += f" {cell.prediction.confidence:.2f}"
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(text, font, size, thick)
    box = cell.detection.bbox
    x = int(min(max(box.left, 2), max(picture.shape[1] - width - 2, 2)))
    y = int(max(box.top - 6, height + 4))
    low = (x - 2, y - height - 3)
    high = (x + width + 2, y + 3)
    cv2.rectangle(picture, low, high, (20, 20, 20), cv2.FILLED)
    cv2.putText(picture, text, (x, y), font, size, _rgb(cell, taxonomy), thick, cv2.LINE_AA)
