"""The alarm of a slide whose stain or camera a model does not know.

One odd cell may be just that. Of a film that the model does not know, the first cells are all a
little less alike: their mean unlikeness is compared with that of the laboratories that a model
learnt from, by a z-test. One is the unlikeness that 2 in 100 validation cells exceed, in any model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from napari_wbc.model.cell import Cell

FIRST = 30
"""Cells of a slide that are asked, in the order in which they were located."""
AT_HOME = 0.67
"""Mean unlikeness of located cells, of the most unlike of the laboratories that ``large`` knows."""
SPREAD = 0.22
"""Standard deviation of unlikeness there."""
ONE_IN_TWENTY = 1.645
"""Deviations of a mean that one slide in twenty exceeds by chance."""


def _unlikeness(cells: Iterable[Cell]) -> Iterator[float]:
    for cell in cells:
        if cell.prediction is not None and not cell.candidate:
            value = cell.prediction.unlikeness
            if value is not None:
                yield value


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
    first = list(islice(_unlikeness(cells), FIRST))
    if not is_alarm(first):
        return ""
    return (
        "The stain or camera of this slide is unlike the training data (by the first "
        f"{len(first)} cells): labels are suggestions. Review them, or label 25 cells and "
        "fine-tune."
    )
