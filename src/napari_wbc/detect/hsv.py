"""Detection by colour: leukocytes by their nuclei, or the largest contour in a colour range.

Invariant: no weights and no state; the same image and parameters give the same detections.

The preset ``nucleus`` measures the light and the red cells of the field, takes what absorbs
like a nucleus, gathers the lobes of each cell, and draws around them the closed curve that
best parts leukocyte from slide, red cells and neighbours. All lengths are in red cell
diameters, so that the same numbers serve every magnification. The preset ``youssef-2024`` is
a published recipe, to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias

import cv2
import numpy as np

from napari_wbc.detect.base import Detector, Located, RgbImage
from napari_wbc.detect.look import Look, Seen
from napari_wbc.detect.nuclei import Pixels, StainedField, find_nuclei, stained_field
from napari_wbc.detect.outlines import traced
from napari_wbc.detect.rings import draw_rings, halves_joined, score_of
from napari_wbc.detect.tiled import Tile, distinct, placed
from napari_wbc.errors import WbcError
from napari_wbc.imaging.crop import whole_image_box
from napari_wbc.imaging.stain import Float64, checked_rgb
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, Outline

_HALVES = 5.0
"""Longest cell that two outlines may be halves of, in red cell diameters."""
_SAME = 0.3
"""IoU above which two boxes in overlapping windows are of one cell."""


def _slider(default: float, low: float, high: float, step: float, text: str) -> Any:
    """A field of a dataclass, with what a widget needs to show it as a slider."""
    return field(default=default, metadata={"min": low, "max": high, "step": step, "help": text})


@dataclass(frozen=True, slots=True)
class NucleusParameters:
    """What a person may set of the preset ``nucleus``.

    Parameters
    ----------
    sensitivity : float
        0 to 1; higher finds paler nuclei, and more debris.
    red_cell : float
        Diameter of a red cell in pixels of the image, 0 to 400; 0 measures it.
    smallest : float
        Smallest nucleus as a share of a red cell's area, 0 to 2.
    gap : float
        Widest gap between lobes of one nucleus, in red cell diameters, 0 to 1.5.
    longest : float
        Longest nucleus, in red cell diameters, 1 to 5; longer ones are parted.
    reach : float
        How far cytoplasm may reach beyond the nucleus, in red cell diameters, 0 to 2.
    score : float
        Lowest score of a cell, 0 to 1.
    """

    sensitivity: float = _slider(0.5, 0.0, 1.0, 0.05, "Higher finds paler nuclei, and more debris.")
    red_cell: float = _slider(
        0.0, 0.0, 400.0, 1.0, "Diameter of a red cell in pixels; 0 measures it."
    )
    smallest: float = _slider(
        0.25, 0.0, 2.0, 0.05, "Smallest nucleus, as a share of a red cell's area."
    )
    gap: float = _slider(
        0.35, 0.0, 1.5, 0.05, "Widest gap within a nucleus, in red cell diameters."
    )
    longest: float = _slider(
        3.3, 1.0, 5.0, 0.1, "Longest nucleus, in red cell diameters; longer ones are parted."
    )
    reach: float = _slider(
        0.9, 0.0, 2.0, 0.05, "Reach of cytoplasm beyond the nucleus, in red cell diameters."
    )
    score: float = _slider(0.5, 0.0, 1.0, 0.05, "Lowest score of a cell.")


@dataclass(frozen=True, slots=True)
class YoussefParameters:
    """The recipe of the preset ``youssef-2024``: 3x3 Gaussian blur, HSV range, largest contour.

    Parameters
    ----------
    hue, saturation, value : float
        Lowest hue (0 to 179, two degrees a step), saturation and brightness (0 to 255).
    blur : float
        Width of the Gaussian blur in pixels, odd, 1 to 31.
    """

    hue: float = _slider(80.0, 0.0, 179.0, 1.0, "Lowest hue, 0 to 179.")
    saturation: float = _slider(60.0, 0.0, 255.0, 1.0, "Lowest saturation, 0 to 255.")
    value: float = _slider(140.0, 0.0, 255.0, 1.0, "Lowest brightness, 0 to 255.")
    blur: float = _slider(3.0, 1.0, 31.0, 2.0, "Width of the blur in pixels, odd.")


def _detection(ring: Float64, scale: float, image: RgbImage, score: float) -> Detection:
    # Rays may reach over the edge of the field, where no cell is.
    outline = Outline.from_array(np.clip(ring / scale, 0, image.shape[:2]))
    return Detection(outline.bbox, outline, score)


def _measured(stain: StainedField, sensitivity: float) -> tuple[StainedField, float]:
    """The field and its cut level; where red cells give no scale, the largest nucleus does."""
    # The darkest pixels of half a red cell's area, so that neither dirt nor one dark pixel sets
    # the level; 0.7 keeps pale nuclei in a field that also shows a very dark one.
    n_darkest = int(np.clip(stain.red_area / 2, 8, max(stain.nuclei.size // 5, 1)))
    n_darkest = min(n_darkest, stain.nuclei.size)
    top = min(float(np.partition(stain.nuclei, -n_darkest, axis=None)[-n_darkest]), 0.7)
    low, high = stain.red.nucleus
    cut = max(0.08, low + 0.8 * (1 - sensitivity) * (top - low), min(1.35 * high, 0.8 * top))
    stats = cv2.connectedComponentsWithStats((stain.nuclei > cut).astype(np.uint8))[2]
    largest = float(max(stats[1:, cv2.CC_STAT_AREA], default=0))
    # No nucleus has the area of 25 red cells: what was measured were not red cells.
    if not stain.diameter or largest > 25 * stain.red_area:
        stain = replace(stain, diameter=float(np.sqrt(largest * 4 / np.pi)))
    return stain, cut


def _cells(
    stain: StainedField, cut: float, smallest: float, settings: NucleusParameters
) -> list[tuple[Pixels, Float64]]:
    """Nucleus and outline of each cell whose nucleus has ``smallest`` working pixels or more."""
    # Lobes may be far smaller than a nucleus is: they are gathered before size counts.
    smallest_lobe = min(0.05 * stain.red_area, smallest)
    nuclei = find_nuclei(stain, cut, smallest_lobe, gap=settings.gap, longest=settings.longest)

    def outlined(nuclei: Sequence[Pixels]) -> tuple[list[int], Float64]:
        wanted = [k for k, pixels in enumerate(nuclei) if len(pixels) >= smallest]
        return wanted, draw_rings(stain, nuclei, wanted, settings.reach * stain.diameter)

    wanted, rings = outlined(nuclei)
    # Outlines show what nuclei do not: two halves of one cell. Joined, they are outlined anew.
    joined = halves_joined(nuclei, wanted, rings, _HALVES * stain.diameter)
    if len(joined) < len(nuclei):
        nuclei = joined
        wanted, rings = outlined(nuclei)
    return [(nuclei[k], ring) for k, ring in zip(wanted, rings, strict=True)]


def _by_nucleus(image: RgbImage, settings: NucleusParameters) -> list[Detection]:
    """The preset ``nucleus``."""
    stain, cut = _measured(stained_field(image, settings.red_cell), settings.sensitivity)
    smallest = max(settings.smallest * stain.red_area, 4.0)
    detections = []
    for nucleus, ring in _cells(stain, cut, smallest, settings):
        score = score_of(stain, nucleus, ring)
        if score >= settings.score:
            detections.append(_detection(ring, stain.scale, image, score))
    return detections


def _by_youssef(image: RgbImage, settings: YoussefParameters) -> list[Detection]:
    """The preset ``youssef-2024``."""
    # OpenCV blurs by odd widths only.
    width = int(settings.blur) | 1
    hsv = cv2.cvtColor(cv2.GaussianBlur(image, (width, width), 0), cv2.COLOR_RGB2HSV)
    mask = cv2.inRange(hsv, (settings.hue, settings.saturation, settings.value), (255, 255, 255))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return []
    largest = max(contours, key=cv2.contourArea)
    left, top, width, height = cv2.boundingRect(largest)
    filled = np.zeros((height + 2, width + 2), np.uint8)
    cv2.drawContours(filled, [largest], -1, 1, cv2.FILLED, offset=(1 - left, 1 - top))
    inside = np.count_nonzero(mask[top : top + height, left : left + width] & filled[1:-1, 1:-1])
    outline = Outline.from_array(traced(filled) + np.array([top - 1, left - 1]))
    # The recipe has no score: the largest contour's share of all that is in the colour range.
    score = inside / np.count_nonzero(mask)
    return [Detection(BBox(top, left, top + height, left + width), outline, score)]


Parameters: TypeAlias = NucleusParameters | YoussefParameters


@dataclass(frozen=True, slots=True)
class Preset:
    """A named way to detect: what a person may set of it, and how it goes."""

    parameters: type[Any]
    find: Callable[[RgbImage, Any], list[Detection]]


PRESETS: MappingProxyType[str, Preset] = MappingProxyType(
    {
        "nucleus": Preset(NucleusParameters, _by_nucleus),
        "youssef-2024": Preset(YoussefParameters, _by_youssef),
    }
)
"""Name to preset, the default first."""


@dataclass(frozen=True)
class HsvDetector:
    """Locates leukocytes by colour, without weights.

    Parameters
    ----------
    preset : str
        A name of :data:`PRESETS`.
    parameters : NucleusParameters or YoussefParameters, optional
        Of that preset; its defaults if None.

    Raises
    ------
    WbcError
        If there is no such preset, or the parameters are another preset's.

    Examples
    --------
    >>> HsvDetector().name
    'hsv/nucleus'
    >>> HsvDetector().detect(np.full((48, 64, 3), 230, np.uint8))
    ()
    """

    preset: str = "nucleus"
    parameters: Parameters | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise WbcError(
                f"There is no preset {self.preset!r}; choose one of {', '.join(PRESETS)}."
            )
        expected = PRESETS[self.preset].parameters
        if self.parameters is not None and not isinstance(self.parameters, expected):
            raise WbcError(
                f"Preset {self.preset!r} takes {expected.__name__}, "
                f"not {type(self.parameters).__name__}."
            )

    @property
    def name(self) -> str:
        """Name and preset, as written in reports."""
        return f"hsv/{self.preset}"

    def see(self, work: RgbImage, tile: Tile, shape: Sequence[int], scale: float) -> Seen:
        """See :meth:`~napari_wbc.detect.film.WindowFinder.see`."""
        return Seen(Look.nothing(), placed(self.detect(work), tile, shape, scale))

    def gather(self, seen: Sequence[Seen], shape: Sequence[int]) -> Located:  # noqa: ARG002
        """See :meth:`~napari_wbc.detect.film.WindowFinder.gather`."""
        return Located(tuple(distinct(Seen.joined(seen).coloured, _SAME)))

    def detect(self, image: RgbImage) -> tuple[Detection, ...]:
        """Locate the leukocytes of one field; see :meth:`Detector.detect`.

        Outlines have 16 to 64 vertices in pixel edges; their bounds are the box, but for
        ``youssef-2024``, where they are within half a pixel of it.
        """
        preset = PRESETS[self.preset]
        detections = preset.find(checked_rgb(image), self.parameters or preset.parameters())
        return tuple(sorted(detections, key=lambda detection: -detection.score))


def locate_one(image: RgbImage, detector: Detector | None = None) -> Detection | None:
    """Locate the cell that an image shows in its middle, whatever its size.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
        RGB, cut around one cell.
    detector : Detector, optional
        Whose most central detection is taken; by default one that also takes platelets,
        pale and small cells.

    Returns
    -------
    Detection or None
        None if nothing is stained like a nucleus near the middle.

    Raises
    ------
    WbcError
        If the image is not uint8 RGB.
    """
    image = checked_rgb(image)
    middle = np.array(image.shape[:2]) / 2
    if detector is None:
        return _central(image, _ONE)
    found = detector.detect(image)
    return min(found, key=lambda d: float(np.hypot(*(d.bbox.center - middle))), default=None)


def one_cell_box(image: RgbImage, factor: float) -> BBox:
    """Box of the cell that :func:`locate_one` finds, or else that of the whole image.

    The crop of that box by ``factor`` shows the largest centred square of the image.
    """
    detection = locate_one(image)
    return whole_image_box(image, factor) if detection is None else detection.bbox


_ONE = NucleusParameters(longest=2.5)
"""Settings of :func:`locate_one`."""


def _central(image: RgbImage, settings: NucleusParameters) -> Detection | None:
    """The most central cell, sought with what the middle alone takes for a nucleus."""
    stain = stained_field(image, settings.red_cell)
    rows, cols = (np.abs(np.arange(n) + 0.5 - n / 2) / n for n in stain.nuclei.shape)
    # How far each pixel is from the middle, as a share of the image's sides.
    off = np.hypot(rows[:, None], cols)
    top = min(float(np.percentile(stain.nuclei[off <= max(0.12, off.min())], 95)), 0.6)
    low, high = stain.red.nucleus
    # What is no darker than red cells are is no nucleus.
    if top < max(0.06, min(1.2 * high, 0.2)):
        return None
    # A cell fills most of an image that was cut around it, and a red cell a fifth.
    if not stain.diameter:
        stain = replace(stain, diameter=0.2 * max(stain.nuclei.shape))
    cells = _cells(stain, max(0.06, low + 0.4 * (top - low)), 6.0, settings)

    def distance(cell: tuple[Pixels, Float64]) -> float:
        away = off[tuple(cell[0].T)]
        # Size counts a little, so that a speck in the very middle does not win over a nucleus.
        return float(away.min() + 0.5 * away.mean() - 0.05 * np.log(len(cell[0])))

    if not cells:
        return None
    nucleus, ring = min(cells, key=distance)
    return _detection(ring, stain.scale, image, score_of(stain, nucleus, ring))
