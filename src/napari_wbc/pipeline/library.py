"""The library of models as a tree of plain rows, for the screen and the shell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from napari_wbc.errors import WeightsError
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.pipeline.models import counted_card
from napari_wbc.weights.card import ModelCard, taxonomy_of
from napari_wbc.weights.library import KINDS, Library, Model, adopted_classifier, parent_in
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights
from napari_wbc.weights.store import read_card

__all__ = [
    "Branch",
    "branches",
    "countable",
    "in_use",
    "start_classifier",
    "start_taxonomy",
    "validation",
]


@dataclass(frozen=True, slots=True)
class Branch:
    """One model in the tree.

    Parameters
    ----------
    model : Model
    depth : int
        Number of ancestors in the library.
    in_use : bool
    validation : str
        See :func:`validation`.
    when : str
        Day on which it came into the library, '' for a shipped one.
    """

    model: Model
    depth: int
    in_use: bool
    validation: str
    when: str


def branches(models: Sequence[Model], used: Sequence[Path] = ()) -> tuple[Branch, ...]:
    """All models, each after its parent; a ring of parents, which only a forged card makes, is cut.

    Parameters
    ----------
    models : sequence of Model
    used : sequence of Path
        Of the models in use, see :func:`in_use`.
    """
    parents = {model.path: parent_in(models, model) for model in models}
    found: dict[Path, Branch] = {}

    def grow(model: Model, depth: int) -> None:
        if model.path not in found:
            found[model.path] = _branch(model, depth, used)
            for child in models:
                if (parent := parents[child.path]) and parent.path == model.path:
                    grow(child, depth + 1)

    for model in (*(one for one in models if parents[one.path] is None), *models):
        grow(model, 0)
    return tuple(found.values())


def in_use(library: Library) -> tuple[Path, ...]:
    """The weights in use, one of each kind.

    Raises
    ------
    WeightsError
        If the record of what is in use is damaged.
    """
    return tuple(library.adopted(kind).path for kind in KINDS)


def countable(taxonomy: Taxonomy) -> tuple[str, ...]:
    """Paths of a person's own classifiers that can be used with a taxonomy; their weights are not loaded.

    Parameters
    ----------
    taxonomy : Taxonomy
        What is counted.
    """
    own = (model for model in Library().models() if not model.shipped and not model.damaged)
    return tuple(model.weights for model in own if _counted(model.weights, taxonomy))


def start_classifier(taxonomy: Taxonomy) -> str:
    """The classifier in use, or the shipped one where none of its classes can be counted.

    Parameters
    ----------
    taxonomy : Taxonomy
        What is counted.

    Returns
    -------
    str
        Name or path, as :func:`~napari_wbc.weights.registry.find_weights` takes it.
    """
    try:
        weights = adopted_classifier()
    except WeightsError:  # the library's own panel tells it
        return DEFAULT_CLASSIFIER
    return weights if _counted(weights, taxonomy) else DEFAULT_CLASSIFIER


def start_taxonomy() -> Taxonomy:
    """Classes of a new project: those of the classifier in use, if they are the eight and more."""
    try:
        card = read_card(find_weights(adopted_classifier()))
    except WeightsError:  # the library's own panel tells it
        return EIGHT_CLASSES
    return taxonomy_of(card) if set(card.classes) > set(EIGHT_CLASSES.names) else EIGHT_CLASSES


def validation(card: ModelCard) -> str:
    """How good a model was on its validation cells, as text; '' where that is unknown.

    A classifier's is the accuracy over all its validation cells, a detector's the average
    precision.

    Examples
    --------
    >>> metrics = {"a val": {"n": 10, "accuracy": 0.9}, "b val": {"n": 30, "accuracy": 1.0}}
    >>> validation(ModelCard("mine", "1", "cdnn", ("x", "y"), {}, metrics=metrics))
    '97.5 %'
    """
    metrics = card.metrics if isinstance(card.metrics, dict) else {}  # a card may be anybody's
    scores = [
        one for name, one in metrics.items() if name.endswith("val") and isinstance(one, dict)
    ]
    try:
        cells = sum(one["n"] for one in scores)
        right = sum(one["n"] * one["accuracy"] for one in scores)
        if cells:
            return f"{100 * right / cells:.1f} %"
        return f"AP {100 * metrics['val_ap']:.1f} %"
    except (KeyError, TypeError, ValueError, OverflowError):
        return ""


def _branch(model: Model, depth: int, used: Sequence[Path]) -> Branch:
    score = validation(model.card) if model.card else ""
    return Branch(model, depth, model.path in used, score, _day(model))


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
