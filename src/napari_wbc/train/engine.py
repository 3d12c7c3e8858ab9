"""The training loop: a generator that can be stopped at each step and resumed.

A checkpoint is written after every epoch (safetensors and JSON, each replaced as a whole).
Every epoch seeds its own random numbers, so a resumed run goes on as if never stopped.
"""

from __future__ import annotations

import copy
import math
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional

from napari_wbc.classify.calibrate import confidence_threshold, temperature
from napari_wbc.classify.networks import build_network
from napari_wbc.classify.preset import Preset, tensor_of
from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.checkpoint import Checkpoint, check_run, set_rate, update_mean
from napari_wbc.train.dataset import CropSet
from napari_wbc.train.metrics import measure_by_source
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.store import save_weights

__all__ = ["ROOM", "Recipe", "Trained", "logits_of", "train_classifier"]

ROOM = 1.4
"""Crops are cut this much larger than the network's input, for turning and shifting."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train a classifier.

    Parameters
    ----------
    name, version : str
        Of the weights.
    architecture : str
        Name of the network.
    epochs, batch_size, draws : int
        An epoch is ``draws`` crops, drawn with replacement; 0 means as many as there are.
    learning_rate, weight_decay, label_smoothing : float
        Of AdamW and the cross entropy; the rate warms up over the first epoch, then falls as a
        cosine.
    ema : float
        Decay of the running mean of the weights, which is what is kept; 0 to 1.
    balance : float
        A (source, class) group of n crops is drawn in proportion to n to the power of this:
        1 draws crops evenly, 0 groups evenly.
    precision : str
        Of Lightning Fabric: ``32-true`` or ``bf16-mixed``.
    seed : int
    preset : Preset
    augmentation : Augmentation
    """

    name: str = "cdnn"
    version: str = "1"
    architecture: str = "cdnn"
    epochs: int = 30
    batch_size: int = 64
    draws: int = 0
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.03
    ema: float = 0.998
    balance: float = 0.5
    precision: str = "32-true"
    seed: int = 0
    preset: Preset = field(default_factory=Preset)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_run(self.name, self.precision)


@dataclass(frozen=True, slots=True)
class Trained:
    """What training leaves."""

    weights: Path
    card: ModelCard
    history: tuple[dict[str, float], ...]


