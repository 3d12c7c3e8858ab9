"""Training sets to new weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_wbc.classify.predict import resolve_device
from napari_wbc.model.progress import Steps
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.evaluate import read_training_sets
from napari_wbc.storage.atomic import make_folder
from napari_wbc.train.dataset import cut_training_crops
from napari_wbc.train.engine import ROOM, Recipe, Trained, train_classifier

__all__ = ["train_steps"]


def train_steps(
    paths: Sequence[str | Path], out: str | Path, *, device: str = "auto", **recipe: Any
) -> Steps[Trained]:
    """Train a classifier of the eight classes.

    Parameters
    ----------
    paths : sequence of path
        Training sets.
    out : str or Path
        Folder of the weights, the card and the checkpoint; an interrupted run is resumed.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    **recipe
        Of :class:`~napari_wbc.train.engine.Recipe`.
    """
    plan = Recipe(**recipe)
    device = resolve_device(device)
    make_folder(Path(out))
    cells = [cell for cell in read_training_sets(paths) if cell.split != "test"]
    data = yield from cut_training_crops(cells, EIGHT_CLASSES.names, plan.preset, room=ROOM)
    return (yield from train_classifier(data, EIGHT_CLASSES.names, plan, out, device=device))
