"""From image files to located, classified and counted cells."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.detect.base import Detector
from napari_wbc.errors import ReadError, TorchMissing
from napari_wbc.imaging.read import find_slides, read_field
from napari_wbc.model.cell import BY_HAND, NOT_KNOWN, Cell, LocatedBy
from napari_wbc.model.differential import Differential, differential, leukocytes
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.pipeline.demo import DemoSlide, demo_slide_steps
from napari_wbc.pipeline.locate import DEFAULT, detector_steps, locate_steps, located_by
from napari_wbc.pipeline.models import counted_card
from napari_wbc.storage.tables import cells_frame, differential_frame, fields_frame
from napari_wbc.weights.card import taxonomy_of
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Analysis",
    "Classified",
    "Failure",
    "SlideAnalysis",
    "analysis_of",
    "analyze",
    "analyze_demo_steps",
    "analyze_fields_steps",
    "analyze_slide_steps",
    "analyze_steps",
    "classify_cells",
    "classify_table_steps",
]


@dataclass(frozen=True, slots=True)
class SlideAnalysis:
    """What was found on one slide."""

    slide: Slide
    table: CellTable
    failures: tuple[Failure, ...] = ()
    blood_cells: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    """Field to red cells and platelets, where the detector was asked for them."""
    classified: bool = True
    """False where PyTorch was missing, so that cells are located only."""
    taxonomy: Taxonomy = EIGHT_CLASSES
    """What the cells are counted by."""
    searched_by: LocatedBy | None = None
    """The detector that looked at the fields, which is named where it found nothing."""

    @property
    def read_fields(self) -> tuple[FieldOfView, ...]:
        """The fields that could be read."""
        failed = {failure.path for failure in self.failures}
        return tuple(field for field in self.slide.fields if field.path not in failed)

    @property
    def listed_fields(self) -> tuple[str, ...]:
        """Ids of the fields that could be read or hold cells; last those that are none of the slide's now."""
        read = {field.fov_id for field in self.read_fields}
        held = dict.fromkeys(cell.fov_id for cell in self.table.values())
        own = (
            field.fov_id
            for field in self.slide.fields
            if field.fov_id in read or field.fov_id in held
        )
        return tuple(dict.fromkeys((*own, *held)))

    def leukocytes_in(self, fov_id: str) -> int:
        """Cells of a field that the differential counts as leukocytes."""
        labels = Counter(cell.label for cell in self.table.of_field(fov_id))
        return leukocytes(labels, self.taxonomy)

    @property
    def located_by(self) -> dict[LocatedBy, int]:
        """How many cells each detector located; those that a person drew come last."""
        counts = Counter(cell.detection.locator for cell in self.table.values())
        return {locator: counts[locator] for locator in _by_hand_last(counts)}

    @property
    def detectors(self) -> tuple[LocatedBy, ...]:
        """What located the cells, or what looked for them where there are none."""
        searched_by = (self.searched_by,) if self.searched_by else ()
        return tuple(self.located_by) or searched_by

    @property
    def detector(self) -> str:
        """Names of :attr:`detectors`."""
        return _names(self.detectors)

    @property
    def detector_parameters(self) -> dict[str, float]:
        """What the detector was set to; empty where several located the cells."""
        detectors = [detector for detector in self.detectors if detector != BY_HAND]
        return dict(detectors[0].parameters) if len(detectors) == 1 else {}

    @property
    def differential(self) -> Differential:
        """The slide's differential."""
        return differential(self.slide.name, self.table, self.taxonomy)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found on all slides."""

    slides: tuple[SlideAnalysis, ...]
    model_id: str = ""
    threshold: float | None = None
    """Confidence below which a cell is unidentified."""

    @property
    def detector(self) -> str:
        """Names of what located the cells, or looked for them in vain."""
        return _names(chain.from_iterable(slide.detectors for slide in self.slides))

    @property
    def taxonomy(self) -> Taxonomy:
        """What the cells are counted by; all slides have the same."""
        return self.slides[0].taxonomy if self.slides else EIGHT_CLASSES

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Files that could not be analyzed."""
        return tuple(chain.from_iterable(slide.failures for slide in self.slides))

    @property
    def cells(self) -> pd.DataFrame:
        """One row a cell, the columns of ``cells.csv``."""
        tables = ((analysis.slide.name, analysis.table) for analysis in self.slides)
        return cells_frame(tables, self.taxonomy.names)

    @property
    def fields(self) -> pd.DataFrame:
        """One row a field that could be read or holds cells, the columns of ``fields.csv``."""
        rows = []
        for analysis in self.slides:
            for fov_id in analysis.listed_fields:
                cells, leukocytes = (
                    len(analysis.table.of_field(fov_id)),
                    analysis.leukocytes_in(fov_id),
                )
                counts = analysis.blood_cells.get(fov_id)
                rows.append((analysis.slide.name, fov_id, cells, leukocytes, counts))
        return fields_frame(rows)

    @property
    def differential(self) -> pd.DataFrame:
        """One row a slide and class, the columns of ``differential.csv``."""
        return differential_frame(slide.differential for slide in self.slides)