def train_classifier(
    data: CropSet, classes: tuple[str, ...], recipe: Recipe, out: str | Path, *, device: str = "auto"
) -> Steps[Trained]:
    """Train a classifier and write its weights and card.

    Parameters
    ----------
    data : CropSet
        Cut with ``room=ROOM``; its ``train`` split is learnt, its ``val`` split chooses the
        epoch, the temperature and the threshold, its ``test`` split is not looked at.
    classes : tuple of str
        Class names in the order of the labels.
    recipe : Recipe
    out : str or Path
        Folder of the weights, the history and the checkpoint; a checkpoint of the same recipe
        and data in it is resumed.
    device : str
        ``auto``, ``cpu`` or ``cuda``.

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
    train, val = data.where(data.splits == "train"), data.where(data.splits == "val")
    if not len(train.labels) or not len(val.labels):
        raise WbcError("Training needs cells in the splits train and val; add them to the training set.")
    fabric = Fabric(accelerator=device, devices=1, precision=recipe.precision)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.architecture, len(classes)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    mean = copy.deepcopy(network).to(fabric.device).requires_grad_(False)
    model, optimizer = fabric.setup(network, optimizer)
    checkpoint = Checkpoint(out, {"recipe": asdict(recipe), "data_sha256": data.sha256})
    history, best = checkpoint.load(model.module, mean, optimizer)
    steps = math.ceil((recipe.draws or len(train.labels)) / recipe.batch_size)
    for epoch in range(len(history), recipe.epochs):
        torch.manual_seed(recipe.seed * 100_003 + epoch)
        losses: list[float] = []
        for step, (batch, labels) in enumerate(_batches(train, recipe, epoch, fabric.device)):
            set_rate(optimizer, recipe.learning_rate, epoch * steps + step, steps, recipe.epochs)
            optimizer.zero_grad()
            loss = functional.cross_entropy(
                model(batch).float(), labels, label_smoothing=recipe.label_smoothing
            )
            if not torch.isfinite(loss):
                raise WbcError(f"Training diverged in epoch {epoch + 1}; lower the learning rate.")
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=1.0)
            optimizer.step()
            update_mean(mean, model.module, recipe.ema, epoch * steps + step)
            losses.append(loss.item())
            yield Progress("training", epoch * steps + step + 1, recipe.epochs * steps)
        scores = _validate(mean, val, classes, recipe.preset)
        history.append({"epoch": epoch + 1, "loss": float(np.mean(losses)), **scores})
        better = scores["val_accuracy"] >= best
        best = max(best, scores["val_accuracy"])
        checkpoint.save(model.module, mean, optimizer, history=history, best=best, better=better)
        line = ", ".join(f"{name} {value:.4g}" for name, value in history[-1].items())
        yield Progress("training", (epoch + 1) * steps, recipe.epochs * steps, note=line)
    mean.load_state_dict(checkpoint.best())
    card = _card(mean, data, val, classes=classes, recipe=recipe, epochs=len(history))
    path = out / f"{recipe.name}.safetensors"
    return Trained(path, save_weights(path, mean.state_dict(), card), tuple(history))


def logits_of(
    network: nn.Module, crops: npt.NDArray[np.uint8], preset: Preset, *, batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """Logits of crops that were cut with or without room, shape (N, classes)."""
    network.eval()
    device = next(network.parameters()).device
    edge = (crops.shape[1] - preset.size) // 2
    inner = slice(edge, edge + preset.size)
    parts: list[npt.NDArray[np.float32]] = []
    with torch.inference_mode():
        for start in range(0, len(crops), batch_size):
            x = tensor_of(crops[start : start + batch_size, inner, inner], device)
            parts.append(network(preset.prepare(x)).float().cpu().numpy())
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


def _batches(
    train: CropSet, recipe: Recipe, epoch: int, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    rng = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
    groups = np.unique(
        np.char.add(train.labels.astype(str), np.char.add(" ", train.sources)), return_inverse=True
    )[1]
    chances = (np.bincount(groups) ** (recipe.balance - 1.0))[groups]
    draws = recipe.draws or len(train.labels)
    drawn = torch.multinomial(torch.from_numpy(chances), draws, replacement=True, generator=rng)
    for start in range(0, draws, recipe.batch_size):
        chosen = drawn[start : start + recipe.batch_size].numpy()
        crops = tensor_of(train.crops[chosen], device)
        batch = recipe.augmentation.apply(crops, recipe.preset.size, rng)
        batch = recipe.preset.prepare(batch).contiguous(memory_format=torch.channels_last)
        yield batch, torch.from_numpy(train.labels[chosen]).to(device)


def _validate(network: nn.Module, val: CropSet, classes: tuple[str, ...], preset: Preset) -> dict[str, float]:
    """Accuracy by source, and its mean, which chooses the epoch: sources count alike whatever their size.

    Balanced accuracy would let the one cell of a rare class swing it by ten points and more.
    """
    predicted = logits_of(network, val.crops, preset).argmax(1)
    by_source = measure_by_source(val.labels, predicted, val.sources, classes)
    scores = {f"val_{source}": m.accuracy for source, m in by_source.items()}
    return {**scores, "val_accuracy": float(np.mean(list(scores.values())))}


def _card(
    network: nn.Module,
    data: CropSet,
    val: CropSet,
    *,
    classes: tuple[str, ...],
    recipe: Recipe,
    epochs: int,
) -> ModelCard:
    logits = logits_of(network, val.crops, recipe.preset)
    t = temperature(logits, val.labels)
    confidence = torch.softmax(torch.from_numpy(logits / t), 1).amax(1).numpy()
    threshold = confidence_threshold(confidence, logits.argmax(1) == val.labels)
    counts = {
        f"{source} {split}": int(((data.sources == source) & (data.splits == split)).sum())
        for source in np.unique(data.sources)
        for split in ("train", "val")
    }
    return ModelCard(
        name=recipe.name,
        version=recipe.version,
        architecture=recipe.architecture,
        classes=classes,
        preset=asdict(recipe.preset),
        temperature=round(t, 4),
        threshold=threshold,
        parameters=sum(p.numel() for p in network.parameters()),
        provenance={
            "cells": counts,
            "data_sha256": data.sha256,
            "recipe": asdict(recipe),
            "epochs_run": epochs,
            "versions": {
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "numpy": np.__version__,
            },
            "use": "Research use only. Not for diagnosis.",
        },
        metrics={
            f"{source} val": {"n": m.n, "accuracy": m.accuracy, "balanced_accuracy": m.balanced_accuracy}
            for source, m in measure_by_source(val.labels, logits.argmax(1), val.sources, classes).items()
        },
    )
