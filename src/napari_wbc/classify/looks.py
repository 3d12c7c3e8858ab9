"""A second look at cells that a network is not sure of: turned and mirrored.

A cell on a film has no upper side, so all eight orientations of its crop show the same cell. Their
mean is surer than one of them, most of all in stains that the network has seen little of (test-time
augmentation, Krizhevsky et al. 2012). It is asked for only where the first look leaves a doubt,
since it costs seven more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_wbc.classify.modes import scores

if TYPE_CHECKING:
    import torch

    from napari_wbc.classify.networks.base import FeatureNetwork

_TOGETHER = 32
"""Crops that a network is given at once, where a batch has fewer."""


def looked_at(
    network: FeatureNetwork, x: torch.Tensor, mode: str, sure: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and features of crops, with a second look where the network is not sure.

    Parameters
    ----------
    network : FeatureNetwork
        In evaluation mode.
    x : Tensor, shape (N, 3, size, size)
        As :meth:`~napari_wbc.classify.preset.Preset.prepare` gives them.
    mode : str
        One of :data:`~napari_wbc.classify.modes.MODES`.
    sure : float
        Crops whose highest probability is below this, 0 to 1, are looked at again; at 0 none is.

    Returns
    -------
    scores : Tensor, shape (N, classes)
        See :func:`~napari_wbc.classify.modes.scores`; means over the orientations after a second
        look.
    features : Tensor, shape (N, F)
        Of the first look.
    """
    import torch

    # Channels last is what convolutions are quickest with.
    features = network.features(x.contiguous(memory_format=torch.channels_last))
    first = scores(network.head(features).float(), mode)
    if not sure:
        return first, features
    unsure = (torch.softmax(first, dim=1).amax(dim=1) < sure).nonzero()[:, 0]
    if not len(unsure):
        return first, features
    # The first look is one of the eight. The others go together, since a network is slow with few.
    turned = torch.cat(orientations(x[unsure])[1:]).contiguous(memory_format=torch.channels_last)
    together = max(len(x), _TOGETHER)
    parts = [turned[start : start + together] for start in range(0, len(turned), together)]
    others = [scores(network(part).float(), mode) for part in parts]
    looks = torch.cat([first[unsure], *others]).reshape(8, len(unsure), -1)
    return first.index_copy(0, unsure, looks.mean(dim=0)), features


def orientations(x: torch.Tensor) -> list[torch.Tensor]:
    """Images, shape (N, C, size, size), as they are, in three turns, and these four mirrored."""
    import torch

    turned = [torch.rot90(x, turn, (2, 3)) for turn in range(4)]
    mirrored = [torch.rot90(x.flip(3), turn, (2, 3)) for turn in range(4)]
    return turned + mirrored


def turned_back(looks: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Maps, shape (N, size, size), of the :func:`orientations`, each turned as the first is."""
    import torch

    # The last four were mirrored before they were turned, so they are turned before mirroring.
    straight = [torch.rot90(look, -(i % 4), (1, 2)) for i, look in enumerate(looks)]
    return [look.flip(2) if i >= 4 else look for i, look in enumerate(straight)]
