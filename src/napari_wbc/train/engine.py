"""The training loop: a generator that can be stopped at each step and resumed.

A checkpoint is written after every epoch (safetensors and JSON, each replaced as a whole).
Every epoch seeds its own random numbers, so a resumed run goes on as if never stopped.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc.classify.familiarity import Familiarity, parted
from napari_wbc.classify.modes import loss_of, scores
from napari_wbc.classify.networks import build_network
from napari_wbc.errors import WbcError
from napari_wbc.measure.metrics import measure_by_source
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.train.batches import batches, steps_of
from napari_wbc.train.card import card_of
from napari_wbc.train.checkpoint import Checkpoint, set_rate, update_mean
from napari_wbc.train.curves import write_curves
from napari_wbc.train.dataset import CropSet
from napari_wbc.train.recipe import Recipe
from napari_wbc.train.scoring import familiarity_steps, scores_steps
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import load_weights, save_weights

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

    from napari_wbc.classify.networks.base import FeatureNetwork

__all__ = ["Trained", "train_classifier"]

HEAD = ("head.weight", "head.bias")
"""What has a row a class."""
ENOUGH = 500
"""Training cells that tell what is known, where training goes on from weights that knew more."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What training leaves."""

    weights: Path
    card: ModelCard
    history: tuple[dict[str, float], ...]


def train_classifier(
    data: CropSet,
    taxonomy: Taxonomy,
    recipe: Recipe,
    out: str | Path,
    *,
    device: str = "auto",
    told: Mapping[str, Any] | None = None,
) -> Steps[Trained]:
    """Train a classifier and write its weights, card and curves.

    Parameters
    ----------
    data : CropSet
        Cut with ``room=ROOM``; its ``train`` split is learnt, its ``val`` split chooses the
        epoch, the temperature and the threshold, its ``test`` split is not looked at.
    taxonomy : Taxonomy
        Its classes are those of the labels, in their order.
    recipe : Recipe
    out : str or Path
        Folder of the weights, the curves and the checkpoint; a checkpoint of the same recipe
        and data in it is resumed.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    told : mapping, optional
        More of the provenance, for the card.

    Returns
    -------
    Trained

    Raises
    ------
    WbcError
        If a split is empty, the device or precision is not to be had, or the checkpoint is
        damaged or belongs to another recipe or data.
    """
    out, device = Path(out), resolve_device(device)
    import torch
    from lightning_fabric import Fabric

    from napari_wbc.train.muon import MuonAdamW

    train, val = data.where(data.splits == "train"), data.where(data.splits == "val")
    if not len(train.labels) or not len(val.labels):
        raise WbcError(
            "Training needs cells in the splits train and val; add them to the training set."
        )
    # As many processes as torchrun started on this machine: one without it.
    devices = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(accelerator=device, devices=devices, precision=recipe.precision)
    fabric.launch()
    torch.manual_seed(recipe.seed)
    network, start = _network(recipe, taxonomy.names)
    network = network.to(memory_format=torch.channels_last)
    old = copy.deepcopy(network.state_dict())
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
    checkpoint = Checkpoint(
        out,
        {
            "recipe": {**asdict(recipe), "start": ""},  # wherever its weights lie
            "data_sha256": data.sha256,
            "taxonomy": taxonomy.to_dict(),
            "start_sha256": start.sha256 if start else "",
        },
    )
    history, best = checkpoint.load(model.module, mean, optimizer)
    for row in history:
        yield _told(row, train, recipe)
    for epoch in range(len(history), recipe.epochs):
        if recipe.patience and _stale(history) >= recipe.patience:
            break
        learnt = yield from _epoch(
            model,
            mean,
            optimizer,
            train,
            recipe=recipe,
            epoch=epoch,
            n_classes=len(taxonomy.names),
            asked=_asked(train, recipe, len(taxonomy.names)),
            fabric=fabric,
        )
        measured, error = yield from _validate(mean, val, taxonomy.names, recipe)
        history.append({"epoch": epoch + 1, **learnt, **measured})
        # Later weights are better settled: one standard error is no reason to prefer earlier ones.
        better = measured["val_accuracy"] >= best - error
        best = max(best, measured["val_accuracy"])
        if fabric.is_global_zero:
            checkpoint.save(
                model.module, mean, optimizer, history=history, best=best, better=better
            )
            write_curves(out, history)
        fabric.barrier()
        yield _told(history[-1], train, recipe)
    fresh = [i for i, name in enumerate(taxonomy.names) if start and name not in start.classes]
    mean.load_state_dict(_mixed(checkpoint.best(), old, recipe.keep, fresh))
    found_scores = yield from scores_steps(mean, val, recipe.preset, mode=recipe.mode)
    card = card_of(
        mean,
        data,
        found_scores,
        taxonomy=taxonomy,
        recipe=recipe,
        epochs=len(history),
        start=start,
        told=told,
    )
    familiarity = yield from _familiarity(mean, train, val, recipe)
    path = out / f"{recipe.name}.safetensors"
    if fabric.is_global_zero:
        card = save_weights(
            path, {**mean.state_dict(), **(familiarity.tensors() if familiarity else {})}, card
        )
    return Trained(path, card, tuple(history))


