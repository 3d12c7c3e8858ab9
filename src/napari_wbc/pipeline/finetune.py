"""Corrected labels to a better model: go on from weights, without losing what they know."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from napari_wbc.classify.preset import Preset
from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES, LEUKOCYTE, DetectorPreset
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.labels import is_no_leukocyte, usual_name
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Place
from napari_wbc.model.taxonomy_dict import grown
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.model.words import counted
from napari_wbc.pipeline.held_out import relabelled, sided_steps
from napari_wbc.pipeline.training_sets import FEWEST, ready_steps
from napari_wbc.storage.fingerprint import fingerprint_steps
from napari_wbc.storage.labelled_cells import read_training_set_steps
from napari_wbc.storage.sets import newest_round
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.batches import ROOM
from napari_wbc.train.dataset import cut_training_crops
from napari_wbc.train.detector import DetectorRecipe, TrainedDetector, train_detector
from napari_wbc.train.engine import Trained, train_classifier
from napari_wbc.train.fields import read_fields
from napari_wbc.train.recipe import Recipe, planned
from napari_wbc.weights.card import ModelCard, taxonomy_of, training_images
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR, find_weights
from napari_wbc.weights.store import read_card

__all__ = ["finetune_detector_steps", "finetune_steps", "run_folder", "run_folder_steps"]

KEPT = 0.5
"""Share of the old weights in the new ones, where no old cells are learnt again."""
REPLAY = 2000
"""Cells of old training sets that are learnt again."""
HELD_OUT = 6
"""One image in so many chooses the epoch, where a training set has no val split."""
CLASSIFIER = {
    "epochs": 12,
    "draws": 1920,
    "balance": 0.0,
    "learning_rate": 1e-3,
    "matrix_rate": 0.01,
    "ema": 0.98,
}
"""What was found on Chula's and BCCD's train and val cells; see docs/loop.md."""
DETECTOR = {"epochs": 4, "draws": 160, "learning_rate": 3e-4, "patience": 2, "ema": 0.98}


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
    """Go on training a classifier with corrected labels.

    Parameters
    ----------
    paths : sequence of path
        Training sets. Images that one of them, or of ``old``, holds for testing are not looked at;
        where none is ``val``, one image in six chooses the epoch.
    out : str or Path
        Folder of the weights, the card, the curves and the checkpoint; an interrupted run is
        resumed.
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
        New classes without a cell to learn from are told and left out, where that is an error
        otherwise.
    freeze : bool
        Only the last layer learns: quicker, forgets less, gains less.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    **recipe
        Of :class:`~napari_wbc.train.recipe.Recipe`, in place of what was found good.

    Returns
    -------
    Trained

    Raises
    ------
    WbcError
        If the weights are those of a detector, there are fewer than 10 labelled cells or none in
        the split train, none of their labels is a class, a new class has no cell, or as
        :func:`~napari_wbc.train.engine.train_classifier`.
    """
    card = _card(start, "classifier")
    yield from _check_ready_steps(paths, detector=False)
    known_taxonomy = taxonomy_of(card)
    taxonomy = grown(known_taxonomy, new_classes)
    device = resolve_device(device)
    plan: Recipe = planned(
        Recipe,
        {
            **CLASSIFIER,
            "name": f"{card.name}-tuned",
            "keep": KEPT,
            "precision": "bf16-mixed",
            **recipe,
            "architecture": card.architecture,
            "mode": card.mode,
            "preset": card.preset,
            "augmentation": _augmentation(card),
            "start": str(start),
            "freeze": freeze,
        },
        Preset,
    )
    seen, earlier, images = yield from _learnable_steps(paths, old)
    new, left_out = relabelled(seen, taxonomy)
    if len(new) < FEWEST:
        raise WbcError(
            f"Fine-tuning needs {FEWEST} labelled cells or more, and there are {len(new)}; label more."
        )
    new = _with_val(new)
    learnt = {cell.label for cell in new if cell.split == "train"}
    if not learnt:
        raise WbcError(
            f"No cell in train is labelled with a class of {card.name}; label some, or name a new class."
        )
    missing = [name for name in new_classes if name not in learnt]
    if missing and only_seen:
        taxonomy = grown(known_taxonomy, [name for name in new_classes if name in learnt])
        new, left_out = relabelled(seen, taxonomy)
        new = _with_val(new)
    elif missing:
        raise WbcError(
            f"No cell to learn from is labelled {', '.join(missing)}; label some in slides of the split "
            "train, or add no such class."
        )
    if left_out:
        text = ", ".join(f"{n} {label}" for label, n in left_out.items())
        note = f"Left out, no class of {card.name} nor named as new: {text}."
        yield Progress("reading labels", 0, 0, note)
    known = _evenly(relabelled(earlier, taxonomy)[0], replay) if earlier else []
    if known and "keep" not in recipe:
        plan = replace(plan, keep=0.0)
    make_folder(Path(out))
    yield Progress("reading labels", 0, 0, _counted(new, known))
    cells = sorted((*new, *known), key=lambda cell: (str(cell.path), cell.cell_id))
    data = yield from cut_training_crops(cells, taxonomy.names, plan.preset, room=ROOM)
    told = {
        "sets": [Path(path).resolve().name for path in (*paths, *old)],
        "corrected": len(new),
        "replayed": len(known),
        "training_images": sorted({*(images[cell.path] for cell in cells), *training_images(card)}),
    }
    return (yield from train_classifier(data, taxonomy, plan, out, device=device, told=told))


def finetune_detector_steps(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    start: str | Path = DEFAULT_DETECTOR,
    old: Sequence[str | Path] = (),
    device: str = "auto",
    **recipe: Any,
) -> Steps[TrainedDetector]:
    """Go on training a detector with fields whose cells were all reviewed.

    Parameters
    ----------
    paths, out, start, old, device
        As in :func:`finetune_steps`; every leukocyte of a field must be labelled, since what is not
        is learnt as background. So are cells whose label is known for none of a leukocyte
        (artefacts, smudge cells), or whose class the set has beside the leukocytes; erythroblasts
        are located with these.
    **recipe
        Of :class:`~napari_wbc.train.detector.DetectorRecipe`, in place of what was found good.

    Raises
    ------
    WbcError
        If the weights are those of a classifier, there is too little to learn from, they find red
        cells or platelets and the sets label none, or as
        :func:`~napari_wbc.train.detector.train_detector`.
    """
    card = _card(start, "detector")
    yield from _check_ready_steps(paths, detector=True)
    device = resolve_device(device)
    plan: DetectorRecipe = planned(
        DetectorRecipe,
        {
            **DETECTOR,
            "name": f"{card.name}-tuned",
            **recipe,
            "backbone": card.architecture.removeprefix("mask-rcnn/"),
            "classes": card.classes,
            "preset": card.preset,
            "start": str(find_weights(start)),
        },
        DetectorPreset,
    )
    new, known, images = yield from _learnable_steps(paths, old)
    if partly := {cell.path for cell in (*new, *known) if not cell.complete}:
        note = f"Left out, with cells that nobody reviewed: {counted(len(partly), 'field')}."
        yield Progress("reading labels", 0, 0, note)
    every = yield from _detected_steps([cell for cell in (*new, *known) if cell.complete])
    ours = sum(cell.complete for cell in new)
    shown = {cell.path for cell in every[:ours] if cell.label}
    if len(shown) < 2:
        raise WbcError(
            "A detector learns from fields of which every cell was reviewed; review two or more."
        )
    # By a field that shows nothing no epoch can be chosen.
    chosen = _with_val([cell for cell in every[:ours] if cell.path in shown], by_image=True)
    if not any(cell.split == "train" for cell in chosen):
        raise WbcError(
            "No field to learn from is reviewed as a whole; review one of a slide in train."
        )
    rest = [cell for i, cell in enumerate(every) if i >= ours or cell.path not in shown]
    cells = yield from _labelling_steps([*chosen, *rest], plan.classes, card.name)
    make_folder(Path(out))
    data = yield from read_fields(cells, plan.classes, plan.preset)
    told = {
        "sets": [Path(path).resolve().name for path in (*paths, *old)],
        "training_images": sorted({*(images[cell.path] for cell in cells), *training_images(card)}),
    }
    return (yield from train_detector(data, plan, out, device=device, told=told))


def _check_ready_steps(paths: Sequence[str | Path], *, detector: bool) -> Steps[None]:
    """Refuse sets of which nothing can be learnt, before anything that takes time."""
    yield Progress("reading labels", 0, 0)
    if why := (yield from ready_steps(paths, detector=detector)):
        raise WbcError(why)


def _detected_steps(cells: Sequence[LabelledCell]) -> Steps[list[LabelledCell]]:
    """The cells by what a detector knows; of what is no leukocyte no label is left, so it is background."""
    names = {(cell.label, cell.place): _detected(cell.label, cell.place) for cell in cells}
    renamed = [replace(cell, label=names[cell.label, cell.place]) for cell in cells]
    for what, name in (("Taken for leukocytes", LEUKOCYTE), ("Left out, no leukocytes", "")):
        counts = Counter(
            old.label
            for old, new in zip(cells, renamed, strict=True)
            if new.label == name != old.label
        )
        if counts:
            text = ", ".join(f"{n} {label}" for label, n in counts.items())
            yield Progress("reading labels", 0, 0, f"{what}: {text}.")
    return renamed


def _detected(label: str, place: str) -> str:
    """The class of a detector that a label and its place in the differential mean; empty for none."""
    usual = usual_name(label)
    if usual in (*BLOOD_CLASSES, *EIGHT_CLASSES.names, ""):
        return usual
    return "" if is_no_leukocyte(label) or place not in ("", Place.LEUKOCYTE.value) else LEUKOCYTE


def _labelling_steps(
    cells: Sequence[LabelledCell], classes: Sequence[str], name: str
) -> Steps[list[LabelledCell]]:
    """The cells of sources that label every class of a detector; of others it would unlearn some."""
    labels: dict[str, set[str]] = {}
    for cell in cells:
        labels.setdefault(cell.source, set()).add(cell.label)
    lacking = {
        source: [one for one in classes if one not in (LEUKOCYTE, *there)]
        for source, there in labels.items()
    }
    kept = [cell for cell in cells if not lacking[cell.source]]
    wanted = " and ".join(dict.fromkeys(one for some in lacking.values() for one in some))
    if not kept:
        raise WbcError(
            f"{name} finds {wanted} too, of which these sets label none, so it would unlearn them; go on "
            "from mask_rcnn, or add a set that labels them."
        )
    if wanted:
        left_out = ", ".join(source for source, some in lacking.items() if some)
        yield Progress("reading labels", 0, 0, f"Left out, without labels of {wanted}: {left_out}.")
    return kept


def _card(start: str | Path, kind: str) -> ModelCard:
    card = read_card(find_weights(start))
    if card.kind != kind:
        raise WbcError(f"{start}: these are weights of a {card.kind}; choose those of a {kind}.")
    return card


def _augmentation(card: ModelCard) -> dict[str, Any]:
    """As the weights were trained, where the card tells; a card may be anybody's."""
    recipe = card.provenance.get("recipe") if isinstance(card.provenance, dict) else None
    values = recipe.get("augmentation") if isinstance(recipe, dict) else None
    known = {one.name for one in fields(Augmentation)}
    return {k: v for k, v in values.items() if k in known} if isinstance(values, dict) else {}


