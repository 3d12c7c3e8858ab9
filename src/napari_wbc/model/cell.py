"""A cell and what is known of it: where it lies, what the model says, what a person says.

Invariant: a prediction and an annotation never overwrite each other. Their agreement is the
model's live error rate and the filter of an export.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Literal

from napari_wbc.errors import WbcError
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.taxonomy import CANDIDATE, UNIDENTIFIED

LabelSource = Literal["annotation", "prediction", "none"]


@dataclass(frozen=True, slots=True)
class LocatedBy:
    """What located a cell: name and preset or weights as written in reports, and all settings."""

    detector: str
    parameters: tuple[tuple[str, float], ...] = ()


BY_HAND = LocatedBy("by hand")
"""A person drew the cell."""
NOT_KNOWN = LocatedBy("not known")
"""Of a cell that was kept or imported without it."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A located candidate, without a class; box and outline are in pixels of the field of view.

    Parameters
    ----------
    score : float
        0 to 1, how sure the detector is; 1 for a cell that a person drew.
    drawn : bool
        Whether a person drew, moved or accepted it, so that no new search takes it away.
    candidate : bool
        Whether the cell finders disagree on it: it is shown, but not counted until a person
        accepts it.
    located_by : LocatedBy, optional
        The detector that found it, also after a person moved or split it; None where a person drew
        it, or joined cells of several detectors, or it is not known.
    """

    bbox: BBox
    outline: Outline | None = None
    score: float = 1.0
    drawn: bool = False
    located_by: LocatedBy | None = None
    candidate: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise WbcError(f"Detection score {self.score} is outside 0 to 1.")

    @property
    def locator(self) -> LocatedBy:
        """What located it, :data:`BY_HAND` or :data:`NOT_KNOWN`."""
        return self.located_by or (BY_HAND if self.drawn else NOT_KNOWN)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one cell.

    Parameters
    ----------
    names : tuple of str
        Class names, in the model's order.
    probabilities : tuple of float
        One a class, 0 to 1, summing to 1.
    threshold : float
        Confidence below which the cell's label is ``unidentified``, 0 to 1.
    model_id : str
        Name and version of the weights.
    unlikeness : float, optional
        How far the cell is from the model's training data, 0 and more; above 1 it is unlike them.
        None where the weights do not tell.
    weights : str
        sha256 of the weights, as in their model card; empty where it is not known.
    """

    names: tuple[str, ...]
    probabilities: tuple[float, ...]
    threshold: float = 0.0
    model_id: str = ""
    unlikeness: float | None = None
    weights: str = ""
    confidence: float = field(init=False, repr=False, compare=False)
    """Probability of the most probable class."""
    cell_class: str = field(init=False, repr=False, compare=False)
    """The most probable class."""
    label: str = field(init=False, repr=False, compare=False)
    """The most probable class, or ``unidentified`` below the threshold."""

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.probabilities):
            raise WbcError(
                f"A prediction needs one probability a class, not {len(self.probabilities)} "
                f"for {len(self.names)} classes."
            )
        if not all(0 <= p <= 1 for p in self.probabilities):
            raise WbcError(f"Probabilities {self.probabilities} are not all within 0 to 1.")
        # Asked of ten thousand cells at every change, so found once.
        confidence = max(self.probabilities)
        cell_class = self.names[self.probabilities.index(confidence)]
        label = cell_class if confidence >= self.threshold else UNIDENTIFIED
        # A frozen class is set this way only.
        object.__setattr__(self, "confidence", confidence)
        object.__setattr__(self, "cell_class", cell_class)
        object.__setattr__(self, "label", label)


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a person says of one cell: a class, ``unidentified`` or ``not classed``.

    ``when`` is an ISO 8601 time with zone.
    """

    label: str
    annotator: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of one field of view."""

    cell_id: str
    fov_id: str
    detection: Detection
    prediction: Prediction | None = None
    annotation: Annotation | None = None

    @classmethod
    def new(cls, fov_id: str, detection: Detection) -> Cell:
        """Mint a cell with an id of its own."""
        return cls(str(uuid.uuid4()), fov_id, detection)

    @property
    def candidate(self) -> bool:
        """Whether the cell finders disagree on it and no person has confirmed it."""
        detection = self.detection
        return detection.candidate and self.annotation is None and not detection.drawn

    @property
    def label(self) -> str:
        """Annotation, or else ``candidate``, or else prediction, or else ``unidentified``."""
        if self.annotation is not None:
            return self.annotation.label
        if self.candidate:
            return CANDIDATE
        return UNIDENTIFIED if self.prediction is None else self.prediction.label

    @property
    def touched(self) -> bool:
        """Whether a person drew, moved, accepted or labelled it."""
        return self.annotation is not None or self.detection.drawn

    @property
    def label_source(self) -> LabelSource:
        """What :attr:`label` comes from."""
        if self.annotation is not None:
            return "annotation"
        return "none" if self.prediction is None or self.candidate else "prediction"

    def accepted(self) -> Cell:
        """This cell, confirmed by a person if it was a candidate: its prediction counts."""
        if not self.candidate:
            return self
        return replace(self, detection=replace(self.detection, candidate=False, drawn=True))

    def predicted(self, prediction: Prediction | None) -> Cell:
        """This cell with another prediction."""
        return replace(self, prediction=prediction)

    def annotated(self, annotation: Annotation | None) -> Cell:
        """This cell with another annotation."""
        return replace(self, annotation=annotation)

    def moved(self, detection: Detection) -> Cell:
        """This cell elsewhere: same id and annotation, no prediction."""
        # The prediction was of other pixels; what a person said was of the cell.
        return replace(self, detection=detection, prediction=None)
