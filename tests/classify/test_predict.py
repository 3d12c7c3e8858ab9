"""Predictions: one a crop whatever the batches, and clear errors for weights that do not fit."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from napari_wbc.classify.modes import MODES, scores
from napari_wbc.classify.networks import build_network
from napari_wbc.classify.predict import load_classifier
from napari_wbc.classify.preset import Preset, tensor_of
from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.imaging.crop import cut_crops
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.geometry import BBox
from napari_wbc.model.taxonomy import UNIDENTIFIED
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.store import save_weights

CLASSES = ("a", "b", "c")
CARD = ModelCard(
    "test", "1", "cdnn", CLASSES, asdict(Preset(size=32, sure=0)), temperature=2.0, threshold=0.5
)
CROPS = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
RED = np.full((7, 3), np.nan, np.float32)
SMEAR = synthetic_smear(3, shape=(300, 400), n_leukocytes=2)


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


def boxes_of(smear):
    """Boxes of its cells, and some over the edge, tiny and larger than the field."""
    odd = [BBox(-10, -12, 30, 20), BBox(40, 50, 41, 51), BBox(-300, -300, 500, 500)]
    return [cell.bbox for cell in smear.cells] + odd


def test_no_crops_give_no_predictions(weights):
    assert load_classifier(weights, device="cpu").predict(CROPS[:0], RED[:0]) == ()


def test_no_boxes_give_no_predictions(weights):
    assert load_classifier(weights, device="cpu").classify(SMEAR.image, []) == ()


@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_cells_of_a_field_are_classified_as_their_crops(weights, batch_size):
    classifier, boxes = load_classifier(weights, device="cpu"), boxes_of(SMEAR)
    light = classifier.preset.field(SMEAR.image)
    crops = cut_crops(light.image, boxes, size=32, factor=classifier.preset.factor)
    expected = probabilities(classifier.predict(crops, np.tile(light.red, (len(boxes), 1))))
    found = probabilities(classifier.classify(SMEAR.image, boxes, batch_size=batch_size))
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_one_cell_is_classified_as_among_many(weights):
    classifier, boxes = load_classifier(weights, device="cpu"), boxes_of(SMEAR)
    many = probabilities(classifier.classify(SMEAR.image, boxes))
    np.testing.assert_allclose(
        probabilities(classifier.classify(SMEAR.image, boxes[:1])), many[:1], atol=1e-5
    )


def test_fields_may_be_read_only_or_views(weights):
    classifier, boxes = load_classifier(weights, device="cpu"), boxes_of(SMEAR)
    turned = SMEAR.image[::-1, :, ::-1]
    expected = probabilities(classifier.classify(turned.copy(), boxes))
    turned.flags.writeable = False
    np.testing.assert_array_equal(probabilities(classifier.classify(turned, boxes)), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_agrees_with_the_cpu(weights):
    on_cpu, on_gpu = (
        probabilities(
            load_classifier(weights, device=device).classify(SMEAR.image, boxes_of(SMEAR))
        )
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(on_gpu, on_cpu, atol=0.03)  # bfloat16


def test_probabilities_are_the_softmax_of_the_networks_logits_over_the_temperature(tmp_path):
    path, network = save(tmp_path / "test.safetensors")
    with torch.inference_mode():
        x = torch.from_numpy(CROPS).permute(0, 3, 1, 2).float() / 255
        expected = torch.softmax(
            network(Preset(size=32).prepare(x, torch.from_numpy(RED))).double() / 2, 1
        ).numpy()
    predictions = load_classifier(path, device="cpu").predict(CROPS, RED)
    np.testing.assert_allclose(probabilities(predictions), expected, atol=1e-5)
    assert [p.cell_class for p in predictions] == [CLASSES[i] for i in expected.argmax(1)]
    assert {p.model_id for p in predictions} == {load_classifier(path, device="cpu").card.model_id}


def test_probabilities_sum_to_one(weights):
    sums = probabilities(load_classifier(weights, device="cpu").predict(CROPS, RED)).sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_batches_do_not_matter(weights, batch_size):
    classifier = load_classifier(weights, device="cpu")
    some = probabilities(classifier.predict(CROPS, RED, batch_size=batch_size))
    np.testing.assert_allclose(some, probabilities(classifier.predict(CROPS, RED)), atol=1e-5)


def test_crops_need_not_be_contiguous(weights):
    classifier = load_classifier(weights, device="cpu")
    turned = CROPS[:, ::-1, :, ::-1]
    expected = probabilities(classifier.predict(turned.copy(), RED))
    np.testing.assert_allclose(probabilities(classifier.predict(turned, RED)), expected)


def test_black_crops_give_predictions(weights):
    black = np.zeros((1, 32, 32, 3), np.uint8)
    (prediction,) = load_classifier(weights, device="cpu").predict(black, RED[:1])
    assert np.isfinite(prediction.probabilities).all()


@pytest.mark.parametrize(("threshold", "unsure"), [(None, None), (0.0, 0), (1.0, 7)])
def test_cells_below_the_threshold_are_unidentified(weights, threshold, unsure):
    classifier = load_classifier(weights, device="cpu", threshold=threshold)
    predictions = classifier.predict(CROPS, RED)
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


@pytest.mark.parametrize("mode", MODES)
def test_probabilities_are_those_of_the_mode(mode, tmp_path):
    path, network = save(tmp_path / "test.safetensors", replace(CARD, mode=mode))
    with torch.inference_mode():
        outputs = network(Preset(size=32).prepare(tensor_of(CROPS, "cpu"), torch.from_numpy(RED)))
        expected = torch.softmax(scores(outputs.double(), mode) / 2, dim=1).numpy()
    found = probabilities(load_classifier(path, device="cpu").predict(CROPS, RED))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "card",
    [
        replace(CARD, architecture="vit-9000"),
        replace(CARD, preset={"size": 3}),
        replace(CARD, mode="three-stage"),
    ],
    ids=["architecture", "preset", "mode"],
)
def test_weights_of_another_make_are_refused(tmp_path, card):
    path, _ = save(tmp_path / "other.safetensors", card)
    with pytest.raises(WbcError):
        load_classifier(path, device="cpu")
