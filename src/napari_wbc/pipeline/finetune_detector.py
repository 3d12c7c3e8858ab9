"""Fine-tuning of a cell finder with fields whose cells were all reviewed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES, LEUKOCYTE, DetectorPreset
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.labels import is_no_leukocyte, usual_name
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Place
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.model.words import counted
from napari_wbc.pipeline.finetune import card_of, provenance_of
from napari_wbc.pipeline.held_out import counts_text, has_split, learnable_steps, with_val
from napari_wbc.pipeline.set_summary import check_ready_steps
from napari_wbc.train.detector import train_detector
from napari_wbc.train.detector_recipe import DetectorRecipe
from napari_wbc.train.fields import read_fields
from napari_wbc.train.recipe import planned
from napari_wbc.train.run import Trained
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.registry import DEFAULT_DETECTOR, find_weights

DETECTOR = {"epochs": 4, "draws": 160, "learning_rate": 3e-4, "patience": 2, "ema": 0.98}
"""The defaults of fine-tuning."""


def finetune_detector_steps(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    start: str | Path = DEFAULT_DETECTOR,
    old: Sequence[str | Path] = (),
    device: str = "auto",
    **recipe: Any,
) -> Steps[Trained]:
    """Fine-tune a cell finder with fields whose cells were all reviewed.

    Parameters
    ----------
    paths, out, start, old, device
        As in :func:`~napari_wbc.pipeline.finetune.finetune_steps`. A field with a leukocyte that
        nobody labelled is left out, since the cell would be learnt as background. Artefacts, smudge
        cells and whatever the set does not count among the leukocytes are background;
        erythroblasts are found as leukocytes are.
    **recipe
        Of :class:`~napari_wbc.train.detector.DetectorRecipe`, in place of the defaults of
        fine-tuning.

    Raises
    ------
    WbcError
        If the weights are those of a classifier, or find red cells or platelets that the sets do
        not label; if there is too little to learn from; or as
        :func:`~napari_wbc.train.detector.train_detector`.
    """
    card = card_of(start, "detector")
    yield from check_ready_steps(paths, detector=True)
    device = resolve_device(device)
    values = {
        **DETECTOR,
        "name": f"{card.name}-tuned",
        **recipe,
        "backbone": card.architecture.removeprefix("mask-rcnn/"),
        "classes": card.classes,
        "preset": asdict(DetectorPreset.of(card)),
        "start": str(find_weights(start)),
    }
    plan: DetectorRecipe = planned(DetectorRecipe, values, DetectorPreset)
    learnable = yield from learnable_steps(paths, old)
    cells = yield from _reviewed_steps(learnable.new, learnable.old)
    cells = yield from _labelling_steps(cells, plan.classes, card.name)
    make_folder(Path(out))
    data = yield from read_fields(cells, plan.classes, plan.preset)
    provenance = provenance_of((*paths, *old), cells, learnable.hashes, card)
    return (yield from train_detector(data, plan, out, device=device, provenance=provenance))


def _reviewed_steps(
    new: Sequence[LabelledCell], old: Sequence[LabelledCell]
) -> Steps[list[LabelledCell]]:
    """The cells of wholly reviewed fields, by the classes of a cell finder, with a val split."""
    if partly := {cell.path for cell in (*new, *old) if not cell.complete}:
        note = f"Left out, with cells that nobody reviewed: {counted(len(partly), 'field')}."
        yield Progress("reading labels", 0, 0, note)
    new = [cell for cell in new if cell.complete]
    old = [cell for cell in old if cell.complete]
    cells = yield from _detected_steps([*new, *old])
    # Where the new fields have no val split, it is taken from them alone.
    new, old = cells[: len(new)], cells[len(new) :]
    shown = {cell.path for cell in new if cell.label}
    if len(shown) < 2:
        raise WbcError(
            "A cell finder learns from fields of which every cell was reviewed; review two or more."
        )
    # A field that shows nothing cannot choose an epoch.
    chosen = with_val([cell for cell in new if cell.path in shown], by_image=True)
    if not has_split(chosen, "train"):
        raise WbcError("No field in train is completely reviewed; review all cells of one.")
    background = [cell for cell in new if cell.path not in shown]
    return [*chosen, *background, *old]


def _detected_steps(cells: Sequence[LabelledCell]) -> Steps[list[LabelledCell]]:
    """The cells by a cell finder's classes; what is no leukocyte is background, without a label."""
    renamed: list[LabelledCell] = []
    counts = {LEUKOCYTE: Counter[str](), "": Counter[str]()}
    for cell in cells:
        name = _detected(cell.label, cell.place)
        renamed.append(replace(cell, label=name))
        if name in counts and name != cell.label:
            counts[name][cell.label] += 1
    for title, name in (("Taken for leukocytes", LEUKOCYTE), ("Left out, no leukocytes", "")):
        if counts[name]:
            yield Progress("reading labels", 0, 0, f"{title}: {counts_text(counts[name])}.")
    return renamed


@cache
def _detected(label: str, place: str) -> str:
    """A cell finder's class of a label and its place in the differential; empty for background."""
    usual = usual_name(label)
    if usual in (*BLOOD_CLASSES, *EIGHT_CLASSES.names, ""):
        return usual
    return "" if is_no_leukocyte(label) or place not in ("", Place.LEUKOCYTE.value) else LEUKOCYTE


def _labelling_steps(
    cells: Sequence[LabelledCell], classes: Sequence[str], name: str
) -> Steps[list[LabelledCell]]:
    """The cells of sources that label every class; of others a cell finder would unlearn some."""
    labels: dict[str, set[str]] = {}
    for cell in cells:
        labels.setdefault(cell.source, set()).add(cell.label)
    # Any leukocyte is one to a cell finder, so a source need not have a label of that very name.
    lacking: dict[str, list[str]] = {}
    for source, names in labels.items():
        lacking[source] = [wanted for wanted in classes if wanted not in (LEUKOCYTE, *names)]
    labelling = [cell for cell in cells if not lacking[cell.source]]
    wanted = " and ".join(dict.fromkeys(chain(*lacking.values())))
    if not labelling:
        raise WbcError(
            f"{name} finds {wanted} too, of which these sets label none, so it would unlearn them; "
            "go on from mask_rcnn, or add a set that labels them."
        )
    if wanted:
        left_out = ", ".join(source for source, missing in lacking.items() if missing)
        yield Progress("reading labels", 0, 0, f"Left out, without labels of {wanted}: {left_out}.")
    return labelling
