"""Training sets to new weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_wbc.classify.preset import Preset
from napari_wbc.detect.mask_rcnn import DetectorPreset
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.pipeline.held_out import relabelled, sided_steps
from napari_wbc.storage.labelled_cells import read_training_set_steps
from napari_wbc.train.batches import ROOM
from napari_wbc.train.dataset import cut_training_crops
from napari_wbc.train.detector import DetectorRecipe, TrainedDetector, train_detector
from napari_wbc.train.engine import Trained, train_classifier
from napari_wbc.train.fields import read_fields
from napari_wbc.train.recipe import Recipe, planned
from napari_wbc.weights.device import resolve_device

__all__ = ["train_detector_steps", "train_steps"]


def train_steps(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    taxonomy: Taxonomy = EIGHT_CLASSES,
    device: str = "auto",
    **recipe: Any,
) -> Steps[Trained]:
    """Train a classifier.

    Parameters
    ----------
    paths : sequence of path
        Training sets.
    out : str or Path
        Folder of the weights, the card, the curves and the checkpoint; an interrupted run is
        resumed.
    taxonomy : Taxonomy
        Classes to learn; cells whose label counts as none of them are left out.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    **recipe
        Of :class:`~napari_wbc.train.recipe.Recipe`; ``preset`` and ``augmentation`` as mappings.

    Raises
    ------
    WbcError
        If the recipe has no such entry, or as :func:`~napari_wbc.train.engine.train_classifier`.
    """
    plan: Recipe = planned(Recipe, recipe, Preset)
    device = resolve_device(device)
    make_folder(Path(out))
    cells = yield from _seen_steps(paths)
    kept, left_out = relabelled(cells, taxonomy)
    _check_sides(kept)
    empty = [
        name
        for name in taxonomy.names
        if not any(c.label == name and c.split == "train" for c in kept)
    ]
    said = [f"Left out, no class of the taxonomy: {n} {label}." for label, n in left_out.items()]
    said += [f"No training cell: {', '.join(empty)}."] if empty else []
    if said:
        yield Progress("reading labels", 0, len(kept), " ".join(said))
    data = yield from cut_training_crops(kept, taxonomy.names, plan.preset, room=ROOM)
    return (yield from train_classifier(data, taxonomy, plan, out, device=device))


def train_detector_steps(
    paths: Sequence[str | Path], out: str | Path, *, device: str = "auto", **recipe: Any
) -> Steps[TrainedDetector]:
    """Train a detector.

    Parameters
    ----------
    paths : sequence of path
        Training sets.
    out : str or Path
        Folder of the weights, the card, the curves and the checkpoint; an interrupted run is
        resumed.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    **recipe
        Of :class:`~napari_wbc.train.detector.DetectorRecipe`; ``preset`` and ``augmentation`` as
        mappings.

    Raises
    ------
    WbcError
        If the recipe has no such entry, or as
        :func:`~napari_wbc.train.detector.train_detector`.
    """
    plan: DetectorRecipe = planned(DetectorRecipe, recipe, DetectorPreset)
    device = resolve_device(device)
    make_folder(Path(out))
    cells = yield from _seen_steps(paths)
    _check_sides(cells)
    data = yield from read_fields(cells, plan.classes, plan.preset)
    return (yield from train_detector(data, plan, out, device=device))


def _seen_steps(paths: Sequence[str | Path]) -> Steps[list[LabelledCell]]:
    """The cells that training may look at: of no image that one of the sets holds for testing."""
    read: list[tuple[LabelledCell, ...]] = []
    for path in paths:
        yield Progress("reading labels", 0, 0)
        read.append((yield from read_training_set_steps(path)))
    sets, _hashes = yield from sided_steps(read, "reading images")
    return [cell for one in sets for cell in one if cell.split != "test"]


def _check_sides(cells: Sequence[LabelledCell]) -> None:
    """Refuse sets that training would refuse, before their images are read."""
    if not {"train", "val"} <= {cell.split for cell in cells}:
        raise WbcError(
            "Training needs cells in the splits train and val; add them to the training set."
        )
