"""The card of trained weights: calibrated on validation cells, with what they were made from."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.calibrate import confidence_threshold, temperature
from napari_wbc.measure.metrics import measure_by_source
from napari_wbc.train.dataset import CropSet
from napari_wbc.weights.card import RESEARCH_USE, ModelCard

if TYPE_CHECKING:
    from torch import nn

    from napari_wbc.model.taxonomy import Taxonomy
    from napari_wbc.train.recipe import Recipe

__all__ = ["card_of"]

ENOUGH = 100
"""Validation cells that calibrate."""


def card_of(
    network: nn.Module,
    data: CropSet,
    scores: npt.NDArray[np.float32],
    *,
    taxonomy: Taxonomy,
    recipe: Recipe,
    epochs: int,
    start: ModelCard | None = None,
    told: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Calibrate on validation cells and write down what was done.

    Parameters
    ----------
    network : Module
        Trained.
    data : CropSet
        All that it was trained and chosen on.
    scores : ndarray, shape (N, classes)
        Of the ``val`` split, in its order.
    taxonomy : Taxonomy
    recipe : Recipe
    epochs : int
        That were run.
    start : ModelCard, optional
        Of the weights that training started from. Where fewer than 100 validation cells could
        calibrate, its temperature and threshold stay.
    told : mapping, optional
        More of the provenance.
    """
    import torch

    val, classes = data.where(data.splits == "val"), taxonomy.names
    _, source, sizes = np.unique(val.sources, return_inverse=True, return_counts=True)
    weight = 1 / sizes[source]
    t = temperature(scores, val.labels, weight=weight)
    confidence = torch.softmax(torch.from_numpy(scores / t), 1).amax(1).numpy()
    threshold = confidence_threshold(confidence, scores.argmax(1) == val.labels, weight=weight)
    parent: dict[str, Any] = {}
    if start is not None:
        parent = {"parent": {"model_id": start.model_id, "sha256": start.sha256}}
        if len(val.labels) < ENOUGH:
            t, threshold = start.temperature, start.threshold
            parent |= {
                "calibration": f"of {start.model_id}, since {len(val.labels)} cells are too few"
            }
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
        mode=recipe.mode,
        taxonomy=taxonomy.to_dict(),
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
            "use": RESEARCH_USE,
            **parent,
            **(told or {}),
        },
        metrics={
            f"{source} val": {
                "n": m.n,
                "accuracy": m.accuracy,
                "balanced_accuracy": m.balanced_accuracy,
            }
            for source, m in measure_by_source(
                val.labels, scores.argmax(1), val.sources, classes
            ).items()
        },
    )
