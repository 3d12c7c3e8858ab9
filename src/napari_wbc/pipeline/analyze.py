"""From image files to located, classified and counted cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.detect.base import Detector
from napari_wbc.errors import ReadError, TorchMissing, WeightsError
from napari_wbc.imaging.read import find_slides, read_field
from napari_wbc.model.cell import Cell
from napari_wbc.model.differential import Differential
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.pipeline.demo import DemoSlide, demo_slide_steps
from napari_wbc.pipeline.locate import DEFAULT, detector_steps, locate_steps
from napari_wbc.pipeline.report import differential
from napari_wbc.storage.formats.csv import cells_frame, differential_frame, fields_frame
from napari_wbc.weights.card import taxonomy_of
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Analysis",
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
class Failure:
    """A file that could not be analyzed, and why."""

    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class SlideAnalysis:
    """What was found on one slide."""

    slide: Slide
    table: CellTable
    failures: tuple[Failure, ...] = ()
    blood_cells: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    """Field to red cells and platelets, where the detector was asked for them."""
    detector: str = ""
    """Name of the detector that was used."""
    classified: bool = True
    """False where PyTorch was missing, so that cells are located only."""
    taxonomy: Taxonomy = EIGHT_CLASSES
    """What the cells are counted by."""

    @property
    def read_fields(self) -> tuple[FieldOfView, ...]:
        """The fields that could be read."""
        failed = {failure.path for failure in self.failures}
        return tuple(field for field in self.slide.fields if field.path not in failed)

    @property
    def differential(self) -> Differential:
        """The slide's differential."""
        return differential(self.slide.name, self.table, self.taxonomy)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found on all slides."""

    slides: tuple[SlideAnalysis, ...]
    detector: str
    model_id: str
    threshold: float | None = None
    """Confidence below which a cell is unidentified."""
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Of the detector, where they differ from the preset's."""

    @property
    def taxonomy(self) -> Taxonomy:
        """What the cells are counted by; all slides have the same."""
        return self.slides[0].taxonomy if self.slides else EIGHT_CLASSES

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Files that could not be analyzed."""
        return tuple(failure for one in self.slides for failure in one.failures)

    @property
    def cells(self) -> pd.DataFrame:
        """One row a cell, the columns of ``cells.csv``."""
        return cells_frame(((one.slide.name, one.table) for one in self.slides), self.taxonomy.names)

    @property
    def fields(self) -> pd.DataFrame:
        """One row a field that could be read, the columns of ``fields.csv``."""
        return fields_frame(
            (one.slide.name, f.fov_id, len(one.table.of_field(f.fov_id)), one.blood_cells.get(f.fov_id))
            for one in self.slides
            for f in one.read_fields
        )

    @property
    def differential(self) -> pd.DataFrame:
        """One row a slide and class, the columns of ``differential.csv``."""
        return differential_frame(one.differential for one in self.slides)


def analysis_of(
    slides: Sequence[SlideAnalysis], *, detector: str, parameters: Mapping[str, Any] | None = None
) -> Analysis:
    """Reviewed slides as an analysis, to be written.

    Parameters
    ----------
    slides : sequence of SlideAnalysis
    detector : str
        Name of the detector that located the cells.
    parameters : mapping, optional
        Of that detector.
    """
    cells = [cell for one in slides for cell in one.table.values()]
    predictions = [cell.prediction for cell in cells if cell.prediction is not None]
    models = sorted({p.model_id for p in predictions})
    threshold = max((p.threshold for p in predictions), default=None)
    return Analysis(tuple(slides), detector, ", ".join(models), threshold, parameters or {})


def load_eight_classes(
    weights: str | Path = DEFAULT_CLASSIFIER, *, device: str = "auto", threshold: float | None = None
) -> Classifier:
    """A classifier for the workbench, which counts by the eight classes.

    Raises
    ------
    WbcError
        As :func:`~napari_wbc.classify.predict.load_classifier`, and if a class is none of the eight.
    """
    classifier = load_classifier(weights, device=device, threshold=threshold)
    unknown = [name for name in classifier.card.classes if name not in EIGHT_CLASSES.names]
    if unknown:
        raise WeightsError(
            f"{weights}: the classes {', '.join(unknown)} have no place in the differential of the "
            f"workbench, which counts {', '.join(EIGHT_CLASSES.names)}; analyze with these weights from "
            "Python or the shell."
        )
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
        That the cells are counted by; it has the classes of the classifier.
    offset, total : int
        Fields done before and of all, for the progress over several slides.
    """
    total = total or len(slide.fields)
    failures: list[Failure] = []
    cells: list[Cell] = []
    blood_cells: dict[str, Mapping[str, int]] = {}
    for done, field in enumerate(slide.fields, start=offset + 1):
        note = ""
        try:
            image = read(field)
            now = Progress(slide.name, done - 1, total)
            detections, counts = yield from locate_steps(detector, image, now)
            found = [Cell.new(field.fov_id, detection) for detection in detections]
            cells += classify_cells(image, found, classifier) if classifier else found
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
        detector=detector.name,
        classified=classifier is not None,
        taxonomy=taxonomy,
    )


def _classifier_steps(total: int, load: Callable[[], Classifier]) -> Steps[Classifier | None]:
    """The classifier; None with a notice where PyTorch is missing or broken."""
    yield Progress("loading weights", 0, total)
    try:
        return load()
    except TorchMissing:
        yield Progress("loading weights", 0, total, "Cells are not classified, since PyTorch is missing.")
        return None


def analyze_fields_steps(
    slide: Slide,
    detector: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]] = read_field,
) -> Steps[SlideAnalysis]:
    """Locate and classify the cells of one slide, and count them by the eight classes.

    Parameters
    ----------
    slide : Slide
    detector, preset, parameters
        Of :func:`~napari_wbc.pipeline.locate.make_detector`.
    weights : str or Path
        Name or file of the classifier's weights.
    read : callable
        Gives the pixels of a field.
    """
    finder = yield from detector_steps(detector, preset, parameters)
    classifier = yield from _classifier_steps(len(slide.fields), lambda: load_eight_classes(weights))
    return (yield from analyze_slide_steps(slide, finder, classifier, read=read))


def classify_table_steps(
    slide: Slide,
    table: CellTable,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]] = read_field,
) -> Steps[tuple[Cell, ...]]:
    """Classify the cells of a table that have no prediction yet.

    Returns
    -------
    tuple of Cell
        Those cells, with predictions.
    """
    fields = [f for f in slide.fields if any(c.prediction is None for c in table.of_field(f.fov_id))]
    yield Progress("loading weights", 0, len(fields))
    classifier = load_eight_classes(weights)
    classified: list[Cell] = []
    for done, field in enumerate(fields, start=1):
        cells = [cell for cell in table.of_field(field.fov_id) if cell.prediction is None]
        classified += classify_cells(read(field), cells, classifier)
        yield Progress("classifying", done, len(fields))
    return tuple(classified)


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
    return _analysis(results, finder, classifier, parameters)


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
        len(demo.slide.fields), lambda: load_eight_classes(device=device)
    )
    one = yield from analyze_slide_steps(demo.slide, finder, classifier)
    return demo, _analysis([one], finder, classifier)


def _analysis(
    slides: Sequence[SlideAnalysis],
    detector: Detector,
    classifier: Classifier | None,
    parameters: Mapping[str, Any] | None = None,
) -> Analysis:
    model, threshold = (classifier.card.model_id, classifier.threshold) if classifier else ("", None)
    return Analysis(tuple(slides), detector.name, model, threshold, dict(parameters or {}))


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
