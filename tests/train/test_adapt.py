"""Adaptation without labels: what it looks at, what it leaves, and what it refuses."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import islice

import numpy as np
import pytest
import torch

from napari_wbc.classify.modes import MODES
from napari_wbc.classify.networks import build_network
from napari_wbc.classify.predict import load_classifier
from napari_wbc.classify.preset import Preset
from napari_wbc.errors import AlreadySure, WbcError
from napari_wbc.model.progress import run
from napari_wbc.train.adapt import MIN_ADAPTATION_CELLS, Adaptation, _loss, adapt_classifier
from napari_wbc.train.batches import ROOM
from napari_wbc.train.dataset import CropSet
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.store import load_weights, save_weights

PLAN = Adaptation(epochs=1, draws=32, batch_size=16)


def cells(n=MIN_ADAPTATION_CELLS):
    """Purple discs of many sizes, with labels that mean nothing."""
    rng = np.random.default_rng(0)
    side = round(32 * ROOM)
    rows, cols = np.mgrid[:side, :side] - (side - 1) / 2
    disc = np.hypot(rows, cols) < rng.uniform(6, 15, n)[:, None, None]
    crops = np.where(disc[..., None], (110, 60, 140), (240, 235, 230)) + rng.normal(
        0, 8, (n, side, side, 3)
    )
    return CropSet(
        crops.clip(0, 255).astype(np.uint8),
        np.full((n, 3), np.nan, np.float32),
        rng.integers(0, 8, n),
        np.full(n, "slide"),
        np.full(n, "train"),
        "sha of crops",
    )


def adapt(weights, out, data=None, plan=PLAN):
    return run(adapt_classifier(data or cells(), weights, plan, out, device="cpu"))


@pytest.fixture(scope="module")
def adapted(weights, tmp_path_factory):
    return adapt(weights, tmp_path_factory.mktemp("adapted"))


@pytest.mark.parametrize("n", [0, MIN_ADAPTATION_CELLS - 1])
def test_too_few_cells_are_refused(n, weights, tmp_path):
    with pytest.raises(WbcError, match=f"at least {MIN_ADAPTATION_CELLS} cells, and there are {n}"):
        adapt(weights, tmp_path, cells(n))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", ".", "a/b"])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(WbcError, match="cannot name weights"):
        Adaptation(name=name)


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(WbcError, match="No weights 'none'"):
        adapt("none", tmp_path)


def test_the_new_weights_differ_and_classify(adapted, weights):
    old, new = load_weights(weights)[0], load_weights(adapted)[0]
    network = {name for name in old if "." in name and not name.startswith("familiarity.")}
    assert network <= set(new)
    assert any(not torch.equal(old[name], new[name]) for name in network)
    assert all(torch.isfinite(value).all() for value in new.values())
    edge = (cells().crops.shape[1] - 32) // 2
    data = cells()
    crops = data.crops[:, edge : edge + 32, edge : edge + 32]
    assert (
        len(load_classifier(adapted, device="cpu").predict(crops, data.red)) == MIN_ADAPTATION_CELLS
    )


def test_the_card_says_where_the_weights_come_from(adapted, weights):
    old, new = load_weights(weights)[1], load_weights(adapted)[1]
    assert (new.name, new.classes, new.preset, new.mode) == (
        "adapted",
        old.classes,
        old.preset,
        old.mode,
    )
    assert new.model_id != old.model_id
    (told,) = new.provenance["adapted"]
    assert (told["from"], told["cells"], told["data_sha256"]) == (
        old.model_id,
        MIN_ADAPTATION_CELLS,
        "sha of crops",
    )
    assert told["how"]["seed"] == PLAN.seed
    assert new.metrics == {}


def test_labels_and_splits_are_never_looked_at(adapted, weights, tmp_path):
    data = cells()
    other = replace(
        data, labels=data.labels[::-1] + 100, splits=np.full(MIN_ADAPTATION_CELLS, "test")
    )
    assert adapt(weights, tmp_path, other).read_bytes() == adapted.read_bytes()


def test_a_seed_says_it_all(adapted, weights, tmp_path):
    torch.manual_seed(77)
    assert adapt(weights, tmp_path / "same").read_bytes() == adapted.read_bytes()
    other = adapt(weights, tmp_path / "other", plan=replace(PLAN, seed=1))
    assert other.read_bytes() != adapted.read_bytes()


@pytest.mark.parametrize("mode", MODES)
def test_weights_of_every_mode_can_be_adapted(mode, tmp_path):
    torch.manual_seed(0)
    card = ModelCard("tiny", "1", "cdnn", ("a", "b", "c"), asdict(Preset(size=32)), mode=mode)
    start = tmp_path / "start.safetensors"
    save_weights(start, build_network("cdnn", 3).state_dict(), card)
    path = adapt(start, tmp_path)
    assert load_weights(path)[1].mode == mode
    assert all(torch.isfinite(value).all() for value in load_weights(path)[0].values())


@pytest.mark.parametrize("steps", [1, 2])
def test_a_cancelled_run_leaves_nothing(steps, weights, tmp_path):
    run_ = adapt_classifier(cells(), weights, PLAN, tmp_path, device="cpu")
    assert len(list(islice(run_, steps))) == steps
    run_.close()
    assert not any(tmp_path.iterdir())


def test_progress_comes_with_every_batch(weights, tmp_path):
    plan = replace(PLAN, epochs=2)
    told = list(adapt_classifier(cells(), weights, plan, tmp_path, device="cpu"))
    assert [(p.done, p.total) for p in told if p.step == "adapting"] == [
        (i, 4) for i in range(1, 5)
    ]


def test_weights_that_are_sure_stay_as_they_are(weights, tmp_path):
    with pytest.raises(
        AlreadySure, match=r"sure of these cells already \(mean confidence 0\.\d\d\)"
    ):
        adapt(weights, tmp_path, plan=replace(PLAN, enough=0.1))
    assert not list(tmp_path.iterdir())


def test_the_shares_of_the_classes_are_to_stay_as_they_are_found():
    """The pull is the divergence of the mean from the shares: none at them, more farther off."""
    found = torch.log_softmax(torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), 1)
    target, sure = found.argmax(1), torch.ones(40, dtype=torch.bool)
    mean = found.exp().mean(0)

    def pull(shares):
        with_it, without = (
            _loss(found, target, sure, shares, replace(PLAN, shares=weight))
            for weight in (1.0, 0.0)
        )
        return float(with_it - without)

    even = torch.full((4,), 0.25)
    other = torch.tensor([0.7, 0.1, 0.1, 0.1])
    assert pull(mean) == pytest.approx(0, abs=1e-6)
    assert pull(even) == pytest.approx(float((mean * (mean / even).log()).sum()), abs=1e-6)
    assert 0 < pull(even) < pull(other)
