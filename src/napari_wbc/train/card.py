"""Model cards of trained models: calibration, and what the models were made from."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.calibrate import confidence_threshold, temperature
from napari_wbc.measure.metrics import by_source, measure
from napari_wbc.train.dataset import CropSet
from napari_wbc.train.scoring import weights_by_source
from napari_wbc.weights.card import RESEARCH_USE, ModelCard

if TYPE_CHECKING:
    from torch import nn

    from napari_wbc.model.taxonomy import Taxonomy
    from napari_wbc.train.detector_recipe import DetectorRecipe
    from napari_wbc.train.fields import FieldSet
    from napari_wbc.train.recipe import Recipe

MIN_CALIBRATION_CELLS = 100
"""Validation cells below which a fine-tuned model keeps the calibration that it starts from."""


def card_of(
    network: nn.Module,
    data: CropSet,
    scores: npt.NDArray[np.float32],
    *,
    taxonomy: Taxonomy,
    recipe: Recipe,
    epochs: int,
    start: ModelCard | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Calibrate a classifier on validation cells and write its card.

    Parameters
    ----------
    data : CropSet
        All that it was trained and chosen on.
    scores : ndarray, shape (N, classes)
        Of the ``val`` split, in its order.
    epochs : int
        That were run.
    start : ModelCard, optional
        Of the weights that training started from. Where fewer than 100 validation cells could
        calibrate, its temperature and threshold stay.
    provenance : mapping, optional
        More entries for the provenance.
    """
    import torch

    val = data.where(data.splits == "val")
    weight = weights_by_source(val.sources)
    heat = temperature(scores, val.labels, weight=weight)
    confidence = torch.softmax(torch.from_numpy(scores / heat), 1).amax(1).numpy()
    threshold = confidence_threshold(confidence, scores.argmax(1) == val.labels, weight=weight)
    calibration: dict[str, Any] = {}
    if start is not None and len(val.labels) < MIN_CALIBRATION_CELLS:
        heat = start.temperature
        threshold = start.threshold
        note = f"of {start.model_id}, since {len(val.labels)} cells are too few"
        calibration = {"calibration": note}
    counts: dict[str, int] = {}
    for name in np.unique(data.sources):
        for split in ("train", "val"):
            chosen = (data.sources == name) & (data.splits == split)
            counts[f"{name} {split}"] = int(chosen.sum())
    sources = by_source(measure, val.labels, scores.argmax(1), val.sources, taxonomy.names)
    metrics: dict[str, Any] = {}
    for name, m in sources.items():
        metrics[f"{name} val"] = {
            "n": m.n,
            "accuracy": m.accuracy,
            "balanced_accuracy": m.balanced_accuracy,
        }
    return ModelCard(
        name=recipe.name,
        version=recipe.version,
        architecture=recipe.architecture,
        classes=taxonomy.names,
        preset=asdict(recipe.preset),
        mode=recipe.mode,
        taxonomy=taxonomy.to_dict(),
        temperature=round(heat, 4),
        threshold=threshold,
        foreign_threshold=recipe.foreign_threshold,
        parameters=sum(p.numel() for p in network.parameters()),
        provenance={
            "cells": counts,
            "data_sha256": data.sha256,
            # By its model id: the path of its file may name people, and leads nowhere elsewhere.
            "recipe": {**asdict(recipe), "start": start.model_id if start else ""},
            "epochs_run": epochs,
            **_origin(start),
            **calibration,
            **(provenance or {}),
        },
        metrics=metrics,
    )


def detector_card_of(
    network: nn.Module,
    data: FieldSet,
    recipe: DetectorRecipe,
    *,
    scores: dict[str, float],
    threshold: float,
    epochs: int,
    best_epoch: int,
    start: ModelCard | None,
    provenance: Mapping[str, Any] | None = None,
) -> ModelCard:
    """The card of a cell finder; see :func:`card_of`.

    Parameters
    ----------
    scores : dict
        Average precision on the ``val`` split, by name.
    threshold : float
        Score, 0 to 1, from which a detection is a cell.
    epochs, best_epoch : int
        How many were run, and which of them is kept, from 1.
    """
    counts: Counter[str] = Counter()
    for field in data.fields:
        if field.split in {"train", "val"}:
            counts[f"{field.source} {field.split} fields"] += 1
            counts[f"{field.source} {field.split} cells"] += len(field.labels)
    return ModelCard(
        name=recipe.name,
        version=recipe.version,
        architecture=f"mask-rcnn/{recipe.backbone}",
        classes=recipe.classes,
        preset=asdict(recipe.preset),
        threshold=threshold,
        parameters=sum(p.numel() for p in network.parameters()),
        provenance={
            "data": dict(sorted(counts.items())),
            "data_sha256": data.sha256,
            "recipe": recipe.identity(),
            "epochs_run": epochs,
            "epoch_kept": best_epoch,
            **_origin(start),
            **(provenance or {}),
        },
        metrics=scores,
    )


def _origin(start: ModelCard | None) -> dict[str, Any]:
    """The provenance that all cards share: versions, permitted use, and the parent model if any."""
    import torch

    origin: dict[str, Any] = {
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
        "use": RESEARCH_USE,
    }
    if start is not None:
        origin["parent"] = {"model_id": start.model_id, "sha256": start.sha256}
    return origin
