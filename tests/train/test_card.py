"""The card of trained weights: calibrated on validation cells alone, and enough to use them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy.special import softmax

from napari_wbc.classify.calibrate import confidence_threshold, temperature
from napari_wbc.classify.preset import Preset
from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy import TWO_CLASSES
from napari_wbc.train.card import card_of
from napari_wbc.train.dataset import CropSet
from napari_wbc.train.recipe import Recipe
from napari_wbc.weights.card import ModelCard, taxonomy_of

RECIPE = Recipe(name="mine", version="3", mode="two-stage", epochs=5, preset=Preset(size=20))


def cells(n=60):
    """One in three is to validate, of two laboratories."""
    rng = np.random.default_rng(0)
    return CropSet(
        np.zeros((n, 2, 2, 3), np.uint8),
        np.zeros((n, 3), np.float32),
        rng.integers(0, 2, n),
        np.resize(np.array(["a", "a", "b", "b"]), n),
        np.resize(np.array(["train", "val", "test"]), n),
        "the hash",
    )


def scores(labels):
    rng = np.random.default_rng(1)
    return (6 * np.eye(2)[labels] + rng.normal(0, 4, (len(labels), 2))).astype(np.float32)


@pytest.fixture(scope="module")
def made():
    data = cells()
    found = scores(data.labels[data.splits == "val"])
    card = card_of(
        torch.nn.Linear(3, 2), data, found, taxonomy=TWO_CLASSES, recipe=RECIPE, epochs=4
    )
    return data, found, card


def test_without_validation_cells_nothing_is_calibrated_or_measured():
    data = cells()
    none = data.where(data.splits != "val")
    network, empty = torch.nn.Linear(3, 2), np.empty((0, 2), np.float32)
    card = card_of(network, none, empty, taxonomy=TWO_CLASSES, recipe=RECIPE, epochs=0)
    assert (card.temperature, card.threshold, card.metrics) == (1, 0.5, {})


def test_it_says_what_the_weights_are(made):
    _, _, card = made
    assert (card.name, card.version, card.architecture, card.mode) == (
        "mine",
        "3",
        "cdnn",
        "two-stage",
    )
    assert card.classes == TWO_CLASSES.names
    assert taxonomy_of(card) == TWO_CLASSES
    assert Preset(**card.preset) == RECIPE.preset
    assert card.parameters == 8


def test_it_is_calibrated_on_the_validation_cells(made):
    data, found, card = made
    labels = data.labels[data.splits == "val"]
    assert card.temperature == pytest.approx(temperature(found, labels), abs=1e-4)
    sure = softmax(found / temperature(found, labels), axis=1).max(1)
    assert card.threshold == confidence_threshold(sure, found.argmax(1) == labels)


def test_cells_are_counted_and_measured_by_source(made):
    data, found, card = made
    assert set(card.provenance["cells"]) == {"a train", "a val", "b train", "b val"}
    assert sum(card.provenance["cells"].values()) == 40
    assert set(card.metrics) == {"a val", "b val"}
    here = data.where(data.splits == "val")
    own = here.sources == "a"
    accuracy = (found.argmax(1) == here.labels)[own].mean()
    assert card.metrics["a val"]["n"] == card.provenance["cells"]["a val"] == own.sum()
    assert card.metrics["a val"]["accuracy"] == pytest.approx(accuracy)


def test_it_says_how_the_weights_were_made(made):
    provenance = made[2].provenance
    assert provenance["data_sha256"] == "the hash"
    assert provenance["epochs_run"] == 4
    assert provenance["recipe"] == json.loads(json.dumps(dataclasses.asdict(RECIPE)))
    assert "Research use only" in provenance["use"]
    assert provenance["versions"]["torch"] == str(torch.__version__)


def test_it_comes_back_from_json(made):
    assert ModelCard.from_json(made[2].to_json()) == made[2]


@pytest.mark.parametrize("mode", ["", "three-stage"])
def test_an_unknown_mode_is_refused_by_the_recipe(mode):
    with pytest.raises(WbcError, match="choose one of: softmax"):
        Recipe(mode=mode)
