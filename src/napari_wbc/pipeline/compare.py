"""Two classifiers on the same held-out cells, before one takes the place of the other.

Invariant: both models are asked about the same cells, and about none that a card says it was
trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.errors import WbcError
from napari_wbc.measure.comparison import Answers, Comparison, Measures, measured
from napari_wbc.model.mapping import mapped, mapping
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.pipeline.evaluate import predict_steps
from napari_wbc.pipeline.heat_share import Look, shares_steps, some_of
from napari_wbc.pipeline.held_out import counts_text, held_out_steps, relabelled, trained_on_steps
from napari_wbc.train.dataset import CropSet, cut_training_crops
from napari_wbc.weights.card import ModelCard, taxonomy_of, training_images

__all__ = ["Comparison", "compare_steps"]


class _Model(NamedTuple):
    """One of the two models, as ``old`` or ``new``."""

    side: str
    classifier: Classifier

    @property
    def card(self) -> ModelCard:
        return self.classifier.card

    @property
    def cut(self) -> tuple[int, float, bool]:
        """Size, factor and use of anchors: models that agree in these take the same crops."""
        preset = self.classifier.preset
        return preset.size, preset.factor, preset.anchors > 0


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
    paths : sequence of path
        Training sets.
    old, new : str or Path
        Names or files of the classifiers' weights.
    split : str
        ``train``, ``val`` or ``test``.
    taxonomy : Taxonomy, optional
        To compare by; labels and probabilities are mapped to it. Where None, that of the old model
        if every class of the new counts as one of it, else that of the new.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    heat : bool
        Whether to ask by Grad-CAM where both models look, on 200 cells at most that both have
        right.

    Returns
    -------
    Comparison

    Raises
    ------
    WbcError
        If the split is empty, all its images are ones that a model was trained on, none of its
        labels or of a model's classes counts as a class of the taxonomy, or an argument is wrong.
    """
    held_out = yield from held_out_steps(paths, split)
    yield Progress("loading weights", 0, len(held_out))
    models = [
        _Model("old", load_classifier(old, device=device)),
        _Model("new", load_classifier(new, device=device)),
    ]
    cards = [model.card for model in models]
    taxonomy = taxonomy or _taxonomy_of(*cards)
    # Cutting crops takes minutes, so a model without a class of the taxonomy is refused first.
    for card in cards:
        mapping(card.classes, taxonomy)
    seen = yield from trained_on_steps(held_out, cards)
    unseen = list(compress(held_out, ~(seen[0] | seen[1])))
    if not unseen:
        raise WbcError(
            "Every held-out image is one that a model was trained on; label other slides, or "
            "choose another split."
        )
    cells, left_out = relabelled(unseen, taxonomy)
    data, chances = yield from _asked_steps(cells, taxonomy, models)
    before = _answers(models[0], chances[0], taxonomy)
    after = _answers(models[1], chances[1], taxonomy)
    yield Progress("comparing", 0, len(cells))
    truth = data.labels
    slides = np.array([cell.slide for cell in cells], dtype=np.str_)
    measures = measured(truth, before, after, taxonomy.names, sources=data.sources, slides=slides)
    notes = [*_seen_notes(models, seen), *_left_out_notes(left_out)]
    notes += [*_class_notes(models, taxonomy, truth), *_limit_notes(measures)]
    right = np.stack([before.predicted == truth, after.predicted == truth])
    heat_inside = None
    if heat:
        picked = some_of(right[0] & right[1])
        heat_inside, note = yield from _heat_steps(cells, picked, models, chances, data)
        notes += [note] if note else []
    # Crops fill gigabytes for a large set, and only those of changed cells are ever drawn.
    changed = data.crops[right[0] != right[1]]
    return Comparison(
        taxonomy, truth, before, after, tuple(cells), measures, changed, heat_inside, tuple(notes)
    )


def _taxonomy_of(old: ModelCard, new: ModelCard) -> Taxonomy:
    """The old model's classes if they take in all the new one's, else the new one's."""
    taxonomy = taxonomy_of(old)
    return taxonomy if all(map(taxonomy.class_of, new.classes)) else taxonomy_of(new)


