"""How good a classifier is on labelled cells it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_wbc.classify.predict import load_classifier
from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Steps
from napari_wbc.train.dataset import LabelledCell, cut_training_crops, read_training_set
from napari_wbc.train.metrics import Metrics, measure_by_source
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER

__all__ = ["evaluate_steps", "read_training_sets"]


def read_training_sets(paths: Sequence[str | Path]) -> tuple[LabelledCell, ...]:
    """The labelled cells of several training sets, one after the other."""
    return tuple(cell for path in paths for cell in read_training_set(path))


def evaluate_steps(
    paths: Sequence[str | Path],
    *,
    split: str = "test",
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
) -> Steps[dict[str, Metrics]]:
    """Measure a classifier on one split of training sets.

    Parameters
    ----------
    paths : sequence of path
        Training sets.
    split : str
        ``train``, ``val`` or ``test``.
    weights : str or Path
        Name or file of the classifier's weights.
    device : str
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    dict of source to Metrics

    Raises
    ------
    WbcError
        If the split is empty, or an argument is wrong.
    """
    cells = [cell for cell in read_training_sets(paths) if cell.split == split]
    if not cells:
        raise WbcError(f"The training sets hold no cell in the split {split!r}; choose another.")
    classifier = load_classifier(weights, device=device)
    classes = classifier.card.classes
    data = yield from cut_training_crops(cells, classes, classifier.preset)
    predicted = np.array([classes.index(p.cell_class) for p in classifier.predict(data.crops)])
    return measure_by_source(data.labels, predicted, data.sources, classes)
