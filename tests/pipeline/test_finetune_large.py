"""Going on from the default classifier, which is two networks with one last layer."""

from __future__ import annotations

import pytest
import torch
from tests.pipeline.test_finetune import SMALL, cell_set

from napari_wbc.model.progress import run
from napari_wbc.pipeline.finetune import finetune_steps
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights
from napari_wbc.weights.store import load_weights

LABELS = ("lymphocyte", "monocyte")


@pytest.fixture(scope="module")
def start():
    return load_weights(find_weights(DEFAULT_CLASSIFIER))


def tuned(folder, **options):
    """Tensors and card of the default classifier, after two steps on 16 cells."""
    recipe = {**SMALL, "epochs": 1, "draws": 16}
    labels = (*LABELS, *options.get("new_classes", ()))
    data = cell_set(folder / "set", labels, splits=("train", "val"), n=4)
    steps = finetune_steps([data], folder / "out", device="cpu", replay=0, **options, **recipe)
    return load_weights(run(steps).weights)


def test_a_new_class_grows_the_common_last_layer(tmp_path, start):
    tensors, card = tuned(tmp_path, new_classes=("blast",))
    old, old_card = start
    assert card.classes == (*old_card.classes, "blast")
    assert tensors["head.weight"].shape == (9, old["head.weight"].shape[1])
    # As it came: in 16 bits, by AdamW alone, with the same rule for foreign stains.
    assert tensors["head.weight"].dtype == torch.float16
    assert card.provenance["recipe"]["matrix_rate"] == 0
    assert card.foreign_threshold == old_card.foreign_threshold


def test_frozen_features_of_both_networks_stay(tmp_path, start):
    tensors, _card = tuned(tmp_path, freeze=True)
    old = start[0]
    changed = [name for name in old if not torch.equal(old[name], tensors[name])]
    assert changed
    # The new cells are known beside the old ones.
    assert {name.split(".")[0] for name in changed} == {"head", "familiarity"}
