"""A model as one file: what was written comes back, and what a stranger sends is looked at first."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import struct
import warnings
import zipfile

import pytest

from napari_wbc.errors import WeightsError
from napari_wbc.weights import bundle
from napari_wbc.weights.bundle import read_bundle, write_bundle
from napari_wbc.weights.store import read_card


@pytest.fixture
def parts(weights):
    """The members of a good bundle."""
    return {
        "card.json": weights.with_suffix(".json").read_bytes(),
        "weights.safetensors": weights.read_bytes(),
    }


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
        read_bundle(path)
    assert set(tmp_path.iterdir()) == {path}
    return str(told.value)


def test_an_empty_file_is_refused(tmp_path):
    assert "not a model as one file" in refused(tmp_path, b"")


def test_a_model_comes_back_byte_by_byte(tmp_path, weights):
    path = write_bundle(weights, tmp_path / "deep" / "mine")
    assert path == tmp_path / "deep" / "mine.wbcmodel"
    data, card = read_bundle(str(path))
    assert data == weights.read_bytes()
    assert card == read_card(weights)
    assert list(path.parent.iterdir()) == [path]


def test_the_same_model_gives_the_same_file(tmp_path, weights):
    one, two = (
        write_bundle(weights, tmp_path / name).read_bytes() for name in ("a.wbcmodel", "b.wbcmodel")
    )
    assert one == two


def test_what_a_newer_version_wrote_in_the_card_stays(tmp_path, weights, parts):
    own = tmp_path / "mine.safetensors"
    own.write_bytes(parts["weights.safetensors"])
    own.with_suffix(".json").write_text(json.dumps(json.loads(parts["card.json"]) | {"later": 1}))
    with zipfile.ZipFile(write_bundle(own, tmp_path / "mine")) as file:
        assert json.loads(file.read("card.json"))["later"] == 1


def test_damaged_models_are_not_written(tmp_path, weights):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(weights.read_bytes()[:-1] + b"!")
    path.with_suffix(".json").write_bytes(weights.with_suffix(".json").read_bytes())
    with pytest.raises(WeightsError, match=r"mine\.safetensors.*damaged"):
        write_bundle(path, tmp_path / "out")
    path.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match=r"mine\.json"):
        write_bundle(path, tmp_path / "out")
    assert not (tmp_path / "out.wbcmodel").exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path, weights, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="cannot be written"):
        write_bundle(weights, tmp_path / "file" / "out")
    old = write_bundle(weights, tmp_path / "old").read_bytes()

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WeightsError, match="disk full"):
        write_bundle(weights, tmp_path / "old")
    assert (tmp_path / "old.wbcmodel").read_bytes() == old


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
        assert read_bundle(path)[0] == parts["weights.safetensors"]
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
    assert "not those of the card" in refused(tmp_path, raw)


def test_a_pickle_is_never_loaded(tmp_path, parts):
    evil = pickle.dumps(re.compile("x"))
    raw = zipped([("card.json", card_for(parts, evil)), ("weights.safetensors", evil)])
    assert "no safetensors" in refused(tmp_path, raw)


@pytest.mark.parametrize(
    "data", [b"", struct.pack("<Q", 2**63), struct.pack("<Q", 2) + b"{}x", b"\xff" * 64]
)
def test_broken_safetensors_are_refused(tmp_path, parts, data):
    raw = zipped([("card.json", card_for(parts, data)), ("weights.safetensors", data)])
    assert "no safetensors" in refused(tmp_path, raw)


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
    monkeypatch.setattr(bundle.zipfile, "ZipFile", None)
    assert "lists too much" in refused(tmp_path, raw)


def test_a_list_behind_a_zip64_locator_is_refused_unread(tmp_path, parts, monkeypatch):
    raw = zipped(parts.items())
    raw = raw[:-22] + struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1) + raw[-22:]
    monkeypatch.setattr(bundle.zipfile, "ZipFile", None)
    assert "lists too much" in refused(tmp_path, raw)


def test_a_file_of_another_kind_is_refused(tmp_path, weights):
    refused(tmp_path, weights.read_bytes())


def test_too_large_files_are_refused_unread(tmp_path, parts, monkeypatch, weights):
    monkeypatch.setattr(bundle, "LIMITS", {"card.json": 4_000_000, "weights.safetensors": 1000})
    assert "too large" in refused(tmp_path, zipped(parts.items()))
    with pytest.raises(WeightsError, match="larger than 0 MB"):
        write_bundle(weights, tmp_path / "out")
    monkeypatch.setattr(bundle, "LIMITS", {"card.json": 1000, "weights.safetensors": 1000})
    assert "larger" in refused(tmp_path, zipped(parts.items()))


def test_another_suffix_is_refused(weights, tmp_path):
    with pytest.raises(WeightsError, match=r"name it mine\.wbcmodel"):
        write_bundle(weights, tmp_path / "mine.zip")


@pytest.mark.parametrize("name", ["none.wbcmodel", ""])
def test_a_missing_file_and_a_folder_are_said(tmp_path, name):
    with pytest.raises(WeightsError, match="cannot be read"):
        read_bundle(tmp_path / name)
