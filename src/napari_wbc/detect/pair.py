"""Two cell finders that judge each other: Mask R-CNN and the search by colour.

A network knows what a leukocyte looks like, and may be lost in a stain that it never saw; the
search by colour knows no stain, and takes some dirt for nuclei. So the network judges what colour
finds, beside its own proposals, and what only one of them believes in is shown as a candidate.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_wbc.detect.base import FINDERS, Located, RgbImage
from napari_wbc.detect.hsv import HsvDetector, NucleusParameters
from napari_wbc.detect.look import Seen
from napari_wbc.detect.mask_rcnn import (
    LEUKOCYTE,
    DetectorPreset,
    MaskRcnnDetector,
    counts_of,
    load_mask_rcnn,
)
from napari_wbc.detect.tiled import Tile, distinct, placed, tile_steps
from napari_wbc.imaging.stain import checked_rgb
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import iou_matrix
from napari_wbc.model.progress import Steps, run
from napari_wbc.weights.registry import DEFAULT_DETECTOR

# The first four are for a network whose threshold is 0.5; see _beside. They were chosen on the
# validation fields of laboratories, with networks that were trained without these.
_SURE_NETWORK = 0.97
"""Score from which the network is sure of what colour does not see at all ..."""
_LIKELY_NETWORK = 0.9
"""... and from which that is a candidate at least."""
_AGREED = 0.1
"""Score from which the network need not be sure of what colour also finds."""
_DENIED = 0.02
"""Score below which what the network sees is not even a candidate."""
_SURE_COLOUR = 0.8
"""Score from which colour is sure of what the network denies."""
_DOUBTED = 0.7
"""Score of colour at most where the scale is in doubt."""
_SAME = 0.3
"""IoU from which two boxes are of one cell."""
_USUAL_DIFFERENCE = 2
"""Cells by which two cell finders differ at most in an ordinary field ..."""
_USUAL_SHARE = 0.5
"""... unless one finds less than this share of the other's."""


@dataclass(frozen=True)
class PairDetector:
    """Locates leukocytes by Mask R-CNN and by colour.

    Parameters
    ----------
    network : MaskRcnnDetector
        What it and colour both see is a cell from the network's score on; what one of them alone
        believes in must be surer, and what both are sure of may be less.
    """

    network: MaskRcnnDetector

    @property
    def name(self) -> str:
        """Name and weights, as written in reports."""
        return f"auto/{self.network.card.model_id}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of what it finds: ``leukocyte``, and others that the network was trained for."""
        return self.network.classes

    def detect(self, image: RgbImage) -> tuple[Detection, ...]:
        """Locate the leukocytes and candidates of one field; see :meth:`Detector.detect`."""
        return run(self.locate_steps(image)).cells

    def locate_steps(self, image: RgbImage) -> Steps[Located]:
        """:meth:`detect`, with a step between the tiles of a large field."""
        image = checked_rgb(image)
        scales = self.preset.scales(image)
        seen: list[Seen] = []
        for scale in scales:
            # A second, finer look may be at grain, which has hundreds of dark specks.
            look = functools.partial(self.see, sure=scale == scales[0])
            seen += yield from tile_steps(image, scale, self.preset.tile, look)
        return self.gather(seen, image.shape[:2])

    def see(
        self,
        work: RgbImage,
        tile: Tile,
        shape: Sequence[int],
        scale: float,
        *,
        sure: bool = True,
    ) -> Seen:
        """See :meth:`~napari_wbc.detect.film.WindowFinder.see`; ``sure`` is of the scale."""
        cells = _COLOUR.detect(work)
        if not sure:
            cells = tuple(replace(cell, score=min(cell.score, _DOUBTED)) for cell in cells)
        look = self._unsure.look(work, tile, shape, scale, [cell.bbox for cell in cells])
        return Seen(look, placed(cells, tile, shape, scale))

    def gather(self, seen: Sequence[Seen], shape: Sequence[int]) -> Located:
        """See :meth:`~napari_wbc.detect.film.WindowFinder.gather`."""
        cells = self._unsure.merged([one.look for one in seen], shape)
        leukocytes = cells.pop(LEUKOCYTE)
        nuclei = distinct(Seen.joined(seen).coloured, _SAME)
        # The network was asked for what it is unsure of, for the sake of leukocytes alone.
        others: dict[str, list[Detection]] = {}
        for name, detections in cells.items():
            others[name] = [cell for cell in detections if cell.score >= self.network.score]
        by_network = [cell for cell in leukocytes if cell.score >= self.network.score]
        by_colour = [cell for cell in nuclei if cell.score >= _COLOUR_SCORE]
        judged_cells = judged(leukocytes, nuclei, self.network.score)
        return Located(
            judged_cells,
            counts_of(others),
            disagreement(len(by_network), len(by_colour)),
            alone(judged_cells, leukocytes, nuclei),
        )

    @property
    def preset(self) -> DetectorPreset:
        """How the network sees a field."""
        return self.network.preset

    @property
    def least(self) -> float:
        """Score below which nothing that the network sees is a cell or a candidate."""
        return _beside(_AGREED, self.network.score)

    @property
    def _unsure(self) -> MaskRcnnDetector:
        return replace(self.network, score=_beside(_DENIED, self.network.score))


