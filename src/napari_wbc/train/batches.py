"""Batches of augmented crops, drawn as a recipe says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from napari_wbc.classify.preset import Preset, tensor_of
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.dataset import NO_CLASS, CropSet
from napari_wbc.train.run import epoch_seed

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

    from napari_wbc.train.recipe import Recipe

ROOM = 1.4
"""Crops are cut this much larger than the network's input, for turning and shifting."""


def steps_of(train: CropSet, recipe: Recipe) -> int:
    """Batches an epoch."""
    return max(1, (recipe.draws or len(train.labels)) // recipe.batch_size)


def batches(
    train: CropSet, recipe: Recipe, epoch: int, n_classes: int, fabric: Fabric
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Crops, shape (batch, 3, size, size), and targets, shape (batch, classes), of one epoch.

    ``train`` is cut with ``room=ROOM``; ``epoch``, from 0, seeds what is drawn. Each process of
    ``fabric`` gets its share of every batch. The target of what is no class is every class alike,
    so that a network is sure of none (outlier exposure, Hendrycks et al. 2019).
    """
    import torch
    from torch.nn import functional

    rng = torch.Generator().manual_seed(epoch_seed(recipe.seed, epoch))
    names = np.char.add(train.labels.astype(str), np.char.add(" ", train.sources))
    groups = np.unique(names, return_inverse=True)[1]
    # Each of a group's n crops weighs n ** (balance - 1), so that the group weighs n ** balance.
    chances = (np.bincount(groups) ** (recipe.balance - 1.0))[groups]
    steps = steps_of(train, recipe)
    drawn = torch.multinomial(
        torch.from_numpy(chances), steps * recipe.batch_size, replacement=True, generator=rng
    )
    device = fabric.device
    for batch in drawn.view(steps, recipe.batch_size).numpy():
        # All processes draw the same batch, of which each learns its share.
        chosen = batch[fabric.global_rank :: fabric.world_size]
        crops = tensor_of(train.crops[chosen], device)
        red = torch.from_numpy(train.red[chosen]).to(device)
        x = augmented(crops, red, recipe.preset, recipe.augmentation, rng)
        labels = torch.from_numpy(train.labels[chosen]).to(device)
        targets = functional.one_hot(labels.clamp(min=0), n_classes).float()
        targets = targets.lerp(torch.full_like(targets, 1 / n_classes), recipe.label_smoothing)
        targets[labels == NO_CLASS] = 1 / n_classes
        if recipe.mixup:
            # The batch is drawn at random, so its reverse is as good as another draw.
            share = float(torch.rand(1, generator=rng)) * recipe.mixup
            x = x.lerp(x.flip(0), share)
            targets = targets.lerp(targets.flip(0), share)
        yield x.contiguous(memory_format=torch.channels_last), targets


def augmented(
    crops: torch.Tensor,
    red: torch.Tensor,
    preset: Preset,
    augmentation: Augmentation,
    rng: torch.Generator,
) -> torch.Tensor:
    """Crops of another turn, stain and camera, as :meth:`Preset.prepare` would give them.

    The result is of shape (N, 3, size, size). ``crops`` are RGB, cut with room, shape (N, 3, S, S),
    0 to 1; ``red`` is the absorbance of their red cells, shape (N, 3); ``rng`` is on the CPU.
    """
    x = augmentation.move(crops, preset.size, rng)
    if preset.anchors:
        from napari_wbc.classify.stain_anchors import anchored, density_of, nuclei_of, transmitted

        # The nucleus is measured after the move, on what the network sees, as in inference.
        density = density_of(x)
        red, nuclei = augmentation.misjudged(red, nuclei_of(density, preset.factor), rng)
        share = augmentation.share(preset.anchors, len(x), rng)
        x = transmitted(anchored(density, red, nuclei, share))
    return preset.scale(augmentation.recolor(x, rng).clamp(0, 1))