def _epoch(
    model: Any,
    mean: FeatureNetwork,
    optimizer: torch.optim.Optimizer,
    train: CropSet,
    *,
    recipe: Recipe,
    epoch: int,
    n_classes: int,
    asked: list[int],
    fabric: Fabric,
) -> Steps[dict[str, float]]:
    """Learn one epoch; mean loss and accuracy on what was learnt."""
    import torch

    torch.manual_seed(recipe.seed * 100_003 + epoch)
    model.train(not recipe.freeze)
    steps = steps_of(train, recipe)
    losses: list[float] = []
    hits: list[float] = []
    for step, (batch, targets) in enumerate(batches(train, recipe, epoch, n_classes, fabric)):
        now = epoch * steps + step
        set_rate(optimizer, recipe.learning_rate, now, steps, recipe.epochs)
        optimizer.zero_grad()
        outputs = model(batch).float()[:, asked]
        wanted = targets[:, asked] / targets[:, asked].sum(1, keepdim=True)
        loss = loss_of(outputs, wanted, recipe.mode)
        if not torch.isfinite(loss):
            raise WbcError(f"Training diverged in epoch {epoch + 1}; lower the learning rate.")
        fabric.backward(loss)
        optimizer.step()
        update_mean(mean, model.module, recipe.ema, now)
        losses.append(loss.item())
        found = scores(outputs, recipe.mode).argmax(1)
        hits.append((found == wanted.argmax(1)).float().mean().item())
        yield Progress("training", now + 1, recipe.epochs * steps)
    return {"loss": float(np.mean(losses)), "train_accuracy": float(np.mean(hits))}


def _asked(train: CropSet, recipe: Recipe, n_classes: int) -> list[int]:
    """The classes that a batch decides between.

    Where training goes on from weights, a class without a cell is not asked for: else it would be
    unlearnt, every cell saying that it is another.
    """
    present = [int(label) for label in np.unique(train.labels)]
    if recipe.start and recipe.mode != "two-stage" and len(present) > 1:
        return present
    return list(range(n_classes))


def _network(recipe: Recipe, classes: tuple[str, ...]) -> tuple[FeatureNetwork, ModelCard | None]:
    """The network that training begins with, and the card of the weights that it starts from."""
    network = build_network(recipe.architecture, len(classes))
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
            f"{', '.join(card.classes)} cannot start {recipe.architecture!r} for {', '.join(classes)}; "
            "choose others, or start afresh."
        )
    known = parted(tensors)[0]
    network.load_state_dict(
        known | {name: _grown(known[name], card.classes, classes) for name in HEAD}
    )
    return network, card


def _familiarity(
    network: FeatureNetwork, train: CropSet, val: CropSet, recipe: Recipe
) -> Steps[Familiarity | None]:
    """Where the features of known cells lie; of few cells those of the start, where features are the same."""
    if recipe.start and len(train.labels) < ENOUGH:
        if recipe.freeze:
            return parted(load_weights(find_weights(recipe.start))[0])[1]
        note = f"Of fewer than {ENOUGH} training cells the weights learn no unlikeness; add old training sets."
        yield Progress("measuring the training cells", 0, 0, note)
        return None
    return (yield from familiarity_steps(network, train, val, recipe.preset))


def _grown(rows: torch.Tensor, known: tuple[str, ...], classes: tuple[str, ...]) -> torch.Tensor:
    """Rows of a head for more classes: those of a new one are the mean of all, as if it could be any."""
    import torch

    return torch.stack(
        [rows[known.index(name)] if name in known else rows.mean(0) for name in classes]
    )


def _mixed(
    new: dict[str, torch.Tensor], old: dict[str, torch.Tensor], keep: float, fresh: list[int]
) -> dict[str, torch.Tensor]:
    """The mean of new and old weights, the old ones weighing ``keep``; fresh classes have no old weights."""
    mixed = {
        name: tensor.lerp(old[name].to(tensor), keep) if tensor.is_floating_point() else tensor
        for name, tensor in new.items()
    }
    for name in HEAD:
        mixed[name][fresh] = new[name][fresh]
    return mixed


def _told(row: dict[str, float], train: CropSet, recipe: Recipe) -> Progress:
    """An epoch's measures."""
    line = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
    steps = steps_of(train, recipe)
    return Progress("training", int(row["epoch"]) * steps, recipe.epochs * steps, line, row)


def _stale(history: list[dict[str, float]]) -> int:
    """Epochs since the best validation, of several that are best the first."""
    scores = [epoch["val_accuracy"] for epoch in history]
    return len(scores) - 1 - int(np.argmax(scores)) if scores else 0


def _validate(
    network: FeatureNetwork, val: CropSet, classes: tuple[str, ...], recipe: Recipe
) -> Steps[tuple[dict[str, float], float]]:
    """Accuracy by source with its mean, which chooses the epoch, and the standard error of the mean.

    Sources count alike whatever their size. Balanced accuracy would let the one cell of a rare
    class swing it by ten points and more.
    """
    found = yield from scores_steps(network, val, recipe.preset, mode=recipe.mode)
    predicted = found.argmax(1)
    by_source = measure_by_source(val.labels, predicted, val.sources, classes)
    measured = {f"val_{source}": m.accuracy for source, m in by_source.items()}
    variances = [m.accuracy * (1 - m.accuracy) / m.n for m in by_source.values()]
    error = math.sqrt(sum(variances)) / len(variances)
    return {**measured, "val_accuracy": float(np.mean(list(measured.values())))}, error
