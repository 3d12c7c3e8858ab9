"""Detectors by name, and what a person may set of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
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
"""Names of the detectors."""
DEFAULT = DETECTORS[0]


def make_detector(
    name: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    device: str = "auto",
) -> Detector:
    """A detector by name.

    Parameters
    ----------
    name : str
        One of :data:`DETECTORS`.
    preset : str, optional
        One of :func:`presets_of` the detector, the first where None; ``mask-rcnn`` also takes the
        path of a ``.safetensors`` file.
    parameters : mapping, optional
        Values that differ from the preset's.
    device : str
        ``auto``, ``cpu`` or ``cuda``; ``hsv`` needs none.

    Raises
    ------
    TorchMissing
        If the detector needs PyTorch, which is missing or broken.
    WbcError
        If there is no such detector, preset or parameter.
    """
    preset = preset or presets_of(name)[0]
    known = tuple(parameter.name for parameter in parameters_of(name, preset))
    unknown = sorted(set(parameters or {}).difference(known))
    if unknown:
        raise WbcError(
            f"Preset {preset!r} has no parameter {', '.join(unknown)}; it has {', '.join(known)}."
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
    """:func:`make_detector`; where PyTorch is missing or broken, the colour detector with a notice."""
    yield Progress("loading the detector", 0, 0)
    try:
        return make_detector(name, preset, parameters, device=device)
    except TorchMissing as error:
        note = f"{error} Until then cells are located by colour (hsv)."
        yield Progress("loading the detector", 0, 0, note)
        return HsvDetector()


def locate_steps(
    detector: Detector, image: npt.NDArray[np.uint8], now: Progress
) -> Steps[tuple[tuple[Detection, ...], dict[str, int] | None]]:
    """The leukocytes of a field; and how many red cells and platelets, if the detector counts them.

    Parameters
    ----------
    detector : Detector
    image : ndarray, shape (height, width, 3), uint8
    now : Progress
        What to say between the parts of a large field.
    """
    if not isinstance(detector, MaskRcnnDetector):
        return detector.detect(image), None
    steps = detector.survey_steps(image)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: dict[str, tuple[Detection, ...]] = end.value
            break
        yield now
    leukocytes = found.pop(LEUKOCYTE)
    return leukocytes, {name: len(cells) for name, cells in found.items()} if found else None


def located_by(detector: Detector) -> LocatedBy:
    """What a cell keeps of the detector that found it: its name, and all that it was set to.

    Examples
    --------
    >>> located_by(HsvDetector()).parameters[0]
    ('sensitivity', 0.5)
    """
    if isinstance(detector, MaskRcnnDetector):
        return LocatedBy(detector.name, (("score", detector.score), ("overlap", detector.overlap)))
    if isinstance(detector, HsvDetector):
        settings = detector.parameters or PRESETS[detector.preset].parameters()
        return LocatedBy(detector.name, tuple(dataclasses.asdict(settings).items()))
    return LocatedBy(detector.name)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a detector can be tuned by."""

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
    """The presets of a detector, its default first.

    Those of ``mask-rcnn`` are weights by name: the ones in use, those shipped and a person's own.

    Raises
    ------
    WbcError
        If there is no such detector.
    """
    if detector not in DETECTORS:
        raise WbcError(f"No detector {detector!r}; choose one of: {', '.join(DETECTORS)}.")
    if detector == "hsv":
        return tuple(PRESETS)
    library, used = Library(), DEFAULT_DETECTOR
    with suppress(WeightsError):  # the library's own panel tells of a damaged record
        used = library.adopted("detector").name
    names = [
        model.name for model in library.models() if model.kind == "detector" and not model.damaged
    ]
    return tuple(sorted(names, key=lambda name: (name != used, name != DEFAULT_DETECTOR)))


def parameters_of(detector: str, preset: str) -> tuple[Parameter, ...]:
    """The parameters of a detector's preset, in order.

    Raises
    ------
    WbcError
        If there is no such detector or preset.
    """
    if detector == "mask-rcnn":
        score = read_card(find_weights(preset)).threshold
        return (
            Parameter("score", score, 0.05, 1.0, 0.01, "Lowest score of a cell."),
            Parameter(
                "overlap", 0.5, 0.0, 1.0, 0.05, "Of two boxes that overlap more, the surer is kept."
            ),
        )
    if preset not in presets_of(detector):
        raise WbcError(f"No preset {preset!r}; choose one of: {', '.join(PRESETS)}.")
    return tuple(
        Parameter(
            field.name,
            float(field.default),  # type: ignore[arg-type]
            field.metadata["min"],
            field.metadata["max"],
            field.metadata["step"],
            field.metadata["help"],
        )
        for field in dataclasses.fields(PRESETS[preset].parameters)
    )


def preview_steps(
    image: npt.NDArray[np.uint8], name: str, preset: str, parameters: Mapping[str, Any]
) -> Steps[tuple[Detection, ...]]:
    """What a detector finds on one field."""
    detector = yield from detector_steps(name, preset, parameters)
    now = Progress("locating", 0, 1)
    yield now
    return (yield from locate_steps(detector, image, now))[0]
