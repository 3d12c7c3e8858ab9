"""The training loop: a generator that can be stopped at each step and resumed.

A checkpoint is written after every epoch (safetensors and JSON, each replaced as a whole).
Every epoch seeds its own random numbers, so a resumed run goes on as if never stopped.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_wbc.classify.familiarity import Familiarity, parted
from napari_wbc.classify.modes import loss_of, scores
from napari_wbc.classify.networks import build_network
from napari_wbc.errors import WbcError
from napari_wbc.measure.metrics import by_source, measure
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.train.batches import batches, steps_of
from napari_wbc.train.card import card_of
from napari_wbc.train.checkpoint import Checkpoint
from napari_wbc.train.curves import write_curves
from napari_wbc.train.dataset import NO_CLASS, CropSet
from napari_wbc.train.recipe import Recipe
from napari_wbc.train.run import (
    Trained,
    epoch_progress,
    epoch_seed,
    quiet_fabric,
    set_rate,
    update_mean,
)
from napari_wbc.train.scoring import extended_steps, familiarity_steps, scores_steps
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import load_weights, save_weights

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

    from napari_wbc.classify.networks.base import FeatureNetwork

HEAD = ("head.weight", "head.bias")
"""The tensors with one row for each class."""
MIN_FAMILIARITY_CELLS = 500
"""Training cells below which a fine-tuned model measures no unlikeness: it has learnt from more."""


def train_classifier(
    data: CropSet,
    taxonomy: Taxonomy,
    recipe: Recipe,
    out: str | Path,
    *,
    device: str = "auto",
    provenance: Mapping[str, Any] | None = None,
) -> Steps[Trained]:
    """Train a classifier and write its weights, card and curves.

    Parameters
    ----------
    data : CropSet
        Cut with ``room=ROOM``; its ``train`` split is learnt, its ``val`` split, where all are of a
        class, chooses the epoch, the temperature and the threshold, its ``test`` split is not
        looked at.
    taxonomy : Taxonomy
        Its classes are those of the labels, in their order.
    out : str or Path
        Folder of the weights, the curves and the checkpoint; a checkpoint of the same recipe
        and data in it is resumed.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    provenance : mapping, optional
        More entries for the provenance in the card.

    Raises
    ------
    WbcError
        If a split is empty, the device or precision is not to be had, or the checkpoint is
        damaged or belongs to another recipe or data.
    """
    out, device = Path(out), resolve_device(device)
    train, val = data.where(data.splits == "train"), data.where(data.splits == "val")
    if not len(train.labels) or not len(val.labels):
        raise WbcError(
            "Training needs cells in the splits train and val; add them to the training set."
        )
    if (val.labels == NO_CLASS).any():
        raise WbcError("Cells of no class are learnt from only; leave them out of the split val.")
    state, start = _prepared(recipe, taxonomy, device)
    model, mean, optimizer, fabric = state
    old = copy.deepcopy(mean.state_dict())
    checkpoint = Checkpoint(
        out,
        {
            # Weights to start from are told by their content, since their file may move.
            "recipe": {**asdict(recipe), "start": ""},
            "data_sha256": data.sha256,
            "taxonomy": taxonomy.to_dict(),
            "start_sha256": start.sha256 if start else "",
        },
    )
    history, best = checkpoint.load(model.module, mean, optimizer)
    steps = steps_of(train, recipe)
    for row in history:
        yield epoch_progress(row, steps, recipe.epochs)
    for epoch in range(len(history), recipe.epochs):
        if recipe.patience and _epochs_since_best(history) >= recipe.patience:
            break
        learnt = yield from _epoch(state, train, recipe, epoch, len(taxonomy.names))
        measured, error = yield from _validate(mean, val, taxonomy.names, recipe)
        history.append({"epoch": epoch + 1, **learnt, **measured})
        # Later weights are better settled: one standard error is no reason to prefer earlier ones.
        better = measured["val_accuracy"] >= best - error
        best = max(best, measured["val_accuracy"])
        # Of several processes one writes, and the others wait until the files are complete.
        if fabric.is_global_zero:
            checkpoint.save(
                model.module, mean, optimizer, history=history, best=best, better=better
            )
            write_curves(out, history)
        fabric.barrier()
        yield epoch_progress(history[-1], steps, recipe.epochs)
    fresh = [i for i, name in enumerate(taxonomy.names) if start and name not in start.classes]
    mean.load_state_dict(_mixed(checkpoint.best(), old, recipe.keep, fresh))
    if recipe.half:
        # Rounded before anything is measured: what is measured is what is kept.
        mean.half().float()
    val_scores = yield from scores_steps(mean, val, recipe.preset, mode=recipe.mode)
    card = card_of(
        mean,
        data,
        val_scores,
        taxonomy=taxonomy,
        recipe=recipe,
        epochs=len(history),
        start=start,
        provenance=provenance,
    )
    cells = train.where(train.labels != NO_CLASS)
    familiarity = yield from _familiarity(mean, cells, val, recipe)
    path = out / f"{recipe.name}.safetensors"
    if fabric.is_global_zero:
        kept = mean.half() if recipe.half else mean
        extra = familiarity.tensors() if familiarity else {}
        card = save_weights(path, {**kept.state_dict(), **extra}, card)
    return Trained(path, card, tuple(history))


class _State(NamedTuple):
    """What the steps of training change: the network, the mean of its weights and the optimizer."""

    model: Any
    mean: FeatureNetwork
    optimizer: torch.optim.Optimizer
    fabric: Fabric


def _prepared(recipe: Recipe, taxonomy: Taxonomy, device: str) -> tuple[_State, ModelCard | None]:
    """The state before the first step, and the card of the weights that training starts from."""
    import torch
    from lightning_fabric import Fabric

    from napari_wbc.train.muon import MuonAdamW

    # As many processes as torchrun started on this machine: one without it.
    devices = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    quiet_fabric()
    fabric = Fabric(accelerator=device, devices=devices, precision=recipe.precision)
    fabric.launch()
    torch.manual_seed(recipe.seed)
    network, start = _network(recipe, taxonomy.names)
    network = network.to(memory_format=torch.channels_last)
    if recipe.freeze:
        network.requires_grad_(False)
        network.head.requires_grad_(True)
    optimizer = MuonAdamW(
        network,
        lr=recipe.learning_rate,
        matrix_lr=recipe.matrix_rate,
        weight_decay=recipe.weight_decay,
    )
    mean = copy.deepcopy(network).to(fabric.device).requires_grad_(False)
    model, optimizer = fabric.setup(network, optimizer)
    return _State(model, mean, optimizer, fabric), start


def _epoch(
    state: _State, train: CropSet, recipe: Recipe, epoch: int, n_classes: int
) -> Steps[dict[str, float]]:
    """Learn one epoch; mean loss and accuracy on what was learnt."""
    import torch

    torch.manual_seed(epoch_seed(recipe.seed, epoch))
    # Frozen features stay as they are in use, running means of batch normalisation included.
    state.model.train(not recipe.freeze)
    learnable = _learnable_classes(train, recipe, n_classes)
    steps = steps_of(train, recipe)
    losses: list[float] = []
    hits: list[float] = []
    drawn = batches(train, recipe, epoch, n_classes, state.fabric)
    for now, (batch, targets) in enumerate(drawn, start=epoch * steps):
        set_rate(state.optimizer, recipe.learning_rate, now, steps, recipe.epochs)
        state.optimizer.zero_grad()
        outputs = state.model(batch).float()[:, learnable]
        wanted = targets[:, learnable]
        # Without the columns of other classes, smoothed labels no longer sum to 1.
        wanted = wanted / wanted.sum(1, keepdim=True)
        loss = loss_of(outputs, wanted, recipe.mode)
        if not torch.isfinite(loss):
            raise WbcError(f"Training diverged in epoch {epoch + 1}; lower the learning rate.")
        state.fabric.backward(loss)
        state.optimizer.step()
        update_mean(state.mean, state.model.module, recipe.ema, now)
        losses.append(loss.item())
        right = scores(outputs, recipe.mode).argmax(1) == wanted.argmax(1)
        of_class = wanted.amax(1) > wanted.amin(1)
        hits += right[of_class].tolist()
        yield Progress("training", now + 1, recipe.epochs * steps)
    return {"loss": float(np.mean(losses)), "train_accuracy": float(np.mean(hits))}


def _learnable_classes(train: CropSet, recipe: Recipe, n_classes: int) -> list[int]:
    """Indices of the classes that a batch decides between."""
    # Where training goes on from weights, a class without a cell is left out of the loss: else it
    # would be unlearnt, since every cell says that it is another class.
    present: list[int] = np.unique(train.labels[train.labels != NO_CLASS]).tolist()
    if recipe.start and recipe.mode != "two-stage" and len(present) > 1:
        return present
    return list(range(n_classes))


def _network(recipe: Recipe, classes: tuple[str, ...]) -> tuple[FeatureNetwork, ModelCard | None]:
    """The network that training begins with, and the card of the weights that it starts from."""
    network = build_network(recipe.architecture, len(classes), pretrained=recipe.pretrained)
    if not recipe.start:
        return network, None
    tensors, card = load_weights(find_weights(recipe.start))
    grown = card.classes != classes
    if (
        card.architecture != recipe.architecture
        or not set(card.classes) <= set(classes)
        or (grown and recipe.mode == "two-stage")
    ):
        raise WbcError(
            f"{recipe.start}: weights of {card.architecture!r} for the classes "
            f"{', '.join(card.classes)} cannot start {recipe.architecture!r} for "
            f"{', '.join(classes)}; choose others, or start afresh."
        )
    weights = dict(parted(tensors)[0])
    for name in HEAD:
        weights[name] = _grown(weights[name], card.classes, classes)
    network.load_state_dict(weights)
    return network, card


def _familiarity(
    network: FeatureNetwork, train: CropSet, val: CropSet, recipe: Recipe
) -> Steps[Familiarity | None]:
    """Where the features of the training cells lie, for unlikeness; None where they are too few."""
    if recipe.start and len(train.labels) < MIN_FAMILIARITY_CELLS:
        # Frozen features are those of the start, and so is what was measured of them.
        if recipe.freeze:
            start = parted(load_weights(find_weights(recipe.start))[0])[1]
            if start is None:
                return None
            return (yield from extended_steps(network, start, train, recipe.preset))
        note = (
            f"Of fewer than {MIN_FAMILIARITY_CELLS} training cells the weights learn no "
            "unlikeness; add old training sets."
        )
        yield Progress("measuring the training cells", 0, 0, note)
        return None
    left_out = recipe.stains_left_out
    return (yield from familiarity_steps(network, train, val, recipe.preset, left_out))


def _grown(rows: torch.Tensor, old: tuple[str, ...], classes: tuple[str, ...]) -> torch.Tensor:
    """Rows of a head for more classes."""
    import torch

    # A new class starts with the mean of all rows, as if it could be any of them.
    mean = rows.mean(0)
    return torch.stack([rows[old.index(name)] if name in old else mean for name in classes])


def _mixed(
    new: dict[str, torch.Tensor], old: dict[str, torch.Tensor], keep: float, fresh: list[int]
) -> dict[str, torch.Tensor]:
    """The mean of new and old weights, the old ones weighing ``keep`` (WiSE-FT)."""
    mixed: dict[str, torch.Tensor] = {}
    for name, tensor in new.items():
        floating = tensor.is_floating_point()
        mixed[name] = tensor.lerp(old[name].to(tensor), keep) if floating else tensor
    # Classes that the old weights lack have no old rows to mix with.
    for name in HEAD:
        mixed[name][fresh] = new[name][fresh]
    return mixed


def _epochs_since_best(history: list[dict[str, float]]) -> int:
    """Of epochs that are alike best, the first counts."""
    accuracies = [epoch["val_accuracy"] for epoch in history]
    return len(accuracies) - 1 - int(np.argmax(accuracies)) if accuracies else 0


def _validate(
    network: FeatureNetwork, val: CropSet, classes: tuple[str, ...], recipe: Recipe
) -> Steps[tuple[dict[str, float], float]]:
    """Accuracy by source with its mean, which chooses the epoch, and the mean's standard error."""
    val_scores = yield from scores_steps(network, val, recipe.preset, mode=recipe.mode)
    # Sources count alike whatever their size. Not balanced accuracy: the one cell of a rare class
    # would swing it by ten points and more.
    metrics = by_source(measure, val.labels, val_scores.argmax(1), val.sources, classes)
    measured = {f"val_{source}": m.accuracy for source, m in metrics.items()}
    # Binomial: of a share of n cells.
    variances = [m.accuracy * (1 - m.accuracy) / m.n for m in metrics.values()]
    error = math.sqrt(sum(variances)) / len(variances)
    return {**measured, "val_accuracy": float(np.mean(list(measured.values())))}, error
