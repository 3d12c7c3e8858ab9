"""The tree of models, the model that a new slide or project begins with, and its score."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from napari_wbc.classify.networks import build_network
from napari_wbc.classify.preset import Preset
from napari_wbc.model.taxonomy import EIGHT_CLASSES, FIVE_CLASSES
from napari_wbc.pipeline.library import (
    branches,
    countable,
    in_use,
    start_classifier,
    start_taxonomy,
    validation,
)
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.library import Library
from napari_wbc.weights.model import Model
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER
from napari_wbc.weights.store import save_weights

CARD = ModelCard("mine", "1", "cdnn", EIGHT_CLASSES.names, asdict(Preset(size=32)))


@pytest.fixture
def library(tmp_path, monkeypatch):
    """The person's own, which does not exist yet."""
    monkeypatch.setenv("NAPARI_WBC_MODELS", str(tmp_path / "models"))
    return Library()


@pytest.fixture
def add(library):
    def added(*classes):
        tensors = build_network("cdnn", len(classes)).state_dict()
        save_weights(library.folder / "mine.safetensors", tensors, replace(CARD, classes=classes))
        return library.find("mine")

    return added


def model(name, parent="", metrics=None):
    card = replace(CARD, sha256=name * 64, metrics=metrics or {})
    return Model(Path(f"{name}.safetensors"), card, parent)


def test_each_model_stands_below_its_parent():
    models = [model("c", "b"), model("b", "a"), model("a"), model("d", "a"), model("e", "f")]
    tree = branches(models, [models[1].path])
    assert [(b.model.name, b.depth) for b in tree] == [
        ("a", 0),
        ("b", 1),
        ("c", 2),
        ("d", 1),
        ("e", 0),
    ]
    assert [b.model.name for b in tree if b.in_use] == ["b"]
    # None of these files exists, so there is no time to show.
    assert {b.when for b in tree} == {""}


def test_a_ring_of_parents_is_cut():
    tree = branches([model("a", "b"), model("b", "a")])
    assert [(b.model.name, b.depth) for b in tree] == [("a", 0), ("b", 1)]


def test_a_branch_says_how_good_its_model_is_and_when_it_came(add, library):
    add(*EIGHT_CLASSES.names)
    metrics = {"lab val": {"n": 8, "accuracy": 0.875}}
    (scored,) = branches([model("a", metrics=metrics)])
    assert scored.validation == "accuracy 87.5 % of 8 cells"
    tree = {branch.model.name: branch for branch in branches(library.models(), in_use(library))}
    assert tree["mine"].when[:2] == "20"
    assert tree[DEFAULT_CLASSIFIER].when == ""
    assert tree[DEFAULT_CLASSIFIER].in_use
    assert not tree["mine"].in_use


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        (
            {"a val": {"n": 10, "accuracy": 0.9}, "b test": {"n": 9, "accuracy": 0}},
            "accuracy 90.0 % of 10 cells",
        ),
        ({"val_ap": 0.5}, "average precision 50.0 %"),
        ({"val_ap": 0.5, "val_fields": 3}, "average precision 50.0 % of 3 fields"),
        ({}, ""),
        ({"a val": {"n": 10}}, ""),
        ({"a val": {"n": "ten", "accuracy": 1}}, ""),
        ({"val_ap": "good"}, ""),
        ("good", ""),
    ],
)
def test_the_score_of_any_card_is_text(metrics, text):
    assert validation(replace(CARD, metrics=metrics)) == text


def test_a_classifier_is_offered_where_one_of_its_classes_counts(add, library):
    mine = add(*EIGHT_CLASSES.names)
    (library.folder / "damaged.safetensors").write_bytes(b"")
    assert countable(FIVE_CLASSES) == (mine.weights,)
    add("grain", "chaff")
    assert countable(FIVE_CLASSES) == ()


def test_a_slide_begins_with_the_classifier_in_use_if_its_classes_count(add, library):
    assert start_classifier(EIGHT_CLASSES) == DEFAULT_CLASSIFIER
    mine = add(*EIGHT_CLASSES.names)
    library.adopt(mine)
    assert start_classifier(EIGHT_CLASSES) == mine.weights
    library.adopt(add("grain", "chaff"))
    assert start_classifier(EIGHT_CLASSES) == DEFAULT_CLASSIFIER


def test_a_project_begins_with_the_classes_in_use_if_they_are_the_eight_and_more(add, library):
    assert start_taxonomy() == EIGHT_CLASSES
    library.adopt(add(*EIGHT_CLASSES.names, "smudge cell"))
    assert start_taxonomy().names == (*EIGHT_CLASSES.names, "smudge cell")
    library.adopt(add(*EIGHT_CLASSES.names[1:], "smudge cell"))
    assert start_taxonomy() == EIGHT_CLASSES


def test_a_damaged_record_leaves_the_shipped_classifier(add, library):
    library.adopt(add(*EIGHT_CLASSES.names, "smudge cell"))
    (library.folder / "adopted.json").write_text("{")
    assert start_classifier(EIGHT_CLASSES) == DEFAULT_CLASSIFIER
    assert start_taxonomy() == EIGHT_CLASSES
