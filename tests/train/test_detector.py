"""Training of a cell finder: it can be stopped and resumed, and it keeps the best epoch."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from napari_wbc.detect.mask_rcnn import (
    BLOOD_CLASSES,
    LEUKOCYTE,
    DetectorPreset,
    MaskRcnnDetector,
    load_mask_rcnn,
)
from napari_wbc.errors import WbcError
from napari_wbc.measure.average_precision import AveragePrecision
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, iou_matrix
from napari_wbc.model.progress import run
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.train import detector, detector_validation
from napari_wbc.train.detector import train_detector
from napari_wbc.train.detector_recipe import DetectorRecipe
from napari_wbc.train.fields import FieldSet, read_fields
from napari_wbc.weights.store import load_weights

RECIPE = DetectorRecipe(
    name="small",
    backbone="tiny",
    epochs=2,
    batch_size=2,
    draws=4,
    canvas=64,
    ema=0.5,
    preset=DetectorPreset(longest=96),
)
pytestmark = pytest.mark.usefixtures("tiny_backbone")


@pytest.fixture(scope="module")
def fields(field_manifest):
    return run(read_fields(read_training_set(field_manifest), (LEUKOCYTE,), RECIPE.preset))


@pytest.fixture(scope="module")
def train(fields, tiny_backbone):
    def trained(out, recipe=RECIPE, data=fields):
        return run(train_detector(data, recipe, out, device="cpu"))

    return trained


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("run"))


@pytest.fixture(autouse=True)
def no_curves(trained, monkeypatch):
    """Curves are drawn for the run that all tests share alone, since they cost the most time."""
    monkeypatch.setattr(detector, "write_curves", lambda *_args: None)


def scripted(monkeypatch, *scores):
    """Let the validations give these average precisions, the last of them for ever."""
    coming = itertools.chain(scores, itertools.repeat(scores[-1]))

    def precision(_fields):
        score = next(coming)
        return AveragePrecision(score, score, score)

    monkeypatch.setattr(detector_validation, "average_precision", precision)


def relabelled(data, label, split="val"):
    """The fields with every cell of a split under another label, or without any where None."""
    return replace(
        data,
        fields=tuple(
            replace(
                f,
                labels=() if label is None else (label,) * len(f.labels),
                outlines=f.outlines if label else (),
            )
            if f.split == split
            else f
            for f in data.fields
        ),
    )


def same_weights(first, second):
    ours, theirs = load_weights(first.weights)[0], load_weights(second.weights)[0]
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in theirs
    )


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("lost", ["fields", "cells"])
def test_an_empty_split_is_refused(split, lost, fields, train, tmp_path):
    if lost == "cells":
        data = relabelled(fields, None, split)
    else:
        data = FieldSet(tuple(f for f in fields.fields if f.split != split), "other")
    with pytest.raises(WbcError, match="train and val"):
        train(tmp_path, data=data)
    assert not any(tmp_path.iterdir())


def test_a_validation_without_leukocytes_is_refused(fields, train, tmp_path):
    with pytest.raises(WbcError, match="leukocyte"):
        train(tmp_path, replace(RECIPE, classes=BLOOD_CLASSES), relabelled(fields, 2))
    assert not any(tmp_path.iterdir())


def test_an_unknown_backbone_is_refused(train, tmp_path):
    with pytest.raises(WbcError, match="No backbone 'alexnet'"):
        train(tmp_path, replace(RECIPE, backbone="alexnet"))
    assert not any(tmp_path.iterdir())


def test_an_unknown_device_is_refused(fields, tmp_path):
    with pytest.raises(WbcError, match="choose auto, cpu or cuda"):
        run(train_detector(fields, RECIPE, tmp_path, device="abacus"))


def test_it_learns(train, tmp_path):
    history = train(tmp_path, replace(RECIPE, epochs=3, draws=12, learning_rate=5e-3)).history
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]


def test_the_history_tells_losses_and_precision_of_every_epoch(trained):
    assert [epoch["epoch"] for epoch in trained.history] == [1, 2]
    for epoch in trained.history:
        parts = [value for name, value in epoch.items() if name.startswith("loss_")]
        assert epoch["loss"] == pytest.approx(sum(parts))
        assert len(parts) == 5
        assert epoch["val_ap"] == epoch["val_ap_lab"]
        assert 0 <= epoch["val_ap"] <= epoch["val_ap50_lab"] <= 1


def test_a_run_leaves_weights_card_curves_and_history(trained):
    folder = trained.weights.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint",
        "curves.png",
        "history.json",
        "small.safetensors",
    ]
    assert tuple(json.loads((folder / "history.json").read_text())) == trained.history
    with Image.open(folder / "curves.png") as picture:
        assert min(picture.size) > 200


def test_the_card_tells_what_was_done(trained, fields):
    tensors, card = load_weights(trained.weights)
    assert card == replace(trained.card, provenance=card.provenance)
    assert (card.model_id.split(" (")[0], card.architecture) == ("small 1", "mask-rcnn/tiny")
    assert (card.classes, DetectorPreset(**card.preset)) == ((LEUKOCYTE,), RECIPE.preset)
    assert card.provenance["data"] == {
        "lab train cells": 4,
        "lab train fields": 4,
        "lab val cells": 1,
        "lab val fields": 1,
    }
    assert card.provenance["data_sha256"] == fields.sha256
    assert card.provenance["recipe"]["backbone"] == "tiny"
    assert card.provenance["recipe"]["preset"]["longest"] == 96
    assert card.provenance["epochs_run"] == 2
    assert card.threshold == 0.5
    assert set(card.metrics) == {"val_ap", "val_ap_lab", "val_ap50_lab", "val_fields"}
    floats = sum(
        t.numel() for name, t in tensors.items() if "running" not in name and t.is_floating_point()
    )
    assert card.parameters == floats


def test_weights_are_stored_in_half_precision(trained):
    kinds = {tensor.dtype for tensor in load_weights(trained.weights)[0].values()}
    assert kinds == {torch.float16, torch.int64}  # the counters of batch norm stay whole


def test_weights_find_what_the_trained_network_finds(monkeypatch, train, fields, tmp_path):
    seen = []

    def spy(*args, **options):
        seen.append(MaskRcnnDetector(*args, **options))
        return seen[-1]

    monkeypatch.setattr(detector, "MaskRcnnDetector", spy)
    done = train(tmp_path)
    loaded = load_mask_rcnn(done.weights, device="cpu", parameters={"score": 0.05})
    kept, read = (one.network.state_dict() for one in (seen[-1], loaded))
    assert kept.keys() == read.keys()
    assert all(torch.equal(kept[name], read[name]) for name in read)
    (field,) = fields.of("val")
    first, second = (
        run(one.look_steps(field.image, field.scale, field.shape))[LEUKOCYTE]
        for one in (seen[-1], loaded)
    )
    assert len(first) == len(second) > 0
    overlaps = iou_matrix([d.bbox for d in first], [d.bbox for d in second])
    assert (overlaps.max(axis=1) > 0.99).all()


def test_progress_comes_at_every_step_and_a_line_after_every_epoch(fields, tmp_path):
    steps = list(train_detector(fields, RECIPE, tmp_path, device="cpu"))
    training = [s for s in steps if s.step == "training"]
    assert [s.done for s in training] == [1, 2, 2, 3, 4, 4]
    assert {s.total for s in steps} == {4}
    assert ["average precision" in s.note for s in training] == [False, False, True] * 2
    assert [s.done for s in steps if s.step == "validating"] == [2, 4, 4, 4, 4]
    assert [s.done for s in steps] == sorted(s.done for s in steps)


@pytest.mark.parametrize(
    "stop", [1, 3, 5], ids=["in the first epoch", "while validating", "in the second"]
)
def test_a_stopped_run_goes_on_as_if_never_stopped(stop, fields, train, trained, tmp_path):
    started = train_detector(fields, RECIPE, tmp_path, device="cpu")
    for _ in range(stop):
        next(started)
    started.close()
    resumed = train(tmp_path)
    assert resumed.history == trained.history
    assert resumed.card == trained.card
    assert same_weights(resumed, trained)


def test_a_finished_run_is_not_run_again(fields, train, tmp_path):
    first = train(tmp_path)
    steps = list(train_detector(fields, RECIPE, tmp_path, device="cpu"))
    assert {s.step for s in steps} == {"validating"}
    assert train(tmp_path) == first
    kept = sorted(path.name.split("-")[0] for path in (tmp_path / "checkpoint").iterdir())
    assert kept == ["best", "epoch", "index.json"]


def test_another_run_in_the_same_folder_is_refused(fields, train, tmp_path):
    train(tmp_path)
    others = [
        (replace(RECIPE, epochs=3), fields),
        (replace(RECIPE, preset=DetectorPreset(longest=95)), fields),
        (RECIPE, replace(fields, sha256="other")),
    ]
    for recipe, data in others:
        with pytest.raises(WbcError, match="another recipe or other data"):
            train(tmp_path, recipe, data)


@pytest.mark.parametrize("harm", ["index", "state", "best"])
def test_a_damaged_checkpoint_is_said(harm, train, tmp_path):
    train(tmp_path)
    index = tmp_path / "checkpoint" / "index.json"
    if harm == "index":
        index.write_text("{}")
    else:
        (index.parent / json.loads(index.read_text())[harm]).write_bytes(b"half")
    with pytest.raises(WbcError, match="the checkpoint is damaged"):
        train(tmp_path)


@pytest.mark.parametrize(
    ("patience", "epochs"),
    [(0, 5), (1, 2), (2, 4), (9, 5)],
    ids=["never", "at once", "later", "too long"],
)
def test_a_run_ends_early_where_it_gets_no_better(patience, epochs, monkeypatch, train, tmp_path):
    recipe = replace(RECIPE, epochs=5, draws=2, patience=patience)
    scripted(monkeypatch, 0.3, 0.2, 0.3, 0.1)
    if patience == 2:
        scripted(monkeypatch, 0.2, 0.3, 0.2, 0.1)
    done = train(tmp_path, recipe)
    assert len(done.history) == epochs
    assert done.card.provenance["epochs_run"] == epochs
    assert train(tmp_path, recipe).history == done.history


def test_the_best_epoch_is_kept_and_not_the_last(monkeypatch, train, tmp_path):
    scripted(monkeypatch, 0.1, 0.9, 0.5)
    done = train(tmp_path, replace(RECIPE, epochs=3, draws=2))
    index = json.loads((tmp_path / "checkpoint" / "index.json").read_text())
    assert (index["best"], index["state"]) == ("best-2.safetensors", "epoch-3.safetensors")
    best = load_file(tmp_path / "checkpoint" / index["best"])
    stored = load_weights(done.weights)[0]
    # The scores are shifted to their threshold; see the test of that.
    del best["roi_heads.box_predictor.cls_score.bias"]
    assert all(torch.equal(stored[name], best[name].to(stored[name].dtype)) for name in best)


def diverging(recipe):
    """A recipe at a rate that no checked recipe has."""
    object.__setattr__(recipe, "learning_rate", 1e30)
    return recipe


def test_a_run_that_diverges_is_stopped(train, tmp_path):
    with pytest.raises(WbcError, match="diverged"):
        train(tmp_path, diverging(replace(RECIPE, epochs=4)))


def test_weights_that_diverged_in_the_last_step_are_not_written(train, tmp_path):
    with pytest.raises(WbcError, match="diverged"):
        train(tmp_path, diverging(replace(RECIPE, epochs=1, draws=2)))
    assert not list(tmp_path.glob("*.safetensors"))


def test_the_test_split_is_not_looked_at(fields, train, trained, tmp_path):
    odd = replace(
        fields.fields[0], image=255 - fields.fields[0].image, split="test", source="elsewhere"
    )
    more = replace(fields, fields=(*fields.fields, odd))
    assert train(tmp_path, data=more).card == trained.card


def test_every_source_is_validated_for_itself(fields, train, monkeypatch, tmp_path):
    (own,) = fields.of("val")
    others = [replace(own, source=name) for name in ("lab1", "lab11")]
    blank = replace(own, source="blank", outlines=(), labels=())
    scripted(monkeypatch, 0.2, 0.3, 0.7)
    data = replace(fields, fields=(*fields.fields, *others, blank))
    (first,) = train(tmp_path, replace(RECIPE, epochs=1, draws=2), data).history
    assert [first[f"val_ap_{s}"] for s in ("lab", "lab1", "lab11")] == [0.2, 0.3, 0.7]
    assert first["val_ap"] == pytest.approx(0.4)
    assert "val_ap_blank" not in first


@pytest.mark.parametrize("classes", [(LEUKOCYTE,), BLOOD_CLASSES, ("red cell", LEUKOCYTE)], ids=len)
def test_scores_are_shifted_to_part_right_from_wrong_at_a_half(
    classes, field_manifest, train, monkeypatch, tmp_path
):
    data = run(read_fields(read_training_set(field_manifest), classes, RECIPE.preset))
    (field,) = data.of("val")
    label = classes.index(LEUKOCYTE) + 1
    ring = field.outlines[field.labels.index(label)]
    wrong = [Detection(BBox(3 + i, 40, 23 + i, 60), score=0.3 - i / 100) for i in range(3)]

    def shift(score):
        right = Detection(BBox.around(ring / field.scale), score=score)

        def look_steps(self, *_args):
            yield from ()
            return dict.fromkeys(self.classes, ()) | {LEUKOCYTE: (right, *wrong)}

        monkeypatch.setattr(MaskRcnnDetector, "look_steps", look_steps)
        out = tmp_path / str(score)
        done = train(out, replace(RECIPE, classes=classes, epochs=1, draws=2), data)
        tensors, _ = load_weights(done.weights)
        return float(tensors["roi_heads.box_predictor.cls_score.bias"][label])

    # Where 0.5 parts right from wrong, nothing is shifted; surer wrong ones lower all scores.
    before = shift(0.9)
    wrong = [replace(detection, score=0.95) for detection in wrong]
    assert shift(0.99) < before - 2


def test_what_was_the_threshold_scores_a_half_afterwards():
    head = torch.nn.Linear(1, 3)
    head.bias.data.copy_(torch.tensor([0.0, math.log(0.9 / 0.1), -9.0]))
    predictor = SimpleNamespace(cls_score=head)
    network = SimpleNamespace(roi_heads=SimpleNamespace(box_predictor=predictor))
    detector._centre(network, [0.9, 0.5])
    assert float(torch.softmax(head.bias.data, 0)[1]) == pytest.approx(0.5, abs=0.01)
    assert float(head.bias.data[2]) == pytest.approx(-9, abs=0.01)


def test_red_cells_and_platelets_are_found_beside_leukocytes(field_manifest, train, tmp_path):
    data = run(read_fields(read_training_set(field_manifest), BLOOD_CLASSES, RECIPE.preset))
    assert {tuple(sorted(f.labels)) for f in data.fields} == {(1, 2, 2, 2, 2, 3)}
    done = train(tmp_path, replace(RECIPE, classes=BLOOD_CLASSES, epochs=1, draws=2), data)
    image = np.full((60, 90, 3), 220, np.uint8)
    one = load_mask_rcnn(done.weights, device="cpu", parameters={"score": 0.0})
    found = one.survey(image)
    assert tuple(found) == one.classes == BLOOD_CLASSES
    assert sum(map(len, found.values())) > 0
    assert one.detect(image) == found[LEUKOCYTE]


def test_training_starts_from_other_weights_as_far_as_they_fit(trained, fields, train, tmp_path):
    still = replace(
        RECIPE,
        start=str(trained.weights),
        learning_rate=1e-9,
        epochs=1,
        draws=2,
        classes=BLOOD_CLASSES,
    )
    stored, first = (
        load_weights(train(tmp_path, still).weights)[0],
        load_weights(trained.weights)[0],
    )
    own = {name for name in first if "running" not in name and "num_batches" not in name}
    equal = {name for name in own if torch.equal(stored[name], first[name])}
    assert {name.split(".")[1] for name in own - equal} == {"box_predictor", "mask_predictor"}
    assert any(name.startswith("backbone") for name in equal)


@pytest.mark.parametrize("start", ["of a classifier", "missing"])
def test_a_start_that_does_not_fit_is_refused(start, weights, train, tmp_path):
    path = weights if start == "of a classifier" else tmp_path / "none.safetensors"
    with pytest.raises(WbcError, match=path.stem):
        train(tmp_path / "run", replace(RECIPE, start=str(path)))


def test_training_in_bfloat16_leaves_weights_too(train, tmp_path):
    done = train(tmp_path, replace(RECIPE, precision="bf16-mixed", epochs=1, draws=2))
    assert np.isfinite(done.history[0]["loss"])
    assert load_mask_rcnn(done.weights, device="cpu").card.sha256 == done.card.sha256
