"""The second look: where, and that it does not depend on how a cell lies."""

from __future__ import annotations

import pytest
import torch

from napari_wbc.classify.looks import looked_at, orientations
from napari_wbc.classify.modes import MODES, scores
from napari_wbc.classify.networks import build_network

X = torch.randn((12, 3, 32, 32), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("cdnn", 5).eval()


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def test_no_crops(network):
    found, features = looked_at(network, X[:0], "softmax", 1.0)
    assert (found.shape, features.shape) == ((0, 5), (0, 120))


@pytest.mark.parametrize("mode", MODES)
def test_the_first_look_alone_is_what_the_network_says(network, mode):
    found, features = looked_at(network, X, mode, 0.0)
    assert torch.allclose(found, scores(network(X), mode), atol=1e-5)
    assert torch.allclose(features, network.features(X), atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_looked_at_again_a_cell_may_lie_as_it_will(network, mode):
    found, _ = looked_at(network, X, mode, 1.0)
    for turned in orientations(X):
        assert torch.allclose(looked_at(network, turned, mode, 1.0)[0], found, atol=1e-4)
    assert not torch.allclose(found, looked_at(network, X, mode, 0.0)[0], atol=1e-3)


def test_only_what_is_unsure_is_looked_at_again(network):
    once, _ = looked_at(network, X, "softmax", 0.0)
    twice, _ = looked_at(network, X, "softmax", 1.0)
    confidence = torch.softmax(once, 1).amax(1)
    middle = float(confidence.median())
    found, features = looked_at(network, X, "softmax", middle)
    unsure = (confidence < middle)[:, None]
    assert 0 < unsure.sum() < len(X)
    assert torch.allclose(found, torch.where(unsure, twice, once), atol=1e-4)
    assert torch.allclose(features, network.features(X), atol=1e-5)


def test_orientations_are_the_eight_of_a_square():
    (square,) = orientations(torch.arange(4.0).reshape(1, 1, 2, 2))[:1]
    all_of_it = {tuple(one.flatten().tolist()) for one in orientations(square)}
    assert len(all_of_it) == 8
    assert torch.equal(orientations(square)[0], square)