@dataclass(frozen=True, slots=True)
class Classified:
    """Cells of a slide that were classified, and the fields that could not be read for it."""

    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...] = ()


def _by_hand_last(detectors: Iterable[LocatedBy]) -> list[LocatedBy]:
    """By name and parameters, those that are not known and those drawn by hand last."""
    return sorted(
        detectors, key=lambda by: (by == BY_HAND, by == NOT_KNOWN, by.detector, by.parameters)
    )


def _names(detectors: Iterable[LocatedBy]) -> str:
    return ", ".join(dict.fromkeys(by.detector for by in _by_hand_last(detectors)))


def analysis_of(slides: Sequence[SlideAnalysis]) -> Analysis:
    """Reviewed slides as an analysis, to be written.

    Parameters
    ----------
    slides : sequence of SlideAnalysis
    """
    cells = chain.from_iterable(slide.table.values() for slide in slides)
    predictions = [cell.prediction for cell in cells if cell.prediction is not None]
    models = sorted({p.model_id for p in predictions})
    threshold = max((p.threshold for p in predictions), default=None)
    return Analysis(tuple(slides), ", ".join(models), threshold)


def _load_counted(weights: str | Path, taxonomy: Taxonomy) -> Classifier:
    """A classifier that can be used with a taxonomy, refused where none of its classes counts."""
    classifier = load_classifier(weights)
    counted_card(weights, taxonomy)
    return classifier


def classify_cells(
    image: npt.NDArray[np.uint8], cells: Sequence[Cell], classifier: Classifier
) -> tuple[Cell, ...]:
    """Cells of one field with their predictions; each crop is cut once.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        The field.
    cells : sequence of Cell
    classifier : Classifier
    """
    predictions = classifier.classify(image, [cell.detection.bbox for cell in cells])
    return tuple(cell.predicted(p) for cell, p in zip(cells, predictions, strict=True))


def analyze_slide_steps(
    slide: Slide,
    detector: Detector,
    classifier: Classifier | None,
    *,
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]] = read_field,
    taxonomy: Taxonomy = EIGHT_CLASSES,
    offset: int = 0,
    total: int = 0,
) -> Steps[SlideAnalysis]:
    """Locate and classify the cells of one slide, field by field.

    Parameters
    ----------
    slide : Slide
    detector : Detector
    classifier : Classifier or None
        Without one, the cells are located only.
    read : callable
        Gives the pixels of a field.
    taxonomy : Taxonomy
        What the cells are counted by; classes of the classifier that do not count in it stand
        beside the differential.
    offset, total : int
        Fields done before and of all, for the progress over several slides.
    """
    total = total or len(slide.fields)
    searched_by = located_by(detector)
    failures: list[Failure] = []
    cells: list[Cell] = []
    blood_cells: dict[str, Mapping[str, int]] = {}
    for done, field in enumerate(slide.fields, start=offset + 1):
        note = ""
        try:
            image = read(field)
            now = Progress(slide.name, done - 1, total)
            detections, counts = yield from locate_steps(detector, image, now)
            located = [
                Cell.new(field.fov_id, dataclasses.replace(detection, located_by=searched_by))
                for detection in detections
            ]
            cells += classify_cells(image, located, classifier) if classifier else located
            if counts is not None:
                blood_cells[field.fov_id] = counts
        except ReadError as error:
            failures.append(Failure(field.path, str(error)))
            note = str(error)
        yield Progress(slide.name, done, total, note)
    return SlideAnalysis(
        slide,
        CellTable(cells),
        tuple(failures),
        blood_cells,
        classified=classifier is not None,
        taxonomy=taxonomy,
        searched_by=searched_by,
    )


def _classifier_steps(total: int, load: Callable[[], Classifier]) -> Steps[Classifier | None]:
    """The classifier; None with a notice where PyTorch is missing or broken."""
    yield Progress("loading weights", 0, total)
    try:
        return load()
    except TorchMissing:
        yield Progress(
            "loading weights", 0, total, "Cells are not classified, since PyTorch cannot be loaded."
        )
        return None


