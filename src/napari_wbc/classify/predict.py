"""Crops to predictions, batched, on CPU or GPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.networks import build_network
from napari_wbc.classify.preset import Preset, tensor_of
from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.model.cell import Prediction
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights
from napari_wbc.weights.store import load_weights

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Classifier", "load_classifier"]


@dataclass(frozen=True)
class Classifier:
    """A network with its card, on a device.

    Parameters
    ----------
    network : Module
    card : ModelCard
    device : str
        ``cpu`` or ``cuda``.
    threshold : float
        Confidence below which a cell is unidentified, 0 to 1.
    """

    network: nn.Module
    card: ModelCard
    device: str
    threshold: float

    @property
    def preset(self) -> Preset:
        """How crops are cut and prepared."""
        return Preset(**self.card.preset)

    def predict(self, crops: npt.NDArray[np.uint8], *, batch_size: int = 256) -> tuple[Prediction, ...]:
        """Classify crops.

        Parameters
        ----------
        crops : ndarray, shape (N, size, size, 3), uint8
            RGB, cut as :attr:`preset` says.
        batch_size : int
            Crops on the device at once.

        Returns
        -------
        tuple of N Prediction
        """
        import torch

        preset, card = self.preset, self.card
        predictions: list[Prediction] = []
        with torch.inference_mode():
            for start in range(0, len(crops), batch_size):
                x = preset.prepare(tensor_of(crops[start : start + batch_size], self.device))
                x = x.contiguous(memory_format=torch.channels_last)
                probabilities = torch.softmax(self.network(x).double() / card.temperature, dim=1)
                predictions += [
                    Prediction(card.classes, tuple(p), self.threshold, card.model_id)
                    for p in probabilities.clamp(0, 1).tolist()
                ]
        return tuple(predictions)


def load_classifier(
    weights: str | Path = DEFAULT_CLASSIFIER, *, device: str = "auto", threshold: float | None = None
) -> Classifier:
    """Load a classifier.

    Parameters
    ----------
    weights : str or Path
        Name of shipped weights, or a ``.safetensors`` file with its card beside it.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    threshold : float, optional
        Confidence below which a cell is unidentified, 0 to 1; the card's where None.

    Raises
    ------
    WbcError
        If the weights, the device or the threshold are not to be had.
    """
    import torch

    if threshold is not None and not 0 <= threshold <= 1:
        raise WbcError(f"Confidence threshold {threshold} is outside 0 to 1.")
    device = resolve_device(device)
    path = find_weights(weights)
    tensors, card = load_weights(path)
    network = build_network(card.architecture, len(card.classes))
    try:
        network.load_state_dict(tensors)
        Preset(**card.preset)
    except (RuntimeError, TypeError) as error:
        raise WeightsError(
            f"{path}: the weights do not fit the network {card.architecture!r} of this version; "
            "use the version they were made for."
        ) from error
    network = network.eval().to(device).to(memory_format=torch.channels_last)
    return Classifier(network, card, device, card.threshold if threshold is None else threshold)
