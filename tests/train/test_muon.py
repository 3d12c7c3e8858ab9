"""Muon and AdamW as one: each does what PyTorch's own does to the parameters it is given."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from napari_wbc.train.checkpoint import Checkpoint
from napari_wbc.train.muon import MuonAdamW
from napari_wbc.train.run import set_rate

OPTIONS = {"lr": 0.003, "matrix_lr": 0.02, "weight_decay": 0.1}


class Net(nn.Module):
    """Wide and tall matrices, a convolution, vectors, and a head."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.GroupNorm(2, 8)
        self.wide = nn.Linear(8, 4)
        self.tall = nn.Linear(4, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu().mean((2, 3))
        return self.head(self.tall(self.wide(x)).tanh())


def backward(network, seed):
    x = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    network.zero_grad()
    network(x).square().mean().backward()


def trained(network, optimizer, steps=range(4)):
    for step in steps:
        backward(network, step)
        optimizer.step()
    return network


def test_without_parameters_there_is_nothing_to_step():
    with pytest.raises(ValueError, match="empty"):
        torch.optim.AdamW([])
    none = MuonAdamW(nn.Identity(), **OPTIONS)
    none.step()
    assert none.state == {}


def test_without_matrices_it_is_adamw():
    first, second = (nn.GroupNorm(2, 8) for _ in range(2))
    ours, theirs = (
        MuonAdamW(first, **OPTIONS),
        torch.optim.AdamW(second.parameters(), 0.003, weight_decay=0.1),
    )
    for step in range(3):
        for network, optimizer in ((first, ours), (second, theirs)):
            network.zero_grad()
            x = torch.rand(2, 8, generator=torch.Generator().manual_seed(step))
            network(x).pow(3).mean().backward()
            optimizer.step()
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)


def test_the_rest_is_stepped_as_by_adamw():
    network, twin = Net(), Net()
    ours = MuonAdamW(network, **OPTIONS)
    rest = [*twin.norm.parameters(), *twin.head.parameters()]
    rest += [twin.conv.bias, twin.wide.bias, twin.tall.bias]
    theirs = torch.optim.AdamW(rest, 0.003, weight_decay=0.1)
    for step in range(4):
        twin.load_state_dict(network.state_dict())
        for one, optimizer in ((network, ours), (twin, theirs)):
            backward(one, step)
            optimizer.step()
        for name, value in twin.named_parameters():
            if any(value is p for p in rest):
                torch.testing.assert_close(network.get_parameter(name), value, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(4, 12), (12, 4), (20, 60)], ids=str)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_matrices_are_stepped_as_by_pytorchs_muon(shape, weight_decay):
    network, twin = (
        nn.Linear(shape[1], shape[0], bias=False),
        nn.Linear(shape[1], shape[0], bias=False),
    )
    ours = MuonAdamW(network, **OPTIONS | {"weight_decay": weight_decay})
    theirs = torch.optim.Muon(twin.parameters(), lr=0.02, weight_decay=weight_decay)
    rng = torch.Generator().manual_seed(0)
    for _ in range(4):
        before = network.weight.detach().clone()
        twin.weight.data = before.clone()
        network.weight.grad = torch.randn(shape, generator=rng)
        twin.weight.grad = network.weight.grad.clone()
        ours.step()
        theirs.step()
        moved, expected = network.weight - before, twin.weight - before
        # PyTorch iterates in bfloat16, which has two to three digits.
        assert (moved - expected).norm() < 0.05 * expected.norm()


def test_a_convolution_is_stepped_as_its_matrix():
    network, flat = nn.Conv2d(3, 8, 3, bias=False), nn.Linear(27, 8, bias=False)
    flat.weight.data = network.weight.data.flatten(1).clone()
    x = torch.rand(5, 3, 3, 3)
    for one, seen in ((network, x), (flat, x.flatten(1))):
        optimizer = MuonAdamW(one, **OPTIONS)
        for power in (2, 3):
            one.zero_grad()
            one(seen).pow(power).mean().backward()
            optimizer.step()
    torch.testing.assert_close(network.weight.flatten(1), flat.weight)


def test_a_direction_is_nearly_orthogonal():
    network = nn.Linear(12, 6, bias=False)
    before = network.weight.detach().clone()
    network(torch.randn(40, 12, generator=torch.Generator().manual_seed(0))).pow(
        2
    ).mean().backward()
    MuonAdamW(network, lr=1, matrix_lr=1, weight_decay=0).step()
    values = torch.linalg.svdvals(before - network.weight)
    assert 0.6 < values.min() <= values.max() < 1.3


def test_gradients_of_nothing_and_none_at_all_give_numbers():
    network = Net()
    optimizer = MuonAdamW(network, **OPTIONS | {"weight_decay": 0.0})
    before = copy.deepcopy(network.state_dict())
    optimizer.step()
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(network.state_dict(), before)


def test_frozen_parameters_are_left_alone():
    network = Net()
    network.conv.requires_grad_(requires_grad=False)
    before = copy.deepcopy(network.state_dict())
    trained(network, MuonAdamW(network, **OPTIONS))
    assert torch.equal(network.conv.weight, before["conv.weight"])
    assert not torch.equal(network.tall.weight, before["tall.weight"])


def test_the_ratio_of_the_rates_is_kept():
    optimizer = MuonAdamW(Net(), **OPTIONS)
    set_rate(optimizer, 0.003, 25, 10, 4)
    rest, matrices = (group["lr"] for group in optimizer.param_groups)
    assert matrices / rest == pytest.approx(0.02 / 0.003)
    assert rest < 0.003


def test_it_goes_on_from_a_checkpoint_as_if_never_stopped(tmp_path):
    network, straight = Net(), Net()
    optimizer = MuonAdamW(network, **OPTIONS)
    trained(network, optimizer, range(3))
    mean = copy.deepcopy(network)
    Checkpoint(tmp_path, {}).save(network, mean, optimizer, history=[], best=0, better=True)
    resumed = Net(seed=1)
    other = MuonAdamW(resumed, **OPTIONS)
    Checkpoint(tmp_path, {}).load(resumed, Net(), other)
    trained(resumed, other, range(3, 6))
    trained(straight, MuonAdamW(straight, **OPTIONS), range(6))
    torch.testing.assert_close(resumed.state_dict(), straight.state_dict(), rtol=0, atol=0)


def test_a_closure_is_called_with_gradients():
    network = Net()
    optimizer = MuonAdamW(network, **OPTIONS)

    def closure():
        backward(network, 0)
        return 0.25

    before = network.wide.weight.detach().clone()
    assert optimizer.step(closure) == 0.25
    assert not torch.equal(network.wide.weight, before)


def test_a_matrix_rate_of_0_leaves_all_to_adamw():
    ours, theirs = Net(), Net()
    trained(ours, MuonAdamW(ours, **OPTIONS | {"matrix_lr": 0}))
    trained(theirs, torch.optim.AdamW(theirs.parameters(), 0.003, weight_decay=0.1))
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name])
