"""The state of a run on disk: what is loaded is what was saved, or it is said why not."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from torch import nn

from napari_wbc.errors import WbcError
from napari_wbc.train.checkpoint import PRECISIONS, Checkpoint, check_run, set_rate, update_mean

HISTORY = [{"epoch": 1, "loss": 0.1 + 0.2, "val_ap": 1 / 3}]


def state(seed=0):
    """A network, the mean of its weights, and an optimizer that has done a step."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.rand(2, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    return network, mean, optimizer


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


def save(folder, seed=0, history=HISTORY, better=True, identity=None):
    whole = state(seed)
    checkpoint = Checkpoint(folder, identity or {"recipe": {"seed": (1, 2)}})
    checkpoint.save(*whole, history=history, best=0.5, better=better)
    return checkpoint, *whole


def files(folder):
    return sorted(path.name for path in (folder / "checkpoint").iterdir())


def test_without_a_checkpoint_nothing_is_loaded(tmp_path):
    network, mean, optimizer = state()
    before = copy.deepcopy(network.state_dict())
    assert Checkpoint(tmp_path, {}).load(network, mean, optimizer) == ([], -1.0)
    assert same(network.state_dict(), before)
    assert list(tmp_path.iterdir()) == []


def test_what_is_loaded_is_what_was_saved(tmp_path):
    checkpoint, network, mean, optimizer = save(tmp_path)
    others = state(seed=1)
    assert checkpoint.load(*others) == (HISTORY, 0.5)
    assert same(others[0].state_dict(), network.state_dict())
    assert same(others[1].state_dict(), mean.state_dict())
    ours, theirs = others[2].state_dict()["state"], optimizer.state_dict()["state"]
    assert ours.keys() == theirs.keys()
    assert all(same(ours[i], theirs[i]) for i in theirs)


def test_the_best_is_kept_until_a_better_one_comes(tmp_path):
    checkpoint, _, best, _ = save(tmp_path)
    assert files(tmp_path) == ["best-1.safetensors", "epoch-1.safetensors", "index.json"]
    save(tmp_path, seed=1, history=HISTORY * 2, better=False)
    assert files(tmp_path) == ["best-1.safetensors", "epoch-2.safetensors", "index.json"]
    assert same(checkpoint.best(), best.state_dict())
    _, _, better, _ = save(tmp_path, seed=2, history=HISTORY * 3)
    assert files(tmp_path) == ["best-3.safetensors", "epoch-3.safetensors", "index.json"]
    assert same(checkpoint.best(), better.state_dict())


@pytest.mark.parametrize(
    "identity", [{}, {"recipe": {"seed": [1, 3]}}, {"recipe": {"seed": "1, 2"}}]
)
def test_another_run_is_refused(identity, tmp_path):
    save(tmp_path)
    with pytest.raises(WbcError, match=r"^[^(]*another recipe or other data"):
        Checkpoint(tmp_path, identity).load(*state())


@pytest.mark.parametrize(
    "harm", ["no text", "no JSON", "no object", "no key", "lost", "short", "of another"]
)
def test_a_damaged_checkpoint_is_said(harm, tmp_path):
    checkpoint = save(tmp_path)[0]
    index = checkpoint.index
    saved = json.loads(index.read_text())
    weights = checkpoint.folder / saved["state"]
    if harm == "lost":
        weights.unlink()
    elif harm == "short":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif harm == "of another":
        weights.write_bytes((checkpoint.folder / saved["best"]).read_bytes())
    else:
        saved.pop("state")
        text = {"no JSON": "{", "no object": "[]", "no key": json.dumps(saved)}
        index.write_bytes(b"\xff\xfe\xfa" if harm == "no text" else text[harm].encode())
    with pytest.raises(WbcError, match="the checkpoint is damaged"):
        checkpoint.load(*state())


@pytest.mark.parametrize("harm", ["lost", "short", "never kept"])
def test_a_best_that_is_not_there_is_said(harm, tmp_path):
    checkpoint = save(tmp_path, better=harm != "never kept")[0]
    path = checkpoint.folder / (json.loads(checkpoint.index.read_text())["best"] or "none")
    if harm == "lost":
        path.unlink()
    elif harm == "short":
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WbcError, match="the checkpoint is damaged"):
        checkpoint.best()


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
    network, mean, _ = state()
    before = copy.deepcopy(mean.state_dict())
    update_mean(mean, network, decay, step)
    for name, new in network.state_dict().items():
        kept = mean.state_dict()[name]
        if new.is_floating_point():
            torch.testing.assert_close(kept, share * before[name] + (1 - share) * new)
        else:
            assert torch.equal(kept, new)


def test_the_mean_does_not_move_the_network():
    network, mean, _ = state()
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
