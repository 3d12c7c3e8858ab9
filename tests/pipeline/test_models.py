"""What there is to choose from, and what a card says: also a card that lacks or adds things."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from napari_wbc.errors import WeightsError
from napari_wbc.model.taxonomy import EIGHT_CLASSES, FIVE_CLASSES
from napari_wbc.pipeline.models import classifiers, counted_card, model_summary
from napari_wbc.weights.card import RESEARCH_USE, ModelCard
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights

BARE = ModelCard("mine", "2", "cdnn", EIGHT_CLASSES.names, {}, sha256="ab" * 32)
PROVENANCE = {
    "cells": {"pbc train": 1200, "pbc val": 30, "own": 7, "chula test": 5},
    "sets": {"pbc": "Acevedo 2020", "other": "not counted"},
    "recipe": {
        "name": "mine",
        "epochs": 70,
        "augmentation": {"zoom": 0.2, "deep": {"er": {"still": [1]}}},
    },
    "note": "Stopped early.",
    "use": RESEARCH_USE,
    "command": "napari-wbc train",
    "later": [True, None, 1.5, {"a": 1}],
}
METRICS = {
    "pbc val": {
        "balanced_accuracy": 0.97,
        "accuracy": 0.5,
        "n": 1622,
        "ece": 0.0123,
        "recall": {"a": 1},
    },
    "chula": {"n": 6},
    "loose": 0.25,
}


@pytest.fixture
def save(tmp_path):
    """Write a card beside a file that stands for its weights."""

    def write(card, **changed):
        path = tmp_path / "mine.safetensors"
        path.write_bytes(bytes(2_340_000))
        path.with_suffix(".json").write_text(json.dumps(json.loads(card.to_json()) | changed))
        return path

    return write


def sections(path):
    return {section.title: section for section in model_summary(path).sections}


def test_a_bare_card_leaves_out_what_it_lacks(save):
    summary = model_summary(save(BARE))
    assert summary.classes == EIGHT_CLASSES.names
    assert [section.title for section in summary.sections] == ["Model", "Confidence"]
    assert dict(summary.sections[0].rows) == {
        "Name": "mine",
        "Version": "2",
        "Id in results": "mine 2 (abababab)",
        "Architecture": "cdnn",
        "Parameters": "0",
        "File": "mine.safetensors, 2.3 MB",
        "SHA-256": "ab" * 32,
    }


def test_training_cells_stand_by_source_and_split(save):
    trained = sections(save(replace(BARE, provenance=PROVENANCE)))["Trained on"]
    assert trained.header == ("source", "train", "val", "test", "cells", "data set")
    assert trained.rows == (
        ("pbc", "1,200", "30", "–", "–", "Acevedo 2020"),
        ("own", "–", "–", "–", "7", "–"),
        ("chula", "–", "–", "5", "–", "–"),
        ("other", "", "", "", "", "not counted"),
        ("all", "1,200", "30", "5", "7", ""),
    )


def test_scores_stand_by_data_set(save):
    found = sections(save(replace(BARE, metrics=METRICS)))
    assert found["Measured"].header == (
        "data set",
        "cells",
        "accuracy",
        "balanced accuracy",
        "ece",
        "recall",
    )
    assert found["Measured"].rows == (
        ("pbc val", "1,622", "50.0 %", "97.0 %", "0.0123", "a 1"),
        ("chula", "6", "–", "–", "–", "–"),
    )
    assert found["Other scores"].rows == (("Loose", "0.25"),)


def test_nothing_of_the_provenance_is_hidden(save):
    found = sections(save(replace(BARE, provenance=PROVENANCE)))
    assert found["Recipe"].rows == (
        ("Epochs", "70"),
        ("Augmentation", "zoom 0.2, deep (er (still …))"),
    )
    assert found["Origin"].rows == (
        ("Note", "Stopped early."),
        ("Command", "napari-wbc train"),
        ("Later", "yes, –, 1.5, (a 1)"),
    )


def test_another_use_than_ours_is_shown(save):
    assert sections(save(replace(BARE, provenance={"use": "Dogs only."})))["Origin"].rows == (
        ("Use", "Dogs only."),
    )


@pytest.mark.parametrize(
    ("threshold", "temperature", "told", "how"),
    [
        (0.82, 0.8, "below 0.82 a cell is called unidentified", "confidences are raised"),
        (0, 1.7, "no cell is called unidentified", "confidences are lowered"),
        (1, 1, "below 1 a cell is called unidentified", "the network's own"),
        (0.5, 10**400, "below 0.5 a cell", "confidences are lowered"),
    ],
)
def test_confidence_is_told_in_words(save, threshold, temperature, told, how):
    rows = dict(
        sections(save(BARE, threshold=threshold, temperature=temperature))["Confidence"].rows
    )
    assert told in rows["Threshold"]
    assert how in rows["Temperature"]


def test_preprocessing_is_told_in_words_where_it_is_known(save):
    card = replace(BARE, preset={"size": 80, "factor": 1.5, "anchors": False, "grey_world": True})
    assert dict(sections(save(card))["Preprocessing"].rows) == {
        "Size": "crops are scaled to 80 × 80 pixels",
        "Factor": "a crop is 1.5 times as wide as the longer side of the cell's box",
        "Anchors": "no: off",
        "Grey world": "yes",
    }


@pytest.mark.parametrize(
    "odd", [None, 3, "text", [1], {}, {"": {}}, {"a": {"b": float("nan")}}, {"x y z": "?"}]
)
@pytest.mark.parametrize(
    "where", ["provenance", "metrics", "cells", "sets", "recipe", "parameters"]
)
def test_odd_entries_are_survived(save, where, odd):
    inner = where in {"cells", "sets", "recipe"}
    summary = model_summary(save(BARE, **({"provenance": {where: odd}} if inner else {where: odd})))
    assert summary.model_id == "mine 2 (abababab)"
    assert all(section.rows for section in summary.sections)
    for section in summary.sections:
        assert {len(row) for row in section.rows} == {len(section.header or ("name", "value"))}


@pytest.mark.parametrize("name", ["name", "version", "architecture", "sha256"])
def test_a_card_whose_names_are_no_text_is_refused(save, name):
    with pytest.raises(WeightsError, match=r"mine\.json"):
        model_summary(save(BARE, **{name: 5}))


def test_missing_weights_or_cards_are_named(save, tmp_path):
    with pytest.raises(WeightsError, match="No weights"):
        model_summary(tmp_path / "none.safetensors")
    path = save(BARE)
    path.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match=r"mine\.json beside it; copy the model again"):
        counted_card(path)


@pytest.mark.parametrize(
    "classes",
    [
        EIGHT_CLASSES.names,
        ("monocyte", "neutrophil"),
        ("neutrophil", "blast"),
        ("band neutrophil",),
    ],
)
def test_a_model_is_taken_if_one_of_its_classes_counts(save, classes):
    for taxonomy in (EIGHT_CLASSES, FIVE_CLASSES):
        assert counted_card(save(replace(BARE, classes=classes)), taxonomy).classes == classes


def test_a_model_none_of_whose_classes_counts_is_refused_by_name(save):
    path = save(replace(BARE, classes=("blast", "platelet")))
    assert counted_card(path).name == "mine"
    with pytest.raises(
        WeightsError, match=r"mine\.safetensors: .*blast, platelet.*'five classes'.*basophil"
    ):
        counted_card(path, FIVE_CLASSES)


def test_a_detector_that_finds_platelets_is_no_classifier(save):
    card = replace(
        BARE, architecture="mask-rcnn/vgg16", classes=("leukocyte", "red cell", "platelet")
    )
    with pytest.raises(WeightsError, match="weights of a detector"):
        counted_card(save(card))


def test_shipped_classifiers_can_be_counted_and_the_default_comes_first():
    assert classifiers()[0] == DEFAULT_CLASSIFIER
    assert all(
        counted_card(name).model_id == model_summary(name).model_id for name in classifiers()
    )
    assert "mask_rcnn" not in classifiers()


def test_summary_as_text_holds_every_row():
    summary = model_summary(find_weights())
    lines = str(summary).splitlines()
    assert lines[:2] == [summary.model_id, RESEARCH_USE]
    assert all("\t".join(row) in lines for section in summary.sections for row in section.rows)
