"""Scores of crops, and where the features of the training cells lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.familiarity import Familiarity
from napari_wbc.classify.known_stains import WIDTH, KnownStains
from napari_wbc.classify.looks import looked_at
from napari_wbc.classify.preset import Preset, tensor_of
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.train.dataset import CropSet

if TYPE_CHECKING:
    import torch

    from napari_wbc.classify.networks.base import FeatureNetwork

BATCH = 64
"""Crops that are measured at once."""
MEASURING = "measuring the training cells"
MAX_CELLS_OF_GROUP = 150
"""Training cells of a class of a laboratory that familiarity is measured on, evenly picked."""
MIN_CELLS_OF_GROUP = 8
"""Below, the cells of a class count as those of one laboratory."""


def scores_steps(
    network: FeatureNetwork, data: CropSet, preset: Preset, *, mode: str = "softmax"
) -> Steps[npt.NDArray[np.float32]]:
    """Scores of crops that were cut with or without room, shape (N, classes).

    See :func:`napari_wbc.classify.looks.looked_at`.
    """
    import torch

    parts = yield from seen_steps(
        network, data, preset, "validating", lambda x: looked_at(network, x, mode, preset.sure)[0]
    )
    # Without a crop the result still has a column for each class.
    empty = torch.empty(0, network.head.out_features)
    result: npt.NDArray[np.float32] = torch.cat([empty, *parts]).numpy()
    return result


def seen_steps(
    network: FeatureNetwork,
    data: CropSet,
    preset: Preset,
    step: str,
    see: Callable[[torch.Tensor], torch.Tensor],
) -> Steps[list[torch.Tensor]]:
    """Apply ``see`` to each batch of :func:`inputs`; its results, on the CPU."""
    import torch

    network.eval()
    device = next(network.parameters()).device
    results: list[torch.Tensor] = []
    for i, x in enumerate(inputs(data, preset, device)):
        # Not around the yield, which hands over to other code.
        with torch.inference_mode():
            results.append(see(x).cpu())
        yield Progress(step, min((i + 1) * BATCH, len(data.crops)), len(data.crops))
    return results


def inputs(data: CropSet, preset: Preset, device: torch.device) -> Iterator[torch.Tensor]:
    """Crops as a network takes them, in batches of shape (batch, 3, size, size)."""
    import torch

    for crops, red in _batches(data, preset, device):
        yield preset.prepare(crops, red).contiguous(memory_format=torch.channels_last)


def _batches(
    data: CropSet, preset: Preset, device: str | torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of crops and of the red cells in their fields, as :meth:`Preset.prepare` takes."""
    import torch

    crops = data.centers(preset.size)
    for start in range(0, len(crops), BATCH):
        rows = slice(start, start + BATCH)
        yield tensor_of(crops[rows], device), torch.from_numpy(data.red[rows]).to(device)


def familiarity_steps(
    network: FeatureNetwork, train: CropSet, val: CropSet, preset: Preset, stains_left_out: str = ""
) -> Steps[Familiarity]:
    """Where the features of training cells lie, with the limit that validation cells set.

    Their stains are measured too, where the preset balances colours, but for those of the sources
    in ``stains_left_out``, which has commas between them.
    """
    import torch

    groups = groups_of(train)
    chosen = np.concatenate([_evenly(groups == group) for group in np.unique(groups)])
    picked = train.where(np.isin(np.arange(len(groups)), chosen))
    trained = yield from seen_steps(network, picked, preset, MEASURING, network.features)
    held_out = yield from seen_steps(network, val, preset, MEASURING, network.features)
    weight = torch.from_numpy(weights_by_source(val.sources))
    group = torch.from_numpy(groups_of(picked))
    measured = Familiarity.of(torch.cat(trained), group, torch.cat(held_out), weight)
    if not preset.is_balanced:
        return measured
    left_out = stains_left_out.split(",")
    several = _of_several_classes(picked) & ~np.isin(picked.sources, left_out)
    if not several.any():
        return measured
    stained = picked.where(several)
    judged = val.where(~np.isin(val.sources, left_out))
    _, laboratories = np.unique(stained.sources, return_inverse=True)
    stains = KnownStains.of(
        _stains(stained, preset),
        torch.from_numpy(stained.labels),
        torch.from_numpy(laboratories),
        _stains(judged, preset),
        torch.from_numpy(weights_by_source(judged.sources)),
    )
    return replace(measured, stains=stains)


def extended_steps(
    network: FeatureNetwork, start: Familiarity, train: CropSet, preset: Preset
) -> Steps[Familiarity]:
    """What frozen features are familiar with, and these few training cells too."""
    import torch

    trained = yield from seen_steps(network, train, preset, MEASURING, network.features)
    _, laboratories = np.unique(train.sources, return_inverse=True)
    labels = torch.from_numpy(train.labels)
    extended = start.extended(torch.cat(trained), labels)
    if start.stains is None:
        return extended
    stains = _stains(train, preset)
    more = start.stains.extended(stains, labels, torch.from_numpy(laboratories))
    return replace(extended, stains=more)


def _of_several_classes(data: CropSet) -> npt.NDArray[np.bool_]:
    """Cells of laboratories that showed several classes, shape (N,).

    Of one that showed its platelets alone, the stain of leukocytes is not known.
    """
    several = np.zeros(len(data.labels), np.bool_)
    for source in np.unique(data.sources):
        of_source = data.sources == source
        several[of_source] = len(np.unique(data.labels[of_source])) > 1
    return several


def _stains(data: CropSet, preset: Preset) -> torch.Tensor:
    """Stains of crops, shape (N, 6)."""
    import torch

    from napari_wbc.classify.stain_anchors import stains_of

    parts = [torch.empty(0, WIDTH)]
    for crops, red in _batches(data, preset, "cpu"):
        parts.append(stains_of(crops, red, preset.factor))
    return torch.cat(parts)


def groups_of(data: CropSet) -> npt.NDArray[np.int64]:
    """Which class of which laboratory each crop is of, shape (N,).

    Laboratories that have few cells of a class share a group of it.
    """
    names = np.char.add(np.char.add(data.labels.astype(str), " "), data.sources)
    _, group, sizes = np.unique(names, return_inverse=True, return_counts=True)
    few = sizes[group] < MIN_CELLS_OF_GROUP
    names = np.where(few, data.labels.astype(str), names)
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _evenly(members: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Places of at most :data:`MAX_CELLS_OF_GROUP` members, evenly picked from all."""
    places = np.flatnonzero(members)
    n = min(len(places), MAX_CELLS_OF_GROUP)
    picked: npt.NDArray[np.int64] = places[np.linspace(0, len(places) - 1, n).round().astype(int)]
    return picked


def weights_by_source(sources: npt.NDArray[np.str_]) -> npt.NDArray[np.float64]:
    """A weight for each cell, shape (N,), by which laboratories count alike, however many cells."""
    _, source, sizes = np.unique(sources, return_inverse=True, return_counts=True)
    weights: npt.NDArray[np.float64] = 1 / sizes[source]
    return weights
