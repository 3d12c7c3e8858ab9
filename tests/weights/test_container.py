"""The bytes of a model file: the card goes in and comes out, and the rest stays as it was."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load, save

from napari_wbc.weights.container import join_card, read_header, split_card

TENSORS = {"a": torch.arange(5), "é.weight": torch.zeros(2, 3)}
CARD = '{"name": "\u00e9", "later": 1}\n'


@pytest.fixture
def weights():
    return save(TENSORS)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
@pytest.mark.parametrize("tensors", [{}, TENSORS])
def test_a_card_goes_in_and_comes_out(tensors, metadata):
    weights = save(tensors, metadata=metadata)
    model = join_card(weights, CARD)
    assert split_card(model) == (weights, CARD)
    assert load(model).keys() == tensors.keys()
    assert (len(model) - len(weights)) % 8 == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        bytes(100),
        b"\xff" * 100,
        b"\2\0\0\0\0\0\0\0[]",
        b"\7\0\0\0\0\0\0\0" + b"[" * 7,
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
        b"\x19\0\0\0\0\0\0\0" + b'{"__metadata__": [1, 2]}',
    ],
)
def test_other_files_have_no_card(data):
    assert split_card(data) == (data, None)


def test_a_card_other_than_its_sha256_is_refused(weights):
    model = join_card(weights, CARD)
    with pytest.raises(ValueError, match="model card is damaged"):
        split_card(model.replace(b"later", b"sooner"[:5]))


def test_the_header_alone_has_the_card(weights, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(join_card(weights, CARD))
    header = read_header(path)
    assert len(header) < path.stat().st_size
    assert split_card(header)[1] == CARD
    assert json.loads(header[8:])["a"]["shape"] == [5]
