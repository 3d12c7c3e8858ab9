"""The CDNN: small, deterministic, and fit for crops of several sizes."""

from __future__ import annotations

import pytest
import torch

from napari_wbc.classify.networks import build_network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("cdnn", 8).eval()


def test_no_crops_give_no_logits(network):
    assert network(torch.zeros(0, 3, 80, 80)).shape == (0, 8)


def test_the_docstring_tells_the_number_of_parameters(network):
    assert f"{sum(p.numel() for p in network.parameters()):,} parameters" in type(network).__doc__


@pytest.mark.parametrize("size", [64, 65, 72, 80, 95, 96])
def test_crops_of_several_sizes_give_logits(network, size):
    with torch.inference_mode():
        logits = network(torch.rand(2, 3, size, size))
        assert network.features(torch.rand(2, 3, size, size)).shape == (2, 120)
    assert logits.shape == (2, 8)
    assert logits.isfinite().all()


def test_flat_crops_give_finite_logits(network):
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 80, 80)).isfinite().all()


def test_each_crop_is_seen_for_itself(network):
    torch.manual_seed(1)
    crops = torch.rand(4, 3, 80, 80)
    with torch.inference_mode():
        alone = torch.cat([network(crop[None]) for crop in crops])
        torch.testing.assert_close(network(crops), alone, rtol=1e-4, atol=1e-5)


def test_all_parameters_learn(network):
    training = build_network("cdnn", 3).train()
    training(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(p.grad is not None for p in training.parameters())
