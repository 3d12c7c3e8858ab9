"""One model of a library: whose child it is, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_wbc.errors import WeightsError
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.container import split_card
from napari_wbc.weights.model import parent_in
from napari_wbc.weights.store import (
    load_weights,
    read_card,
    save_weights,
)

CARD = ModelCard("x", "1", "cdnn", ("a", "b"), {})


def test_parents_and_children(library, make):
    first = make("first", library.find("cdnn"))
    second, other = make("second", first), make("other", first)
    assert parent_in(library.models(), second) == first
    assert parent_in(library.models(), first) == library.find("cdnn")
    assert library.children(first) == (other, second)
    assert library.children(second) == ()
    assert parent_in(library.models(), make("orphan")) is None
    assert first in library.children(library.find("cdnn"))


def test_an_adapted_model_is_found_by_the_first_of_a_hash(library, make):
    first = make("first")
    known = {"adapted": [{"from": first.card.model_id}]}
    path = make("second").path
    save_weights(path, load_weights(path)[0], replace(read_card(path), provenance=known))
    assert parent_in(library.models(), library.find("second")) == first


def test_a_parent_that_has_gone_and_a_ring_of_parents(library, make):
    a = make("a")
    b = make("b", a)
    card = replace(a.card, provenance={"parent": {"sha256": b.card.sha256}})
    save_weights(a.path, load_weights(a.path)[0], card)
    a, b = library.find("a"), library.find("b")
    assert parent_in(library.models(), a) == b
    assert parent_in(library.models(), b) == a
    a.path.unlink()
    assert parent_in(library.models(), b) is None


def test_damaged_models_are_listed_with_what_is_wrong(library, make):
    for name in ("bare", "cardless", "other", "short"):
        make(name)
    for name in ("cardless", "other"):
        path = library.folder / f"{name}.safetensors"
        path.write_bytes(split_card(path.read_bytes())[0])
    (library.folder / "other.json").write_text("[]")
    short = library.folder / "short.safetensors"
    short.write_bytes(short.read_bytes()[:-3])
    (library.folder / "bare.safetensors").write_bytes(b"")
    (library.folder / "folder.safetensors").mkdir()
    (library.folder / "folder.json").write_text(CARD.to_json())
    found = {model.name: model for model in library.models() if not model.shipped}
    assert list(found) == ["bare", "cardless", "folder", "other", "short"]
    assert all(name in model.damaged for name, model in found.items())
    assert found["cardless"].card is None
    assert found["cardless"].kind == ""
    for model in found.values():
        with pytest.raises(WeightsError, match="is damaged"):
            library.adopt(model)
    assert library.history("classifier") == ()