def _learnable_steps(
    paths: Sequence[str | Path], old: Sequence[str | Path]
) -> Steps[tuple[list[LabelledCell], list[LabelledCell], dict[Path, str]]]:
    """The cells of new sets and of old ones that training may look at, and the sha256 of their images.

    An image that any of the sets holds for testing is in neither, one of the new sets not in the
    old.
    """
    sets: list[tuple[LabelledCell, ...]] = []
    for path in (*paths, *old):
        yield Progress("reading labels", 0, 0)
        sets.append((yield from read_training_set_steps(path)))
    sided, images = yield from sided_steps(sets, "reading images")
    told = [cell for one in sets[: len(paths)] for cell in one]
    new = [cell for one in sided[: len(paths)] for cell in one]
    known = [cell for one in sided[len(paths) :] for cell in one]
    seen = [cell for cell in new if cell.split != "test"]
    elsewhere = {c.path for c, was in zip(new, told, strict=True) if c.split == "test" != was.split}
    if elsewhere:
        note = f"Left out, kept for testing in another of these sets: {counted(len(elsewhere), 'image')}."
        yield Progress("reading labels", 0, 0, note)
    if not any(cell.split == "train" for cell in seen):
        raise WbcError(
            "Nothing is left to learn from: all images in train are kept for validation or testing in "
            "another set. Move a slide to train."
        )
    taken = {images[cell.path] for cell in new}
    return seen, [c for c in known if c.split != "test" and images[c.path] not in taken], images


