"""Cells of a field, or crops, to predictions; batched, on CPU or GPU."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.crops import cut
from napari_wbc.classify.familiarity import Familiarity, parted
from napari_wbc.classify.looks import looked_at
from napari_wbc.classify.modes import check_mode
from napari_wbc.classify.networks import build_network
from napari_wbc.classify.preset import Preset, tensor_of
from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.imaging.crop import background
from napari_wbc.model.cell import Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights
from napari_wbc.weights.store import load_weights

if TYPE_CHECKING:
    import torch

    from napari_wbc.classify.networks.base import FeatureNetwork


@dataclass(frozen=True)
class Classifier:
    """A network with its card, on a device.

    Parameters
    ----------
    network : FeatureNetwork
        In evaluation mode.
    card : ModelCard
    device : str
        ``cpu`` or ``cuda``.
    threshold : float
        Confidence below which a cell is unidentified, 0 to 1.
    familiarity : Familiarity, optional
        Where the training cells' features lie.
    foreign_threshold : float
        The threshold on a slide whose stain the model does not know.
    """

    network: FeatureNetwork
    card: ModelCard
    device: str
    threshold: float
    familiarity: Familiarity | None = None
    foreign_threshold: float = 0.0

    @property
    def preset(self) -> Preset:
        """How crops are cut and prepared."""
        return Preset(**self.card.preset)

    def classify(
        self, field: npt.NDArray[np.uint8], boxes: Sequence[BBox], *, batch_size: int | None = None
    ) -> tuple[Prediction, ...]:
        """Classify cells of one field, which goes to the device once.

        Parameters
        ----------
        field : ndarray, shape (height, width, 3), uint8
            RGB.
        boxes : sequence of BBox
            N boxes in pixels of the field; they may reach over its edge.
        batch_size : int, optional
            Crops on the device at once; where None, 256 on a GPU, and 32 on a CPU, whose cache
            holds no more.
        """
        return self._predictions(self._cut(field, boxes, batch_size))

    def prepared(
        self, field: npt.NDArray[np.uint8], boxes: Sequence[BBox], *, batch_size: int | None = None
    ) -> Iterator[torch.Tensor]:
        """Prepare cells of one field, given as to :meth:`classify`, for the network.

        Yields
        ------
        Tensor, shape (n, 3, size, size), float32
            One batch, on the device, in the order of the boxes.
        """
        import torch

        for crops, red in self._cut(field, boxes, batch_size):
            # Not around the yield, which would leave the mode on in the caller.
            with torch.inference_mode():
                x = self.preset.prepare(crops, red)
            yield x

    def _cut(
        self, field: npt.NDArray[np.uint8], boxes: Sequence[BBox], batch_size: int | None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of crops of one field and its red cells, as :meth:`Preset.prepare` takes them."""
        import torch

        if not boxes:
            return
        preset = self.preset
        light = preset.field(field)
        fill = background(light.image)
        edges = np.array([(box.top, box.left, box.bottom, box.right) for box in boxes])
        # A copy, since PyTorch takes no array that is read-only or runs backwards.
        pixels = torch.from_numpy(np.array(light.image, order="C")).to(self.device).permute(2, 0, 1)
        red = torch.from_numpy(light.red).to(self.device)
        for batch in self._batches(len(edges), batch_size):
            with torch.inference_mode():
                crops = cut(pixels, edges[batch], size=preset.size, factor=preset.factor, fill=fill)
            yield crops, red.expand(len(crops), 3)

    def iter_features(
        self, field: npt.NDArray[np.uint8], boxes: Sequence[BBox]
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Features of cells of one field as they lie: what the last layer of the network takes.

        Yields
        ------
        ndarray, shape (n, F), float32
            Of one batch of cells, in the order of the boxes.
        """
        import torch

        for x in self.prepared(field, boxes):
            with torch.inference_mode(), self._autocast():
                features = self.network.features(x.contiguous(memory_format=torch.channels_last))
            yield features.float().cpu().numpy()

    def predict(
        self,
        crops: npt.NDArray[np.uint8],
        red: npt.NDArray[np.float32],
        *,
        batch_size: int | None = None,
    ) -> tuple[Prediction, ...]:
        """Classify crops.

        Parameters
        ----------
        crops : ndarray, shape (N, size, size, 3), uint8
            RGB, cut as :attr:`preset` says from the fields that it prepares.
        red : ndarray, shape (N, 3), float32
            Absorbance of red cells in the field of each crop; NaN where there are none.
        batch_size : int, optional
            As in :meth:`classify`.
        """
        import torch

        batches = self._batches(len(crops), batch_size)
        return self._predictions(
            (tensor_of(crops[batch], self.device), torch.from_numpy(red[batch]).to(self.device))
            for batch in batches
        )

    def _autocast(self) -> torch.autocast:
        """Half the bits on a GPU, around the network only: crops are prepared as in training."""
        import torch

        return torch.autocast(self.device, torch.bfloat16, enabled=self.device != "cpu")

    def _batches(self, n: int, batch_size: int | None) -> Iterator[slice]:
        size = batch_size or (32 if self.device == "cpu" else 256)
        return (slice(start, start + size) for start in range(0, n, size))

    def _predictions(
        self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]
    ) -> tuple[Prediction, ...]:
        """Predictions of batches of crops and of the red cells in their fields."""
        import torch

        from napari_wbc.classify.stain_anchors import stains_of

        card = self.card
        preset = self.preset
        probabilities: list[torch.Tensor] = []
        unlikeness: list[torch.Tensor] = []
        with torch.inference_mode():
            for crops, red in batches:
                x = preset.prepare(crops, red)
                with self._autocast():
                    scores, features = looked_at(self.network, x, card.mode, preset.sure)
                # In double precision, so that the probabilities of a cell add up to 1.
                p = torch.softmax(scores.double() / card.temperature, dim=1).clamp(0, 1)
                probabilities.append(p)
                if self.familiarity is not None:
                    stains = stains_of(crops, red, preset.factor)
                    unlikeness.append(self.familiarity.unlikeness(features.float(), stains))
        # Only now from the device, which works on while the next batch is prepared.
        rows = list(map(tuple, _listed(probabilities)))
        distances = _listed(unlikeness) or [None] * len(rows)
        return tuple(
            Prediction(card.classes, row, self.threshold, card.model_id, distance, card.sha256)
            for row, distance in zip(rows, distances, strict=True)
        )


def _listed(batches: list[torch.Tensor]) -> list[Any]:
    """Rows of all batches as Python's numbers."""
    return list(itertools.chain.from_iterable(batch.tolist() for batch in batches))


def load_classifier(
    weights: str | Path = DEFAULT_CLASSIFIER,
    *,
    device: str = "auto",
    threshold: float | None = None,
) -> Classifier:
    """Load a classifier.

    Parameters
    ----------
    weights : str or Path
        Name of a model, or its ``.safetensors`` file.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    threshold : float, optional
        Confidence below which a cell is unidentified, 0 to 1; the card's where None.

    Raises
    ------
    WbcError
        If the weights, the device or the threshold are not to be had.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise WbcError(f"Confidence threshold {threshold} is outside 0 to 1.")
    device = resolve_device(device)
    path = find_weights(weights)
    tensors, card = load_weights(path)
    if card.kind != "classifier":
        raise WeightsError(
            f"{path}: these are weights of a {card.kind}; choose those of a classifier."
        )
    network = build_network(card.architecture, len(card.classes))
    # All that a card or file of another version may get wrong is told here, before the first cell.
    try:
        tensors, familiarity = parted(tensors)
        network.load_state_dict(tensors)
        Preset(**card.preset)
        check_mode(card.mode)
        if familiarity is not None and familiarity.width != network.head.in_features:
            raise ValueError("the familiarity is of another network")
    except (RuntimeError, TypeError, KeyError, ValueError, WbcError) as error:
        raise WeightsError(
            f"{path}: the weights do not fit the network {card.architecture!r} of this version; "
            "use the version they were made for."
        ) from error
    import torch

    network = network.eval().to(device).to(memory_format=torch.channels_last)
    # A threshold that a person chose is the same on all slides.
    return Classifier(
        network,
        card,
        device,
        card.threshold if threshold is None else threshold,
        None if familiarity is None else familiarity.to(device),
        max(card.threshold, card.foreign_threshold) if threshold is None else threshold,
    )
