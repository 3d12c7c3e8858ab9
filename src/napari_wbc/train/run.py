"""What the training loops of the classifier and of the cell finder share."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress
from napari_wbc.model.ranges import Ranges
from napari_wbc.model.words import is_file_name

if TYPE_CHECKING:
    from torch import nn

    from napari_wbc.weights.card import ModelCard

PRECISIONS = ("32-true", "bf16-mixed")
RUN_RANGES: Ranges = {
    "epochs": (1, 100_000),
    "batch_size": (1, 4096),
    "draws": (0, 10_000_000),
    "patience": (0, 100_000),
    "learning_rate": (1e-9, 10),
    "weight_decay": (0, 10),
    "ema": (0, 1),
    "seed": (0, 2**31 - 1),
}
"""Of every recipe."""

MEASURES = MappingProxyType(
    {
        "loss": "error",
        "train_accuracy": "accuracy, cells to learn",
        "val_accuracy": "accuracy, cells to check",
        "val_ap": "average precision, fields to check",
    }
)
"""What an epoch's line says, in words: that of the whole set, and no single source's."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of training: the file of the weights, their card, and what each epoch measured."""

    weights: Path
    card: ModelCard
    history: tuple[dict[str, float], ...]


def check_run(name: str, precision: str) -> None:
    """Refuse a name that is no file name, and a precision that is not offered."""
    if precision not in PRECISIONS:
        raise WbcError(f"No precision {precision[:40]!r}; choose one of: {', '.join(PRECISIONS)}.")
    if not is_file_name(name):
        raise WbcError(f"{name[:60]!r} cannot name weights; give a plain file name.")


def check_start(network: str, *, pretrained: bool, start: str) -> None:
    """Refuse to train a network from nothing that cannot learn so."""
    if network == "duet" and not start:
        raise WbcError("duet is joined from two trained networks; name weights to start from.")
    if network == "efficientnet_lite0" and not (pretrained or start):
        raise WbcError(
            "efficientnet_lite0 learns from ImageNet's weights or from others only: its "
            "normalization is theirs. Set pretrained, or name weights to start from."
        )


def epoch_seed(seed: int, epoch: int) -> int:
    """Seed of the random numbers of one epoch.

    Every epoch has its own, so that a resumed run draws what it would have drawn without a stop.
    The factor, a prime, keeps the epochs of neighbouring seeds apart.
    """
    return seed * 100_003 + epoch


def measure_name(name: str) -> str:
    """A measure of an epoch, as ``history.json`` names it, in words.

    Examples
    --------
    >>> measure_name("train_accuracy"), measure_name("val_chula"), measure_name("loss_mask")
    ('accuracy, cells to learn', 'to check: chula', 'error: mask')
    """
    if name in MEASURES:
        return MEASURES[name]
    for start, words in (("val_", "to check: "), ("loss_", "error: ")):
        if name.startswith(start):
            name = words + name.removeprefix(start)
    return name.replace("_", " ")


def epoch_progress(row: Mapping[str, float], steps: int, epochs: int) -> Progress:
    """The measures of a finished epoch of ``steps`` batches, as a line and as values."""
    epoch = int(row["epoch"])
    parts: list[str] = []
    for name, words in MEASURES.items():
        if name in row:
            value = f"{row[name]:.3f}" if name == "loss" else f"{100 * row[name]:.1f} %"
            parts.append(f"{words} {value}")
    line = f"epoch {epoch} of {epochs}: {'; '.join(parts)}"
    return Progress("training", epoch * steps, epochs * steps, line, row)


def quiet_fabric() -> None:
    """Keep Lightning from telling how it computes, which is in the card, on the terminal."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def set_rate(optimizer: Any, rate: float, step: int, steps: int, epochs: int) -> None:
    """Set the learning rate of a step: up over the first epoch, then down as a cosine.

    A parameter group with a ``scale`` gets so many times the rate.
    """
    done = step / (epochs * steps)
    rate *= min((step + 1) / steps, 0.5 * (1 + math.cos(math.pi * done)))
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def update_mean(mean: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Let a running mean of weights follow the network; counters are copied."""
    import torch

    # In the first steps the network changes fast: a shorter memory forgets its random start.
    decay = min(decay, (1 + step) / (10 + step))
    pairs = zip(mean.state_dict().values(), network.state_dict().values(), strict=True)
    with torch.no_grad():
        for average, new in pairs:
            # Batch normalisation counts its batches in integers, which cannot be averaged.
            if average.is_floating_point():
                average.lerp_(new.to(average.dtype), 1 - decay)
            else:
                average.copy_(new)
