"""Training: it learns, it can be stopped and resumed, and it says what it cannot do."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_wbc.classify.familiarity import parted
from napari_wbc.classify.modes import MODES
from napari_wbc.classify.predict import load_classifier
from napari_wbc.classify.preset import Preset
from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy_dict import taxonomy_of_names
from napari_wbc.train.batches import ROOM
from napari_wbc.train.classifier import train_classifier
from napari_wbc.train.dataset import NO_CLASS, CropSet
from napari_wbc.train.recipe import Recipe
from napari_wbc.train.scoring import scores_steps
from napari_wbc.weights.card import taxonomy_of
from napari_wbc.weights.store import load_weights

CLASSES = ("small", "large")
TAXONOMY = taxonomy_of_names("sizes", CLASSES)
RECIPE = Recipe(name="tiny", epochs=2, batch_size=20, draws=40, ema=0.5, preset=Preset(size=16))
SIDE = round(16 * ROOM)


def blobs(n=40, sources=("lab",), seed=0):
    """Purple discs, small or large, on bright ground: three quarters in train, the rest in val."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    rows, cols = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    disc = np.hypot(rows, cols) < np.where(labels, 7, 3)[:, None, None]
    color = np.where(disc[..., None], (110, 60, 140), (240, 235, 230))
    crops = np.clip(color + rng.normal(0, 8, color.shape), 0, 255).astype(np.uint8)
    splits = np.where(np.arange(n) % 8 < 6, "train", "val")
    red = np.full((n, 3), (0.09, 0.13, 0.08), np.float32)
    red[::5] = np.nan
    return CropSet(crops, red, labels, np.resize(np.array(sources), n), splits, f"sha of {seed}")


def train(out, recipe=RECIPE, data=None):
    return run(train_classifier(data or blobs(), TAXONOMY, recipe, out, device="cpu"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("run"), replace(RECIPE, epochs=8, draws=80))


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_split_is_refused(split, tmp_path):
    data = blobs()
    with pytest.raises(WbcError, match="train and val"):
        train(tmp_path, data=data.where(data.splits != split))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0.0, 0.25, 1.0])
def test_old_weights_are_kept_in_part(keep, trained, tmp_path):
    again = replace(RECIPE, start=str(trained.weights), epochs=1)
    new = train(tmp_path / "new", again)
    mixed = train(tmp_path / "mixed", replace(again, keep=keep))
    old, new, mixed = (parted(load_weights(one.weights)[0])[0] for one in (trained, new, mixed))
    assert any(not torch.equal(new[name], old[name]) for name in old)
    for name in old:
        torch.testing.assert_close(mixed[name], (1 - keep) * new[name] + keep * old[name])


@pytest.mark.parametrize(
    "options", [{"precision": "3-bit"}, {"architecture": "vit-9000"}, {"mode": "three-stage"}]
)
def test_an_impossible_recipe_is_refused(options, tmp_path):
    with pytest.raises(WbcError, match="choose one of"):
        train(tmp_path, replace(RECIPE, **options))


def test_an_unknown_device_is_refused(tmp_path):
    with pytest.raises(WbcError, match="choose auto, cpu or cuda"):
        run(train_classifier(blobs(), TAXONOMY, RECIPE, tmp_path, device="abacus"))


def test_it_learns(trained):
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    fresh = blobs(seed=5)
    edge = (SIDE - 16) // 2
    predictions = load_classifier(trained.weights, device="cpu").predict(
        fresh.crops[:, edge : edge + 16, edge : edge + 16], fresh.red
    )
    right = [CLASSES[i] == p.cell_class for i, p in zip(fresh.labels, predictions, strict=True)]
    assert np.mean(right) > 0.9


def test_the_card_tells_what_was_done(trained):
    tensors, card = load_weights(trained.weights)
    assert card == trained.card
    assert card.classes == CLASSES
    assert Preset(**card.preset) == RECIPE.preset
    assert card.mode == "softmax"
    assert taxonomy_of(card) == TAXONOMY
    network = parted(tensors)[0]
    assert card.parameters == sum(t.numel() for t in network.values())
    assert card.provenance["cells"] == {"lab train": 30, "lab val": 10}
    assert card.provenance["recipe"]["seed"] == 0
    assert card.metrics["lab val"]["n"] == 10
    assert 0.2 <= card.temperature <= 5
    assert 0.5 <= card.threshold <= 0.95


