"""Fine-tuning of a classifier: corrected labels to a better model that keeps what it knows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_wbc.classify.preset import Preset
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.taxonomy_dict import grown
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.pipeline.held_out import counts_text, learnable_steps, relabelled, with_val
from napari_wbc.pipeline.set_summary import MIN_CELLS, check_ready_steps
from napari_wbc.storage.fingerprint import fingerprint_steps
from napari_wbc.storage.sets import newest_round
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.batches import ROOM
from napari_wbc.train.classifier import train_classifier
from napari_wbc.train.dataset import cut_training_crops
from napari_wbc.train.recipe import Recipe, planned
from napari_wbc.train.run import Trained
from napari_wbc.weights.card import (
    ModelCard,
    is_without_muon,
    recipe_of,
    taxonomy_of,
    training_images,
)
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights
from napari_wbc.weights.store import read_card

KEEP = 0.5
"""Share of the old weights in the new ones, where no old cells are learnt again."""
REPLAY = 2000
"""Cells of old training sets that are learnt again."""
REPLAY_SHARES = {"train": 0.8, "val": 0.2}
"""Of these, by split."""
CLASSIFIER = {
    "epochs": 12,
    "draws": 1920,
    "balance": 0.0,
    "learning_rate": 1e-3,
    "matrix_rate": 0.01,
    "ema": 0.98,
}
"""What was found on Chula's and BCCD's train and val cells; see docs/loop.md."""


def finetune_steps(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    start: str | Path = DEFAULT_CLASSIFIER,
    old: Sequence[str | Path] = (),
    replay: int = REPLAY,
    new_classes: Sequence[str] = (),
    only_seen: bool = False,
    freeze: bool = False,
    device: str = "auto",
    **recipe: Any,
) -> Steps[Trained]:
    """Fine-tune a classifier with corrected labels.

    Parameters
    ----------
    paths : sequence of path
        Training sets. Images that one of them, or of ``old``, holds for testing are not looked at;
        where none is ``val``, one image in six chooses the epoch.
    out, device
        Of :func:`~napari_wbc.pipeline.training.train_steps`.
    start : str or Path
        Name or file of the classifier to go on from.
    old : sequence of path
        Training sets that it was trained on, of which ``replay`` cells are learnt again, so that
        the old laboratory is not forgotten; images that ``paths`` have too are left out of these.
        Without them a share of the old weights is kept in the new ones.
    replay : int
        Taken evenly over sources and classes.
    new_classes : sequence of str
        Added to the classes of the weights.
    only_seen : bool
        New classes without a cell to learn from are left out with a note; else they are an error.
    freeze : bool
        Only the last layer learns: quicker, forgets less, gains less.
    **recipe
        Of :class:`~napari_wbc.train.recipe.Recipe`, in place of the defaults of fine-tuning.

    Raises
    ------
    WbcError
        If the weights are those of a detector, there are fewer than 10 labelled cells or none in
        the split train, none of their labels is a class, a new class has no cell, or as
        :func:`~napari_wbc.train.classifier.train_classifier`.
    """
    card = card_of(start, "classifier")
    yield from check_ready_steps(paths)
    # A new class that the model has already is refused before an image is read.
    grown(taxonomy_of(card), new_classes)
    device = resolve_device(device)
    plan = _plan(card, start, recipe, freeze=freeze)
    learnable = yield from learnable_steps(paths, old)
    new, taxonomy = yield from _labelled_steps(
        learnable.new, card, new_classes, only_seen=only_seen
    )
    replayed: list[LabelledCell] = []
    if learnable.old:
        replayed = _evenly(relabelled(learnable.old, taxonomy)[0], replay)
    # Old cells that are learnt again keep what the model knows, in place of its old weights.
    if replayed and "keep" not in recipe:
        plan = replace(plan, keep=0.0)
    make_folder(Path(out))
    counts = dict(Counter(cell.label for cell in new).most_common())
    note = f"{len(new)} labelled cells: {counts_text(counts)}"
    if replayed:
        note += f"; {len(replayed)} of old training sets"
    yield Progress("reading labels", 0, 0, note)
    # In one order, whatever order the sets are named in, so that the data have one digest.
    cells = sorted((*new, *replayed), key=lambda cell: (str(cell.path), cell.cell_id))
    data = yield from cut_training_crops(cells, taxonomy.names, plan.preset, room=ROOM)
    provenance = {
        **provenance_of((*paths, *old), cells, learnable.hashes, card),
        "corrected": len(new),
        "replayed": len(replayed),
    }
    return (
        yield from train_classifier(data, taxonomy, plan, out, device=device, provenance=provenance)
    )


def _plan(card: ModelCard, start: str | Path, recipe: Mapping[str, Any], *, freeze: bool) -> Recipe:
    """The recipe: defaults, then what the caller asks for, then what the weights dictate."""
    trained = recipe_of(card)
    values = {
        **CLASSIFIER,
        **({"matrix_rate": 0.0} if is_without_muon(card) else {}),
        "name": f"{card.name}-tuned",
        "keep": KEEP,
        "precision": "bf16-mixed",
        "half": trained.get("half") is True,
        "foreign_threshold": card.foreign_threshold,
        **recipe,
        "architecture": card.architecture,
        "mode": card.mode,
        "preset": card.preset,
        "augmentation": _augmentation(trained),
        "start": str(start),
        "freeze": freeze,
    }
    plan: Recipe = planned(Recipe, values, Preset)
    return plan


def _augmentation(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The augmentation of a recipe."""
    values = recipe.get("augmentation")
    if not isinstance(values, dict):
        return {}
    return {f.name: values[f.name] for f in fields(Augmentation) if f.name in values}


