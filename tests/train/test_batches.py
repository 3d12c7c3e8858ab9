"""Batches: how often each class is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from napari_wbc.classify.preset import Preset
from napari_wbc.train.batches import ROOM, batches, steps_of
from napari_wbc.train.dataset import NO_CLASS, CropSet
from napari_wbc.train.recipe import Recipe

RECIPE = Recipe(name="tiny", epochs=2, batch_size=20, draws=40, ema=0.5, preset=Preset(size=16))


def plain(n):
    """Black crops of two classes in turn: three quarters to learn, the rest to choose."""
    side = round(16 * ROOM)
    return CropSet(
        np.zeros((n, side, side, 3), np.uint8),
        np.full((n, 3), np.nan, np.float32),
        np.arange(n) % 2,
        np.full(n, "lab"),
        np.where(np.arange(n) % 8 < 6, "train", "val"),
        "sha",
    )


@pytest.mark.parametrize(("draws", "steps"), [(0, 1), (5, 1), (59, 2), (60, 3)])
def test_an_incomplete_last_batch_is_dropped(draws, steps):
    assert steps_of(plain(30), replace(RECIPE, draws=draws)) == steps


def test_balance_draws_crops_or_groups_evenly():
    data = plain(400)
    rare = data.where((data.splits == "train") & ((data.labels == 0) | (np.arange(400) < 40)))
    shares = {}
    for balance in (0.0, 1.0):
        recipe = replace(RECIPE, balance=balance, batch_size=500, draws=1000, label_smoothing=0.0)
        drawn = batches(rare, recipe, 0, 2, Fabric(accelerator="cpu", devices=1))
        shares[balance] = torch.cat([targets for _, targets in drawn]).mean(0)[1].item()
    assert shares[0.0] == pytest.approx(0.5, abs=0.06)
    assert shares[1.0] == pytest.approx(np.mean(rare.labels), abs=0.04)


def test_what_is_no_class_is_every_class_alike():
    data = replace(plain(40), labels=np.resize([0, 1, NO_CLASS], 40))
    recipe = replace(RECIPE, label_smoothing=0.2)
    drawn = batches(data, recipe, 0, 2, Fabric(accelerator="cpu", devices=1))
    targets = torch.cat([targets for _, targets in drawn])
    rows = {tuple(row) for row in targets.double().numpy().round(6).tolist()}
    assert rows == {(0.9, 0.1), (0.1, 0.9), (0.5, 0.5)}