def test_progress_comes_at_every_step_and_a_line_after_every_epoch(tmp_path):
    every = list(train_classifier(blobs(), TAXONOMY, RECIPE, tmp_path, device="cpu"))
    assert {s.step for s in every} == {"training", "validating", "measuring the training cells"}
    steps = [s for s in every if s.step == "training"]
    assert [s.done for s in steps] == [1, 2, 2, 3, 4, 4]
    assert {s.total for s in steps} == {4}
    assert ["cells to check" in s.note for s in steps] == [False, False, True] * 2
    assert ["val_lab" in s.values for s in steps] == [False, False, True] * 2


@pytest.mark.parametrize(("draws", "steps"), [(0, 1), (5, 1), (59, 2), (60, 3)])
def test_what_does_not_fill_a_batch_is_left(draws, steps, tmp_path):
    """There are 30 cells to learn, and 20 a batch."""
    recipe = replace(RECIPE, draws=draws)
    assert (
        next(train_classifier(blobs(), TAXONOMY, recipe, tmp_path, device="cpu")).total == 2 * steps
    )


def test_curves_and_history_are_written_after_every_epoch(tmp_path):
    trained = train(tmp_path)
    written = json.loads((tmp_path / "history.json").read_text())
    assert written == list(trained.history)
    assert [one["epoch"] for one in written] == [1, 2]
    assert set(written[0]) == {"epoch", "loss", "train_accuracy", "val_lab", "val_accuracy"}
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_trained_and_used_as_it_was_trained(mode, tmp_path):
    data = blobs()
    trained = train(tmp_path, replace(RECIPE, mode=mode, mixup=0.2), data)
    classifier = load_classifier(trained.weights, device="cpu")
    assert classifier.card.mode == trained.card.mode == mode
    found = run(scores_steps(classifier.network, data, RECIPE.preset, mode=mode))
    expected = torch.softmax(torch.from_numpy(found).double() / classifier.card.temperature, 1)
    edge = (SIDE - 16) // 2
    predictions = classifier.predict(data.crops[:, edge : edge + 16, edge : edge + 16], data.red)
    np.testing.assert_allclose([p.probabilities for p in predictions], expected, atol=1e-4)


def test_weights_of_other_classes_cannot_start_a_run(trained, tmp_path):
    recipe = replace(RECIPE, start=str(trained.weights))
    assert train(tmp_path / "same", recipe).history
    other = taxonomy_of_names("other", ["small", "medium"])
    with pytest.raises(WbcError, match="cannot start 'cdnn' for small, medium"):
        run(train_classifier(blobs(), other, recipe, tmp_path / "other", device="cpu"))


@pytest.mark.parametrize("stop", [1, 3, 5], ids=["in the first epoch", "after it", "in the second"])
def test_a_stopped_run_goes_on_as_if_never_stopped(stop, tmp_path):
    recipe = replace(RECIPE, epochs=3)
    straight = train(tmp_path / "straight", recipe)
    started = train_classifier(blobs(), TAXONOMY, recipe, tmp_path / "resumed", device="cpu")
    for _ in range(stop):
        next(started)
    started.close()
    resumed = train(tmp_path / "resumed", recipe)
    assert resumed.history == straight.history
    assert resumed.card == straight.card
    ours, theirs = load_weights(resumed.weights)[0], load_weights(straight.weights)[0]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_finished_run_is_not_run_again(tmp_path):
    first = train(tmp_path)
    steps = train_classifier(blobs(), TAXONOMY, RECIPE, tmp_path, device="cpu")
    told = [s for s in steps if s.step == "training"]
    assert [s.values for s in told] == list(first.history)  # for the curves
    assert train(tmp_path) == first
    kept = sorted(path.name.split("-")[0] for path in (tmp_path / "checkpoint").iterdir())
    assert kept == ["best", "epoch", "index.json"]


@pytest.mark.parametrize(
    ("recipe", "data"),
    [(replace(RECIPE, epochs=3), None), (replace(RECIPE, seed=1), None), (RECIPE, blobs(seed=1))],
    ids=["epochs", "seed", "data"],
)
def test_another_run_in_the_same_folder_is_refused(recipe, data, tmp_path):
    train(tmp_path)
    with pytest.raises(WbcError, match="another recipe or other data"):
        train(tmp_path, recipe, data)


