"""Images of single cells: predictions in order, and files that cannot be read."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from napari_wbc.classify.predict import load_classifier
from napari_wbc.model.progress import run
from napari_wbc.pipeline import classify
from napari_wbc.pipeline.classify import classify_images, classify_steps


@pytest.fixture
def folder(tmp_path):
    """Three images of one cell, the second of which is broken."""
    rng = np.random.default_rng(0)
    for i in range(3):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    return tmp_path


def test_a_broken_image_is_a_failure_and_the_rest_is_classified(folder, weights):
    result = classify_images(folder, weights=weights, device="cpu")
    assert [path.name for path, _prediction in result.predictions] == ["0.png", "2.png"]
    assert [failure.path.name for failure in result.failures] == ["1.png"]
    assert result.cells["path"].str[-5:].tolist() == ["0.png", "2.png"]


def test_batches_change_no_prediction(folder, weights, monkeypatch):
    together = classify_images(folder, weights=weights, device="cpu").cells
    monkeypatch.setattr(classify, "BATCH_SIZE", 1)
    alone = run(classify_steps([folder], weights=weights, device="cpu")).cells
    assert alone["prediction"].tolist() == together["prediction"].tolist()
    np.testing.assert_allclose(alone["confidence"], together["confidence"], atol=1e-5)


class Foreign:
    """A familiarity to which every cell is unlike."""

    def unlikeness(self, features, _stains):
        return torch.full((len(features),), 3.0)


def test_a_stain_that_the_model_does_not_know_raises_the_alarm(folder, weights, monkeypatch):
    known = load_classifier(weights, device="cpu")
    foreign = dataclasses.replace(known, familiarity=Foreign(), foreign_threshold=0.99)
    monkeypatch.setattr(classify, "load_classifier", lambda *_args, **_kwargs: foreign)
    steps = list(classify_steps([folder], weights=weights))
    assert "(by the first 2 cells)" in steps[-1].note
    predictions = classify_images(folder, weights=weights).predictions
    assert {prediction.threshold for _path, prediction in predictions} == {0.99}
