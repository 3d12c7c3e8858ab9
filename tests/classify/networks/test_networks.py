"""Every network of the registry: shapes, sizes, features and head, and a step that learns."""

from __future__ import annotations

import copy
import math
import sys
from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_wbc.classify.networks import NETWORKS, build_network
from napari_wbc.errors import WbcError

SMALL = ("cdnn", "cdnn_batch_norm", "youssef_1", "youssef_2", "dclnn_max", "separable", "chowdhury")
TIMM = ("xception", "res2net50")


@cache
def network(name, n_classes=5):
    if name in TIMM:
        pytest.importorskip("timm")
    torch.manual_seed(0)
    return build_network(name, n_classes).eval()


def crops(n, side=32):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(n))


def n_parameters(name, n_classes):
    return sum(p.numel() for p in network(name, n_classes).parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_no_crops_give_no_logits(name):
    with torch.inference_mode():
        assert network(name)(crops(0)).shape == (0, 5)


@pytest.mark.parametrize("name", ["", "resnet-5000", "CDNN"])
def test_an_unknown_network_is_refused_with_the_known_ones(name):
    with pytest.raises(WbcError, match=f"{name!r}; choose one of: {', '.join(NETWORKS)}"):
        build_network(name, 8)


@pytest.mark.parametrize("name", TIMM)
def test_without_timm_its_networks_say_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(WbcError, match=r'needs timm; install "napari-wbc\[timm\]"'):
        build_network(name, 8)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_crop_gives_the_heads_logits_of_its_features(name):
    net, x = network(name), crops(1).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        logits, features = net(x), net.features(x)
        torch.testing.assert_close(net.head(features), logits)
    assert isinstance(net.head, nn.Linear)
    assert features.shape == (1, net.head.in_features)
    assert logits.shape == (1, 5)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_head_is_the_last_layer_and_all_of_it_is_in_the_weights(name):
    net = network(name)
    linear = [m for m in net.modules() if isinstance(m, nn.Linear) and m.out_features == 5]
    assert linear == [net.head]
    assert not any(nn.parameter.is_lazy(p) for p in net.parameters())
    assert {"head.weight", "head.bias"} < set(net.state_dict())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("side", [33, 80])
def test_crops_of_any_side_are_taken_and_each_is_seen_for_itself(name, side):
    net, x = network(name), crops(2, side)
    with torch.inference_mode():
        together = net(x)
        torch.testing.assert_close(
            torch.cat([net(x[:1]), net(x[1:])]), together, rtol=1e-4, atol=1e-5
        )
    assert (together[0] - together[1]).abs().max() > 1e-6


@pytest.mark.parametrize("side", [32, 74, 76])
def test_inception_enlarges_what_its_stem_could_not_take(side):
    with torch.inference_mode():
        assert network("inception_v3")(crops(1, side)).isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_a_few_steps_lower_the_loss(name):
    net = copy.deepcopy(network(name)).train().to(memory_format=torch.channels_last)
    x = crops(8).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(8) % 5
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-4)
    losses = []
    for _ in range(5):
        torch.manual_seed(1)  # the same dropout each time
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(x), labels)
        loss.backward()
        assert all(p.grad is not None for p in net.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] < 2 * math.log(5), "fresh weights say nothing sure"
    assert losses[-1] < losses[0] - 0.005


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2"])
def test_the_published_head_has_batch_norm_relu_and_dropout_in_each_layer(name):
    kinds = [type(layer) for layer in network(name).dense]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout] * 3
    assert [m.out_features for m in network(name).dense if isinstance(m, nn.Linear)] == [
        64,
        128,
        128,
    ]


YOUSSEF_2 = ((12, 12), (24, 24), (48, 32), (64, 24), (48, 18), (36, 12))


def fire(inputs, width):
    """Parameters of 1x1 and BN, then 1x1 and BN beside 3x3 and BN."""
    return width * (inputs + 1 + width + 1 + 9 * width + 1 + 6)


@pytest.mark.parametrize(
    ("name", "n_classes", "parameters"),
    [
        ("cdnn", 8, 393_696),
        ("cdnn_batch_norm", 8, 393_696),
        ("youssef_2", 4, 6 + (76 * 12 + 24) + sum(fire(*w) for w in YOUSSEF_2) + 25 * 4),
        ("dclnn_max", 4, 28 * 32 + 289 * 64 + (64 * 28 * 38 + 1) * 128 + 129 * 4),
        ("dclnn_average", 4, 28 * 32 + 289 * 64 + (64 * 28 * 38 + 1) * 128 + 129 * 4),
    ],
)
def test_numbers_of_parameters(name, n_classes, parameters):
    assert n_parameters(name, n_classes) == parameters


def test_chowdhury_has_fewer_than_400_000_parameters_as_published():
    assert n_parameters("chowdhury", 5) < 400_000


def test_dclnn_pools_as_its_name_says():
    kinds = {
        name: {type(m) for m in network(name).modules()} for name in ("dclnn_max", "dclnn_average")
    }
    assert nn.MaxPool2d in kinds["dclnn_max"]
    assert nn.AvgPool2d not in kinds["dclnn_max"]
    assert nn.AvgPool2d in kinds["dclnn_average"]
    assert nn.MaxPool2d not in kinds["dclnn_average"]


def test_dclnn_takes_60_rows_and_80_columns_as_they_are():
    net, x = network("dclnn_max"), torch.randn(1, 3, 60, 80)
    with torch.inference_mode():
        torch.testing.assert_close(net.dense(net.maps(x).flatten(1)), net.features(x))


def test_cdnn_differs_from_its_rival_in_norm_alone():
    def norms(name):
        return {type(m).__name__ for m in network(name).modules()} & {"BatchNorm2d", "GroupNorm"}

    assert norms("cdnn") == {"GroupNorm"}
    assert norms("cdnn_batch_norm") == {"BatchNorm2d"}


def test_the_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        NETWORKS["mine"] = NETWORKS["cdnn"]
