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

import numpy as np

from napari_wbc.detect.base import Located, RgbImage
from napari_wbc.detect.look import Look, Seen, nested
from napari_wbc.detect.outlines import mask_outline, shown_part
from napari_wbc.detect.shade import is_stained
from napari_wbc.detect.tiled import OVERLAP, Tile, tile_steps, walk_steps
from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.imaging.magnification import red_cell_diameters
from napari_wbc.imaging.stain import checked_rgb, rescaled, white_balanced
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Steps, run
from napari_wbc.model.ranges import Ranges, check_ranges
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.registry import DEFAULT_DETECTOR, find_weights
from napari_wbc.weights.store import load_weights

if TYPE_CHECKING:
    import torch
    from torchvision.models.detection import MaskRCNN

    from napari_wbc.weights.card import ModelCard

THRESHOLD = 0.5
"""Score from which a detection is a cell; weights are trained so that it suits each class."""
LEUKOCYTE = "leukocyte"
PLATELET = "platelet"
BLOOD_CLASSES = (LEUKOCYTE, "red cell", PLATELET)
"""Classes of a detector that also finds red cells and platelets."""
MOST_ENLARGED = 3.0
"""Factor by which a field is enlarged at most."""
_MOST_ENLARGED_IN_DOUBT = 2.0
MIRRORED = 10
"""Width of the mirrored border of a field in which red cells are sought, in working pixels."""
_LEAST_SHOWN = 6
"""Height and width of a red cell at the edge of a field at least, in working pixels."""
_NESTED = 0.8
"""Share of a box within a surer one of its class from which it is the same red cell."""

_RANGES: Ranges = {
    "red_cell": (1, 1000),
    "longest": (1, 10_000),
    "tile": (OVERLAP + 1, 10_000),
}


