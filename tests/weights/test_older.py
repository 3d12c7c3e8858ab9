"""Models of older versions open, and what a stranger sends as one of them is looked at first."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import shutil
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_wbc.classify.predict import load_classifier
from napari_wbc.errors import WeightsError
from napari_wbc.weights import older, store
from napari_wbc.weights.container import split_card
from napari_wbc.weights.library import Library
from napari_wbc.weights.store import export_model, load_weights, read_card, read_model

DATA = Path(__file__).parent / "data"
"""A pair and a zip as the version before wrote them, and what it then said of four crops."""
OLD_ID = "old_pair 1 (7f91abb1)"


def probabilities(path):
    crops = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    red = np.full((4, 3), np.nan, np.float32)
    predictions = load_classifier(path, device="cpu").predict(crops, red)
    return np.array([prediction.probabilities for prediction in predictions])


@pytest.fixture
def pair(tmp_path):
    """A copy of the pair that the version before wrote."""
    for suffix in (".safetensors", ".json"):
        shutil.copy(DATA / f"old_pair{suffix}", tmp_path)
    return tmp_path / "old_pair.safetensors"


def test_a_pair_of_the_version_before_opens_and_says_the_same(pair):
    assert read_card(pair).model_id == OLD_ID
    assert read_card(pair.with_suffix(".json")) == read_card(pair) == load_weights(pair)[1]
    np.testing.assert_allclose(
        probabilities(pair), np.loadtxt(DATA / "old_pair_outputs.txt"), atol=1e-4
    )


@pytest.mark.parametrize("name", ["old_pair.safetensors", "old_bundle.wbcmodel"])
def test_a_model_of_the_version_before_becomes_one_file_and_keeps_its_id(tmp_path, name):
    library = Library(tmp_path / "models")
    model = library.add(DATA / name)
    assert [path.name for path in library.folder.glob("old*")] == [model.path.name]
    assert model.card.model_id == OLD_ID
    assert model.parent.startswith("f12d36c1")
    np.testing.assert_allclose(
        probabilities(model.path), np.loadtxt(DATA / "old_pair_outputs.txt"), atol=1e-4
    )
    assert library.add(DATA / "old_pair.safetensors") == model
    assert library.add(DATA / "old_bundle.wbcmodel") == model


def test_a_pair_interrupted_while_it_was_written_is_the_one_of_its_card(pair, pair_of, weights):
    new = pair_of(weights, pair.with_name("new.safetensors"))
    coming = pair.with_suffix(".coming")
    shutil.copy(new, coming)
    assert load_weights(pair)[1].model_id == OLD_ID
    shutil.copy(new.with_suffix(".json"), pair.with_suffix(".json"))
    tensors, card = load_weights(pair)
    assert card == read_card(weights)
    expected = load_weights(weights)[0]
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    coming.unlink()
    with pytest.raises(WeightsError, match="not those of their card"):
        load_weights(pair)


def test_the_card_of_a_pair_is_read_without_its_weights(pair):
    pair.unlink()
    assert read_card(pair).model_id == OLD_ID


def test_an_old_card_beside_a_new_model_is_not_looked_at(pair, weights):
    shutil.copy(weights, pair)
    assert read_card(pair) == load_weights(pair)[1] == read_card(weights)


@pytest.fixture
def parts(weights):
    """The members of a good bundle."""
    bare, text = split_card(weights.read_bytes())
    return {"card.json": text.encode(), "weights.safetensors": bare}


def zipped(parts, compression=zipfile.ZIP_STORED):
    raw = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(raw, "w", compression) as file:
        warnings.simplefilter("ignore")  # of names that stand twice
        for name, data in parts:
            file.writestr(name, data)
    return raw.getvalue()


def card_for(parts, data):
    """The card, as a stranger writes it for other weights."""
    card = json.loads(parts["card.json"]) | {"sha256": hashlib.sha256(data).hexdigest()}
    return json.dumps(card).encode()


def refused(tmp_path, raw):
    path = tmp_path / "stranger.wbcmodel"
    path.write_bytes(raw)
    with pytest.raises(WeightsError, match=r"stranger\.wbcmodel") as told:
        read_model(path)
    assert set(tmp_path.iterdir()) == {path}
    return str(told.value)


def test_an_empty_file_is_refused(tmp_path):
    assert "not a model, or damaged" in refused(tmp_path, b"")


@pytest.mark.parametrize("part", [0.01, 0.5, 0.9, 0.999])
def test_a_truncated_bundle_is_refused(tmp_path, parts, part):
    raw = zipped(parts.items())
    refused(tmp_path, raw[: int(part * len(raw))])


@pytest.mark.parametrize("where", [0, 14, 40, 0.3, 0.9, -80, -10])
def test_a_flipped_byte_never_gives_other_weights(tmp_path, parts, where):
    raw = bytearray(zipped(parts.items()))
    raw[int(where * len(raw)) if isinstance(where, float) else where] ^= 0xFF
    path = tmp_path / "stranger.wbcmodel"
    path.write_bytes(raw)
    try:
        assert read_model(path)[0] == parts["weights.safetensors"]
    except WeightsError as error:
        assert "stranger" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "extra",
    ["readme.txt", "../../evil.json", "/etc/passwd", "C:\\evil", "card.json", "CARD.JSON", "dir/"],
)
def test_a_third_member_is_refused(tmp_path, parts, extra):
    assert "something else" in refused(tmp_path, zipped([*parts.items(), (extra, b"x")]))


@pytest.mark.parametrize(
    "name", ["../weights.safetensors", "weights.safetensors/", "weights.pt", "a/card.json"]
)
def test_another_name_is_refused(tmp_path, parts, name):
    card, data = parts.values()
    assert "something else" in refused(tmp_path, zipped([("card.json", card), (name, data)]))


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
def test_a_member_that_is_missing_or_stands_twice_is_refused(tmp_path, parts, name):
    refused(tmp_path, zipped([(name, parts[name])]))
    refused(tmp_path, zipped([(name, parts[name])] * 2))
    refused(tmp_path, zipped([]))


def test_weights_of_another_sha256_are_refused(tmp_path, parts):
    other = parts["weights.safetensors"][:-1] + b"!"
    raw = zipped([("card.json", parts["card.json"]), ("weights.safetensors", other)])
    assert "not those of their card" in refused(tmp_path, raw)


def test_a_pickle_is_never_loaded(tmp_path, parts):
    evil = pickle.dumps(re.compile("x"))
    raw = zipped([("card.json", card_for(parts, evil)), ("weights.safetensors", evil)])
    assert "not a safetensors file" in refused(tmp_path, raw)


@pytest.mark.parametrize(
    "data", [b"", struct.pack("<Q", 2**63), struct.pack("<Q", 2) + b"{}x", b"\xff" * 64]
)
def test_broken_safetensors_are_refused(tmp_path, parts, data):
    raw = zipped([("card.json", card_for(parts, data)), ("weights.safetensors", data)])
    assert "not a safetensors file" in refused(tmp_path, raw)


@pytest.mark.parametrize(
    "card", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b"null", b'"card"']
)
def test_what_is_no_card_is_refused(tmp_path, parts, card):
    refused(
        tmp_path,
        zipped([("card.json", card), ("weights.safetensors", parts["weights.safetensors"])]),
    )


def test_a_huge_card_is_refused(tmp_path, parts):
    card = parts["card.json"] + b" " * 4_000_001
    raw = zipped([("card.json", card), ("weights.safetensors", parts["weights.safetensors"])])
    assert "too large" in refused(tmp_path, raw)


def test_a_compressed_bomb_is_refused_unread(tmp_path, parts):
    data = bytes(50_000_000)
    raw = zipped(
        [("card.json", parts["card.json"]), ("weights.safetensors", data)], zipfile.ZIP_DEFLATED
    )
    assert len(raw) < 100_000
    assert "compressed" in refused(tmp_path, raw)


@pytest.mark.parametrize("said", [1, 2**31, 0xFFFFFFFE])
def test_a_header_that_lies_about_sizes_is_refused(tmp_path, parts, said):
    raw = bytearray(zipped(parts.items()))
    entry = raw.rindex(b"PK\x01\x02")
    raw[entry + 20 : entry + 28] = struct.pack("<LL", said, said)
    refused(tmp_path, bytes(raw))


@pytest.mark.parametrize("said", [1, 2**31])
def test_a_real_size_other_than_said_is_refused(tmp_path, parts, said):
    raw = bytearray(zipped(parts.items()))
    entry = raw.rindex(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<L", said)  # the compressed size is the true one
    refused(tmp_path, bytes(raw))


def test_an_encrypted_bundle_is_refused(tmp_path, parts):
    raw = bytearray(zipped(parts.items()))
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refused(tmp_path, bytes(raw))


def test_a_list_of_a_million_members_is_refused_unread(tmp_path, monkeypatch):
    raw = zipped([(f"{i}", b"") for i in range(50)])
    monkeypatch.setattr(older.zipfile, "ZipFile", None)
    assert "lists too much" in refused(tmp_path, raw)


def test_a_list_behind_a_zip64_locator_is_refused_unread(tmp_path, parts, monkeypatch):
    raw = zipped(parts.items())
    raw = raw[:-22] + struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1) + raw[-22:]
    monkeypatch.setattr(older.zipfile, "ZipFile", None)
    assert "lists too much" in refused(tmp_path, raw)


def test_a_file_of_another_kind_is_refused(tmp_path, weights):
    refused(tmp_path, split_card(weights.read_bytes())[0])


def test_too_large_files_are_refused_unread(tmp_path, parts, monkeypatch, weights):
    monkeypatch.setattr(older, "MAX_MODEL_BYTES", 1000)
    assert "too large" in refused(tmp_path, zipped(parts.items()))
    monkeypatch.setattr(store, "MAX_MODEL_BYTES", 1000)
    with pytest.raises(WeightsError, match=r"larger than 0\.001 MB"):
        export_model(weights, tmp_path / "out")
    assert "larger" in refused(tmp_path, zipped(parts.items()))
