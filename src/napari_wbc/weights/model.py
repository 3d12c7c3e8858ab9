"""One model of a library: its file, its card, whose child it is, and whether it is sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_wbc.errors import WeightsError
from napari_wbc.weights.card import ModelCard, parent_of
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR, find_weights
from napari_wbc.weights.store import read_card

KINDS = {"classifier": DEFAULT_CLASSIFIER, "detector": DEFAULT_DETECTOR}
"""What is in use of each kind before anything is adopted."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a library; its weights are not loaded.

    Parameters
    ----------
    card : ModelCard or None
        None where it cannot be read.
    parent : str
        What :func:`~napari_wbc.weights.card.parent_of` says; the library may lack that model.
    shipped : bool
        Comes with the package, and cannot be removed.
    damaged : str
        What is wrong with it, as far as its header tells; '' for nothing.
    """

    path: Path
    card: ModelCard | None
    parent: str = ""
    shipped: bool = False
    damaged: str = ""

    @property
    def name(self) -> str:
        """Of the file, by which weights are found."""
        return self.path.stem

    @property
    def kind(self) -> str:
        """``classifier``, ``detector``, or '' without a card."""
        return self.card.kind if self.card else ""

    @property
    def weights(self) -> str:
        """A shipped name, or a path: what ``find_weights`` takes."""
        return self.name if self.shipped else str(self.path)


def model_at(path: Path, *, shipped: bool = False) -> Model:
    """The model of a file; one that cannot be read says so in ``damaged``."""
    from safetensors import SafetensorError, safe_open

    try:
        card = read_card(path)
    except WeightsError as error:
        return Model(path, None, "", shipped, str(error))
    damaged = ""
    try:
        # Reads the header and compares the length of the file with it. To hash all weights of a
        # library each time it is listed would take seconds; that is done before one is used.
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        damaged = f"{path}: not readable safetensors ({error}); copy it again."
    return Model(path, card, parent_of(card), shipped, damaged)


def default_model(kind: str) -> Model:
    """The shipped model that is in use where nothing was adopted."""
    return model_at(find_weights(KINDS[kind]), shipped=True)


def parent_in(models: Sequence[Model], model: Model) -> Model | None:
    """The parent of a model, None where it has none among the given."""
    own_sha256 = model.card.sha256 if model.card else ""
    for candidate in models:
        sha256 = candidate.card.sha256 if candidate.card else ""
        if model.parent and sha256.startswith(model.parent) and sha256 != own_sha256:
            return candidate
    return None