def analyze_fields_steps(
    slide: Slide,
    detector: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]] = read_field,
    taxonomy: Taxonomy = EIGHT_CLASSES,
) -> Steps[SlideAnalysis]:
    """Locate and classify the cells of one slide.

    Parameters
    ----------
    slide : Slide
    detector, preset, parameters
        Of :func:`~napari_wbc.pipeline.locate.make_detector`.
    weights : str or Path
        Name or file of the classifier's weights.
    read : callable
        Gives the pixels of a field.
    taxonomy : Taxonomy
        What the cells are counted by; classes of the model that do not count in it stand beside the
        differential.

    Raises
    ------
    WbcError
        If the detector or the model is not to be had, or none of the model's classes counts.
    """
    finder = yield from detector_steps(detector, preset, parameters)
    classifier = yield from _classifier_steps(
        len(slide.fields), lambda: _load_counted(weights, taxonomy)
    )
    return (yield from analyze_slide_steps(slide, finder, classifier, read=read, taxonomy=taxonomy))


def classify_table_steps(
    slide: Slide,
    table: CellTable,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]] = read_field,
    taxonomy: Taxonomy = EIGHT_CLASSES,
) -> Steps[Classified]:
    """Classify the cells of a table that have no prediction yet.

    Parameters
    ----------
    slide : Slide
    table : CellTable
    weights, read, taxonomy
        As in :func:`analyze_fields_steps`.

    Returns
    -------
    Classified
        Those cells, with predictions, but for those of fields that could not be read.

    Raises
    ------
    WbcError
        If the model is not to be had, or none of its classes counts.
    """
    fields = [
        f for f in slide.fields if any(c.prediction is None for c in table.of_field(f.fov_id))
    ]
    yield Progress("loading weights", 0, len(fields))
    classifier = _load_counted(weights, taxonomy)
    classified: list[Cell] = []
    failures: list[Failure] = []
    for done, field in enumerate(fields, start=1):
        note = ""
        cells = [cell for cell in table.of_field(field.fov_id) if cell.prediction is None]
        try:
            classified += classify_cells(read(field), cells, classifier)
        except ReadError as error:
            note = str(error)
            failures.append(Failure(field.path, note))
        yield Progress("classifying", done, len(fields), note)
    return Classified(tuple(classified), tuple(failures))


def analyze_steps(
    paths: Sequence[str | Path],
    *,
    detector: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
    threshold: float | None = None,
    skip: Path | None = None,
) -> Steps[Analysis]:
    """The steps of :func:`analyze`; ``skip`` is a folder that holds results, not fields."""
    slides = find_slides(paths, skip=skip)
    total = sum(len(slide.fields) for slide in slides)
    finder = yield from detector_steps(detector, preset, parameters, device=device)
    classifier = yield from _classifier_steps(
        total, lambda: load_classifier(weights, device=device, threshold=threshold)
    )
    taxonomy = taxonomy_of(classifier.card) if classifier else EIGHT_CLASSES
    results: list[SlideAnalysis] = []
    offset = 0
    for slide in slides:
        one = yield from analyze_slide_steps(
            slide, finder, classifier, taxonomy=taxonomy, offset=offset, total=total
        )
        results.append(one)
        offset += len(slide.fields)
    return _analysis(results, classifier)


def analyze_demo_steps(out: Path, *, device: str = "auto") -> Steps[tuple[DemoSlide, Analysis]]:
    """Analyze a slide to try things on, with the defaults.

    Parameters
    ----------
    out : Path
        Folder for a drawn smear.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    """
    demo = yield from demo_slide_steps(out)
    finder = yield from detector_steps(device=device)
    classifier = yield from _classifier_steps(
        len(demo.slide.fields), lambda: load_classifier(device=device)
    )
    one = yield from analyze_slide_steps(demo.slide, finder, classifier)
    return demo, _analysis([one], classifier)


def _analysis(slides: Sequence[SlideAnalysis], classifier: Classifier | None) -> Analysis:
    model, threshold = (
        (classifier.card.model_id, classifier.threshold) if classifier else ("", None)
    )
    return Analysis(tuple(slides), model, threshold)


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
        Name of a detector.
    preset : str, optional
        Preset of the detector: ``nucleus`` or ``youssef-2024`` of ``hsv``; of ``mask-rcnn`` its
        weights, by name or as a ``.safetensors`` file.
    parameters : mapping, optional
        Detector parameters that differ from the preset's.
    weights : str or Path
        Name or file of the classifier's weights.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    threshold : float, optional
        Confidence below which a cell is unidentified, 0 to 1; the model card's where None.

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
    return run(
        analyze_steps(
            paths,
            detector=detector,
            preset=preset,
            parameters=parameters,
            weights=weights,
            device=device,
            threshold=threshold,
        )
    )
