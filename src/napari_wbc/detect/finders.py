"""Cell finders by name, and what a person may set of them.

To add a cell finder, put it in a file beside this one and name it in the functions below.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from napari_wbc.detect.base import Detector
from napari_wbc.detect.hsv import PRESETS, HsvDetector
from napari_wbc.detect.mask_rcnn import MaskRcnnDetector, load_mask_rcnn
from napari_wbc.detect.pair import PairDetector, load_pair
from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.model.cell import LocatedBy
from napari_wbc.weights.library import Library
from napari_wbc.weights.registry import DEFAULT_DETECTOR, find_weights
from napari_wbc.weights.store import read_card

DETECTORS = ("auto", "mask-rcnn", "hsv")
"""Names of the cell finders: ``auto`` is both others, which judge each other."""
NETWORKS = ("auto", "mask-rcnn")
"""Those of them that need a network, which is their preset."""


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
        One of :func:`presets_of` the cell finder, the first if None; those with a network also take
        the path of a ``.safetensors`` file.
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
    if name == "auto":
        return load_pair(preset, device=device, parameters=parameters)
    if name == "mask-rcnn":
        return load_mask_rcnn(preset, device=device, parameters=parameters)
    # Another cell finder is made here; presets_of has refused a name that is none.
    return HsvDetector(preset, PRESETS[preset].parameters(**parameters) if parameters else None)


def located_by(detector: Detector) -> LocatedBy:
    """Name and settings of a cell finder, to be kept with the cells that it located.

    Examples
    --------
    >>> located_by(HsvDetector()).parameters[0]
    ('sensitivity', 0.5)
    """
    if isinstance(detector, (MaskRcnnDetector, PairDetector)):
        network = detector.network if isinstance(detector, PairDetector) else detector
        return LocatedBy(detector.name, (("score", network.score), ("overlap", network.overlap)))
    if isinstance(detector, HsvDetector):
        # Defaults are kept too, since a later version may change them.
        settings = detector.parameters or PRESETS[detector.preset].parameters()
        return LocatedBy(detector.name, tuple(dataclasses.asdict(settings).items()))
    return LocatedBy(detector.name)


TITLES = {"score": "At least this sure", "overlap": "Cells may share"}
"""Of parameters whose own names a person would stumble over."""


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
        return TITLES.get(self.name, self.name.replace("_", " ").capitalize())


def presets_of(detector: str) -> tuple[str, ...]:
    """The presets of a cell finder, its default first.

    Those with a network are weights by name: the ones in use, those shipped and those added.

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
    if detector in NETWORKS:
        # Networks of earlier versions have a threshold of their own; those of today have 0.5.
        score = read_card(find_weights(preset)).threshold
        overlap_help = "Of two boxes that share more of their area, only the surer is one cell."
        return (
            Parameter("score", score, 0.05, 1.0, 0.01, "Finds below this are no cells."),
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