def _with_val(cells: Sequence[LabelledCell], *, by_image: bool = False) -> list[LabelledCell]:
    """The cells with a val split, if need be of one image in six; the choice is that of the names.

    Of fewer than six images cells are taken in place of images, unless ``by_image``. What alone
    shows a class is left to learn, as long as anything else is there to choose by.
    """
    if any(cell.split == "val" for cell in cells):
        return list(cells)
    keys = [cell.path.name for cell in cells]
    if len(set(keys)) < HELD_OUT and not by_image:
        keys = [f"{cell.path.name} {cell.box}" for cell in cells]
    shown: dict[str, set[str]] = {}
    for cell, key in zip(cells, keys, strict=True):
        shown.setdefault(key, set()).add(cell.label)
    left = Counter(label for labels in shown.values() for label in labels)
    ranked = sorted(
        shown, key=lambda key: hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    )
    held_out: set[str] = set()
    for key in ranked:
        if len(held_out) < max(1, round(len(shown) / HELD_OUT)) and all(
            left[one] > 1 for one in shown[key]
        ):
            held_out.add(key)
            left.subtract(shown[key])
    held_out = held_out or set(ranked[:1])
    return [
        replace(cell, split="val" if key in held_out else "train")
        for cell, key in zip(cells, keys, strict=True)
    ]


