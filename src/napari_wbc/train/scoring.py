"""What a network says of crops: scores, and where the features of its training cells lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc.classify.familiarity import Familiarity
from napari_wbc.classify.looks import looked_at
from napari_wbc.classify.networks.base import FeatureNetwork
from napari_wbc.classify.preset import Preset, tensor_of
from napari_wbc.train.dataset import CropSet

__all__ = ["familiarity_of", "inputs", "scores_of"]

BATCH = 64
"""Crops that are measured at once."""
ENOUGH = 4000
"""Training cells that familiarity is measured on, evenly picked."""


def scores_of(
    network: FeatureNetwork, data: CropSet, preset: Preset, *, mode: str = "softmax"
) -> npt.NDArray[np.float32]:
    """Scores of crops that were cut with or without room, shape (N, classes).

    See :func:`napari_wbc.classify.looks.looked_at`.
    """
    if not len(data.crops):
        return np.empty((0, network.head.out_features), np.float32)
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        found = [looked_at(network, x, mode, preset.sure)[0] for x in inputs(data, preset, device)]
        result: npt.NDArray[np.float32] = torch.cat(found).cpu().numpy()
    return result


def _features(network: FeatureNetwork, data: CropSet, preset: Preset) -> torch.Tensor:
    """Features of crops, shape (N, F)."""
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        return torch.cat([network.features(x) for x in inputs(data, preset, device)])


def inputs(data: CropSet, preset: Preset, device: torch.device) -> Iterator[torch.Tensor]:
    """What a network takes, in batches of shape (batch, 3, size, size), of crops cut with or without room."""
    crops = data.centers(preset.size)
    for start in range(0, len(crops), BATCH):
        rows = slice(start, start + BATCH)
        x = preset.prepare(tensor_of(crops[rows], device), torch.from_numpy(data.red[rows]).to(device))
        yield x.contiguous(memory_format=torch.channels_last)


def familiarity_of(network: FeatureNetwork, train: CropSet, val: CropSet, preset: Preset) -> Familiarity:
    """Where the features of training cells lie, with the limit that validation cells set."""
    some = np.zeros(len(train.labels), bool)
    some[np.linspace(0, len(some) - 1, min(len(some), ENOUGH)).round().astype(int)] = True
    picked = train.where(some)
    return Familiarity.of(
        _features(network, picked, preset),
        torch.from_numpy(picked.labels).to(next(network.parameters()).device),
        _features(network, val, preset),
    )