_COLOUR_SCORE = NucleusParameters().score
_COLOUR = HsvDetector(parameters=NucleusParameters(score=0.2))
"""The search by colour; what it is unsure of helps the network all the same."""


def judged(
    seen: Sequence[Detection], nuclei: Sequence[Detection], threshold: float
) -> tuple[Detection, ...]:
    """Cells and candidates of a field, the surest first.

    Parameters
    ----------
    seen : sequence of Detection
        What the network sees, the surest first, also where it is not sure.
    nuclei : sequence of Detection
        What colour finds.
    threshold : float
        Score from which the network is sure, 0 to 1.

    Returns
    -------
    tuple of Detection
        A cell is what both believe in, or what the network is very sure of. A candidate is what one
        of them alone is fairly sure of, or what neither is sure of but both see.
    """
    very_sure = _beside(_SURE_NETWORK, threshold)
    fairly_sure = _beside(_LIKELY_NETWORK, threshold)
    agreeing = _beside(_AGREED, threshold)
    overlaps = iou_matrix([cell.bbox for cell in seen], [cell.bbox for cell in nuclei])
    sure = np.array([cell.score >= _COLOUR_SCORE for cell in nuclei], bool)
    detections: list[Detection] = []
    for cell, row in zip(seen, overlaps, strict=True):
        same = row >= _SAME
        agreed = bool((same & sure).any())
        believed = cell.score >= threshold
        if believed and (same.any() or cell.score >= very_sure):
            detections.append(cell)
        # Colour may take two cells that touch for one, which is then judged beside the two.
        elif cell.score < agreeing or _covers(cell, detections):
            continue
        elif agreed:
            detections.append(cell)
        elif same.any() or cell.score >= fairly_sure:
            detections.append(replace(cell, candidate=True))
    for nucleus in nuclei:
        if nucleus.score >= _SURE_COLOUR and not _covers(nucleus, detections):
            detections.append(replace(nucleus, candidate=True))
    return tuple(sorted(detections, key=lambda detection: -detection.score))


def _beside(score: float, threshold: float) -> float:
    """A score for a network whose threshold is 0.5, for one with another threshold.

    Examples
    --------
    >>> round(_beside(0.97, 0.5), 2), round(_beside(0.97, 0.95), 3)
    (0.97, 0.998)
    """
    odds = np.clip([score, threshold], 1e-3, 1 - 1e-3)
    product = float(np.prod(odds / (1 - odds)))
    return product / (1 + product)


def alone(
    cells: Sequence[Detection], seen: Sequence[Detection], nuclei: Sequence[Detection]
) -> dict[str, tuple[Detection, ...]]:
    """Which cells and candidates only one of the finders saw, by the names in :data:`FINDERS`.

    Parameters
    ----------
    cells : sequence of Detection
        From :func:`judged`.
    seen, nuclei : sequence of Detection
        What the network and colour see, as given to it.

    Examples
    --------
    >>> from napari_wbc.model.geometry import BBox
    >>> cell = Detection(BBox(0, 0, 9, 9))
    >>> alone([cell], [cell], [])["Mask R-CNN"] == (cell,)
    True
    """
    places = [cell.bbox for cell in cells]
    by_network = iou_matrix(places, [cell.bbox for cell in seen]).max(axis=1, initial=0) >= _SAME
    by_colour = iou_matrix(places, [cell.bbox for cell in nuclei]).max(axis=1, initial=0) >= _SAME
    single = (
        tuple(itertools.compress(cells, (by_network & ~by_colour).tolist())),
        tuple(itertools.compress(cells, (by_colour & ~by_network).tolist())),
    )
    return dict(zip(FINDERS, single, strict=True))


def _covers(cell: Detection, others: Sequence[Detection]) -> bool:
    """Whether a cell shares half or more of itself, or of another, with one of the others."""
    for other in others:
        iou = cell.bbox.iou(other.bbox)
        areas = (cell.bbox.area, other.bbox.area)
        if iou * sum(areas) / (1 + iou) >= 0.5 * min(areas):
            return True
    return False


def disagreement(network_count: int, colour_count: int) -> str:
    """What to tell of a field in which two cell finders count so many cells; empty if they agree.

    Examples
    --------
    >>> disagreement(1, 12), disagreement(5, 6)
    ('cell finders disagree: 1 against 12', '')
    """
    fewer, more = sorted((network_count, colour_count))
    if more - fewer <= _USUAL_DIFFERENCE or fewer >= _USUAL_SHARE * more:
        return ""
    return f"cell finders disagree: {network_count} against {colour_count}"


def load_pair(
    weights: str | Path = DEFAULT_DETECTOR,
    *,
    device: str = "auto",
    parameters: Mapping[str, float] | None = None,
) -> PairDetector:
    """Load both cell finders; see :func:`~napari_wbc.detect.mask_rcnn.load_mask_rcnn`."""
    return PairDetector(load_mask_rcnn(weights, device=device, parameters=parameters))
