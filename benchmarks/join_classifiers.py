"""The shipped classifier: the mean of the network of shapes and of the CDNN, calibrated anew.

    python benchmarks/join_classifiers.py SHAPES COLOURS --out FOLDER

Both are model files or names, such as ``.cache/large_shapes/large_shapes.safetensors`` and ``cdnn``.
Nothing is trained; validation cells set the temperature, the threshold and the limit of unlikeness.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_wbc.classify.networks.duet import Duet
from napari_wbc.classify.predict import load_classifier
from napari_wbc.classify.preset import Preset
from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.held_out import learnable_steps, relabelled
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.batches import ROOM
from napari_wbc.train.card import card_of
from napari_wbc.train.dataset import CropSet, cut_training_crops
from napari_wbc.train.recipe import Recipe
from napari_wbc.train.scoring import familiarity_steps, scores_steps
from napari_wbc.weights.store import save_weights

CACHE = Path(__file__).parents[1] / ".cache"
RECIPE = Recipe(
    name="large",
    version="2",
    architecture="duet",
    start="large_shapes",
    matrix_rate=0.0,
    half=True,
    foreign_threshold=0.95,
    stains_left_out="raabin,bionet",
    preset=Preset(size=96, anchors=0.75, white=True, sure=0.9),
    # For fine-tuning: a laboratory's own stain varies less than stains do.
    augmentation=Augmentation(stain=0.25, depth=0.5, lamp=0.1, coarse=0.4, sharpen=1.0),
)


def crops_of(manifest: Path) -> CropSet:
    """The training and validation cells of a manifest, as the joined network sees them."""
    labelled, *_ = run(learnable_steps([manifest]))
    cells, _others = relabelled(labelled, EIGHT_CLASSES)
    return run(cut_training_crops(cells, EIGHT_CLASSES.names, RECIPE.preset, room=ROOM))


def join(shapes: str, colours: str, data: CropSet, out: Path) -> Path:
    """Write the joined classifier."""
    parts = [load_classifier(weights, device="cpu") for weights in (shapes, colours)]
    names = {part.card.classes for part in parts}
    if names != {EIGHT_CLASSES.names}:
        raise WbcError("Both classifiers must have the eight classes.")
    network = Duet(len(EIGHT_CLASSES.names))
    temperatures = (parts[0].card.temperature, parts[1].card.temperature)
    network.join(parts[0].network, parts[1].network, temperatures)
    # Rounded before anything is measured: what is measured is what is kept.
    network = network.half().float().eval()
    val = data.where(data.splits == "val")
    card = card_of(
        network,
        data,
        run(scores_steps(network, val, RECIPE.preset)),
        taxonomy=EIGHT_CLASSES,
        recipe=RECIPE,
        epochs=0,
        provenance={
            # What the parts have learnt from; the cells here only calibrate.
            "cells": parts[0].card.provenance["cells"],
            "joined": {part.card.model_id: part.card.provenance for part in parts},
        },
    )
    train = data.where(data.splits == "train")
    left_out = RECIPE.stains_left_out
    familiarity = run(familiarity_steps(network, train, val, RECIPE.preset, left_out))
    path = out / f"{RECIPE.name}.safetensors"
    card = save_weights(path, {**network.half().state_dict(), **familiarity.tensors()}, card)
    print(f"{path}: {card.model_id}, temperature {card.temperature}, threshold {card.threshold}")
    return path


def main() -> None:
    """Join two classifiers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shapes", help="classifier whose network is EfficientNet-Lite0")
    parser.add_argument("colours", help="classifier whose network is the CDNN")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    join(chosen.shapes, chosen.colours, crops_of(CACHE / "training_all.csv"), chosen.out)


if __name__ == "__main__":
    main()
