"""Training of a classifier or a cell finder on training sets, from the start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_wbc.classify.preset import Preset
from napari_wbc.detect.mask_rcnn import DetectorPreset
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.labels import is_no_leukocyte
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED, Taxonomy
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.pipeline.held_out import counts_text, has_split, learnable_steps, relabelled
from napari_wbc.train.batches import ROOM
from napari_wbc.train.classifier import train_classifier
from napari_wbc.train.dataset import cut_training_crops
from napari_wbc.train.detector import train_detector
from napari_wbc.train.detector_recipe import DetectorRecipe
from napari_wbc.train.fields import read_fields
from napari_wbc.train.recipe import Recipe, planned
from napari_wbc.train.run import Trained
from napari_wbc.weights.device import resolve_device


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
        Classes to learn. Of cells whose label counts as none of them, those that are no leukocyte,
        such as red cells and artefacts, teach the classifier to be sure of no class; the others are
        left out.
    device : {"auto", "cpu", "cuda"}
    **recipe
        Of :class:`~napari_wbc.train.recipe.Recipe`; ``preset`` and ``augmentation`` as mappings.

    Raises
    ------
    WbcError
        If the recipe has no such entry, or as
        :func:`~napari_wbc.train.classifier.train_classifier`.
    """
    plan: Recipe = planned(Recipe, recipe, Preset)
    # A wrong device or folder is refused before the labels are read.
    device = resolve_device(device)
    make_folder(Path(out))
    labelled, *_ = yield from learnable_steps(paths)
    cells, left_out = relabelled(labelled, taxonomy)
    _check_splits(cells)
    notes: list[str] = []
    others = [cell for cell in labelled if _is_of_no_class(cell, left_out)]
    cells += [replace(cell, label=NOT_CLASSED) for cell in others]
    learnt_as_none = Counter(cell.label for cell in others)
    if others:
        notes.append(f"Learnt as no class: {counts_text(learnt_as_none)}.")
    left_out = Counter(left_out) - learnt_as_none
    if left_out:
        notes.append(f"Left out, no class of the taxonomy: {counts_text(left_out)}.")
    learnt = {cell.label for cell in cells if cell.split == "train"}
    if empty := [name for name in taxonomy.names if name not in learnt]:
        notes.append(f"No training cell: {', '.join(empty)}.")
    if notes:
        yield Progress("reading labels", 0, len(cells), " ".join(notes))
    # Crops are cut with room around them, so that augmentation can turn and shift them.
    data = yield from cut_training_crops(cells, taxonomy.names, plan.preset, room=ROOM)
    return (yield from train_classifier(data, taxonomy, plan, out, device=device))


def _is_of_no_class(cell: LabelledCell, left_out: Mapping[str, int]) -> bool:
    """Whether a cell, of a label that is no class, teaches what is no leukocyte."""
    return cell.split == "train" and cell.label in left_out and is_no_leukocyte(cell.label)


def train_detector_steps(
    paths: Sequence[str | Path], out: str | Path, *, device: str = "auto", **recipe: Any
) -> Steps[Trained]:
    """Train a cell finder.

    Parameters
    ----------
    paths, out, device
        As in :func:`train_steps`.
    **recipe
        As there, but of :class:`~napari_wbc.train.detector_recipe.DetectorRecipe`.

    Raises
    ------
    WbcError
        If the recipe has no such entry, or as :func:`~napari_wbc.train.detector.train_detector`.
    """
    plan: DetectorRecipe = planned(DetectorRecipe, recipe, DetectorPreset)
    # A wrong device or folder is refused before the labels are read.
    device = resolve_device(device)
    make_folder(Path(out))
    cells, *_ = yield from learnable_steps(paths)
    _check_splits(cells)
    data = yield from read_fields(cells, plan.classes, plan.preset)
    return (yield from train_detector(data, plan, out, device=device))


def _check_splits(cells: Sequence[LabelledCell]) -> None:
    """Refuse sets without training or validation cells, before their images are read."""
    if not (has_split(cells, "train") and has_split(cells, "val")):
        raise WbcError(
            "Training needs cells in the splits train and val; add them to the training set."
        )
