"""Model cards: what is needed to use weights, checked when it is read."""

from __future__ import annotations

import dataclasses
import json

import pytest

from napari_wbc.errors import WeightsError
from napari_wbc.model.taxonomy import EIGHT_CLASSES, FIVE_CLASSES, TAXONOMIES, TWO_CLASSES, Place
from napari_wbc.model.taxonomy_dict import taxonomy_from_dict
from napari_wbc.weights.card import ModelCard, parent_of, taxonomy_of

CARD = ModelCard(
    "cdnn",
    "1",
    "cdnn",
    ("a", "é"),
    {"size": 80},
    1.5,
    0.6,
    10,
    "ab" * 32,
    {"seed": 0},
    {"x": {"n": 1}},
)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "3", "null", '"card"', "{", "[" * 100_000, '{"type": "FeatureCollection"}'],
)
def test_what_is_no_card_is_refused(text):
    with pytest.raises(WeightsError, match="not a model card"):
        ModelCard.from_json(text)


@pytest.mark.parametrize("mode", ["softmax", "one-vs-rest", "two-stage"])
def test_a_card_comes_back(mode):
    card = dataclasses.replace(CARD, mode=mode)
    assert ModelCard.from_json(card.to_json()) == card


def test_unknown_keys_are_ignored():
    data = json.loads(CARD.to_json()) | {"licence": "BSD", "later": [1]}
    assert ModelCard.from_json(json.dumps(data)) == CARD


@pytest.mark.parametrize("key", ["name", "version", "architecture", "classes", "preset"])
def test_a_card_without_what_is_needed_is_refused(key):
    data = json.loads(CARD.to_json())
    del data[key]
    with pytest.raises(WeightsError):
        ModelCard.from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", []),
        ("classes", [1, 2]),
        ("classes", 3),
        ("preset", 3),
        ("temperature", 0),
        ("temperature", float("nan")),
        ("temperature", "warm"),
        ("threshold", 1.5),
        ("threshold", None),
        ("taxonomy", []),
        ("taxonomy", {}),
        ("taxonomy", {"name": "x", "classes": ["é", "a"]}),
        ("taxonomy", TWO_CLASSES.to_dict()),
    ],
)
def test_a_card_of_wrong_values_is_refused(key, value):
    data = json.loads(CARD.to_json()) | {key: value}
    with pytest.raises(WeightsError):
        ModelCard.from_json(json.dumps(data))


def test_weights_are_named_by_name_version_and_hash():
    assert CARD.model_id == "cdnn 1 (abababab)"


@pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=TAXONOMIES)
def test_the_classes_of_a_card_without_taxonomy_are_those_built_in(taxonomy):
    card = dataclasses.replace(CARD, classes=taxonomy.names)
    assert card.taxonomy is None
    assert taxonomy_of(card) is taxonomy


def test_a_card_keeps_a_taxonomy_of_its_own():
    own = taxonomy_from_dict(
        {
            "name": "mine",
            "classes": [{"name": "neutrophil", "place": "beside", "covers": ["blast"]}],
        }
    )
    card = dataclasses.replace(CARD, classes=own.names, taxonomy=own.to_dict())
    assert ModelCard.from_json(card.to_json()) == card
    assert taxonomy_of(ModelCard.from_json(card.to_json())) == own


def test_other_classes_make_a_taxonomy_in_the_order_of_the_outputs():
    assert taxonomy_of(CARD).names == CARD.classes
    turned = taxonomy_of(dataclasses.replace(CARD, classes=FIVE_CLASSES.names[::-1]))
    assert turned.classes == FIVE_CLASSES.classes[::-1]
    some = taxonomy_of(dataclasses.replace(CARD, classes=("platelet", "blast")))
    assert some.names_at(Place.BESIDE) == ("platelet",)


def test_an_old_card_is_read():
    data = json.loads(dataclasses.replace(CARD, classes=EIGHT_CLASSES.names).to_json())
    del data["taxonomy"], data["mode"]
    assert ModelCard.from_json(json.dumps(data)).mode == "softmax"
    assert taxonomy_of(ModelCard.from_json(json.dumps(data))) is EIGHT_CLASSES


def test_classes_that_make_no_taxonomy_are_told_when_they_are_asked_for():
    card = dataclasses.replace(CARD, classes=("a", "unidentified"))
    with pytest.raises(WeightsError, match=r"'cdnn'.*reserved"):
        taxonomy_of(card)


@pytest.mark.parametrize(
    ("provenance", "parent"),
    [
        ({}, ""),
        (None, ""),
        ([1], ""),
        ({"parent": None}, ""),
        ({"parent": {"sha256": 3}}, ""),
        ({"parent": {"sha256": "ab"}}, ""),
        ({"parent": {"sha256": "ab" * 32}}, "ab" * 32),
        ({"adapted": []}, ""),
        ({"adapted": [{"from": "x 1 (11111111)"}, {"from": "y 2 (22222222)"}]}, "22222222"),
        ({"adapted": {"from": "x 1 (11111111)"}}, "11111111"),
        ({"adapted": "x"}, ""),
        ({"recipe": {"start": "mask_rcnn 1 (055d0cc9)"}}, "055d0cc9"),
        ({"recipe": {"start": "configs/base.safetensors"}}, ""),
        ({"parent": {"sha256": "ab" * 32}, "recipe": {"start": "x 1 (055d0cc9)"}}, "ab" * 32),
        ({"parent": {"sha256": "ab" * 32}, "adapted": [{"from": "x 1 (11111111)"}]}, "11111111"),
    ],
)
def test_a_card_says_its_parent(provenance, parent):
    assert parent_of(dataclasses.replace(CARD, provenance=provenance)) == parent
