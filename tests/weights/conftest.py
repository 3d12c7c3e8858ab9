"""Models in the form of older versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_wbc.weights.store import read_model


@pytest.fixture
def pair_of():
    """Write a model as the pair of files of an older version."""

    def write(model: Path, out: Path) -> Path:
        weights, text, _card = read_model(model)
        out.write_bytes(weights)
        out.with_suffix(".json").write_text(text)
        return out

    return write