def _evenly(cells: Sequence[LabelledCell], n: int) -> list[LabelledCell]:
    """At most n cells, as even over sources and classes as can be, and evenly picked within them."""

    def group(cell: LabelledCell) -> tuple[str, str, str]:
        return cell.split, cell.source, cell.label

    groups = [list(one) for _, one in groupby(sorted(cells, key=group), key=group)]
    share = {"train": 0.8, "val": 0.2}
    kept: list[LabelledCell] = []
    for split in ("train", "val"):
        here = sorted((one for one in groups if one[0].split == split), key=len)
        left = round(n * share[split])
        for i, one in enumerate(here):
            take = min(len(one), left // (len(here) - i))
            kept += [one[k] for k in np.linspace(0, len(one) - 1, take).round().astype(int)]
            left -= take
    return kept


def _counted(new: Sequence[LabelledCell], known: Sequence[LabelledCell]) -> str:
    counts = Counter(cell.label for cell in new)
    text = f"{len(new)} labelled cells: {', '.join(f'{n} {label}' for label, n in counts.most_common())}"
    return f"{text}; {len(known)} of old training sets" if known else text


def run_folder(
    runs: Path,
    paths: Sequence[str | Path],
    start: str | Path,
    old: Sequence[str | Path],
    **options: Any,
) -> Path:
    """:func:`run_folder_steps`, at once."""
    return run(run_folder_steps(runs, paths, start, old, **options))


def run_folder_steps(
    runs: Path,
    paths: Sequence[str | Path],
    start: str | Path,
    old: Sequence[str | Path],
    **options: Any,
) -> Steps[Path]:
    """A folder for a run: the same for the same weights, sets and options, so that it can be resumed.

    A set is the same while its files with labels have the same content, and its images the same
    names, sizes and times; of a set of ours it is the newest round that counts.

    Parameters
    ----------
    runs : Path
        Folder of all runs.
    paths, start, old, **options
        Of :func:`finetune_steps` or :func:`finetune_detector_steps`.

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
