"""Detection by Mask R-CNN: a field to boxes and outlines, at whatever magnification.

Invariant: coordinates turn from torchvision's (left, top, right, bottom) to (row, col) here and
nowhere else. Training and inference see a field through the same :class:`DetectorPreset`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.detect.base import RgbImage
from napari_wbc.detect.outlines import mask_outline
from napari_wbc.detect.tiled import OVERLAP, Tile, tiles_of
from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.imaging.red_cells import red_cells
from napari_wbc.imaging.stain import (
    checked_rgb,
    field_absorbance,
    nucleus_map,
    rescaled,
    transmitted,
)
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.registry import DEFAULT_DETECTOR, find_weights
from napari_wbc.weights.store import load_weights

if TYPE_CHECKING:
    import torch
    from torchvision.models.detection import MaskRCNN

    from napari_wbc.weights.card import ModelCard

LEUKOCYTE = "leukocyte"
PLATELET = "platelet"
BLOOD_CLASSES = (LEUKOCYTE, "red cell", PLATELET)
"""Classes of a detector that also finds red cells and platelets."""


@dataclass(frozen=True, slots=True)
class DetectorPreset:
    """How a field becomes the network's input.

    Parameters
    ----------
    longest : int
        Longer side of the working image in pixels, 1 or more; smaller fields are not enlarged ...
    finest : float
        ... unless red cells are then narrower than this many pixels, 0 or more.
    largest : float
        Most that a field is enlarged, above 0.
    tile : int
        A working image longer than this is worked on in tiles of this side, in pixels, above
        :data:`~napari_wbc.detect.tiled.OVERLAP`.
    """

    longest: int = 512
    finest: float = 14.0
    largest: float = 1.5
    tile: int = 1280

    def __post_init__(self) -> None:
        if self.longest < 1 or not self.finest >= 0 or not self.largest > 0 or self.tile <= OVERLAP:
            raise WbcError(f"{self} is impossible; longest and largest exceed 0, tile {OVERLAP}.")

    def prepare(self, image: RgbImage) -> tuple[RgbImage, float]:
        """Scale a field, and balance its light and white.

        Returns
        -------
        work : ndarray, shape (height * scale, width * scale, 3), uint8
            The field as if under even white light.
        scale : float
            Working pixels a pixel of the field.
        """
        # Red cells tell the magnification, so nobody has to set a scale.
        scale = min(1.0, self.longest / max(image.shape[:2]))
        work, diameter = _balanced(image, scale)
        if 0 < diameter < self.finest:
            closer = min(self.largest, scale * 1.25 * self.finest / diameter)
            if closer > scale:
                return _balanced(image, closer)[0], closer
        return work, scale

    @staticmethod
    def tensor(work: RgbImage) -> torch.Tensor:
        """The network's input, shape (3, height, width), float32, of what :meth:`prepare` gives."""
        import torch

        # About zero mean and unit deviation: white light is balanced, so fields are much alike.
        return (torch.from_numpy(work).permute(2, 0, 1).float() / 255 - 0.6) / 0.25


def _balanced(image: RgbImage, scale: float) -> tuple[RgbImage, float]:
    """The field at a scale, white balanced, and its red cells' diameter in working pixels or 0."""
    image = rescaled(image, scale)
    density = field_absorbance(image)
    # Half the size is enough for a diameter, and takes a quarter of the time.
    size = (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2))
    half = cv2.resize(np.clip(density, -0.02, 2), size, interpolation=cv2.INTER_AREA)
    return transmitted(density), 2 * red_cells(half, nucleus_map(half)).diameter


