"""What was found on slides, and its tables."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_wbc.model.audit import Audit
from napari_wbc.model.cell import BY_HAND, NOT_KNOWN, Cell, LocatedBy
from napari_wbc.model.differential import Differential, differential, leukocytes
from napari_wbc.model.failure import Failure
from napari_wbc.model.prediction_sets import calibrated
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.stain_alarm import stain_alarm
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.pipeline.film.regions import RegionCount, Regions, by_region
from napari_wbc.storage.tables import CELL_COLUMNS, cells_frame, differential_frame, fields_frame

if TYPE_CHECKING:
    import pandas as pd

ReadField: TypeAlias = Callable[[FieldOfView], npt.NDArray[np.uint8]]
"""Gives the pixels of a field: from its file, or as the window shows them."""


def left_out_steps(slides: Iterable[Slide]) -> Steps[None]:
    """Name the files of the slides' folders that seem to be images and cannot be read."""
    for slide in slides:
        if slide.left_out:
            yield Progress(slide.name, 0, 0, f"{slide.name}: {slide.left_out_note}")


@dataclass(frozen=True, slots=True)
class SlideAnalysis:
    """What was found on one slide."""

    slide: Slide
    table: CellTable
    failures: tuple[Failure, ...] = ()
    blood_cells: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    """Field to red cells and platelets, if the cell finder counted them."""
    disagreements: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Field to how far its cell finders disagree, in words; fields on which they agree are left
    out."""
    looked_at: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Field, which is a scanned film, to the part of it that was looked at, in words; films that
    were looked at as a whole are left out."""
    regions: Regions = dataclasses.field(default_factory=dict)
    """Field, which is a scanned film, to its regions by name; they are counted apart, too."""
    audit: Audit | None = None
    """Of a reviewed slide, if its project has one."""
    classified: bool = True
    """False if PyTorch was missing, so that cells are located only."""
    taxonomy: Taxonomy = EIGHT_CLASSES
    """What the cells are counted by."""
    searched_by: LocatedBy | None = None
    """The cell finder that searched the fields; it is named even if it found no cell."""

    @property
    def read_fields(self) -> tuple[FieldOfView, ...]:
        """The fields that could be read."""
        failed = {failure.path for failure in self.failures}
        return tuple(field for field in self.slide.fields if field.path not in failed)

    @property
    def listed_fields(self) -> tuple[str, ...]:
        """Ids of fields that were read or hold cells; those that left the slide come last."""
        read = set(self.read_fields)
        # Dicts keep the order: of the slide, and of the table for fields that it no longer has.
        with_cells = dict.fromkeys(cell.fov_id for cell in self.table.values())
        listed: dict[str, None] = {}
        for field in self.slide.fields:
            if field in read or field.fov_id in with_cells:
                listed[field.fov_id] = None
        return tuple(listed | with_cells)

    def leukocytes_in(self, fov_id: str) -> int:
        """Cells of a field that the differential counts as leukocytes."""
        labels = Counter(cell.label for cell in self.table.of_field(fov_id))
        return leukocytes(labels, self.taxonomy)

    @property
    def located_by(self) -> dict[LocatedBy, int]:
        """How many cells each cell finder located; those that a person drew come last."""
        counts = Counter(cell.detection.locator for cell in self.table.values())
        return dict(sorted(counts.items(), key=lambda item: _by_hand_last(item[0])))

    @property
    def detectors(self) -> tuple[LocatedBy, ...]:
        """What located the cells, or searched for them if there are none."""
        searched_by = (self.searched_by,) if self.searched_by else ()
        return tuple(self.located_by) or searched_by

    @property
    def detector(self) -> str:
        """Names of :attr:`detectors`."""
        return _names(self.detectors)

    @property
    def detector_parameters(self) -> dict[str, float]:
        """Settings of the cell finder; empty if several located the cells."""
        detectors = set(self.detectors) - {BY_HAND}
        return dict(detectors.pop().parameters) if len(detectors) == 1 else {}

    @property
    def threshold(self) -> float | None:
        """The highest confidence below which a cell is unidentified; None without predictions."""
        predictions = (cell.prediction for cell in self.table.values())
        return max((p.threshold for p in predictions if p is not None), default=None)

    @property
    def stain_alarm(self) -> str:
        """A warning where the model does not know the stain, else empty."""
        return stain_alarm(self.table.values())

    @property
    def possible_classes(self) -> Iterator[str]:
        """Classes that each cell may be of, as ``monocyte; lymphocyte``.

        Empty for a reviewed cell, and where too few are reviewed at random; see
        :mod:`napari_wbc.model.prediction_sets`.
        """
        calibration = calibrated(self.table, self.audit)
        for cell in self.table.values():
            by_model = cell.prediction if cell.label_source == "prediction" else None
            yield "; ".join(calibration.possible(by_model)) if calibration and by_model else ""

    @property
    def differential(self) -> Differential:
        """The slide's differential."""
        return differential(self.slide.name, self.table, self.taxonomy)

    @property
    def by_region(self) -> tuple[RegionCount, ...]:
        """Differentials of the regions of its films."""
        return by_region(self.table, self.regions, self.taxonomy)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found on all slides."""

    slides: tuple[SlideAnalysis, ...]
    model_id: str = ""
    threshold: float | None = None
    """Confidence below which a cell is unidentified."""

    @property
    def detector(self) -> str:
        """Names of the cell finders of all slides."""
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
    def n_fields(self) -> int:
        """How many fields all slides have, also those that could not be read."""
        return sum(len(analysis.slide.fields) for analysis in self.slides)

    @property
    def cells(self) -> pd.DataFrame:
        """One row a cell, the columns of ``cells.csv``.

        ``possible_classes`` is among them once 20 cells of a slide are reviewed at random.
        """
        tables = [(analysis.slide.name, analysis.table) for analysis in self.slides]
        frame = cells_frame(tables, self.taxonomy.names)
        possible = list(chain.from_iterable(slide.possible_classes for slide in self.slides))
        if any(possible):
            frame.insert(len(CELL_COLUMNS), "possible_classes", possible)
        return frame

    @property
    def fields(self) -> pd.DataFrame:
        """One row a field that could be read or holds cells, the columns of ``fields.csv``."""
        rows = []
        for analysis in self.slides:
            for fov_id in analysis.listed_fields:
                cells = analysis.table.of_field(fov_id)
                leukocytes = analysis.leukocytes_in(fov_id)
                counts = analysis.blood_cells.get(fov_id)
                candidates = sum(cell.candidate for cell in cells)
                said = (analysis.disagreements, analysis.looked_at)
                note = " ".join(filter(None, (notes.get(fov_id, "") for notes in said)))
                place = analysis.slide.name, fov_id
                rows.append((*place, len(cells), leukocytes, counts, candidates, note))
        return fields_frame(rows)

    @property
    def differential(self) -> pd.DataFrame:
        """One row a slide and class, the columns of ``differential.csv``."""
        return differential_frame(slide.differential for slide in self.slides)


@dataclass(frozen=True, slots=True)
class Classified:
    """Cells that were classified, and fields that could not be read for it."""

    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...] = ()


def analysis_of(slides: Sequence[SlideAnalysis]) -> Analysis:
    """An analysis of slides whose cells may come from several models, as after a review."""
    models: set[str] = set()
    thresholds: set[float] = set()
    for slide in slides:
        for cell in slide.table.values():
            if cell.prediction is not None:
                models.add(cell.prediction.model_id)
                thresholds.add(cell.prediction.threshold)
    return Analysis(tuple(slides), ", ".join(sorted(models)), max(thresholds, default=None))


def _by_hand_last(by: LocatedBy) -> tuple[bool, bool, str, tuple[tuple[str, float], ...]]:
    """Sorts by name and parameters; what is not known, then what was drawn by hand, comes last."""
    return by == BY_HAND, by == NOT_KNOWN, by.detector, by.parameters


def _names(detectors: Iterable[LocatedBy]) -> str:
    # One cell finder with two settings is named once.
    return ", ".join(dict.fromkeys(by.detector for by in sorted(detectors, key=_by_hand_last)))
