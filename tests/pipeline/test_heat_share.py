"""Where two models look: the share of the heat inside the same cells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.pipeline.test_compare import compared

from napari_wbc.errors import WbcError
from napari_wbc.pipeline.compare import compare_steps
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import load_weights, save_weights


@pytest.mark.parametrize("size", [72, 60])
def test_heat_is_compared_on_cells_that_both_have_right(size, manifest, tmp_path):
    tensors, card = load_weights(find_weights("cdnn"))  # untrained weights show no heat
    tensors["head.bias"][card.classes.index("monocyte")] += 99
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    save_weights(old, tensors, card)
    save_weights(new, tensors, replace(card, preset=card.preset | {"size": size}))
    steps = list(compare_steps([manifest], old, new, device="cpu"))
    assert [p.total for p in steps if p.step == "explaining by grad-cam"] == [3, 3]
    found = compared(manifest, old, new, heat=True)
    assert found.heat is not None, found.notes
    assert all(0 < share < 1 for share in found.heat)
    assert (found.heat[0] == found.heat[1]) is (size == 72)


def test_heat_is_not_compared_where_no_cell_is_right_with_both(manifest, other):
    found = compared(manifest, other("monocyte"), other("neutrophil"), heat=True)
    assert found.heat is None
    assert "No cell is right with both models, so where they look is not compared." in found.notes


def test_heat_that_cannot_be_had_is_told(manifest, other, monkeypatch):
    def none(*_arguments, **_options):
        raise WbcError("No map.")

    monkeypatch.setattr("napari_wbc.pipeline.heat_share.Attributor", none)
    found = compared(manifest, other(), other(), heat=True)
    assert found.heat is None
    assert "Where the models look is not compared: No map." in found.notes
