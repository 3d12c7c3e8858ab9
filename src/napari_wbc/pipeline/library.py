"""The library of models as a tree of plain rows, for the screen and the shell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from napari_wbc.errors import WeightsError
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.model.words import counted
from napari_wbc.pipeline.models import counted_card
from napari_wbc.weights.card import ModelCard, taxonomy_of
from napari_wbc.weights.library import Library, adopted_classifier
from napari_wbc.weights.model import KINDS, Model, parent_in
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights
from napari_wbc.weights.store import read_card


@dataclass(frozen=True, slots=True)
class Branch:
    """One model in the tree."""

    model: Model
    depth: int
    """Number of ancestors in the library."""
    in_use: bool
    validation: str
    """See :func:`validation`."""
    when: str
    """When it came into the library, in local time; empty for a shipped one."""


def branches(models: Sequence[Model], used: Sequence[Path] = ()) -> tuple[Branch, ...]:
    """All models, each after its parent; ``used`` are the paths of :func:`in_use`."""
    parents = {model.path: parent_in(models, model) for model in models}
    tree: dict[Path, Branch] = {}

    def grow(model: Model, depth: int) -> None:
        if model.path in tree:
            return
        score = validation(model.card) if model.card else ""
        tree[model.path] = Branch(model, depth, model.path in used, score, _day(model))
        for child in models:
            if (parent := parents[child.path]) and parent.path == model.path:
                grow(child, depth + 1)

    # Roots first. A ring of parents, which only a forged card makes, has none and is cut.
    for model in sorted(models, key=lambda model: parents[model.path] is not None):
        grow(model, 0)
    return tuple(tree.values())


def in_use(library: Library) -> tuple[Path, ...]:
    """The weights in use, one of each kind.

    Raises
    ------
    WeightsError
        If the record of what is in use is damaged.
    """
    return tuple(library.adopted(kind).path for kind in KINDS)


def countable(taxonomy: Taxonomy) -> tuple[str, ...]:
    """Paths of a person's own classifiers that can be used with a taxonomy."""
    models = [model for model in Library().models() if not model.shipped and not model.damaged]
    return tuple(model.weights for model in models if _counted(model.weights, taxonomy))


def start_classifier(taxonomy: Taxonomy) -> str:
    """Name or path of the classifier in use; of the shipped one if none of its classes counts."""
    try:
        weights = adopted_classifier()
    # The Models panel reports a damaged record; an analysis works without it.
    except WeightsError:
        return DEFAULT_CLASSIFIER
    return weights if _counted(weights, taxonomy) else DEFAULT_CLASSIFIER


def start_taxonomy() -> Taxonomy:
    """Classes of a new project: those of the classifier in use, if they are the eight and more."""
    try:
        card = read_card(find_weights(adopted_classifier()))
    # As in start_classifier.
    except WeightsError:
        return EIGHT_CLASSES
    return taxonomy_of(card) if set(card.classes) > set(EIGHT_CLASSES.names) else EIGHT_CLASSES


def validation(card: ModelCard) -> str:
    """How good a model was on its validation cells, as text; empty where that is unknown.

    A classifier's is the accuracy over all its validation cells, a cell finder's the average
    precision (AP), both in percent.

    Examples
    --------
    >>> metrics = {"a val": {"n": 10, "accuracy": 0.9}, "b val": {"n": 30, "accuracy": 1.0}}
    >>> validation(ModelCard("mine", "1", "cdnn", ("x", "y"), {}, metrics=metrics))
    'accuracy 97.5 % of 40 cells'
    """
    # A card may be a stranger's, with anything in its scores.
    metrics = card.metrics if isinstance(card.metrics, dict) else {}
    cells = 0
    right = 0.0
    try:
        for name, scores in metrics.items():
            if name.endswith("val") and isinstance(scores, dict):
                cells += scores["n"]
                right += scores["n"] * scores["accuracy"]
        if cells:
            return f"accuracy {100 * right / cells:.1f} % of {counted(cells)}"
        # Cards of earlier versions do not say of how many fields.
        fields = counted(metrics["val_fields"], "field") if "val_fields" in metrics else ""
        average = f"average precision {100 * metrics['val_ap']:.1f} %"
        return f"{average} of {fields}" if fields else average
    except (KeyError, TypeError, ValueError, OverflowError):
        return ""


def _day(model: Model) -> str:
    if model.shipped or not model.path.exists():
        return ""
    return f"{datetime.fromtimestamp(model.path.stat().st_mtime, UTC).astimezone():%Y-%m-%d %H:%M}"


def _counted(weights: str, taxonomy: Taxonomy) -> bool:
    try:
        counted_card(weights, taxonomy)
    except WeightsError:
        return False
    return True
