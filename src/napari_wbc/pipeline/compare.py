"""Two classifiers on the same held-out cells, before one takes the place of the other.

Invariant: both models are asked about the same cells, and about none that a card says it was
trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.errors import WbcError
from napari_wbc.measure.comparison import Answers, Comparison, Measures, measured
from napari_wbc.model.mapping import mapped, mapping
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.model.words import counted
from napari_wbc.pipeline.evaluate import predict_steps
from napari_wbc.pipeline.heat_share import share_steps, some_of
from napari_wbc.pipeline.held_out import unseen_steps
from napari_wbc.train.dataset import CropSet, cut_training_crops
from napari_wbc.weights.card import ModelCard, taxonomy_of


def compare_steps(
    paths: Sequence[str | Path],
    old: str | Path,
    new: str | Path,
    *,
    split: str = "test",
    taxonomy: Taxonomy | None = None,
    device: str = "auto",
    heat: bool = True,
) -> Steps[Comparison]:
    """Compare two classifiers on one split of training sets.

    Parameters
    ----------
    paths, split, device
        Of :func:`~napari_wbc.pipeline.evaluate.evaluate_steps`.
    old, new : str or Path
        Names or files of the classifiers' weights.
    taxonomy : Taxonomy, optional
        To compare by; labels and probabilities are mapped to it. Where None, that of the old model
        if every class of the new counts as one of it, else that of the new.
    heat : bool
        Whether to ask by Grad-CAM where both models look, on 200 cells at most that both have
        right.

    Raises
    ------
    WbcError
        If the split is empty, all its images are ones that a model was trained on, none of its
        labels or of a model's classes counts as a class of the taxonomy, or an argument is wrong.
    """
    yield Progress("loading weights", 0, 0)
    models = [load_classifier(old, device=device), load_classifier(new, device=device)]
    cards = {"old": models[0].card, "new": models[1].card}
    if taxonomy is None:
        taxonomy = taxonomy_of(cards["old"])
        if not all(map(taxonomy.class_of, cards["new"].classes)):
            taxonomy = taxonomy_of(cards["new"])
    # Cutting crops takes minutes, so a model without a class of the taxonomy is refused first.
    for card in cards.values():
        mapping(card.classes, taxonomy)
    cells, notes = yield from unseen_steps(paths, split, taxonomy, cards)
    data, chances = yield from _asked_steps(cells, taxonomy, *models)
    before = _answers(models[0], chances[0], taxonomy)
    after = _answers(models[1], chances[1], taxonomy)
    yield Progress("comparing", 0, len(cells))
    truth = data.labels
    slides = np.array([cell.slide for cell in cells], dtype=np.str_)
    measures = measured(truth, before, after, taxonomy.names, sources=data.sources, slides=slides)
    notes += [*_class_notes(cards, taxonomy, truth), *_limit_notes(measures)]
    right = np.stack([before.predicted == truth, after.predicted == truth])
    heat_inside = None
    if heat:
        picked = some_of(right[0] & right[1])
        heat_inside, heat_notes = yield from _heat_steps(cells, picked, models, chances, data)
        notes += heat_notes
    # Crops fill gigabytes for a large set, and only those of changed cells are ever drawn.
    changed = data.crops[right[0] != right[1]]
    return Comparison(
        taxonomy, truth, before, after, tuple(cells), measures, changed, heat_inside, tuple(notes)
    )


def _asked_steps(
    cells: Sequence[LabelledCell], taxonomy: Taxonomy, old: Classifier, new: Classifier
) -> Steps[tuple[CropSet, list[npt.NDArray[np.float64]]]]:
    """The crops of the new model, and each model's probabilities of its own classes."""
    data = yield from cut_training_crops(cells, taxonomy.names, old.preset)
    old_chances = yield from predict_steps(old, data)
    if not _cut_alike(old, new):
        # The crops of one model alone may fill the memory, so these go before others come.
        del data
        data = yield from cut_training_crops(cells, taxonomy.names, new.preset)
    return data, [old_chances, (yield from predict_steps(new, data))]


def _cut_alike(old: Classifier, new: Classifier) -> bool:
    """Whether both models take the same crops."""
    was, now = old.preset, new.preset
    alike = (was.size, was.factor) == (now.size, now.factor)
    return alike and was.is_balanced == now.is_balanced


def _answers(model: Classifier, chances: npt.NDArray[np.float64], taxonomy: Taxonomy) -> Answers:
    """A model's answers in the classes of a taxonomy."""
    # A threshold was chosen on the model's own classes, so it is applied before they are mapped.
    sure = chances.max(axis=1) >= model.threshold
    return Answers(model.card.model_id, mapped(chances, model.card.classes, taxonomy), sure)


def _class_notes(
    cards: Mapping[str, ModelCard], taxonomy: Taxonomy, truth: npt.NDArray[np.int64]
) -> list[str]:
    """Classes of the taxonomy that a model does not know, and its own that count as none."""
    notes = []
    for side, card in cards.items():
        names = card.classes
        counts_as = mapping(names, taxonomy)
        missing = np.flatnonzero(~counts_as.any(axis=0))
        if len(missing):
            unknown = ", ".join(np.array(taxonomy.names)[missing])
            n = int(np.isin(truth, missing).sum())
            notes.append(
                f"The {side} model does not know {unknown}, so it cannot be right on {n} cells."
            )
        extra = np.flatnonzero(~counts_as.any(axis=1))
        if len(extra):
            uncounted = ", ".join(np.array(names)[extra])
            notes.append(
                f"The {side} model's {uncounted} are no class here; its other classes share what "
                "they had."
            )
    return notes


def _limit_notes(measures: Measures) -> list[str]:
    """What the confidence limits of each source take for granted."""
    notes = []
    for source, standing in measures.by_source.items():
        if standing.slides and not standing.by_slide:
            notes.append(
                f"{source}: only {counted(standing.slides, 'slide')}, or not all of them known; "
                "the limits take cells as independent and hold for these slides, not for new ones."
            )
        elif not standing.by_slide:
            notes.append(
                f"{source}: slides are not known, so the limits take cells as independent; where "
                "cells share a slide they are too narrow."
            )
    return notes


def _heat_steps(
    cells: Sequence[LabelledCell],
    picked: npt.NDArray[np.int64],
    models: Sequence[Classifier],
    chances: Sequence[npt.NDArray[np.float64]],
    data: CropSet,
) -> Steps[tuple[tuple[float, float] | None, list[str]]]:
    """Mean share of the heat inside the picked cells, of both models, or why there is none."""
    if not len(picked):
        return None, ["No cell is right with both models, so where they look is not compared."]
    crops = data.where(np.isin(np.arange(len(cells)), picked))
    # The crops are the new model's.
    old_crops = crops
    if not _cut_alike(*models):
        chosen = [cells[i] for i in picked]
        labels = sorted({cell.label for cell in chosen})
        old_crops = yield from cut_training_crops(chosen, labels, models[0].preset)
    shares = []
    try:
        for model, own_crops, own in zip(models, (old_crops, crops), chances, strict=True):
            target = own[picked].argmax(axis=1)
            # Both are judged by the boxes of the new model, or shares could not be compared.
            share = yield from share_steps(model, own_crops, target, crops.detections)
            shares.append(share)
    except WbcError as error:
        return None, [f"Where the models look is not compared: {error}"]
    # Both means are of the same cells: those for which both models show heat.
    finite = np.isfinite(shares).all(axis=0)
    if not finite.any():
        return None, ["A model shows no heat, so where they look is not compared."]
    old, new = (float(np.mean(share[finite])) for share in shares)
    return (old, new), []
