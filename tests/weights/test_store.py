"""Weights files: what was saved comes back, and what was damaged does not."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from napari_wbc.errors import WeightsError
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.container import split_card
from napari_wbc.weights.store import (
    export_model,
    load_weights,
    read_card,
    read_model,
    save_weights,
    write_model,
)

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
    assert card.sha256 == hashlib.sha256(save(loaded)).hexdigest()
    assert read_card(saved) == card
    assert set(saved.parent.iterdir()) == {saved}


def test_safetensors_itself_reads_a_model(saved, tensors):
    loaded = load_file(saved)
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_the_same_weights_give_the_same_file(saved, tensors, tmp_path):
    path = tmp_path / "again.safetensors"
    assert save_weights(path, tensors, CARD) == read_card(saved)
    assert path.read_bytes() == saved.read_bytes()


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
    saved.write_bytes(split_card(saved.read_bytes())[0])
    with pytest.raises(WeightsError, match=r"the model card cannot be read.*small\.json"):
        load_weights(saved)


@pytest.mark.parametrize("change", [b"small", b"0.5", b"cdnn"])
def test_a_flipped_bit_in_the_card_is_noticed(saved, change):
    saved.write_bytes(saved.read_bytes().replace(change, bytes([change[0] ^ 1]) + change[1:], 1))
    for read in (load_weights, read_card):
        with pytest.raises(WeightsError, match="model card is damaged"):
            read(saved)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_that_are_none_are_neither_written_nor_read(tmp_path, number, dtype):
    path = tmp_path / "bad.safetensors"
    tensors = {"good": torch.ones(3), "head.weight": torch.tensor([1, number], dtype=dtype)}
    with pytest.raises(WeightsError, match=r"bad\.safetensors: head\.weight holds NaN"):
        save_weights(path, tensors, CARD)
    assert not path.exists()
    forge(path, tensors)
    with pytest.raises(WeightsError, match=r"bad\.safetensors: head\.weight holds NaN"):
        load_weights(path)


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_tensors_of_other_kinds_are_refused(tmp_path, dtype):
    path = tmp_path / "bad.safetensors"
    tensors = {"head.weight": torch.ones(3).to(dtype)}
    with pytest.raises(WeightsError, match=r"bad\.safetensors: head\.weight is torch"):
        save_weights(path, tensors, CARD)
    forge(path, tensors)
    with pytest.raises(WeightsError, match=r"bad\.safetensors: head\.weight is torch"):
        load_weights(path)


def forge(path, tensors):
    """Write what save_weights refuses."""
    weights = save(tensors)
    sha256 = hashlib.sha256(weights).hexdigest()
    write_model(path, weights, json.dumps(json.loads(CARD.to_json()) | {"sha256": sha256}))


def test_missing_weights_are_said(saved):
    saved.unlink()
    with pytest.raises(WeightsError, match="the file cannot be read"):
        load_weights(saved)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"images": []}', b"\xff\xfe"])
def test_foreign_json_beside_the_weights_is_said(saved, text):
    saved.write_bytes(split_card(saved.read_bytes())[0])
    saved.with_suffix(".json").write_bytes(text)
    with pytest.raises(WeightsError, match=r"small\.json"):
        load_weights(saved)


def test_the_card_of_other_weights_is_noticed(saved, tmp_path):
    other = tmp_path / "other.safetensors"
    save_weights(other, {"w": torch.zeros(3)}, CARD)
    write_model(saved, read_model(saved)[0], read_model(other)[1])
    with pytest.raises(WeightsError, match="not those of their card"):
        load_weights(saved)


@pytest.mark.parametrize("data", [b"", b"\x80\x04pickle", b"not safetensors at all"])
def test_a_file_of_another_format_is_noticed_even_with_a_card_of_its_own(saved, data):
    card = json.loads(read_model(saved)[1]) | {"sha256": hashlib.sha256(data).hexdigest()}
    saved.write_bytes(data)
    saved.with_suffix(".json").write_text(json.dumps(card))
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


def test_weights_that_were_interrupted_on_their_way_are_the_old(tmp_path, monkeypatch):
    path = tmp_path / "small.safetensors"
    save_weights(path, {"a": torch.zeros(3)}, CARD)

    def interrupted(_self, _target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_weights(path, {"a": torch.ones(3)}, CARD)
    monkeypatch.undo()
    assert load_weights(path)[0]["a"][0].item() == 0
    assert set(tmp_path.iterdir()) == {path}


def test_an_exported_model_is_the_same_file(tmp_path, weights):
    path = export_model(weights, tmp_path / "deep" / "mine")
    assert path == tmp_path / "deep" / "mine.wbcmodel"
    assert path.read_bytes() == weights.read_bytes()
    assert load_weights(str(path))[1] == read_card(weights)
    assert list(path.parent.iterdir()) == [path]
    assert export_model(path, tmp_path / "b.safetensors").read_bytes() == weights.read_bytes()


def test_what_a_newer_version_wrote_in_the_card_stays(tmp_path, weights):
    own = tmp_path / "mine.safetensors"
    data, text, _card = read_model(weights)
    write_model(own, data, json.dumps(json.loads(text) | {"later": 1}))
    assert json.loads(read_model(export_model(own, tmp_path / "mine"))[1])["later"] == 1


def test_damaged_models_are_not_exported(tmp_path, weights):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(WeightsError, match=r"mine\.safetensors.*damaged"):
        export_model(path, tmp_path / "out")
    path.write_bytes(split_card(weights.read_bytes())[0])
    with pytest.raises(WeightsError, match=r"mine\.json"):
        export_model(path, tmp_path / "out")
    assert not (tmp_path / "out.wbcmodel").exists()


def test_a_place_for_an_export_that_cannot_be_written_is_said(tmp_path, weights, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="cannot be written"):
        export_model(weights, tmp_path / "file" / "out")
    old = export_model(weights, tmp_path / "old").read_bytes()

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WeightsError, match="disk full"):
        export_model(weights, tmp_path / "old")
    assert (tmp_path / "old.wbcmodel").read_bytes() == old


def test_another_suffix_is_refused(weights, tmp_path):
    with pytest.raises(WeightsError, match=r"name it mine\.wbcmodel"):
        export_model(weights, tmp_path / "mine.zip")


@pytest.mark.parametrize("name", ["none.wbcmodel", ""])
def test_a_missing_file_and_a_folder_are_said(tmp_path, name):
    with pytest.raises(WeightsError, match="cannot be read"):
        read_model(tmp_path / name)


def test_weights_in_an_odd_form_are_not_written(tmp_path):
    weights = save({"a": torch.zeros(3)})
    odd = weights.replace(b"[0,12]", b"[0 ,12]").replace(b"  ", b" ", 1)
    with pytest.raises(WeightsError, match="not in the usual form"):
        write_model(tmp_path / "odd.safetensors", odd, CARD.to_json())


@pytest.mark.parametrize("read", [read_card, load_weights])
def test_a_pipe_is_no_model(tmp_path, read):
    path = tmp_path / "m.safetensors"
    os.mkfifo(path)
    with pytest.raises(WeightsError, match=r"m\.safetensors: this is no file but a pipe"):
        read(path)
