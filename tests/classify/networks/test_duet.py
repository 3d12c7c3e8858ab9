"""Two networks as one: the mean of what both say."""

from __future__ import annotations

import pytest
import torch

from napari_wbc.classify.networks import build_network
from napari_wbc.classify.networks.base import resized
from napari_wbc.classify.networks.duet import COLOUR_SIZE
from napari_wbc.errors import WbcError
from napari_wbc.explain.sight import map_layers
from napari_wbc.train.classifier import _network
from napari_wbc.train.recipe import Recipe

X = torch.randn((3, 3, 96, 96), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    return build_network("efficientnet_lite0", 5).eval(), build_network("cdnn", 5).eval()


def test_it_says_the_mean_of_what_both_say(parts):
    shapes, colours = parts
    duet = build_network("duet", 5).eval()
    duet.join(shapes, colours, (2.0, 0.5))
    with torch.inference_mode():
        first = (shapes(X) / 2.0).softmax(1)
        second = (colours(resized(X, COLOUR_SIZE, COLOUR_SIZE)) / 0.5).softmax(1)
        torch.testing.assert_close(duet(X).softmax(1), (first + second) / 2)
        assert duet.features(X).shape == (3, duet.head.in_features)


def test_its_heat_is_of_layers_that_it_has(parts):
    duet = build_network("duet", 5).eval()
    assert set(duet.heat_layers) <= set(map_layers(duet, 96))
    assert set(parts[0].heat_layers) <= set(map_layers(parts[0], 96))


def test_it_is_not_trained_from_nothing():
    with pytest.raises(WbcError, match="joined from two trained networks"):
        _network(Recipe(architecture="duet"), ("a", "b"))