@dataclass(frozen=True, slots=True)
class DetectorPreset:
    """How a field becomes the network's input.

    Parameters
    ----------
    red_cell : float
        Width of a red cell in the working image, in pixels, above 0.
    longest : int
        Longer side of the working image of a field in which no red cells are seen, in pixels, 1 or
        more; a smaller field is not enlarged.
    tile : int
        A working image longer than this is worked on in tiles of this side, in pixels, each under
        its own light, since light and stain differ within a scanned film. It is above
        :data:`~napari_wbc.detect.tiled.OVERLAP`.
    """

    red_cell: float = 30.0
    longest: int = 512
    tile: int = 640

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)

    @classmethod
    def of(cls, card: ModelCard) -> DetectorPreset:
        """That of a model; what older models say of the scale is left out."""
        older = {"finest", "largest"}
        return cls(**{name: value for name, value in card.preset.items() if name not in older})

    def scales(self, image: RgbImage) -> tuple[float, ...]:
        """Working pixels a pixel of the field: one, or two where it is not sure.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8
        """
        # Red cells tell the magnification, so nobody has to set a scale.
        diameters = red_cell_diameters(image)
        if not diameters:
            return (min(1.0, self.longest / max(image.shape[:2])),)
        # Where it is not sure, the finer look may be at grain, and is dear.
        most = MOST_ENLARGED if len(diameters) == 1 else _MOST_ENLARGED_IN_DOUBT
        scales = (min(self.red_cell / diameter, most) for diameter in diameters)
        return tuple(dict.fromkeys(scales))

    def prepare(self, image: RgbImage) -> tuple[RgbImage, float]:
        """Scale a field by the first of its :meth:`scales`, and balance its light and white.

        Returns
        -------
        work : ndarray, shape (height * scale, width * scale, 3), uint8
            The field as if under even white light.
        scale : float
            Working pixels a pixel of the field.
        """
        scale = self.scales(image)[0]
        return white_balanced(rescaled(image, scale)), scale

    @staticmethod
    def tensor(work: RgbImage) -> torch.Tensor:
        """The network's input, shape (3, height, width), float32, of what :meth:`prepare` gives."""
        import torch

        # About zero mean and unit deviation: white light is balanced, so fields are much alike.
        return (torch.from_numpy(work).permute(2, 0, 1).float() / 255 - 0.6) / 0.25


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
    score: float = THRESHOLD
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

    @property
    def preset(self) -> DetectorPreset:
        """How it sees a field."""
        return DetectorPreset.of(self.card)

    @property
    def least(self) -> float:
        """Lowest score of what can be a cell."""
        return self.score

    @property
    def _seeks_red_cells(self) -> bool:
        return len(self.classes) > 1

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
        image = checked_rgb(image)
        preset = self.preset
        looks: list[Look] = []
        for scale in preset.scales(image):
            looks += yield from tile_steps(image, scale, preset.tile, self.look)
        return self.merged(looks, image.shape[:2])

    def locate_steps(self, image: RgbImage) -> Steps[Located]:
        """Leukocytes as cells, and how many of all else that it was trained to find."""
        cells = yield from self.survey_steps(image)
        return Located(cells.pop(LEUKOCYTE), counts_of(cells))

    def see(self, work: RgbImage, tile: Tile, shape: Sequence[int], scale: float) -> Seen:
        """See :meth:`~napari_wbc.detect.film.WindowFinder.see`."""
        return Seen(self.look(work, tile, shape, scale))

    def gather(self, seen: Sequence[Seen], shape: Sequence[int]) -> Located:
        """See :meth:`~napari_wbc.detect.film.WindowFinder.gather`."""
        cells = self.merged([one.look for one in seen], shape)
        return Located(cells.pop(LEUKOCYTE), counts_of(cells))

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

        def look(tile: Tile) -> Look:
            part = np.ascontiguousarray(work[tile.rows, tile.cols])
            return self.look(part, tile, work.shape, scale)

        side = self.preset.tile
        looks = yield from walk_steps(work.shape[:2], side, look)
        return self.merged(looks, shape)

    def look(
        self,
        work: RgbImage,
        tile: Tile,
        shape: Sequence[int],
        scale: float,
        hints: Sequence[BBox] = (),
    ) -> Look:
        """What the network sees in one tile.

        Parameters
        ----------
        work : ndarray, shape (rows, cols, 3), uint8
            The tile's part of the working image, of shape ``shape``.
        scale : float
            Working pixels a pixel of the field.
        hints : sequence of BBox
            Places, in pixels of the tile, that the heads judge beside the network's own proposals.
        """
        import torch

        corner = np.zeros(2, int)
        # Half a red cell at the edge of a field looks like a whole one where its half is mirrored.
        if self._seeks_red_cells:
            work, corner = tile.mirrored(work, shape, MIRRORED)
            hints = [BBox.around(hint.corners() + corner) for hint in hints]
        with torch.inference_mode():
            x = DetectorPreset.tensor(work).to(self.device)
            output = _judged(self.network, x, hints)
        sure = output["scores"] >= self.score
        names = ("boxes", "labels", "scores", "masks")
        boxes, labels, scores, masks = (output[name][sure].float().cpu().numpy() for name in names)
        # From (left, top, right, bottom) to (top, left, bottom, right).
        boxes = boxes[:, [1, 0, 3, 2]]
        # torchvision counts classes from 1: 0 is the background.
        leukocytes = labels == self.classes.index(LEUKOCYTE) + 1
        possible = ~leukocytes | is_stained(work, boxes)
        boxes = boxes + np.tile([tile.top, tile.left] - corner, 2)
        # A cell cut by a tile's edge is whole in the neighbour, which overlaps by more than a cell.
        possible &= tile.holds(boxes, shape)
        if self._seeks_red_cells:
            shown = np.clip(boxes, 0, [*shape[:2], *shape[:2]])
            possible &= (shown[:, 2:] - shown[:, :2] >= _LEAST_SHOWN).all(axis=1)
        return Look(
            boxes[possible] / scale,
            labels[possible].astype(int),
            scores[possible],
            masks[possible, 0],
        )

    def merged(
        self, looks: Sequence[Look], shape: Sequence[int]
    ) -> dict[str, tuple[Detection, ...]]:
        """Detections by class, the surest first, of looks at a field of (height, width) ``shape``.

        Of detections in two tiles, or at two scales, the surer is kept.
        """
        import torch
        from torchvision.ops import batched_nms

        every = Look.joined(looks)
        boxes = every.boxes
        labels = every.labels
        scores = every.scores
        masks = every.masks
        cells: list[Detection] = []
        kinds: list[int] = []
        tensors = (torch.from_numpy(boxes).float(), torch.from_numpy(scores).float())
        for i in batched_nms(*tensors, torch.from_numpy(labels), self.overlap).tolist():
            mask, (top, left, bottom, right) = shown_part(masks[i], boxes[i], shape)
            # A sliver at the edge of the field shows no cell.
            if bottom - top < 1 or right - left < 1:
                continue
            # The outline's bounds fit better than the network's box (decision record 5).
            outline = mask_outline(mask, BBox(top, left, bottom, right))
            detection = Detection(outline.bbox, outline, min(max(float(scores[i]), 0.0), 1.0))
            cells.append(detection)
            kinds.append(int(labels[i]))
        detections: dict[str, list[Detection]] = {name: [] for name in self.classes}
        if cells:
            # Two boxes of one cell may overlap by less than their outlines' bounds do.
            edges = torch.tensor([detection.bbox.edges for detection in cells]).float()
            sure = torch.tensor([detection.score for detection in cells])
            kept = batched_nms(edges, sure, torch.tensor(kinds), self.overlap).numpy()
            if self._seeks_red_cells:
                kept = kept[~nested(edges.double().numpy()[kept], np.array(kinds)[kept], _NESTED)]
            for i in kept.tolist():
                detections[self.classes[kinds[i] - 1]].append(cells[i])
        return {name: tuple(cells) for name, cells in detections.items()}


def counts_of(cells: Mapping[str, Sequence[Detection]]) -> dict[str, int] | None:
    """How many red cells and platelets; None where a network looks for none."""
    # They are too many to keep and review one by one.
    return {name: len(detections) for name, detections in cells.items()} or None


def _judged(network: MaskRCNN, x: torch.Tensor, hints: Sequence[BBox]) -> dict[str, torch.Tensor]:
    """The network's output for one image, its heads judging ``hints`` beside its own proposals."""
    if not hints:
        return dict(network([x])[0])
    import torch

    images, _ = network.transform([x])
    features = network.backbone(images.tensors)
    if isinstance(features, torch.Tensor):
        features = {"0": features}
    proposals, _ = network.rpn(images, features)
    places = [(box.left, box.top, box.right, box.bottom) for box in hints]
    proposals = [torch.cat([proposals[0], proposals[0].new_tensor(places)])]
    (output,), _ = network.roi_heads(features, proposals, images.image_sizes)
    return dict(output)


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

    from napari_wbc.detect.architectures import build_mask_rcnn, fuse_norms

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
        DetectorPreset.of(card)
        network = build_mask_rcnn(backbone, len(card.classes))
        # Files hold 16 bits a number; networks work with 32.
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except WbcError as error:
        raise WeightsError(f"{path}: {error}") from error
    except (RuntimeError, TypeError) as error:
        raise WeightsError(
            f"{path}: the weights do not fit the network {card.architecture!r} of this version; "
            "use the version they were made for."
        ) from error
    fuse_norms(network.eval())
    network.to(device).to(memory_format=torch.channels_last)
    return network, card
