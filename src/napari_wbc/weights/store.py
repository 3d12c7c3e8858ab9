"""Weights files: safetensors, with the card as JSON of the same name beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc.errors import WeightsError
from napari_wbc.files.atomic import replace_file
from napari_wbc.weights.card import ModelCard

if TYPE_CHECKING:
    import torch

__all__ = ["load_weights", "read_card", "save_weights"]


def save_weights(
    path: str | Path, tensors: Mapping[str, torch.Tensor], card: ModelCard
) -> ModelCard:
    """Write weights and their card, both or neither.

    The card is the moment: until it is replaced the old pair stands, and from then on
    :func:`load_weights` finds the new weights wherever an interruption left them.

    Parameters
    ----------
    path : str or Path
        ``NAME.safetensors``; the card goes to ``NAME.json``.
    tensors : mapping of str to Tensor
        A state dict.
    card : ModelCard
        Its ``sha256`` is set here.

    Returns
    -------
    ModelCard
        The card as written.

    Raises
    ------
    WeightsError
        If they cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    card = replace(card, sha256=hashlib.sha256(data).hexdigest())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        coming = _coming(path)
        replace_file(coming, data)
        replace_file(path.with_suffix(".json"), card.to_json().encode())
        coming.replace(path)
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place."
        ) from error
    return card


def _coming(path: Path) -> Path:
    """Where weights wait for their card."""
    return path.with_suffix(".coming")


def read_card(path: str | Path) -> ModelCard:
    """Read the card of a weights file, without the weights.

    Raises
    ------
    WeightsError
        If it is missing or is no card.
    """
    path = Path(path).with_suffix(".json")
    try:
        return ModelCard.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(
            f"{path}: the model card cannot be read; keep it beside its weights."
        ) from error
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _read(path: Path) -> tuple[bytes, str]:
    """The bytes of a file and their sha256."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: the weights cannot be read; check the path.") from error
    return data, hashlib.sha256(data).hexdigest()


def load_weights(path: str | Path) -> tuple[dict[str, torch.Tensor], ModelCard]:
    """Read weights and their card, and check the one against the other.

    Returns
    -------
    tensors : dict of str to Tensor
    card : ModelCard

    Raises
    ------
    WeightsError
        If either is missing, or the weights are not those the card was written for.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
    card = read_card(path)
    data, found = _read(path)
    if found != card.sha256 and (coming := _coming(path)).is_file():
        waiting, theirs = _read(coming)
        data, found = (waiting, theirs) if theirs == card.sha256 else (data, found)
    if found != card.sha256:
        raise WeightsError(
            f"{path}: the weights are damaged or not those of their card (sha256 {found[:12]}…, the card "
            f"says {card.sha256[:12]}…); copy both files again."
        )
    try:
        return load(data), card
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error}); copy it again.") from error
