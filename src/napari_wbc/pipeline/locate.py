"""Detectors by name, and what a person may set of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc.detect.base import Detector
from napari_wbc.detect.hsv import PRESETS, HsvDetector
from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES
from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Detection
from napari_wbc.model.progress import Progress, Steps

__all__ = ["BLOOD_CLASSES", "DETECTORS", "PRESETS", "Parameter", "make_detector", "parameters_of", "preview_steps"]

DETECTORS = ("hsv",)
"""Names of the detectors."""
DEFAULT_PRESET = "nucleus"


def make_detector(
    name: str = "hsv", preset: str | None = None, parameters: Mapping[str, Any] | None = None
) -> Detector:
    """A detector by name.

    Parameters
    ----------
    name : str
        One of :data:`DETECTORS`.
    preset : str, optional
        Of the detector; its default where None.
    parameters : mapping, optional
        Values that differ from the preset's.

    Raises
    ------
    WbcError
        If there is no such detector, preset or parameter.
    """
    if name == "mask-rcnn":
        raise WbcError("No Mask R-CNN weights are shipped in this version; choose --detector hsv.")
    if name not in DETECTORS:
        raise WbcError(f"No detector {name!r}; choose one of: {', '.join(DETECTORS)}.")
    preset = preset or DEFAULT_PRESET
    if not parameters:
        return HsvDetector(preset)
    known = tuple(parameter.name for parameter in parameters_of(preset))
    unknown = sorted(set(parameters).difference(known))
    if unknown:
        raise WbcError(f"Preset {preset!r} has no parameter {', '.join(unknown)}; it has {', '.join(known)}.")
    return HsvDetector(preset, PRESETS[preset].parameters(**parameters))


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


def parameters_of(preset: str) -> tuple[Parameter, ...]:
    """The parameters of a detector's preset, in order.

    Raises
    ------
    WbcError
        If there is no such preset.
    """
    if preset not in PRESETS:
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
    yield Progress("locating", 0, 1)
    return make_detector(name, preset, parameters).detect(image)
