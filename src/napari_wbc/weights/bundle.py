"""A model as one file, ``NAME.wbcmodel``: a zip of just ``card.json`` and ``weights.safetensors``, stored.

Invariant: weights come in only with the card that names their sha256, and nothing else comes in
with them; nothing is read beyond its limit, whatever a header says.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from io import BytesIO
from pathlib import Path

from napari_wbc.errors import WeightsError
from napari_wbc.files.atomic import replace_file
from napari_wbc.weights.card import ModelCard

__all__ = ["SUFFIX", "checked_card", "read_bundle", "read_members", "read_model", "write_bundle"]

SUFFIX = ".wbcmodel"
LIMITS = {"card.json": 4_000_000, "weights.safetensors": 256_000_000}
"""The members in their order, and their largest sizes in bytes."""
_AROUND = 1024
"""Largest size of what a zip says about its two members, in bytes; ours takes 127."""
_END = struct.Struct("<4s4H2LH")
_LOCATOR = b"PK\x06\x07"
"""Begins the 20 bytes before the end of a zip of more than 4 GB."""


def write_bundle(weights: str | Path, out: str | Path) -> Path:
    """Write a model as one file, whole or not at all.

    Parameters
    ----------
    weights : str or Path
        ``NAME.safetensors``, its card beside it.
    out : str or Path
        Ends in ``.wbcmodel``, which is added where it is missing.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    WeightsError
        If the model is damaged or too large, or the file cannot be written.
    """
    weights, out = Path(weights), Path(out)
    if out.suffix not in ("", SUFFIX):
        raise WeightsError(f"{out}: a model's file ends in {SUFFIX}; name it {out.stem}{SUFFIX}.")
    data, text = read_model(weights)
    checked_card(weights, data, text)
    out = out if out.suffix == SUFFIX else out.with_name(out.name + SUFFIX)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:
        for name, part in zip(LIMITS, (text, data), strict=True):
            file.writestr(
                zipfile.ZipInfo(name), part
            )  # without a time: the same model, the same file
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, packed.getvalue())
    except OSError as error:
        raise WeightsError(
            f"{out}: cannot be written ({error.strerror or error}); choose another place."
        ) from error
    return out


def read_bundle(path: str | Path) -> tuple[bytes, ModelCard]:
    """Read a model from one file, and check it.

    Parameters
    ----------
    path : str or Path
        A ``.wbcmodel``; it may be a stranger's.

    Returns
    -------
    weights : bytes
        Of a ``.safetensors`` file.
    card : ModelCard

    Raises
    ------
    WeightsError
        If it is no such file, holds anything else, or its weights are not those of its card.
    """
    path = Path(path)
    data, text = read_members(path)
    return data, checked_card(path, data, text)


def read_members(path: Path) -> tuple[bytes, bytes]:
    """The bytes of weights and card in a bundle, of which only names and sizes are checked.

    Raises
    ------
    WeightsError
        If it cannot be read, is no such file, or holds anything else.
    """
    raw = _read(path, sum(LIMITS.values()) + _AROUND)
    try:
        _check_end(raw)
        with zipfile.ZipFile(BytesIO(raw)) as packed:
            found = packed.infolist()
            if [info.filename for info in found] != list(LIMITS):
                raise zipfile.BadZipFile(f"it holds something else than {' and '.join(LIMITS)}")
            text, data = (_member(packed, info) for info in found)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        struct.error,
    ) as e:
        raise WeightsError(f"{path}: not a model as one file ({e}); export it again.") from e
    return data, text


def read_model(path: Path) -> tuple[bytes, bytes]:
    """The bytes of a weights file and of the card beside it, of which only sizes are checked.

    Raises
    ------
    WeightsError
        If one cannot be read, or is too large.
    """
    most_card, most_data = LIMITS.values()
    return _read(path, most_data), _read(path.with_suffix(".json"), most_card)


def checked_card(path: Path, data: bytes, text: bytes) -> ModelCard:
    """The card of weights, after a check that these are its weights.

    Parameters
    ----------
    path : Path
        To be named where they are not.
    data : bytes
        Of a ``.safetensors`` file.
    text : bytes
        JSON of the card.

    Raises
    ------
    WeightsError
        If the card is none, or the weights are not those it names, or no safetensors.
    """
    from safetensors import SafetensorError, deserialize

    try:
        card = ModelCard.from_json(text.decode())
        if hashlib.sha256(data).hexdigest() != card.sha256:
            raise WeightsError(
                "The weights are damaged or not those of the card (another sha256); copy it again."
            )
        deserialize(data)  # type: ignore[no-untyped-call]
    except (WeightsError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: {error}") from error
    except SafetensorError as error:
        raise WeightsError(
            f"{path}: the weights are no safetensors ({error}); copy it again."
        ) from error
    return card


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: the model cannot be read; check the path.") from error
    if len(data) > most:
        raise WeightsError(
            f"{path}: larger than {most / 1e6:.0f} MB, which no model is; check the file."
        )
    return data


def _check_end(raw: bytes) -> None:
    """A list of millions of members takes all memory, so its size is looked at before it is read."""
    signature, *_, size, _offset, comment = _END.unpack(raw[-_END.size :])
    locator = raw[-_END.size - 20 :][: len(_LOCATOR)]
    if signature != b"PK\x05\x06" or comment or size > _AROUND or locator == _LOCATOR:
        raise zipfile.BadZipFile("it does not end as one, or lists too much")


def _member(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    most = LIMITS[info.filename]
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
        raise zipfile.BadZipFile(f"{info.filename} is compressed or encrypted")
    with packed.open(info) as file:
        data = file.read(most + 1)
    if len(data) > most or len(data) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} is not of the size it says, or too large")
    return data
