"""Model cards: what is needed to use weights, checked when it is read."""

from __future__ import annotations

import json

import pytest

from napari_wbc.errors import WeightsError
from napari_wbc.weights.card import ModelCard

CARD = ModelCard(
    "cdnn", "1", "cdnn", ("a", "é"), {"size": 80}, 1.5, 0.6, 10, "ab" * 32, {"seed": 0}, {"x": {"n": 1}}
)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "3", "null", '"card"', "{", "[" * 100_000, '{"type": "FeatureCollection"}']
)
def test_what_is_no_card_is_refused(text):
    with pytest.raises(WeightsError, match="not a model card"):
        ModelCard.from_json(text)


def test_a_card_comes_back():
    assert ModelCard.from_json(CARD.to_json()) == CARD


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
    ],
)
def test_a_card_of_wrong_values_is_refused(key, value):
    data = json.loads(CARD.to_json()) | {key: value}
    with pytest.raises(WeightsError):
        ModelCard.from_json(json.dumps(data))


def test_weights_are_named_by_name_version_and_hash():
    assert CARD.model_id == "cdnn 1 (abababab)"