@dataclass(frozen=True)
class MaskRcnnDetector:
    """Locates leukocytes with a trained Mask R-CNN.

    Parameters
    ----------
    network : MaskRCNN
        From :func:`~napari_wbc.detect.architectures.build_mask_rcnn`, in evaluation mode.
    card : ModelCard
        Of the weights.
    device : str
        ``cpu`` or ``cuda``.
    score : float
        Lowest score of a cell, 0 to 1.
    overlap : float
        Of two boxes of one class with a greater IoU than this, 0 to 1, the surer is kept.
    """

    network: MaskRCNN
    card: ModelCard
    device: str
    score: float = 0.5
    overlap: float = 0.5

    def __post_init__(self) -> None:
        for name in ("score", "overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise WbcError(f"Mask R-CNN's {name} {getattr(self, name)} is outside 0 to 1.")

    @property
    def name(self) -> str:
        """Name and weights, as written in reports."""
        return f"mask-rcnn/{self.card.model_id}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of what it finds: ``leukocyte``, and others that it was trained for."""
        return self.card.classes

    def detect(self, image: RgbImage) -> tuple[Detection, ...]:
        """Locate the leukocytes of one field; see :meth:`Detector.detect`.

        Outlines have 48 vertices; their bounds are the box.
        """
        return self.survey(image)[LEUKOCYTE]

    def survey(self, image: RgbImage) -> dict[str, tuple[Detection, ...]]:
        """Locate all that it was trained to find, by class; see :meth:`detect`."""
        return run(self.survey_steps(image))

    def survey_steps(self, image: RgbImage) -> Steps[dict[str, tuple[Detection, ...]]]:
        """:meth:`survey`, with a step between the tiles of a large field."""
        work, scale = DetectorPreset(**self.card.preset).prepare(checked_rgb(image))
        return (yield from self.look_steps(work, scale, image.shape[:2]))

    def look_steps(
        self, work: RgbImage, scale: float, shape: Sequence[int]
    ) -> Steps[dict[str, tuple[Detection, ...]]]:
        """:meth:`survey_steps` of a field that is prepared already.

        Parameters
        ----------
        work : ndarray, shape (rows, cols, 3), uint8
            From :meth:`DetectorPreset.prepare`.
        scale : float
            Working pixels a pixel of the field.
        shape : sequence of int
            Height and width of the field.
        """
        import torch
        from torchvision.ops import batched_nms

        tiles = list(tiles_of(work.shape[:2], DetectorPreset(**self.card.preset).tile))
        raw = []
        for done, tile in enumerate(tiles):
            if done:
                yield Progress("locating", done, len(tiles))
            raw.append(self._raw(work, tile))
        boxes, labels, scores, masks = (np.concatenate(part) for part in zip(*raw, strict=True))
        detections: dict[str, list[Detection]] = {name: [] for name in self.classes}
        # The network suppresses doubles within a tile only; a cell in an overlap is in two tiles.
        tensors = (torch.from_numpy(boxes).float(), torch.from_numpy(scores).float())
        for i in batched_nms(*tensors, torch.from_numpy(labels), self.overlap).tolist():
            top, left, bottom, right = np.clip(boxes[i] / scale, 0, [*shape, *shape]).tolist()
            # A sliver at the edge of the field shows no cell.
            if bottom - top < 1 or right - left < 1:
                continue
            # The outline's bounds fit better than the network's box (decision record 5).
            outline = mask_outline(masks[i], BBox(top, left, bottom, right))
            detection = Detection(outline.bbox, outline, min(max(float(scores[i]), 0.0), 1.0))
            # torchvision counts classes from 1: 0 is the background.
            detections[self.classes[labels[i] - 1]].append(detection)
        return {name: tuple(cells) for name, cells in detections.items()}

    def _raw(self, work: RgbImage, tile: Tile) -> tuple[npt.NDArray[np.float64], ...]:
        """Boxes in working pixels, labels, scores and masks of one tile."""
        import torch

        with torch.inference_mode():
            x = DetectorPreset.tensor(np.ascontiguousarray(work[tile.rows, tile.cols]))
            (output,) = self.network([x.to(self.device)])
        sure = output["scores"] >= self.score
        names = ("boxes", "labels", "scores", "masks")
        boxes, labels, scores, masks = (output[name][sure].float().cpu().numpy() for name in names)
        # From (left, top, right, bottom) of the tile to (top, left, bottom, right) of the image.
        boxes = boxes[:, [1, 0, 3, 2]] + np.array([tile.top, tile.left] * 2)
        # A cell cut by a tile's edge is whole in the neighbour, which overlaps by more than a cell.
        uncut = tile.holds(boxes, work.shape)
        return boxes[uncut], labels[uncut].astype(int), scores[uncut], masks[uncut, 0]


def load_mask_rcnn(
    weights: str | Path = DEFAULT_DETECTOR,
    *,
    device: str = "auto",
    parameters: Mapping[str, float] | None = None,
) -> MaskRcnnDetector:
    """Load a detector.

    Parameters
    ----------
    weights : str or Path
        Name of a model, or its ``.safetensors`` file.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    parameters : mapping, optional
        ``score`` and ``overlap`` of :class:`MaskRcnnDetector`, where they differ from the card's.

    Raises
    ------
    WbcError
        If the weights, the device or a parameter are not to be had.
    """
    parameters = dict(parameters or {})
    if unknown := sorted(set(parameters) - {"score", "overlap"}):
        raise WbcError(f"Mask R-CNN has no parameter {', '.join(unknown)}; it has score, overlap.")
    path = find_weights(weights)
    device = resolve_device(device)
    # The time of the last change is part of the key: training may write a file anew.
    network, card = _network(path, path.stat().st_mtime_ns, device)
    return MaskRcnnDetector(network, card, device, **{"score": card.threshold, **parameters})


@functools.lru_cache(maxsize=2)
def _network(path: Path, _changed: int, device: str) -> tuple[MaskRCNN, ModelCard]:
    """Network and card of a file, cached: a preview asks again for each move of a slider."""
    import torch

    from napari_wbc.detect.architectures import build_mask_rcnn

    tensors, card = load_weights(path)
    kind, _, backbone = card.architecture.partition("/")
    if kind != "mask-rcnn":
        raise WeightsError(
            f"{path}: these are weights of {card.architecture!r}, not of a Mask R-CNN."
        )
    if LEUKOCYTE not in card.classes:
        raise WeightsError(
            f"{path}: finds {', '.join(card.classes)} and no {LEUKOCYTE}; choose others."
        )
    try:
        DetectorPreset(**card.preset)
        network = build_mask_rcnn(backbone, len(card.classes))
        # Files hold 16 bits a number; networks work with 32.
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (RuntimeError, TypeError) as error:
        raise WeightsError(
            f"{path}: the weights do not fit the network {card.architecture!r} of this version; "
            "use the version they were made for."
        ) from error
    network.eval().to(device).to(memory_format=torch.channels_last)
    return network, card
