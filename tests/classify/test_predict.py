"""Predictions: one a crop whatever the batches, and clear errors for weights that do not fit."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from napari_wbc.classify.networks import build_network
from napari_wbc.classify.predict import load_classifier
from napari_wbc.classify.preset import Preset
from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.model.taxonomy import UNIDENTIFIED
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.store import save_weights

CLASSES = ("a", "b", "c")
CARD = ModelCard("test", "1", "cdnn", CLASSES, asdict(Preset(size=32)), temperature=2.0, threshold=0.5)
CROPS = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


def save(path, card=CARD, n_classes=3):
    torch.manual_seed(0)
    network = build_network("cdnn", n_classes)
    save_weights(path, network.state_dict(), card)
    return path, network.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save(tmp_path_factory.mktemp("weights") / "test.safetensors")[0]


def probabilities(predictions):
    return np.array([p.probabilities for p in predictions])


def test_no_crops_give_no_predictions(weights):
    assert load_classifier(weights, device="cpu").predict(CROPS[:0]) == ()


def test_probabilities_are_the_softmax_of_the_networks_logits_over_the_temperature(tmp_path):
    path, network = save(tmp_path / "test.safetensors")
    with torch.inference_mode():
        x = torch.from_numpy(CROPS).permute(0, 3, 1, 2).float() / 255
        expected = torch.softmax(network(Preset(size=32).prepare(x)).double() / 2, 1).numpy()
    predictions = load_classifier(path, device="cpu").predict(CROPS)
    np.testing.assert_allclose(probabilities(predictions), expected, atol=1e-5)
    assert [p.cell_class for p in predictions] == [CLASSES[i] for i in expected.argmax(1)]
    assert {p.model_id for p in predictions} == {load_classifier(path, device="cpu").card.model_id}


def test_probabilities_sum_to_one(weights):
    sums = probabilities(load_classifier(weights, device="cpu").predict(CROPS)).sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_batches_do_not_matter(weights, batch_size):
    classifier = load_classifier(weights, device="cpu")
    some = probabilities(classifier.predict(CROPS, batch_size=batch_size))
    np.testing.assert_allclose(some, probabilities(classifier.predict(CROPS)), atol=1e-5)


def test_crops_need_not_be_contiguous(weights):
    classifier = load_classifier(weights, device="cpu")
    turned = CROPS[:, ::-1, :, ::-1]
    expected = probabilities(classifier.predict(turned.copy()))
    np.testing.assert_allclose(probabilities(classifier.predict(turned)), expected)


def test_black_crops_give_predictions(weights):
    (prediction,) = load_classifier(weights, device="cpu").predict(np.zeros((1, 32, 32, 3), np.uint8))
    assert np.isfinite(prediction.probabilities).all()


@pytest.mark.parametrize(("threshold", "unsure"), [(None, None), (0.0, 0), (1.0, 7)])
def test_cells_below_the_threshold_are_unidentified(weights, threshold, unsure):
    classifier = load_classifier(weights, device="cpu", threshold=threshold)
    predictions = classifier.predict(CROPS)
    expected = sum(p.confidence < classifier.threshold for p in predictions)
    assert sum(p.label == UNIDENTIFIED for p in predictions) == expected
    assert classifier.threshold == (0.5 if threshold is None else threshold)
    assert unsure in {None, expected}


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_an_impossible_threshold_is_refused(weights, threshold):
    with pytest.raises(WbcError, match="threshold"):
        load_classifier(weights, threshold=threshold)


@pytest.mark.parametrize(
    ("card", "n_classes"),
    [(CARD, 4), (replace(CARD, preset={"size": 32, "later": 1}), 3)],
    ids=["classes", "preset"],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, card, n_classes):
    path, _ = save(tmp_path / "other.safetensors", card, n_classes)
    with pytest.raises(WeightsError, match="do not fit"):
        load_classifier(path, device="cpu")


@pytest.mark.parametrize("card", [replace(CARD, architecture="vit-9000"), replace(CARD, preset={"size": 3})])
def test_weights_of_another_make_are_refused(tmp_path, card):
    path, _ = save(tmp_path / "other.safetensors", card)
    with pytest.raises(WbcError):
        load_classifier(path, device="cpu")
