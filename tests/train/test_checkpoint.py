"""The state of a run on disk: what is loaded is what was saved, or it is said why not."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

from napari_wbc.errors import WbcError
from napari_wbc.train.checkpoint import Checkpoint

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
