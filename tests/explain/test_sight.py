"""Where layers look, of networks whose geometry is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_wbc.classify.networks import build_network
from napari_wbc.explain.attribution import Attributor
from napari_wbc.explain.sight import Sight, map_layers, sights_of, spread

SIZE = 48


def stack(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(*layers)
    for module in net:
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1.0)  # seen evenly, so that the middle is the middle
    return net


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (stack(nn.Conv2d(3, 2, 1)), Sight(0, 1)),
        (stack(nn.Conv2d(3, 2, 3, 1, 1)), Sight(0, 1)),
        (stack(nn.Conv2d(3, 2, 3, 2, 1)), Sight(0, 2)),
        (stack(nn.Conv2d(3, 2, 3, 1, 0)), Sight(1, 1)),
        (stack(nn.AvgPool2d(2)), Sight(0.5, 2)),
        (stack(nn.Conv2d(3, 2, 3, 2, 1), nn.AvgPool2d(2)), Sight(1, 4)),
        (
            stack(nn.Conv2d(3, 2, 5, 2, 2), nn.Conv2d(2, 2, 3, 2, 1), nn.Conv2d(2, 2, 3, 2, 1)),
            Sight(0, 8),
        ),
    ],
)
def test_layers_look_where_their_strides_say(network, expected):
    (found,) = sights_of(network, [str(len(network) - 1)], SIZE).values()
    assert found.stride == expected.stride
    assert found.offset == pytest.approx(expected.offset, abs=0.1)


def test_the_cdnn_looks_left_of_where_its_map_is_enlarged_to():
    network = build_network("cdnn", 5).eval()
    found = sights_of(network, ["stages.2"], 72)["stages.2"]
    assert found.stride == 8
    assert 0 <= found.offset < 3.5, "and not at 3.5, the middle of the first stride"


def test_a_map_of_one_element_looks_at_the_middle():
    network = stack(nn.Conv2d(3, 2, SIZE))
    assert sights_of(network, ["0"], SIZE)["0"] == Sight((SIZE - 1) / 2, SIZE)


def test_maps_are_spread_so_that_elements_keep_their_places():
    maps = torch.zeros(1, 1, 6, 6)
    maps[0, 0, 2, 4] = 1
    shown = spread(maps, Sight(1.0, 8.0), SIZE)[0, 0]
    assert shown.shape == (SIZE, SIZE)
    assert divmod(int(shown.argmax()), SIZE) == (1 + 2 * 8, 1 + 4 * 8)
    assert float(shown.max()) == pytest.approx(1)
    halfway = shown[1 + 2 * 8, 1 + 4 * 8 - 4]
    assert float(halfway) == pytest.approx(0.5)


def test_no_maps_spread_to_none():
    assert spread(torch.zeros(0, 1, 5, 5), Sight(0, 2), 10).shape == (0, 1, 10, 10)


def test_a_network_that_scales_its_input_is_asked_at_the_scale_of_the_crop():
    torch.manual_seed(0)
    sights = sights_of(
        build_network("youssef_1", 3).eval(), ["blocks.0"], 72
    )  # of 80 pixels, whatever it gets
    assert sights["blocks.0"].stride == pytest.approx(72 / 80, rel=0.02)
    enlarged = sights_of(build_network("inception_v3", 3).eval(), ["backbone.Conv2d_1a_3x3"], 50)
    assert enlarged["backbone.Conv2d_1a_3x3"].stride == pytest.approx(2 * 50 / 75)


@pytest.mark.parametrize("name", ["cdnn", "youssef_2", "separable", "mobilenet_v2"])
def test_a_map_of_half_the_side_looks_in_strides_of_two(name):
    torch.manual_seed(0)
    network = build_network(name, 3).eval()
    layers = Attributor(network, 72).layers
    sides = map_layers(network, 72)
    for layer, sight in sights_of(network, layers, 72).items():
        assert sight.stride == 2 ** round(np.log2(72 / sides[layer]))
        assert -max(1, sight.stride / 8) <= sight.offset < sight.stride
