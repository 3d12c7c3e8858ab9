"""The bytes of a model file: safetensors, with the model card in the metadata of the header.

The header names the sha256 of the card, and the card that of the tensors, which is the sha256 of
the same file without its card. So one pass over the bytes checks all of them, and the sha256 of a
model, thus its id, stays what it was when the card lay beside the weights (docs/adr/0015).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

MAX_MODEL_BYTES = 256_000_000
MAX_HEADER_BYTES = 32_000_000
"""A card that lists a million training images takes less."""
CARD_KEY = "napari_wbc_card"
SHA256_KEY = "napari_wbc_card_sha256"


def sha256_hex(data: bytes) -> str:
    """The sha256 of bytes, as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def join_card(weights: bytes, card: str) -> bytes:
    """A model file from the bytes of safetensors and the JSON of its card.

    Raises
    ------
    ValueError
        If the weights are not safetensors as this package or safetensors itself writes them.
    """
    header = _parsed(weights)
    metadata = header.pop("__metadata__", {})
    metadata |= {CARD_KEY: card, SHA256_KEY: sha256_hex(card.encode())}
    model = _with_header(weights, {"__metadata__": metadata, **header})
    if split_card(model) != (weights, card):
        raise ValueError("the header of the weights is not in the usual form")
    return model


def split_card(model: bytes) -> tuple[bytes, str | None]:
    """The safetensors of a model file without its card, and the JSON of the card.

    The bytes may end after the header. The card is None where there is none: the file is then of
    another kind, of a pair of an older version, or damaged.

    Raises
    ------
    ValueError
        If the card is damaged.
    """
    try:
        header = _parsed(model)
        metadata = header["__metadata__"]
        card = metadata.pop(CARD_KEY)
        sha256 = metadata.pop(SHA256_KEY)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return model, None
    if not isinstance(card, str) or sha256_hex(card.encode(errors="replace")) != sha256:
        raise ValueError("the model card is damaged")
    if not metadata:
        del header["__metadata__"]
    return _with_header(model, header), card


def read_header(path: Path) -> bytes:
    """The first bytes of a model file, to the end of its header."""
    with path.open("rb") as file:
        size = file.read(8)
        return size + file.read(min(int.from_bytes(size, "little"), MAX_HEADER_BYTES))


def _parsed(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    if size > MAX_HEADER_BYTES:
        raise ValueError("the header is too large")
    header = json.loads(data[8 : 8 + size])
    if not isinstance(header, dict):
        raise TypeError("the header is no object")
    return header


def _with_header(data: bytes, header: dict[str, Any]) -> bytes:
    # Compact JSON in the order of the file, padded to 8 bytes: byte for byte what safetensors
    # writes, so that taking the card out again gives the bytes whose sha256 it names.
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + int.from_bytes(data[:8], "little")
    return len(text).to_bytes(8, "little") + text + data[start:]
