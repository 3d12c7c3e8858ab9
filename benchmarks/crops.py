"""Crops of the public sets, cut once and kept in .cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from napari_wbc.classify.preset import Preset
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.train.batches import ROOM
from napari_wbc.train.dataset import CropSet, cut_training_crops
from public_sets import write_manifest

CACHE = Path(__file__).parents[1] / ".cache"


def crops_of(name: str, preset: Preset) -> CropSet:
    """Crops of one set of :data:`public_sets.SETS`, all splits, with room for augmentation, eight classes."""
    key = f"{name}-{preset.size}-{preset.factor}-{'anchors' if preset.anchors else 'plain'}"
    path = CACHE / "crops" / f"{key}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        cells = read_training_set(write_manifest(CACHE / f"{name}.csv", (name,), CACHE))
        data = run(cut_training_crops(cells, EIGHT_CLASSES.names, preset, room=ROOM))
        np.savez(
            path,
            crops=data.crops,
            red=data.red,
            labels=data.labels,
            sources=data.sources,
            splits=data.splits,
            sha256=data.sha256,
        )
    with np.load(path) as file:
        return CropSet(**{k: str(file[k]) if k == "sha256" else file[k] for k in file.files})


def joined(sets: list[CropSet]) -> CropSet:
    """Several sets as one."""
    digest = hashlib.sha256("".join(one.sha256 for one in sets).encode()).hexdigest()
    arrays = {
        k: np.concatenate([getattr(one, k) for one in sets])
        for k in ("crops", "red", "labels", "sources", "splits")
    }
    return CropSet(**arrays, sha256=digest)


def relabelled(data: CropSet, taxonomy: Taxonomy) -> CropSet:
    """Eight-class crops by the classes of another taxonomy; those without a class there are left out."""
    index = {name: i for i, name in enumerate(taxonomy.names)}
    new = [index.get(taxonomy.class_of(name) or "", -1) for name in EIGHT_CLASSES.names]
    labels = np.array(new)[data.labels]
    kept = data.where(labels >= 0)
    return CropSet(
        kept.crops, kept.red, labels[labels >= 0], kept.sources, kept.splits, kept.sha256
    )