@pytest.mark.parametrize("harm", ["index", "truncated index", "state"])
def test_a_damaged_checkpoint_is_said(harm, tmp_path):
    train(tmp_path)
    index = tmp_path / "checkpoint" / "index.json"
    if harm == "index":
        index.write_text("{}")
    elif harm == "truncated index":
        index.write_text(index.read_text()[:50])
    else:
        (index.parent / json.loads(index.read_text())["state"]).write_bytes(b"half")
    with pytest.raises(WbcError, match="the checkpoint is damaged"):
        train(tmp_path)


def test_every_source_is_validated_for_itself(tmp_path):
    trained = train(tmp_path, data=blobs(sources=("lab", "lab1", "lab11")))
    last = trained.history[-1]
    scores = [last[f"val_{source}"] for source in ("lab", "lab1", "lab11")]
    assert last["val_accuracy"] == pytest.approx(np.mean(scores))


def test_a_run_that_diverges_is_stopped(tmp_path):
    recipe = replace(RECIPE, epochs=4)
    # A rate that no checked recipe has.
    object.__setattr__(recipe, "learning_rate", 1e30)
    with pytest.raises(WbcError, match="diverged"):
        train(tmp_path, recipe)


def test_the_test_split_is_not_looked_at(tmp_path):
    data = blobs()
    more = CropSet(
        np.concatenate([data.crops, 255 - data.crops[:8]]),
        np.concatenate([data.red, data.red[:8]]),
        np.concatenate([data.labels, 1 - data.labels[:8]]),
        np.concatenate([data.sources, data.sources[:8]]),
        np.concatenate([data.splits, np.full(8, "test")]),
        data.sha256,
    )
    with_test, without = train(tmp_path / "a", data=more), train(tmp_path / "b", data=data)
    assert with_test.card.sha256 == without.card.sha256


def test_a_class_without_a_cell_is_not_unlearnt_where_training_goes_on(tmp_path):
    """Cells of one class of three are missing."""
    three = taxonomy_of_names("three", ("small", "large", "other"))
    first = run(train_classifier(blobs(), three, RECIPE, tmp_path / "first", device="cpu"))
    recipe = replace(RECIPE, start=str(first.weights), freeze=True, learning_rate=0.05)
    second = run(train_classifier(blobs(), three, recipe, tmp_path / "second", device="cpu"))
    old, new = (parted(load_weights(one.weights)[0])[0]["head.bias"] for one in (first, second))
    moved = (new - old).abs()
    assert moved[:2].min() > 0
    assert moved[2] < 0.2 * moved[:2].max()  # weight decay is all that moves it


def test_weights_in_16_bits_are_those_that_were_measured(tmp_path):
    whole = train(tmp_path / "whole")
    half = train(tmp_path / "half", replace(RECIPE, half=True))
    assert half.weights.stat().st_size < whole.weights.stat().st_size
    tensors = parted(load_weights(half.weights)[0])[0]
    rounded = parted(load_weights(whole.weights)[0])[0]
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, rounded[name].half(), rtol=0, atol=0)


def test_what_is_no_class_lowers_confidence_and_has_no_mean_of_its_own(tmp_path):
    data = blobs(80)
    blank = (data.splits == "train") & (np.arange(80) % 3 == 0)
    data.crops[blank] = 235
    labels = np.where(blank, NO_CLASS, data.labels)
    recipe = replace(RECIPE, epochs=12, draws=80)
    learner = train(tmp_path, recipe, replace(data, labels=labels))
    classifier = load_classifier(learner.weights, device="cpu")
    empty = np.full((1, 16, 16, 3), 235, np.uint8)
    val = data.where(data.splits == "val")
    cells = classifier.predict(val.centers(16), val.red)
    confidence = classifier.predict(empty, data.red[1:2])[0].confidence
    assert confidence < np.mean([cell.confidence for cell in cells])
    assert len(classifier.familiarity.means) == 2
    with pytest.raises(WbcError, match="out of the split val"):
        train(tmp_path / "val", RECIPE, replace(data, labels=np.full(80, NO_CLASS)))
