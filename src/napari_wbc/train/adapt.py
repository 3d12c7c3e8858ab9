"""Adaptation without labels: a classifier gets used to the stain and camera of unlabelled cells.

Self-training after Liang et al. 2020 (SHOT) and Tarvainen and Valpola 2017 (mean teacher). The
teacher, a running mean of the network, labels the cells from several views. The network learns the
surer half of each class under strong augmentation; a second term makes it decide each cell, and a
third keeps the shares of the classes as the teacher found them. SHOT makes the shares even, which
blood is not: rare classes then grow at the cost of neutrophils. Training data are not needed.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.modes import scores
from napari_wbc.classify.predict import load_classifier
from napari_wbc.classify.preset import Preset, tensor_of
from napari_wbc.errors import AlreadySure, WbcError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.batches import augmented
from napari_wbc.train.dataset import CropSet
from napari_wbc.train.run import check_run, epoch_seed, set_rate, update_mean
from napari_wbc.train.scoring import seen_steps
from napari_wbc.weights.card import is_without_muon, recipe_of
from napari_wbc.weights.store import save_weights

if TYPE_CHECKING:
    import torch

    from napari_wbc.classify.networks.base import FeatureNetwork

MIN_ADAPTATION_CELLS = 20
"""Fewer cells say nothing about a stain."""


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How to adapt.

    Parameters
    ----------
    name : str
        Of the new weights.
    epochs, draws, batch_size : int
        An epoch is ``draws`` crops, labelled anew by the teacher.
    learning_rate, matrix_rate : float
        Of :class:`~napari_wbc.train.muon.MuonAdamW`.
    confident : float
        Part of the cells of each class, the surest, whose label is learnt; 0 to 1.
    decided : float
        Weight of the pull to decide each cell.
    shares : float
        Weight of the pull to the shares of the classes that the teacher finds.
    ema : float
        Decay of the teacher.
    enough : float
        Mean confidence, 0 to 1, from which weights are left as they are: they have nothing to gain,
        and their own answers to lose by. Above 1, they are adapted in any case.
    """

    name: str = "adapted"
    epochs: int = 6
    draws: int = 1280
    batch_size: int = 64
    learning_rate: float = 1e-3
    matrix_rate: float = 6e-3
    confident: float = 0.5
    decided: float = 0.3
    shares: float = 1.0
    ema: float = 0.98
    enough: float = 0.85
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_run(self.name, "32-true")


