"""Cell finders by name, and what a person may set of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc.detect.base import Detector
from napari_wbc.detect.hsv import PRESETS, HsvDetector
from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES, LEUKOCYTE, MaskRcnnDetector, load_mask_rcnn
from napari_wbc.errors import TorchMissing, WbcError, WeightsError
from napari_wbc.model.cell import Detection, LocatedBy
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.weights.library import Library
from napari_wbc.weights.registry import DEFAULT_DETECTOR, find_weights
from napari_wbc.weights.store import read_card

__all__ = [
    "BLOOD_CLASSES",
    "DEFAULT",
    "DETECTORS",
    "Parameter",
    "detector_steps",
    "locate_steps",
    "located_by",
    "make_detector",
    "parameters_of",
    "presets_of",
    "preview_steps",
]

DETECTORS = ("mask-rcnn", "hsv")
"""Names of the cell finders."""
DEFAULT = DETECTORS[0]


def make_detector(
    name: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    device: str = "auto",
) -> Detector:
    """A cell finder by name.

    Parameters
    ----------
    name : str
        One of :data:`DETECTORS`.
    preset : str, optional
        One of :func:`presets_of` the cell finder, the first if None; ``mask-rcnn`` also takes the
        path of a ``.safetensors`` file.
    parameters : mapping, optional
        Values that differ from the preset's.
    device : str
        ``auto``, ``cpu`` or ``cuda``; ``hsv`` needs none.

    Raises
    ------
    TorchMissing
        If it needs PyTorch, which is missing or broken.
    WbcError
        If there is no such cell finder, preset or parameter.
    """
    preset = preset or presets_of(name)[0]
    names = [parameter.name for parameter in parameters_of(name, preset)]
    if unknown := sorted(set(parameters or {}).difference(names)):
        raise WbcError(
            f"Preset {preset!r} has no parameter {', '.join(unknown)}; it has {', '.join(names)}."
        )
    if name == "mask-rcnn":
        return load_mask_rcnn(preset, device=device, parameters=parameters)
    return HsvDetector(preset, PRESETS[preset].parameters(**parameters) if parameters else None)


def detector_steps(
    name: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    device: str = "auto",
) -> Steps[Detector]:
    """:func:`make_detector`; if PyTorch cannot be loaded, the search by colour with a notice."""
    yield Progress("loading the cell finder", 0, 0)
    try:
        return make_detector(name, preset, parameters, device=device)
    except TorchMissing as error:
        note = f"{error} Until then cells are located by colour (hsv)."
        yield Progress("loading the cell finder", 0, 0, note)
        return HsvDetector()


def locate_steps(
    detector: Detector, image: npt.NDArray[np.uint8], progress: Progress
) -> Steps[tuple[tuple[Detection, ...], dict[str, int] | None]]:
    """The leukocytes of a field; and how many red cells and platelets, if they are counted.

    The image has shape (height, width, 3); ``progress`` is shown between parts of a large field.
    """
    if not isinstance(detector, MaskRcnnDetector):
        return detector.detect(image), None
    steps = detector.survey_steps(image)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            cells: dict[str, tuple[Detection, ...]] = end.value
            break
        # Tiles of one field are no fields: the bar of the slide stands still, but can be cancelled.
        yield progress
    leukocytes = cells.pop(LEUKOCYTE)
    # Red cells and platelets are too many to keep and review one by one.
    counts = {name: len(detections) for name, detections in cells.items()}
    return leukocytes, counts or None


def located_by(detector: Detector) -> LocatedBy:
    """Name and settings of a cell finder, to be kept with the cells that it located.

    Examples
    --------
    >>> located_by(HsvDetector()).parameters[0]
    ('sensitivity', 0.5)
    """
    if isinstance(detector, MaskRcnnDetector):
        return LocatedBy(detector.name, (("score", detector.score), ("overlap", detector.overlap)))
    if isinstance(detector, HsvDetector):
        # Defaults are kept too, since a later version may change them.
        settings = detector.parameters or PRESETS[detector.preset].parameters()
        return LocatedBy(detector.name, tuple(dataclasses.asdict(settings).items()))
    return LocatedBy(detector.name)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a cell finder can be tuned by."""

    name: str
    default: float
    low: float
    high: float
    step: float
    help: str

    @property
    def title(self) -> str:
        """Its name for a person."""
        return self.name.replace("_", " ").capitalize()


def presets_of(detector: str) -> tuple[str, ...]:
    """The presets of a cell finder, its default first.

    Those of ``mask-rcnn`` are weights by name: the ones in use, those shipped and those added.

    Raises
    ------
    WbcError
        If there is no such cell finder.
    """
    if detector not in DETECTORS:
        raise WbcError(f"No cell finder {detector!r}; choose one of: {', '.join(DETECTORS)}.")
    if detector == "hsv":
        return tuple(PRESETS)
    library = Library()
    in_use = DEFAULT_DETECTOR
    # The Models panel reports a damaged record; the list of presets works without it.
    with suppress(WeightsError):
        in_use = library.adopted("detector").name
    models = library.models()
    names = [model.name for model in models if model.kind == "detector" and not model.damaged]
    return tuple(sorted(names, key=lambda name: (name != in_use, name != DEFAULT_DETECTOR)))


def parameters_of(detector: str, preset: str) -> tuple[Parameter, ...]:
    """The parameters of a preset, in order.

    Raises
    ------
    WbcError
        If there is no such cell finder or preset.
    """
    if detector == "mask-rcnn":
        # Each network has a best threshold of its own, chosen in training and kept in its card.
        score = read_card(find_weights(preset)).threshold
        overlap_help = "Of two boxes that overlap more, the surer is kept."
        return (
            Parameter("score", score, 0.05, 1.0, 0.01, "Lowest score of a cell."),
            Parameter("overlap", 0.5, 0.0, 1.0, 0.05, overlap_help),
        )
    if preset not in presets_of(detector):
        raise WbcError(f"No preset {preset!r}; choose one of: {', '.join(PRESETS)}.")
    parameters = []
    for field in dataclasses.fields(PRESETS[preset].parameters):
        default: Any = field.default
        limits = itemgetter("min", "max", "step", "help")(field.metadata)
        parameters.append(Parameter(field.name, float(default), *limits))
    return tuple(parameters)


def preview_steps(
    image: npt.NDArray[np.uint8], name: str, preset: str, parameters: Mapping[str, Any]
) -> Steps[tuple[Detection, ...]]:
    """What a cell finder locates on one field."""
    detector = yield from detector_steps(name, preset, parameters)
    progress = Progress("locating", 0, 1)
    yield progress
    detections, _counts = yield from locate_steps(detector, image, progress)
    return detections