def _labelled_steps(
    cells: Sequence[LabelledCell], card: ModelCard, new_classes: Sequence[str], *, only_seen: bool
) -> Steps[tuple[list[LabelledCell], Taxonomy]]:
    """The cells by the classes of the new model, with a val split; and these classes."""
    taxonomy = grown(taxonomy_of(card), new_classes)
    new, left_out = relabelled(cells, taxonomy)
    if len(new) < MIN_CELLS:
        raise WbcError(
            f"Fine-tuning needs {MIN_CELLS} labelled cells or more, and there are {len(new)}; "
            "label more."
        )
    new = with_val(new)
    learnt = {cell.label for cell in new if cell.split == "train"}
    if not learnt:
        raise WbcError(
            f"No cell in train is labelled with a class of {card.name}; label some, or name a new "
            "class."
        )
    missing = [name for name in new_classes if name not in learnt]
    if missing and not only_seen:
        raise WbcError(
            f"No cell to learn from is labelled {', '.join(missing)}; label some in slides of the "
            "split train, or add no such class."
        )
    if missing:
        # A class that is left out takes its validation cells along, so val is chosen anew.
        taxonomy = grown(taxonomy_of(card), [name for name in new_classes if name in learnt])
        new, left_out = relabelled(cells, taxonomy)
        new = with_val(new)
    if left_out:
        note = f"Left out, no class of {card.name} nor named as new: {counts_text(left_out)}."
        yield Progress("reading labels", 0, 0, note)
    return new, taxonomy


def _evenly(cells: Sequence[LabelledCell], n: int) -> list[LabelledCell]:
    """At most n cells, spread evenly over sources and classes, and evenly picked within them."""
    groups: dict[str, dict[tuple[str, str], list[LabelledCell]]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.source, cell.label)):
        of_split = groups.setdefault(cell.split, {})
        of_split.setdefault((cell.source, cell.label), []).append(cell)
    picked: list[LabelledCell] = []
    for split, share in REPLAY_SHARES.items():
        # The smallest group first: what it cannot fill of its share falls to the larger ones.
        of_split = groups.get(split, {})
        remaining = round(n * share)
        for i, members in enumerate(sorted(of_split.values(), key=len)):
            take = min(len(members), remaining // (len(of_split) - i))
            rows = np.linspace(0, len(members) - 1, take).round().astype(int)
            picked += [members[row] for row in rows]
            remaining -= take
    return picked


def card_of(start: str | Path, kind: str) -> ModelCard:
    """The card of weights, which must be those of a ``classifier`` or ``detector`` as asked."""
    card = read_card(find_weights(start))
    if card.kind != kind:
        raise WbcError(f"{start}: these are weights of a {card.kind}; choose those of a {kind}.")
    return card


def provenance_of(
    paths: Sequence[str | Path],
    cells: Sequence[LabelledCell],
    hashes: Mapping[Path, str],
    card: ModelCard,
) -> dict[str, Any]:
    """What the new card tells of its training: the sets, and all images that the weights saw."""
    # What the old weights saw, the new ones have seen too.
    images = {hashes[cell.path] for cell in cells} | training_images(card)
    return {
        "sets": [Path(path).resolve().name for path in paths],
        "training_images": sorted(images),
    }


def run_folder_steps(
    runs: Path,
    paths: Sequence[str | Path],
    start: str | Path,
    old: Sequence[str | Path],
    **options: Any,
) -> Steps[Path]:
    """A folder for a run: equal for equal weights, sets and options, so that it can be resumed.

    A set is the same while its files with labels have the same content, and its images the same
    names, sizes and times. Of a set of ours the newest round counts. All arguments but the folder
    of all runs are those of :func:`finetune_steps`, or of ``finetune_detector_steps``.

    Raises
    ------
    WbcError
        If the weights or the labels of a set cannot be read.
    """
    parts = [read_card(find_weights(start)).sha256, repr(sorted(options.items()))]
    for path in map(Path, (*paths, *old)):
        parts.append(str((newest_round(path) or path).resolve()))
        parts.append((yield from fingerprint_steps(path)))
    return runs / hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
