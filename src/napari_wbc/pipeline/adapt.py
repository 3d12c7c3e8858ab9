"""From unlabelled fields to weights that know their stain and camera."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import load_classifier
from napari_wbc.classify.preset import Preset
from napari_wbc.errors import AlreadySure, ReadError, WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.imaging.read import find_slides, read_field
from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.pipeline.analysis import SlideAnalysis
from napari_wbc.pipeline.analyze import analyze_fields_steps, analyze_slide_steps
from napari_wbc.pipeline.locate import DEFAULT, detector_steps
from napari_wbc.pipeline.models import counted_card
from napari_wbc.train.dataset import CropSet
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights

__all__ = [
    "MOST",
    "Adapted",
    "adapt_located_steps",
    "adapt_slide_steps",
    "adapt_steps",
    "adapted_name",
]

MOST = 3000
"""More cells tell no more of a stain; so many are taken evenly from all, which keeps it to minutes."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """What an adaptation leaves."""

    weights: Path
    cells: int
    """That were learnt from."""
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
        Folder of the new weights and their card, which are written at the end, whole or not at all.
    weights : str or Path
        Name or file of the weights to start from.
    detector, preset
        Of :func:`~napari_wbc.pipeline.locate.make_detector`.
    name : str
        Of the new weights.
    anyway : bool
        Also where the weights are sure of the cells.
    device : str
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    AlreadySure
        If the weights are sure of the cells, unless ``anyway``.
    WbcError
        If an argument is wrong, a path is missing, there are fewer than 20 cells, or the new
        weights would take the place of those they start from.
    """
    slides = find_slides(paths)
    total = sum(len(slide.fields) for slide in slides)
    wanted = _checked(weights, out, name, device)
    finder = yield from detector_steps(detector, preset, device=device)
    found: list[SlideAnalysis] = []
    for slide in slides:
        before = sum(len(one.slide.fields) for one in found)
        found.append(
            (yield from analyze_slide_steps(slide, finder, None, offset=before, total=total))
        )
    located = [(one.slide, one.table) for one in found]
    adapted = yield from _learn_steps(
        located, wanted, read_field, out, weights, name=name, device=device, anyway=anyway
    )
    failures = tuple(failure for one in found for failure in one.failures)
    return Adapted(adapted.weights, adapted.cells, failures + adapted.failures)


def adapt_located_steps(
    located: Sequence[tuple[Slide, CellTable]],
    out: str | Path,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    name: str = "adapted",
    device: str = "auto",
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]] = read_field,
) -> Steps[Adapted]:
    """Adapt a classifier to cells that are located already; what they are called is not looked at.

    Parameters
    ----------
    located : sequence of (Slide, CellTable)
    out, weights, name, device
        Of :func:`adapt_steps`.
    read : callable
        Gives the pixels of a field.

    Raises
    ------
    WbcError
        As :func:`adapt_steps`.
    """
    yield Progress("loading weights", 0, 0)
    wanted = _checked(weights, out, name, device)
    return (yield from _learn_steps(located, wanted, read, out, weights, name=name, device=device))


def _learn_steps(
    located: Sequence[tuple[Slide, CellTable]],
    preset: Preset,
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]],
    out: str | Path,
    weights: str | Path,
    *,
    name: str,
    device: str,
    anyway: bool = False,
) -> Steps[Adapted]:
    """Cut the located cells by the preset of the weights, and adapt; everything has been checked."""
    from napari_wbc.train.adapt import Adaptation, adapt_classifier

    data, failures = yield from _crops_steps(located, preset, read)
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
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]] = read_field,
    taxonomy: Taxonomy = EIGHT_CLASSES,
) -> Steps[tuple[SlideAnalysis | None, Adapted | AlreadySure]]:
    """Adapt a classifier to a slide, which is analyzed first where fewer than 20 cells are located.

    Parameters
    ----------
    slide : Slide
    table : CellTable
        What is located so far.
    out, weights, name, read
        Of :func:`adapt_located_steps`.
    detector, preset, parameters
        Of :func:`~napari_wbc.pipeline.locate.make_detector`.
    taxonomy : Taxonomy
        What the cells are counted by.

    Returns
    -------
    SlideAnalysis or None
        By the weights to start from; None where the slide was not analyzed.
    Adapted or AlreadySure
        Why the weights are left as they are.

    Raises
    ------
    WbcError
        As :func:`adapt_steps`, or if none of the model's classes can be counted.
    """
    yield Progress("loading weights", 0, 0)
    wanted = _checked(weights, out, name, "auto")
    counted_card(weights, taxonomy)
    from napari_wbc.train.adapt import FEWEST

    found = None
    if len(table) < FEWEST:
        found = yield from analyze_fields_steps(
            slide, detector, preset, parameters, weights=weights, read=read, taxonomy=taxonomy
        )
        table = found.table
    one = [(slide, table)]
    try:
        adapted = yield from _learn_steps(one, wanted, read, out, weights, name=name, device="auto")
    except AlreadySure as why:
        return found, why
    return found, adapted


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
    from napari_wbc.train.checkpoint import check_run

    check_run(name, "32-true")
    target = make_folder(Path(out)) / f"{name}.safetensors"
    if target.resolve() == find_weights(weights).resolve():
        raise WbcError(
            f"{target}: these are the weights to start from; choose another name or folder."
        )
    return preset


def _crops_steps(
    located: Sequence[tuple[Slide, CellTable]],
    preset: Preset,
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]],
) -> Steps[tuple[CropSet, tuple[Failure, ...]]]:
    """The crops of located cells with room around them, and the fields that could not be read."""
    from napari_wbc.train.batches import ROOM

    fields, size = _evenly(located), round(preset.size * ROOM)
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


def _evenly(
    located: Sequence[tuple[Slide, CellTable]],
) -> list[tuple[str, FieldOfView, list[Cell]]]:
    """Fields with their cells, of which at most :data:`MOST` are taken evenly from all."""
    cells = [
        (slide.name, field, cell)
        for slide, table in located
        for field in slide.fields
        for cell in table.of_field(field.fov_id)
    ]
    if len(cells) > MOST:
        cells = [cells[i] for i in np.linspace(0, len(cells) - 1, MOST).round().astype(int)]
    groups = groupby(cells, key=lambda one: one[:2])
    return [(source, field, [cell for *_, cell in group]) for (source, field), group in groups]
