"""A model is one file, ``NAME.safetensors``: its tensors, and its model card in the header.

What cannot be written, is missing, damaged or no model, or holds NaN or infinity, raises a
:class:`~napari_wbc.errors.WeightsError` that names the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc.errors import ReadError, WbcError, WeightsError
from napari_wbc.files.atomic import write_bytes
from napari_wbc.files.guard import check_plain, read_bytes
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.container import (
    MAX_MODEL_BYTES,
    join_card,
    read_header,
    sha256_hex,
    split_card,
)
from napari_wbc.weights.older import is_zip, read_pair, read_pair_card, read_zip

if TYPE_CHECKING:
    import torch

EXPORT_SUFFIX = ".wbcmodel"
"""Of a model that is handed on; the file is the same."""
SUFFIXES = (".safetensors", EXPORT_SUFFIX)
_DTYPES = ("float16", "bfloat16", "float32", "float64", "int64")
"""Kinds of numbers in the networks of this package."""


def save_weights(
    path: str | Path, tensors: Mapping[str, torch.Tensor], card: ModelCard
) -> ModelCard:
    """Write a state dict with its card as ``NAME.safetensors``, whole or not at all.

    Returns
    -------
    ModelCard
        As written, with the ``sha256`` of the weights.
    """
    from safetensors.torch import save

    _check_tensors(Path(path), tensors)
    weights = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    card = replace(card, sha256=sha256_hex(weights))
    write_model(Path(path), weights, card.to_json())
    return card


def load_weights(path: str | Path) -> tuple[dict[str, torch.Tensor], ModelCard]:
    """Read weights and their card, and check all of both.

    A pair of files or a zip of an older version opens too.
    """
    from safetensors.torch import load

    weights, _text, card = read_model(path)
    tensors = load(weights)
    _check_tensors(Path(path), tensors)
    return tensors, card


def read_card(path: str | Path) -> ModelCard:
    """Read the card of a model, without its tensors.

    The path may be that of the ``.json`` that older versions wrote beside it.
    """
    path = Path(path)
    if path.suffix == ".json":
        path = path.with_suffix(".safetensors")
    try:
        check_plain(path)
        text = split_card(read_header(path))[1]
    except ReadError as error:
        raise WeightsError(str(error)) from error
    except OSError:
        # Of a pair whose weights are gone, the card can still be read.
        text = None
    except ValueError as error:
        raise WeightsError(f"{path}: {error}; copy it again.") from error
    if text is None:
        return _card(path.with_suffix(".json"), read_pair_card(path))
    return _card(path, text)


def read_model(path: str | Path) -> tuple[bytes, str, ModelCard]:
    """Read a model, and check that its weights are those of its card; it may be a stranger's.

    Returns
    -------
    weights : bytes
        Safetensors, without the card.
    text : str
        The JSON of the card as it was written, with what a newer version wrote in it.
    card : ModelCard
        Of that text.
    """
    from safetensors import SafetensorError, deserialize

    path = Path(path)
    card_path = path
    try:
        data = read_bytes(path, MAX_MODEL_BYTES)
        weights, text = read_zip(path, data) if is_zip(data) else split_card(data)
        if text is None:
            weights, text = read_pair(path, data)
            card_path = path.with_suffix(".json")
    except ReadError as error:
        raise WeightsError(str(error)) from error
    except ValueError as error:
        raise WeightsError(f"{path}: {error}; copy it again.") from error
    card = _card(card_path, text)
    if sha256_hex(weights) != card.sha256:
        raise WeightsError(
            f"{path}: the weights are damaged or not those of their card (another sha256); "
            "copy the model again."
        )
    try:
        deserialize(weights)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error}); copy it again.") from error
    return weights, text, card


def write_model(path: Path, weights: bytes, text: str) -> None:
    """Write a model from what :func:`read_model` gives, whole or not at all."""
    try:
        write_bytes(path, join_card(weights, text))
    except ValueError as error:
        raise WeightsError(f"{path}: {error}; save the weights with safetensors.") from error
    except WbcError as error:
        raise WeightsError(str(error)) from error


def export_model(path: str | Path, out: str | Path) -> Path:
    """Copy a model to a file that can be handed on, after a check of all of it.

    Its name ends in ``.safetensors`` or ``.wbcmodel``, which is added where it ends in nothing.
    """
    out = Path(out)
    if out.suffix not in ("", *SUFFIXES):
        raise WeightsError(
            f"{out}: a model's file ends in {EXPORT_SUFFIX}; name it {out.stem}{EXPORT_SUFFIX}."
        )
    if not out.suffix:
        out = out.with_name(out.name + EXPORT_SUFFIX)
    weights, text, _card = read_model(path)
    write_model(out, weights, text)
    return out


def _card(path: Path, text: str) -> ModelCard:
    try:
        return ModelCard.from_json(text)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _check_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse numbers that no trained network has: one NaN makes every prediction NaN."""
    for name, tensor in tensors.items():
        if str(tensor.dtype).removeprefix("torch.") not in _DTYPES:
            raise WeightsError(
                f"{path}: {name} is {tensor.dtype}; use one of {', '.join(_DTYPES)}."
            )
        if not tensor.isfinite().all():
            raise WeightsError(
                f"{path}: {name} holds NaN or infinity; train again with a lower learning rate."
            )