def adapt_classifier(
    data: CropSet, weights: str | Path, plan: Adaptation, out: str | Path, *, device: str = "auto"
) -> Steps[Path]:
    """Adapt a classifier to unlabelled cells, and return the new weights, written with their card.

    Parameters
    ----------
    data : CropSet
        Cut with ``room=ROOM`` by the preset of the weights; labels and splits are not looked at.
    weights : str or Path
        Name or file of the weights to start from.
    out : str or Path
        Folder of the new weights.
    device : str
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    WbcError
        If there are fewer than 20 cells, or the weights or the device are not to be had.
    AlreadySure
        If the weights are sure of the cells.
    """
    import torch

    from napari_wbc.train.muon import MuonAdamW

    if len(data.crops) < MIN_ADAPTATION_CELLS:
        raise WbcError(
            f"Adaptation needs at least {MIN_ADAPTATION_CELLS} cells, and there are "
            f"{len(data.crops)}; add fields."
        )
    start = load_classifier(weights, device=device)
    card, preset = start.card, start.preset
    teacher = copy.deepcopy(start.network).requires_grad_(False)
    student = start.network.requires_grad_(True)
    matrix_rate = 0.0 if is_without_muon(card) else plan.matrix_rate
    optimizer = MuonAdamW(student, lr=plan.learning_rate, matrix_lr=matrix_rate, weight_decay=0.0)
    steps = max(1, plan.draws // plan.batch_size)
    for epoch in range(plan.epochs):
        seed = epoch_seed(plan.seed, epoch)
        rng = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        p = np.exp((yield from _label_steps(teacher, data, preset, card.mode)))
        confidence = float(p.max(1).mean())
        # Weights that are sure only lost by it (benchmarks/results/adaptation.md).
        if not epoch and confidence >= plan.enough:
            raise AlreadySure(
                f"{card.model_id} is sure of these cells already (mean confidence "
                f"{confidence:.2f}) and would gain nothing; use it as it is."
            )
        labels, sure, shares = _labelled(p, plan.confident)
        for step in range(steps):
            chosen = torch.randint(0, len(data.crops), (plan.batch_size,), generator=rng).numpy()
            crops = tensor_of(data.crops[chosen], start.device)
            red = torch.from_numpy(data.red[chosen]).to(start.device)
            x = augmented(crops, red, preset, plan.augmentation, rng)
            set_rate(optimizer, plan.learning_rate, epoch * steps + step, steps, plan.epochs)
            optimizer.zero_grad()
            student.train()
            outputs = student(x.contiguous(memory_format=torch.channels_last)).float()
            log_p = torch.log_softmax(scores(outputs, card.mode), 1)
            target = torch.from_numpy(labels[chosen]).to(start.device)
            is_sure = torch.from_numpy(sure[chosen]).to(start.device)
            loss = _loss(log_p, target, is_sure, shares.to(start.device), plan)
            if not torch.isfinite(loss):
                raise WbcError("Adaptation diverged; lower its learning rates.")
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            # From step 1,000 on: the teacher is trained already and needs no faster start.
            update_mean(teacher, student, plan.ema, 1000 + epoch * steps + step)
            yield Progress("adapting", epoch * steps + step + 1, plan.epochs * steps)
    entry = {
        "from": card.model_id,
        "cells": len(data.crops),
        "data_sha256": data.sha256,
        "how": asdict(plan),
        "note": "Temperature and threshold are those of the weights before, unlikeness is not "
        "known: without labels neither can be measured again.",
    }
    # The card may come from anybody, so its provenance can be of any shape.
    provenance = dict(card.provenance) if isinstance(card.provenance, dict) else {}
    earlier = provenance.get("adapted", [])
    provenance["adapted"] = [*(earlier if isinstance(earlier, list) else [earlier]), entry]
    new = replace(card, name=plan.name, provenance=provenance, metrics={}, sha256="")
    path = Path(out) / f"{plan.name}.safetensors"
    kept = teacher.half() if recipe_of(card).get("half") is True else teacher
    save_weights(path, kept.state_dict(), new)
    return path


def _loss(
    log_p: torch.Tensor,
    target: torch.Tensor,
    sure: torch.Tensor,
    shares: torch.Tensor,
    plan: Adaptation,
) -> torch.Tensor:
    """Of log probabilities (N, classes), labels (N,), their sureness (N,), shares (classes,)."""
    from torch.nn import functional

    surprise = functional.nll_loss(log_p, target, reduction="none")
    learnt = (surprise * sure).sum() / sure.sum().clamp(min=1)
    # The entropy of each cell is small where it is decided (information maximisation of SHOT).
    p = log_p.exp()
    undecided = -(p * log_p).sum(1).mean()
    # Kullback-Leibler divergence from the shares that the teacher found.
    mean = p.mean(0)
    drift = (mean * (mean.clamp(min=1e-6) / shares).log()).sum()
    return learnt + plan.decided * undecided + plan.shares * drift


def _labelled(
    p: npt.NDArray[np.float32], confident: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], torch.Tensor]:
    """Labels of probabilities (N, classes), the surest cells of each class, the classes' shares."""
    import torch

    labels = p.argmax(1)
    confidence = p.max(1)
    sure = np.zeros(len(labels), bool)
    # By class, since rare classes are seldom the surest of all.
    for label in np.unique(labels):
        of_class = labels == label
        sure |= of_class & (confidence >= np.quantile(confidence[of_class], 1 - confident))
    shares = torch.from_numpy(p.mean(0, dtype=np.float32)).clamp(min=1e-4)
    return labels, sure, shares / shares.sum()


def _label_steps(
    teacher: FeatureNetwork, data: CropSet, preset: Preset, mode: str
) -> Steps[npt.NDArray[np.float32]]:
    """Mean log probabilities over four quarter turns, shape (N, classes)."""
    import torch

    def see(x: torch.Tensor) -> torch.Tensor:
        views: list[torch.Tensor] = []
        for quarter in range(4):
            outputs = teacher(torch.rot90(x, quarter, (2, 3))).float()
            views.append(torch.log_softmax(scores(outputs, mode), 1))
        return torch.log_softmax(torch.stack(views).mean(0), 1)

    parts = yield from seen_steps(teacher, data, preset, "labelling", see)
    labels: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return labels
