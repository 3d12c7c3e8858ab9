"""Weights files: what was saved comes back, and what was damaged does not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from napari_wbc.errors import WeightsError
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.store import load_weights, read_card, save_weights

CARD = ModelCard("small", "1", "cdnn", ("a", "b"), {"size": 80})


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    strided = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    return {"w": strided, "b": torch.arange(4), "half": torch.randn(3).to(torch.bfloat16)}


@pytest.fixture
def saved(tmp_path, tensors):
    path = tmp_path / "deep" / "small.safetensors"
    save_weights(path, tensors, CARD)
    return path


def test_no_tensors_come_back_as_none(tmp_path):
    save_weights(tmp_path / "none.safetensors", {}, CARD)
    assert load_weights(tmp_path / "none.safetensors")[0] == {}


def test_weights_and_card_come_back(saved, tensors):
    loaded, card = load_weights(str(saved))
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert card.sha256 == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert read_card(saved) == card
    assert set(saved.parent.iterdir()) == {saved, saved.with_suffix(".json")}


def test_the_same_weights_give_the_same_file(saved, tensors, tmp_path):
    again = save_weights(tmp_path / "again.safetensors", tensors, CARD)
    assert again == read_card(saved)


@pytest.mark.parametrize("where", [0, 9, 0.5, -1])
def test_a_flipped_bit_is_noticed(saved, where):
    data = bytearray(saved.read_bytes())
    data[int(where * len(data)) if isinstance(where, float) else where] ^= 1
    saved.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(saved)


@pytest.mark.parametrize("part", [0, 0.1, 0.9])
def test_a_truncated_file_is_noticed(saved, part):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(part * len(data))])
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(saved)


def test_a_missing_card_is_said(saved):
    saved.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match=r"small\.json: the model card cannot be read"):
        load_weights(saved)


def test_missing_weights_are_said(saved):
    saved.unlink()
    with pytest.raises(WeightsError, match="the weights cannot be read"):
        load_weights(saved)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"images": []}', b"\xff\xfe"])
def test_foreign_json_beside_the_weights_is_said(saved, text):
    saved.with_suffix(".json").write_bytes(text)
    with pytest.raises(WeightsError, match=r"small\.json"):
        load_weights(saved)


def test_the_card_of_other_weights_is_noticed(saved, tmp_path):
    save_weights(tmp_path / "other.safetensors", {"w": torch.zeros(3)}, CARD)
    saved.with_suffix(".json").write_bytes((tmp_path / "other.json").read_bytes())
    with pytest.raises(WeightsError, match="not those of their card"):
        load_weights(saved)


@pytest.mark.parametrize("data", [b"", b"\x80\x04pickle", b"not safetensors at all"])
def test_a_file_of_another_format_is_noticed_even_with_a_card_of_its_own(saved, data):
    saved.write_bytes(data)
    card = saved.with_suffix(".json")
    card.write_text(
        json.dumps(json.loads(card.read_text()) | {"sha256": hashlib.sha256(data).hexdigest()})
    )
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_weights(saved)


def test_a_place_that_cannot_be_written_is_said(tmp_path, tensors):
    (tmp_path / "out").touch()
    with pytest.raises(WeightsError, match="cannot be written"):
        save_weights(tmp_path / "out" / "small.safetensors", tensors, CARD)


def test_a_failure_leaves_the_old_weights(saved, monkeypatch):
    before = load_weights(saved)[1]

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WeightsError, match="disk full"):
        save_weights(saved, {"w": torch.zeros(3)}, CARD)
    assert load_weights(saved)[1] == before


def test_weights_that_were_interrupted_on_their_way_are_the_old_or_the_new(tmp_path, monkeypatch):
    path = tmp_path / "small.safetensors"
    save_weights(path, {"a": torch.zeros(3)}, CARD)
    real = Path.replace
    for stop in (1, 2, 3):  # before each of the three files takes its place
        replaced = []

        def counted(self, target, stop=stop, replaced=replaced):
            replaced.append(self)
            if len(replaced) == stop:
                raise KeyboardInterrupt
            return real(self, target)

        monkeypatch.setattr(Path, "replace", counted)
        with pytest.raises(KeyboardInterrupt):
            save_weights(path, {"a": torch.full((3,), float(stop))}, CARD)
        monkeypatch.undo()
        found = load_weights(path)[0]["a"][0].item()
        assert found == (stop if stop == 3 else 0)
