"""A library of models, and models in the form of older versions."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from napari_wbc.weights.library import Library
from napari_wbc.weights.store import load_weights, read_model, save_weights


@pytest.fixture
def pair_of():
    """Write a model as the pair of files of an older version."""

    def write(model: Path, out: Path) -> Path:
        weights, text, _card = read_model(model)
        out.write_bytes(weights)
        out.with_suffix(".json").write_text(text)
        return out

    return write


@pytest.fixture
def library(tmp_path, monkeypatch):
    """The person's own, which does not exist yet."""
    monkeypatch.setenv("NAPARI_WBC_MODELS", str(tmp_path / "models"))
    return Library()


@pytest.fixture
def make(library, weights):
    """Models of their own weights, each the child of another where one is named."""

    def made(name, parent=None, **changes):
        tensors, card = load_weights(weights)
        bias = next(key for key in tensors if key.endswith("bias"))
        tensors[bias] = tensors[bias] + zlib.crc32(name.encode()) % 997 + 1
        known = (
            {"parent": {"model_id": parent.card.model_id, "sha256": parent.card.sha256}}
            if parent
            else {}
        )
        path = library.folder / f"{name}.safetensors"
        save_weights(path, tensors, replace(card, name=name, provenance=known, **changes))
        return library.find(name)

    return made
