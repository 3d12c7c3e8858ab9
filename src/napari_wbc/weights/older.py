"""Models as older versions wrote them: a pair of files, or a zip of the pair (``.wbcmodel``).

A pair is ``NAME.safetensors`` with its card as ``NAME.json`` beside it. Nothing writes these any
more. What is no such model raises a :class:`~napari_wbc.errors.WeightsError`.

Invariant: nothing is read beyond its limit, whatever a header says.
"""

from __future__ import annotations

import struct
import zipfile
from io import BytesIO
from pathlib import Path

from napari_wbc.errors import ReadError, WeightsError
from napari_wbc.files.guard import read_bytes, read_text
from napari_wbc.weights.container import MAX_MODEL_BYTES, sha256_hex

MAX_CARD_BYTES = 4_000_000
MAX_DIRECTORY_BYTES = 1024
"""Of what a zip says about its two members; ours takes 127."""
_MEMBERS = ["card.json", "weights.safetensors"]
_END = struct.Struct("<4s4H2LH")
_LOCATOR = b"PK\x06\x07"
"""Begins the 20 bytes before the end of a zip of more than 4 GB."""


def read_pair_card(path: Path) -> str:
    """The JSON of the card beside a weights file; a :class:`WeightsError` if it is not there."""
    beside = path.with_suffix(".json")
    try:
        return read_text(beside)
    except ReadError as error:
        raise WeightsError(
            f"{path}: not a model, or damaged: the model card cannot be read, neither in it nor "
            f"from {beside.name} beside it; copy the model again."
        ) from error


def read_pair(path: Path, weights: bytes) -> tuple[bytes, str]:
    """The weights and the JSON of the card of a pair, from the bytes of its weights file."""
    card = read_pair_card(path)
    coming = path.with_suffix(".coming")
    if coming.is_file():
        # Older versions replaced the card first and the weights last. Where they were interrupted
        # between the two, the weights of the card still wait under this name.
        waiting = read_bytes(coming, MAX_MODEL_BYTES)
        if sha256_hex(waiting) in card:
            return waiting, card
    return weights, card


def is_zip(data: bytes) -> bool:
    """Whether the bytes begin as a zip does, which no safetensors does."""
    return data.startswith(b"PK\x03\x04")


def read_zip(path: Path, raw: bytes) -> tuple[bytes, str]:
    """The weights and the JSON of the card of a zipped pair; it may be a stranger's."""
    try:
        _check_end(raw)
        with zipfile.ZipFile(BytesIO(raw)) as file:
            members = file.infolist()
            if [member.filename for member in members] != _MEMBERS:
                raise zipfile.BadZipFile(f"it holds something else than {' and '.join(_MEMBERS)}")
            card = _member(file, members[0], MAX_CARD_BYTES)
            weights = _member(file, members[1], MAX_MODEL_BYTES)
        return weights, card.decode()
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        struct.error,
    ) as error:
        raise WeightsError(
            f"{path}: not a model as one file ({error}); export it again."
        ) from error


def _check_end(raw: bytes) -> None:
    # zipfile reads the list of members whole: one of millions would take all memory.
    signature, *_, size, _offset, comment = _END.unpack(raw[-_END.size :])
    locator = raw[-_END.size - 20 :][: len(_LOCATOR)]
    ends_well = signature == b"PK\x05\x06" and not comment and locator != _LOCATOR
    if not ends_well or size > MAX_DIRECTORY_BYTES:
        raise zipfile.BadZipFile("it does not end as one, or lists too much")


def _member(file: zipfile.ZipFile, member: zipfile.ZipInfo, max_bytes: int) -> bytes:
    # What is compressed can be a bomb, and nothing of ours ever was.
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 0x1:
        raise zipfile.BadZipFile(f"{member.filename} is compressed or encrypted")
    with file.open(member) as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes or len(data) != member.file_size:
        raise zipfile.BadZipFile(f"{member.filename} is not of the size it says, or too large")
    return data
