"""What both training loops share: the rate, the mean of the weights, the name of a run."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from napari_wbc.errors import WbcError
from napari_wbc.train.run import (
    PRECISIONS,
    check_run,
    epoch_progress,
    quiet_fabric,
    set_rate,
    update_mean,
)


def state():
    """A network that has done a step, and the mean of its weights."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.rand(2, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    return network, mean


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


def test_the_rate_warms_up_over_an_epoch_then_falls_as_a_cosine():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))])

    def rate(step):
        set_rate(optimizer, 2.0, step, 10, 4)
        (value,) = {group["lr"] for group in optimizer.param_groups}
        return value

    rates = [rate(step) for step in range(40)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[20] == pytest.approx(1)
    assert rates[30] == pytest.approx(1 + math.cos(0.75 * math.pi))
    assert rates[:8] == sorted(rates[:8])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert min(rates) > 0
    assert max(rates) <= 2


def test_a_group_with_a_scale_gets_so_many_times_the_rate():
    first, second = (
        {"params": [nn.Parameter(torch.zeros(1))], "scale": scale} for scale in (1.0, 5.0)
    )
    optimizer = torch.optim.SGD([first, second], lr=1)
    for step in (0, 7, 30):
        set_rate(optimizer, 2.0, step, 10, 4)
        slow, fast = (group["lr"] for group in optimizer.param_groups)
        assert fast == pytest.approx(5 * slow)
    assert slow == pytest.approx(1 + math.cos(0.75 * math.pi))


@pytest.mark.parametrize(
    ("decay", "step", "share"), [(0.0, 9, 0), (0.9, 0, 0.1), (0.9, 10**6, 0.9)]
)
def test_the_mean_follows_the_network_faster_at_first(decay, step, share):
    network, mean = state()
    before = copy.deepcopy(mean.state_dict())
    update_mean(mean, network, decay, step)
    for name, new in network.state_dict().items():
        kept = mean.state_dict()[name]
        if new.is_floating_point():
            torch.testing.assert_close(kept, share * before[name] + (1 - share) * new)
        else:
            assert torch.equal(kept, new)


def test_the_mean_does_not_move_the_network():
    network, mean = state()
    before = copy.deepcopy(network.state_dict())
    update_mean(mean, network, 0.5, 3)
    assert same(network.state_dict(), before)


@pytest.mark.parametrize("name", ["", ".", "a/b", "/a", "../a"])
def test_what_names_no_file_is_refused(name):
    with pytest.raises(WbcError, match="plain file name"):
        check_run(name, PRECISIONS[0])


@pytest.mark.parametrize("precision", ["", "16-true", "bf16"])
def test_a_precision_that_is_not_offered_is_refused(precision):
    with pytest.raises(WbcError, match="32-true, bf16-mixed"):
        check_run("a", precision)


def test_an_epoch_is_told_in_words():
    row = {"epoch": 2, "loss": 0.5, "train_accuracy": 0.9, "val_chula": 0.8, "val_accuracy": 0.75}
    assert epoch_progress(row, 4, 30).note == (
        "epoch 2 of 30: error 0.500; accuracy, cells to learn 90.0 %; "
        "accuracy, cells to check 75.0 %"
    )


def test_how_lightning_computes_is_not_told(caplog, capfd):
    from lightning_fabric import Fabric

    quiet_fabric()
    Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
