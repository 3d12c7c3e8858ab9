"""The alarm of a slide whose stain or camera a model does not know.

One odd cell may be just that. Of a film that the model does not know, the first cells are all a
little less alike and a little less sure: their mean is compared with that of the laboratories that
a model learnt from, by a z-test. The numbers were measured with the model ``large``
(benchmarks/results/travel_classify.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from napari_wbc.model.cell import Cell, Prediction

FIRST = 30
"""Cells of a slide that are asked, in the order in which they were located."""
AT_HOME = 0.65
"""Mean doubt in the laboratory that a model learnt from and is the least sure of."""
SPREAD = 0.24
"""Standard deviation of doubt there."""
ONE_IN_TWENTY = 1.645
"""Deviations of a mean that one slide in twenty exceeds by chance."""


def doubt(prediction: Prediction) -> float | None:
    """Unlikeness of a cell plus what its confidence lacks; None where the weights do not tell."""
    if prediction.unlikeness is None:
        return None
    return prediction.unlikeness + 1 - prediction.confidence


def _doubts(cells: Iterable[Cell]) -> Iterator[float]:
    for cell in cells:
        if cell.prediction is not None and not cell.candidate:
            value = doubt(cell.prediction)
            if value is not None:
                yield value


def is_alarm(doubts: Sequence[float]) -> bool:
    """Whether the doubts of the first cells are too large for chance.

    Examples
    --------
    >>> is_alarm([0.6] * 30), is_alarm([0.9] * 30), is_alarm([2.0])
    (False, True, False)
    """
    # One cell is no slide, however odd it is.
    if len(doubts) < 2:
        return False
    limit = AT_HOME + ONE_IN_TWENTY * SPREAD / math.sqrt(len(doubts))
    return sum(doubts) / len(doubts) > limit


def stain_alarm(cells: Iterable[Cell]) -> str:
    """A warning if a model does not know the stain of a slide, else empty.

    Candidates, cells without a prediction and predictions without unlikeness are passed over.
    """
    first = list(islice(_doubts(cells), FIRST))
    if not is_alarm(first):
        return ""
    return (
        "The stain or camera of this slide is unlike the training data (by the first "
        f"{len(first)} cells): labels are suggestions. Review them, or label 25 cells and "
        "fine-tune."
    )