def _asked_steps(
    cells: Sequence[LabelledCell], taxonomy: Taxonomy, models: Sequence[_Model]
) -> Steps[tuple[CropSet, list[npt.NDArray[np.float64]]]]:
    """The crops of the last model, and each model's probabilities of its own classes."""
    chances: list[npt.NDArray[np.float64]] = []
    crops: dict[tuple[int, float, bool], CropSet] = {}
    for model in models:
        if model.cut not in crops:
            # The crops of one model alone may fill the memory.
            crops.clear()
            preset = model.classifier.preset
            crops[model.cut] = yield from cut_training_crops(cells, taxonomy.names, preset)
        chances.append((yield from predict_steps(model.classifier, crops[model.cut])))
    return crops[models[-1].cut], chances


def _answers(model: _Model, chances: npt.NDArray[np.float64], taxonomy: Taxonomy) -> Answers:
    """A model's answers in the classes of a taxonomy."""
    # A threshold was chosen on the model's own classes, so it is applied before they are mapped.
    sure = chances.max(axis=1) >= model.classifier.threshold
    return Answers(model.card.model_id, mapped(chances, model.card.classes, taxonomy), sure)


def _seen_notes(models: Sequence[_Model], seen: npt.NDArray[np.bool_]) -> list[str]:
    """Which models may know the cells; ``seen`` is of shape (models, cells)."""
    notes = [
        f"The card of the {model.side} model does not list the images it was trained on, so it may "
        "know some of these cells."
        for model in models
        if not training_images(model.card)
    ]
    for model, n in zip(models, seen.sum(axis=1), strict=True):
        if n:
            notes.append(
                f"{n} cells are of images the {model.side} model was trained on; they were left "
                "out."
            )
    return notes


def _left_out_notes(left_out: Mapping[str, int]) -> list[str]:
    if not left_out:
        return []
    return [f"Cells left out, no class of the taxonomy: {counts_text(left_out)}."]


def _class_notes(
    models: Sequence[_Model], taxonomy: Taxonomy, truth: npt.NDArray[np.int64]
) -> list[str]:
    """Classes of the taxonomy that a model does not know, and its own that count as none."""
    notes = []
    for side, classifier in models:
        names = classifier.card.classes
        counts_as = mapping(names, taxonomy)
        missing = np.flatnonzero(~counts_as.any(axis=0))
        if len(missing):
            unknown = ", ".join(taxonomy.names[k] for k in missing)
            n = int(np.isin(truth, missing).sum())
            notes.append(
                f"The {side} model does not know {unknown}, so it cannot be right on {n} cells."
            )
        extra = np.flatnonzero(~counts_as.any(axis=1))
        if len(extra):
            uncounted = ", ".join(names[k] for k in extra)
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
                f"{source}: only {standing.slides} slides, or not all of them known; the limits "
                "take cells as independent and hold for these slides, not for new ones."
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
    models: Sequence[_Model],
    chances: Sequence[npt.NDArray[np.float64]],
    data: CropSet,
) -> Steps[tuple[tuple[float, float] | None, str]]:
    """Mean share of the heat inside the picked cells, of both models, or why there is none.

    ``data`` are the crops of the new model.
    """
    if not len(picked):
        return None, "No cell is right with both models, so where they look is not compared."
    chosen = [cells[i] for i in picked]
    looks = []
    for model, own in zip(models, chances, strict=True):
        crops = data.where(np.isin(np.arange(len(cells)), picked))
        if model.cut != models[-1].cut:
            labels = sorted({cell.label for cell in chosen})
            crops = yield from cut_training_crops(chosen, labels, model.classifier.preset)
        looks.append(Look(model.classifier, crops, own[picked].argmax(axis=1)))
    try:
        shares = yield from shares_steps(chosen, looks)
    except WbcError as error:
        return None, f"Where the models look is not compared: {error}"
    # Both means are of the same cells: those for which both models show heat.
    finite = np.isfinite(shares).all(axis=0)
    if not finite.any():
        return None, "A model shows no heat, so where they look is not compared."
    old, new = (float(np.mean(share[finite])) for share in shares)
    return (old, new), ""
