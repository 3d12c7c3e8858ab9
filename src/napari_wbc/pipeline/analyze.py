"""From image files to located, classified and counted cells."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.detect.base import Detector
from napari_wbc.detect.finders import DEFAULT, located_by
from napari_wbc.errors import ReadError, TorchMissing
from napari_wbc.files.atomic import sha256_of
from napari_wbc.imaging.pyramid.opening import fingerprint, is_whole_slide, open_pyramid
from napari_wbc.imaging.pyramid.slide_crops import around
from napari_wbc.imaging.read import find_slides, read_field
from napari_wbc.model.cell import Cell, Detection, LocatedBy, Prediction
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.stain_alarm import stain_alarm, surer
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.pipeline.analysis import (
    Analysis,
    Classified,
    ReadField,
    SlideAnalysis,
    left_out_steps,
)
from napari_wbc.pipeline.film.analyze import FilmOptions, analyze_film_steps
from napari_wbc.pipeline.film.cluster import ClusterCrew
from napari_wbc.pipeline.film.crew import Crew
from napari_wbc.pipeline.film.tasks import Models
from napari_wbc.pipeline.locate import detector_steps, locate_steps
from napari_wbc.pipeline.models import counted_card
from napari_wbc.weights.card import taxonomy_of
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER

CELLS = uuid.UUID("6f6e6c39-5d0b-4a67-9a5e-1f4c8a2b7d10")
"""Names the ids that follow from image and box; never to be changed."""
_AROUND = 500
"""Pixels of a whole slide to each side of a drawn cell that tell its light and stain."""


def analyze_slide_steps(
    slide: Slide,
    detector: Detector,
    classifier: Classifier | None,
    *,
    read: ReadField = read_field,
    taxonomy: Taxonomy = EIGHT_CLASSES,
    before: Iterable[Cell] = (),
    offset: int = 0,
    total: int = 0,
    film: FilmOptions | None = None,
    crew: Crew | None = None,
    on_cells: Callable[[Sequence[Cell]], object] | None = None,
) -> Steps[SlideAnalysis]:
    """Locate and classify the cells of one slide, field by field.

    Parameters
    ----------
    classifier : Classifier or None
        Without one, the cells are located only.
    taxonomy : Taxonomy
        What the cells are counted by; other classes of the classifier stand beside the
        differential.
    before : iterable of Cell
        Cells of other fields of the slide, which the stain alarm asks first.
    offset, total : int
        Fields done before and of all, for the progress over several slides.
    film : FilmOptions, optional
        Where and how whole slides are looked at.
    crew : Crew, optional
        Whoever works on their tiles, with the same models; this process where None.
    on_cells : callable, optional
        Gets cells of whole slides while tiles are worked on; they are in the result, too.
    """
    total = total or len(slide.fields)
    # One object for all cells, so that a large table keeps the settings once.
    searched_by = located_by(detector)
    failures: list[Failure] = []
    cells: list[Cell] = []
    blood_cells: dict[str, Mapping[str, int]] = {}
    disagreements: dict[str, str] = {}
    looked_at: dict[str, str] = {}
    regions: dict[str, Mapping[str, shapely.Geometry]] = {}
    crew = crew or Crew(detector, classifier)
    for done, field in enumerate(slide.fields, start=offset + 1):
        note = ""
        try:
            if is_whole_slide(field.path):
                options = film or FilmOptions()
                arrived = _Arrived(field, searched_by, on_cells)
                found = yield from analyze_film_steps(
                    field.path, slide.name, crew, options, on_cells=on_cells and arrived.take
                )
                cells += arrived.signed(found.cells)
                failures += found.failures
                looked_at |= {field.fov_id: found.looked_at} if found.looked_at else {}
                regions |= {field.fov_id: found.regions} if found.regions else {}
                note = found.note
            else:
                image = read(field)
                progress = Progress(slide.name, done - 1, total)
                located = yield from locate_steps(detector, image, progress)
                boxes = [detection.bbox for detection in located.cells]
                predictions = classifier.classify(image, boxes) if classifier else _NONE
                cells += _signed(field, zip(located.cells, predictions, strict=False), searched_by)
                blood_cells |= {} if located.counts is None else {field.fov_id: located.counts}
                if located.disagreement:
                    disagreements[field.fov_id] = located.disagreement
                    note = f"{field.fov_id}: {located.disagreement}"
        except ReadError as error:
            # One damaged file of hundreds must not cost the rest of the slide.
            note = str(error)
            failures.append(Failure(field.path, note))
        yield Progress(slide.name, done, total, note)
    if classifier and (alarm := stain_alarm(chain(before, cells))):
        yield Progress(slide.name, offset + len(slide.fields), total, f"{slide.name}: {alarm}")
        cells = [_surer(cell, classifier.foreign_threshold) for cell in cells]
    return SlideAnalysis(
        slide,
        CellTable(cells),
        tuple(failures),
        blood_cells,
        disagreements,
        looked_at,
        regions,
        classified=classifier is not None,
        taxonomy=taxonomy,
        searched_by=searched_by,
    )


_NONE: Iterator[None] = repeat(None)
"""Predictions of cells that are located only."""


class _Arrived:
    """Cells of a whole slide, some handed over before the others; each has one id."""

    def __init__(
        self,
        field: FieldOfView,
        searched_by: LocatedBy,
        on_cells: Callable[[Sequence[Cell]], object] | None,
    ) -> None:
        self._field = field
        self._searched_by = searched_by
        self._on_cells = on_cells
        self._cells: dict[Detection, Cell] = {}

    def take(self, pairs: Sequence[tuple[Detection, Prediction | None]]) -> None:
        """Hand cells over."""
        cells = self.signed(pairs)
        if self._on_cells is not None:
            self._on_cells(cells)

    def signed(self, pairs: Sequence[tuple[Detection, Prediction | None]]) -> list[Cell]:
        """Cells in their order, those that were handed over as they were then."""
        fresh = [pair for pair in pairs if pair[0] not in self._cells]
        cells = _signed(self._field, fresh, self._searched_by)
        self._cells.update(zip((pair[0] for pair in fresh), cells, strict=True))
        return [self._cells[pair[0]] for pair in pairs]


def _signed(
    field: FieldOfView,
    cells: Iterable[tuple[Detection, Prediction | None]],
    searched_by: LocatedBy,
) -> list[Cell]:
    """New cells of a field, with what located them."""
    signed = []
    for detection, prediction in cells:
        cell = Cell.new(field.fov_id, replace(detection, located_by=searched_by))
        signed.append(cell.predicted(prediction))
    return signed


def _classified(
    image: npt.NDArray[np.uint8], cells: Sequence[Cell], classifier: Classifier
) -> list[Cell]:
    """Cells of one field with their predictions."""
    predictions = classifier.classify(image, [cell.detection.bbox for cell in cells])
    return list(map(Cell.predicted, cells, predictions))


def _classified_on_film(path: Path, cells: Sequence[Cell], classifier: Classifier) -> list[Cell]:
    """Cells of a whole slide with their predictions, each by what lies around it."""
    classified = []
    with open_pyramid(path) as pyramid:
        for cell in cells:
            image, box = around(pyramid, cell.detection.bbox, _AROUND)
            (prediction,) = classifier.classify(image, [box])
            classified.append(cell.predicted(prediction))
    return classified


def _surer(cell: Cell, threshold: float) -> Cell:
    """A cell that takes at least this confidence to be identified."""
    return cell if cell.prediction is None else cell.predicted(surer(cell.prediction, threshold))


def classifier_steps(
    total: int,
    weights: str | Path,
    device: str,
    *,
    threshold: float | None = None,
    taxonomy: Taxonomy | None = None,
) -> Steps[Classifier | None]:
    """A classifier that counts by a taxonomy; None with a notice if PyTorch cannot be loaded."""
    yield Progress("loading weights", 0, total)
    try:
        classifier = load_classifier(weights, device=device, threshold=threshold)
    except TorchMissing:
        # The colour detector needs no PyTorch, and a slide that is only located can be labelled.
        note = "Cells are not classified, since PyTorch cannot be loaded."
        yield Progress("loading weights", 0, total, note)
        return None
    if taxonomy is not None:
        counted_card(weights, taxonomy)
    return classifier


def analyze_fields_steps(
    slide: Slide,
    detector: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
    read: ReadField = read_field,
    taxonomy: Taxonomy = EIGHT_CLASSES,
    before: Iterable[Cell] = (),
    film: FilmOptions | None = None,
    on_cells: Callable[[Sequence[Cell]], object] | None = None,
) -> Steps[SlideAnalysis]:
    """Locate and classify the cells of one slide.

    Parameters
    ----------
    detector, preset, parameters, weights, device
        As in :func:`analyze`.
    taxonomy, before, film, on_cells
        As in :func:`analyze_slide_steps`.

    Raises
    ------
    WbcError
        If the cell finder or the model cannot be loaded, or none of the model's classes counts.
    """
    finder = yield from detector_steps(detector, preset, parameters, device=device)
    total = len(slide.fields)
    classifier = yield from classifier_steps(total, weights, device, taxonomy=taxonomy)
    steps = analyze_slide_steps(
        slide,
        finder,
        classifier,
        read=read,
        taxonomy=taxonomy,
        before=before,
        film=film,
        on_cells=on_cells,
    )
    return (yield from steps)


def classify_table_steps(
    slide: Slide,
    table: CellTable,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    read: ReadField = read_field,
    taxonomy: Taxonomy = EIGHT_CLASSES,
) -> Steps[Classified]:
    """Classify the cells of a table that have no prediction yet, in fields that can be read.

    Raises
    ------
    WbcError
        If the model cannot be loaded, or none of its classes counts.
    """
    fields = []
    for field in slide.fields:
        cells = [cell for cell in table.of_field(field.fov_id) if cell.prediction is None]
        if cells:
            fields.append((field, cells))
    yield Progress("loading weights", 0, len(fields))
    # Not by `classifier_steps`: to classify is all that was asked for, so no PyTorch is an error.
    classifier = load_classifier(weights)
    counted_card(weights, taxonomy)
    classified: list[Cell] = []
    failures: list[Failure] = []
    for done, (field, cells) in enumerate(fields, start=1):
        note = ""
        try:
            if is_whole_slide(field.path):
                classified += _classified_on_film(field.path, cells, classifier)
            else:
                classified += _classified(read(field), cells, classifier)
        except ReadError as error:
            note = str(error)
            failures.append(Failure(field.path, note))
        yield Progress("classifying", done, len(fields), note)
    if stain_alarm(table.with_cells(classified).values()):
        classified = [_surer(cell, classifier.foreign_threshold) for cell in classified]
    return Classified(tuple(classified), tuple(failures))


def analyze_steps(
    paths: Sequence[str | Path],
    detector: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
    threshold: float | None = None,
    skip: Path | None = None,
    film: FilmOptions | None = None,
) -> Steps[Analysis]:
    """The steps of :func:`analyze`; ``skip`` is a folder that holds results, not fields.

    ``film`` says where and how whole slides are looked at.
    """
    # Wrong paths are refused before any weights are loaded.
    slides = find_slides(paths, skip=skip)
    yield from left_out_steps(slides)
    film = film or FilmOptions()
    yield from film.unused_steps(slides)
    total = sum(len(slide.fields) for slide in slides)
    models = Models(detector, preset, parameters, weights, device, threshold)
    crew = yield from crew_steps(total, models, film)
    classifier = crew.classifier
    taxonomy = taxonomy_of(classifier.card) if classifier else EIGHT_CLASSES
    results: list[SlideAnalysis] = []
    occurrences: Counter[str] = Counter()
    offset = 0
    with crew:
        for slide in slides:
            result = yield from analyze_slide_steps(
                slide,
                crew.finder,
                classifier,
                taxonomy=taxonomy,
                offset=offset,
                total=total,
                film=film,
                crew=crew,
            )
            results.append(replace(result, table=lasting_ids(result, occurrences)))
            offset += len(slide.fields)
    # The model is named even if no cell was found for it to predict.
    if classifier is None:
        return Analysis(tuple(results))
    return Analysis(tuple(results), classifier.card.model_id, classifier.threshold)


def crew_steps(total: int, models: Models, film: FilmOptions) -> Steps[Crew]:
    """Load the models of an analysis of ``total`` files, for whoever works on whole slides too.

    Without PyTorch there is no classifier.
    """
    finder = yield from detector_steps(
        models.detector, models.preset, models.parameters, device=models.device
    )
    classifier = yield from classifier_steps(
        total, models.weights or DEFAULT_CLASSIFIER, models.device, threshold=models.threshold
    )
    if classifier is None:
        # Another cell finder takes the place of a network, which workers would not know.
        return Crew(finder, None, replace(models, weights=None), 1)
    if film.cluster is not None:
        crew = ClusterCrew(finder, classifier, models, film.cluster)
        yield Progress("slides", 0, total, crew.connect())
        return crew
    return Crew(finder, classifier, models, film.workers)


def lasting_ids(result: SlideAnalysis, occurrences: Counter[str]) -> CellTable:
    """The cells with ids that follow from image and box, so that two runs compare row by row.

    Only here, where nobody has reviewed a cell: in a project an id is made once, and a box that is
    found again where a person moved a cell from would else have the id of that cell.
    """
    paths = {field.fov_id: field.path for field in result.slide.fields}
    hashes: dict[str, str] = {}
    for fov_id in {cell.fov_id for cell in result.table.values()}:
        # Of an image that is gone by now, the cells keep the ids that they have.
        with suppress(OSError, ReadError):
            path = paths[fov_id]
            whole = is_whole_slide(path)
            hashes[fov_id] = fingerprint(path, times=False) if whole else sha256_of(path)
    cells: list[Cell] = []
    for cell in result.table.values():
        if cell.fov_id not in hashes:
            cells.append(cell)
            continue
        key = f"{hashes[cell.fov_id]} {cell.detection.bbox.edges}"
        # An image may be in an analysis twice, and a box in an image.
        occurrences[key] += 1
        name = f"{key} {occurrences[key]}"
        cells.append(replace(cell, cell_id=str(uuid.uuid5(CELLS, name))))
    return CellTable(cells)


def analyze(
    paths: str | Path | Sequence[str | Path],
    *,
    detector: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
    threshold: float | None = None,
) -> Analysis:
    """Locate, classify and count the leukocytes of slides.

    Parameters
    ----------
    paths : path or sequence of paths
        Image files, each a slide of one field, and folders, each one slide.
    detector : str
        Name of the cell finder: ``auto``, ``mask-rcnn`` or ``hsv``.
    preset : str, optional
        ``nucleus`` or ``youssef-2024`` of ``hsv``; of the others the weights of Mask R-CNN, by name
        or as a ``.safetensors`` file.
    parameters : mapping, optional
        Values that differ from the preset's.
    weights : str or Path
        Name or file of the classifier's weights.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    threshold : float, optional
        Confidence below which a cell is unidentified, 0 to 1; the model card's if None.

    Returns
    -------
    Analysis
        Its ``cells`` and ``differential`` are data frames; files that could not be read are
        in its ``failures``.

    Raises
    ------
    WbcError
        If an argument is wrong or a path is missing.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from PIL import Image
    >>> import napari_wbc
    >>> from napari_wbc.imaging.synthetic import synthetic_smear
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> Image.fromarray(synthetic_smear(1, n_leukocytes=3).image).save(folder / "field.png")
    >>> analysis = napari_wbc.analyze(folder / "field.png", device="cpu")
    >>> len(analysis.cells), set(analysis.cells["fov"])
    (3, {'field.png'})
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]
    steps = analyze_steps(
        paths, detector, preset, parameters, weights=weights, device=device, threshold=threshold
    )
    return run(steps)
