"""Adaptation without labels: from fields to a classifier that knows their stain and camera."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import load_classifier
from napari_wbc.classify.preset import Preset
from napari_wbc.detect.finders import DEFAULT
from napari_wbc.errors import AlreadySure, ReadError, WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.imaging.read import find_slides, read_field
from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.pipeline.analysis import SlideAnalysis, left_out_steps
from napari_wbc.pipeline.analyze import analyze_fields_steps, analyze_slide_steps
from napari_wbc.pipeline.locate import detector_steps
from napari_wbc.pipeline.models import counted_card
from napari_wbc.train.dataset import CropSet
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights

MAX_CELLS = 3000
"""Cells that are learnt from: more tell no more of a stain, and so many take minutes."""

Located = Sequence[tuple[Slide, CellTable]]
Read = Callable[[FieldOfView], npt.NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Adapted:
    """An adapted classifier."""

    weights: Path
    """The new weights."""
    cells: int
    """Cells that were learnt from."""
    failures: tuple[Failure, ...] = ()
    """Fields that could not be read, and were left out."""


def adapt_steps(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    detector: str = DEFAULT,
    preset: str | None = None,
    name: str = "adapted",
    anyway: bool = False,
    device: str = "auto",
) -> Steps[Adapted]:
    """Adapt a classifier to the cells of fields, without labels.

    Parameters
    ----------
    paths : sequence of path
        Image files, each a slide of one field, and folders, each one slide.
    out : str or Path
        Folder of the new weights and their card, which are written together at the end.
    weights : str or Path
        Name or file of the weights to start from.
    detector, preset
        Of :func:`~napari_wbc.detect.finders.make_detector`.
    name : str
        Name of the new weights.
    anyway : bool
        Whether to adapt even where the weights are sure of the cells.
    device : {"auto", "cpu", "cuda"}

    Raises
    ------
    AlreadySure
        If the weights are sure of the cells, unless ``anyway``.
    WbcError
        If an argument is wrong, a path is missing, there are fewer than 20 cells, or the new
        weights would take the place of those they start from.
    """
    slides = find_slides(paths)
    yield from left_out_steps(slides)
    total = sum(len(slide.fields) for slide in slides)
    crop_preset = _checked(weights, out, name, device)
    finder = yield from detector_steps(detector, preset, device=device)
    located: list[tuple[Slide, CellTable]] = []
    failures: list[Failure] = []
    done = 0
    for slide in slides:
        analysis = yield from analyze_slide_steps(slide, finder, None, offset=done, total=total)
        located.append((analysis.slide, analysis.table))
        failures += analysis.failures
        done += len(analysis.slide.fields)
    adapted = yield from _learn_steps(
        located, crop_preset, read_field, out, weights, name=name, device=device, anyway=anyway
    )
    return replace(adapted, failures=(*failures, *adapted.failures))


def _learn_steps(
    located: Located,
    preset: Preset,
    read: Read,
    out: str | Path,
    weights: str | Path,
    *,
    name: str,
    device: str,
    anyway: bool = False,
) -> Steps[Adapted]:
    """Cut the located cells by the preset of the weights, and adapt these."""
    from napari_wbc.train.adapt import Adaptation, adapt_classifier

    data, failures = yield from _crops_steps(_evenly(located), preset, read)
    # No weights reach a confidence of 2, so none are sure enough to be left as they are.
    plan = Adaptation(name=name, enough=2.0) if anyway else Adaptation(name=name)
    path = yield from adapt_classifier(data, weights, plan, out, device=device)
    return Adapted(path, len(data.crops), failures)


def adapt_slide_steps(
    slide: Slide,
    table: CellTable,
    out: str | Path,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    name: str = "adapted",
    detector: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    read: Read = read_field,
    taxonomy: Taxonomy = EIGHT_CLASSES,
) -> Steps[tuple[SlideAnalysis | None, Adapted | AlreadySure]]:
    """Adapt a classifier to a slide, which is analyzed first where fewer than 20 cells are located.

    Parameters
    ----------
    table : CellTable
        The cells located so far; what they are called is not looked at.
    out, weights, name
        Of :func:`adapt_steps`.
    detector, preset, parameters
        Of :func:`~napari_wbc.detect.finders.make_detector`.
    read : callable
        Gives the pixels of a field.
    taxonomy : Taxonomy
        Classes that the cells are counted by.

    Returns
    -------
    SlideAnalysis or None
        With the weights to start from; None where enough cells were located already.
    Adapted or AlreadySure
        The new weights, or why none are needed.

    Raises
    ------
    WbcError
        As :func:`adapt_steps`, or if none of the model's classes can be counted.
    """
    yield Progress("loading weights", 0, 0)
    crop_preset = _checked(weights, out, name, "auto")
    counted_card(weights, taxonomy)
    from napari_wbc.train.adapt import MIN_ADAPTATION_CELLS

    analysis = None
    if len(table) < MIN_ADAPTATION_CELLS:
        analysis = yield from analyze_fields_steps(
            slide, detector, preset, parameters, weights=weights, read=read, taxonomy=taxonomy
        )
        table = analysis.table
    try:
        adapted = yield from _learn_steps(
            [(slide, table)], crop_preset, read, out, weights, name=name, device="auto"
        )
    except AlreadySure as why:
        # The analysis took minutes, so it is handed over even where nothing has to be adapted.
        return analysis, why
    return analysis, adapted


def adapted_name(slide: str, when: datetime) -> str:
    """A file name for weights that are adapted to a slide.

    Examples
    --------
    >>> adapted_name("Mr. X / 2", datetime(2026, 11, 24, 9, 5, 7))
    'Mr.-X-2_2026-11-24_090507'
    """
    plain = re.sub(r"[^\w.]+", "-", slide).strip("-.")[:40] or "slide"
    return f"{plain}_{when:%Y-%m-%d_%H%M%S}"


def _checked(weights: str | Path, out: str | Path, name: str, device: str) -> Preset:
    """The preset of the weights, after refusing what would fail minutes later."""
    preset = load_classifier(weights, device=device).preset
    from napari_wbc.train.run import check_run

    check_run(name, "32-true")
    target = make_folder(Path(out)) / f"{name}.safetensors"
    if target.resolve() == find_weights(weights).resolve():
        raise WbcError(
            f"{target}: these are the weights to start from; choose another name or folder."
        )
    return preset


def _crops_steps(
    fields: Sequence[tuple[str, FieldOfView, list[Cell]]], preset: Preset, read: Read
) -> Steps[tuple[CropSet, tuple[Failure, ...]]]:
    """The crops of located cells with room around them, and the fields that could not be read."""
    from napari_wbc.train.batches import ROOM

    size = round(preset.size * ROOM)
    # Without a field to read, there are still arrays of the right shape.
    crops = [np.empty((0, size, size, 3), np.uint8)]
    red = [np.empty((0, 3), np.float32)]
    sources: list[str] = []
    failures: list[Failure] = []
    for done, (source, field, cells) in enumerate(fields, start=1):
        note = ""
        try:
            boxes = [cell.detection.bbox for cell in cells]
            cut, anchors = preset.cut(read(field), boxes, room=ROOM)
            crops.append(cut)
            red.append(anchors)
            sources += [source] * len(cells)
        except ReadError as error:
            note = str(error)
            failures.append(Failure(field.path, note))
        yield Progress("cutting crops", done, len(fields), note)
    pixels = np.concatenate(crops)
    data = CropSet(
        pixels,
        np.concatenate(red),
        np.zeros(len(pixels), np.int64),
        np.array(sources, np.str_),
        np.full(len(pixels), "train"),
        hashlib.sha256(pixels.tobytes()).hexdigest(),
    )
    return data, tuple(failures)


def _evenly(located: Located) -> list[tuple[str, FieldOfView, list[Cell]]]:
    """Slide, field and cells of the fields; :data:`MAX_CELLS` at most, evenly taken from all."""
    rows: list[tuple[str, FieldOfView, Cell]] = []
    for slide, table in located:
        for field in slide.fields:
            # A candidate may be no cell.
            cells = [cell for cell in table.of_field(field.fov_id) if not cell.candidate]
            rows += [(slide.name, field, cell) for cell in cells]
    if len(rows) > MAX_CELLS:
        rows = [rows[i] for i in np.linspace(0, len(rows) - 1, MAX_CELLS).round().astype(int)]
    fields: dict[tuple[str, FieldOfView], list[Cell]] = {}
    for name, field, cell in rows:
        fields.setdefault((name, field), []).append(cell)
    return [(name, field, cells) for (name, field), cells in fields.items()]
