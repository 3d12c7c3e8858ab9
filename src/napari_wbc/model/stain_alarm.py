"""The alarm of a slide whose stain or camera a model does not know.

One odd cell may be just that. Of a film that the model does not know, the first cells are all a
little less alike: their mean unlikeness is compared with that of the laboratories that a model
learnt from, by a z-test. One is the unlikeness that 2 in 100 validation cells exceed, in any model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

from napari_wbc.model.cell import Cell, Prediction

FIRST = 30
"""Cells of a slide that are asked, in the order in which they were located."""
AT_HOME = 0.56
"""Mean unlikeness of located cells of PBC and BCCD, which ``large`` knows, and a little more.

Chula's is 0.67: its stain is odd even to a model that knows it, and raises the alarm.
"""
SPREAD = 0.2
"""Standard deviation of unlikeness there."""
ONE_IN_TWENTY = 1.645
"""Deviations of a mean that one slide in twenty exceeds by chance."""


def is_alarm(unlikeness: Sequence[float]) -> bool:
    """Whether the first cells are less alike than chance explains.

    Examples
    --------
    >>> is_alarm([0.6] * 30), is_alarm([0.9] * 30), is_alarm([2.0])
    (False, True, False)
    """
    # One cell is no slide, however odd it is.
    if len(unlikeness) < 2:
        return False
    limit = AT_HOME + ONE_IN_TWENTY * SPREAD / math.sqrt(len(unlikeness))
    return sum(unlikeness) / len(unlikeness) > limit


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
        "The stain or camera of this slide is unlike the training data (by the first "
        f"{len(first)} cells): labels are suggestions. Review them, or label 25 cells and "
        "fine-tune."
    )


def surer(prediction: Prediction, threshold: float) -> Prediction:
    """A prediction that takes at least this confidence to be identified."""
    if prediction.threshold >= threshold:
        return prediction
    return replace(prediction, threshold=threshold)
