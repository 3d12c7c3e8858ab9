"""The alarm of a slide whose stain or camera a model does not know.

One odd cell may be just that. On a film that the model does not know, most of the first cells are
unlike those of training. One is the unlikeness that 2 in 100 validation cells exceed, in any model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from statistics import median

from napari_wbc.model.cell import Cell, Prediction

FIRST = 30
"""Cells of a slide that are asked, in the order in which they were located."""
LIMIT = 0.85
"""Median unlikeness of a film that is unknown.

Those of films of laboratories that ``large`` knows are 0.5 to 0.7, those of others 1.1 to 3.
"""


def is_alarm(unlikeness: Sequence[float]) -> bool:
    """Whether most of the first cells are unlike those of training.

    Examples
    --------
    >>> is_alarm([0.6] * 29 + [9.0]), is_alarm([0.9] * 30), is_alarm([2.0])
    (False, True, False)
    """
    # One cell is no slide, however odd it is. Debris among the cells does not move a median.
    return len(unlikeness) > 1 and median(unlikeness) > LIMIT


def stain_alarm(cells: Iterable[Cell]) -> str:
    """A warning if a model does not know the stain of a slide, else empty.

    Candidates, cells without a prediction and predictions without unlikeness are passed over.
    """
    return alarm_of(c.prediction for c in cells if c.prediction is not None and not c.candidate)


def alarm_of(predictions: Iterable[Prediction]) -> str:
    """The warning of :func:`stain_alarm`, of the predictions of cells in their order."""
    unlikeness = (p.unlikeness for p in predictions if p.unlikeness is not None)
    first = list(islice(unlikeness, FIRST))
    if not is_alarm(first):
        return ""
    return (
        f"The model does not know this stain or camera (by the first {len(first)} cells). Review "
        "its labels, or label 25 cells and fine-tune."
    )


def surer(prediction: Prediction, threshold: float) -> Prediction:
    """A prediction that takes at least this confidence to be identified."""
    if prediction.threshold >= threshold:
        return prediction
    return replace(prediction, threshold=threshold)
