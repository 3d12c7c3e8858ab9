"""Scores of crops: of none, and of the middle of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wbc.classify.modes import MODES, scores
from napari_wbc.classify.networks import build_network
from napari_wbc.classify.preset import Preset, tensor_of
from napari_wbc.model.progress import run
from napari_wbc.train.batches import ROOM
from napari_wbc.train.dataset import CropSet
from napari_wbc.train.scoring import (
    MIN_CELLS_OF_GROUP,
    familiarity_steps,
    groups_of,
    scores_steps,
)

SIDE = round(16 * ROOM)


def noise(n):
    """Crops without a cell, some of fields without red cells."""
    crops = np.random.default_rng(0).integers(0, 256, (n, SIDE, SIDE, 3), np.uint8)
    red = np.full((n, 3), (0.09, 0.13, 0.08), np.float32)
    red[::5] = np.nan
    text = np.full(n, "lab")
    return CropSet(crops, red, np.zeros(n, np.int64), text, text, "sha")


def test_no_crops_have_no_scores():
    none = noise(0)
    assert run(scores_steps(build_network("cdnn", 2), none, Preset(size=16))).shape == (0, 2)


@pytest.mark.parametrize("mode", MODES)
def test_scores_are_those_of_the_middle_of_each_crop(mode):
    network, data, preset = build_network("cdnn", 2), noise(70), Preset(size=16, sure=0)
    found = run(scores_steps(network, data, preset, mode=mode))
    edge = (SIDE - 16) // 2
    middle = data.crops[:, edge : edge + 16, edge : edge + 16]
    with torch.inference_mode():
        x = preset.prepare(tensor_of(middle, "cpu"), torch.from_numpy(data.red))
        expected = scores(network.eval()(x), mode).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_group_is_a_class_of_a_laboratory_that_has_enough_cells_of_it():
    data = noise(40)
    sources = np.repeat(["a", "b", "c", "d"], [20, 14, 3, 3])
    labels = np.where(sources == "b", np.arange(40) % 2, 0)
    groups = groups_of(CropSet(data.crops, data.red, labels, sources, sources, "sha"))
    assert MIN_CELLS_OF_GROUP == 8
    # Laboratory b has seven cells of either class.
    expected = {"a 0": set(groups[:20]), "0": set(groups[20:34:2]), "1": set(groups[21:34:2])}
    assert [len(numbers) for numbers in expected.values()] == [1, 1, 1]
    assert set.union(*expected.values()) == set(groups)
    assert set(groups[34:]) == expected["0"]


def test_stains_of_a_source_that_is_left_out_are_not_known():
    data = noise(80)
    sources = np.repeat(["own", "few"], 40)
    labels = np.arange(80) % 2
    cells = CropSet(data.crops, data.red, labels, sources, sources, "sha")
    network, preset = build_network("cdnn", 2), Preset(size=16, white=True, anchors=1.0)

    all_of_them = run(familiarity_steps(network, cells, cells, preset))
    own = run(familiarity_steps(network, cells, cells, preset, "few,else"))

    assert (len(all_of_them.stains.means), len(own.stains.means)) == (4, 2)
    assert torch.equal(own.means, all_of_them.means)
