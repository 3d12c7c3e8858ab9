"""Baselines on pixels: no crops, honest logarithms, classes without crops, the same every time."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from napari_wbc.errors import WbcError

# The benchmarks are scripts that import each other from their own folder, and no package.
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "baselines.py"
PixelBaseline = runpy.run_path(str(SCRIPT))["PixelBaseline"]
KINDS = ("naive_bayes", "svm")
COLOURS = np.array([(120, 60, 150), (200, 120, 110), (90, 110, 190)])


def drawn(n, seed=0, classes=3):
    """Discs whose colour tells their class, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    row, column = np.ogrid[:48, :48]
    disc = (row - 24) ** 2 + (column - 24) ** 2 < 200
    crops = np.where(disc[..., None], COLOURS[labels][:, None, None], 230)
    return (crops + rng.normal(0, 20, crops.shape)).clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module", params=KINDS)
def baseline(request):
    return PixelBaseline(request.param, side=12).fit(*drawn(90))


def test_no_crops_give_no_probabilities(baseline):
    assert baseline.log_probabilities(drawn(0)[0]).shape == (0, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_no_crops_and_one_class_cannot_be_learnt(kind):
    for crops, labels in (drawn(0), drawn(5, classes=1)):
        with pytest.raises(WbcError, match=r"two classes or more, not of [01]"):
            PixelBaseline(kind).fit(crops, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_learnt_nothing_says_so(kind):
    with pytest.raises(WbcError, match="fit it first"):
        PixelBaseline(kind).log_probabilities(drawn(1)[0])


@pytest.mark.parametrize("kind", ["", "SVM", "forest"])
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(WbcError, match="naive_bayes, svm"):
        PixelBaseline(kind)


def test_an_impossible_side_is_refused():
    with pytest.raises(WbcError, match="side of 0 pixels"):
        PixelBaseline("svm", side=0)


def test_crops_and_labels_must_match():
    crops, labels = drawn(6)
    with pytest.raises(WbcError, match="6 crops have 5 labels"):
        PixelBaseline("svm").fit(crops, labels[:5])
    with pytest.raises(WbcError, match="from 0 to 2 do not fit 2 classes"):
        PixelBaseline("svm").fit(crops, labels, n_classes=2)
    with pytest.raises(WbcError, match="from -1 to 1"):
        PixelBaseline("svm").fit(crops, labels - 1)


def test_new_crops_are_told_apart(baseline):
    crops, labels = drawn(60, seed=1)
    assert (baseline.log_probabilities(crops).argmax(axis=1) == labels).all()


def test_probabilities_sum_to_one(baseline):
    scores = baseline.log_probabilities(drawn(9, seed=2)[0])
    assert scores.dtype == np.float64
    assert (scores <= 0).all()
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_classes_without_crops_keep_their_columns(kind):
    crops, labels = drawn(20, classes=2)
    scores = (
        PixelBaseline(kind, side=12).fit(crops, 2 * labels, n_classes=5).log_probabilities(crops)
    )
    assert scores.shape == (20, 5)
    assert np.isneginf(scores[:, [1, 3, 4]]).all()
    assert (scores.argmax(axis=1) == 2 * labels).all()
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1)


def test_the_same_crops_give_the_same_scores(baseline):
    crops = drawn(5, seed=3)[0]
    again = PixelBaseline(baseline.kind, side=12).fit(*drawn(90))
    np.testing.assert_array_equal(again.log_probabilities(crops), baseline.log_probabilities(crops))


def test_pixels_are_means_of_areas_in_0_to_1():
    crops = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    pixels = PixelBaseline("svm", side=24)._pixels(crops)
    means = crops.reshape(2, 24, 2, 24, 2, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(pixels, means.reshape(2, -1), atol=0.51 / 255)
