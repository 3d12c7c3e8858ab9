"""Measures of heat that the benchmark of explanations takes, against brute force and scipy."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tests.explain.test_attribution import SIZE, TARGET, Eye, X

from napari_wbc.classify.networks import build_network
from napari_wbc.explain.attribution import Attributor, Question

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "heat_quality.py"
# Benchmarks are no package, and no part of a source distribution.
if not SCRIPT.is_file():
    pytest.skip("benchmarks are not in this distribution", allow_module_level=True)
quality = SimpleNamespace(**runpy.run_path(str(SCRIPT)))


@pytest.fixture(scope="module")
def attributor():
    torch.manual_seed(0)
    return Attributor(build_network("cdnn", 4).eval(), SIZE)


def test_curves_go_from_the_whole_to_nothing_and_back():
    """The evidence is a red block: heat that finds it takes the probability away at once."""
    eye = Attributor(Eye().eval(), SIZE)
    x = torch.full((2, 3, SIZE, SIZE), 1.6)
    x[:, 0, 8:16, 8:16] = 400.0
    target = torch.tensor([0, 0])
    heat = torch.zeros(2, SIZE, SIZE)
    heat[0, 8:16, 8:16] = 1
    heat[1, 20:28, 20:28] = 1
    deletion, insertion = quality.curves(eye, x, target, heat)
    assert deletion.shape == insertion.shape == (2, quality.PARTS + 1)
    np.testing.assert_allclose(deletion[:, 0], insertion[:, -1], rtol=1e-5)
    np.testing.assert_allclose(deletion[:, -1], 0.5, atol=1e-5)
    assert deletion[0].mean() < deletion[1].mean()
    assert insertion[0].mean() > insertion[1].mean()


def test_random_weights_are_others_and_the_network_stays(attributor):
    before = {name: tensor.clone() for name, tensor in attributor.network.state_dict().items()}
    other, again = quality.randomized(attributor), quality.randomized(attributor)
    for name, tensor in attributor.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    weights, same = other.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert not torch.equal(weights["stem.0.weight"], before["stem.0.weight"])
    assert other.layers == attributor.layers


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    one, other = (torch.from_numpy(rng.random((3, 9, 9)).astype(np.float32)) for _ in range(2))
    one[2] = 0
    found = quality.rank_correlation(one, other)
    expected = [
        spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one[:2], other[:2], strict=True)
    ]
    np.testing.assert_allclose(found[:2], expected, atol=1e-9)
    assert found[2] == 0
    assert quality.rank_correlation(one[:1], one[:1]) == pytest.approx([1])


def test_robustness_is_a_number_a_cell(attributor):
    unfaithful, sensitive = quality.robustness(attributor, X, TARGET, Question())
    assert unfaithful.shape == sensitive.shape == (3,)
    assert (unfaithful >= 0).all()
    assert (sensitive >= 0).all()
    again = quality.robustness(attributor, X, TARGET, Question())
    np.testing.assert_array_equal(again[0], unfaithful)
