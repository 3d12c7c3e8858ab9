"""What prediction sets say of the cells that nobody has reviewed."""

from __future__ import annotations

from collections.abc import Iterator

from napari_wbc.model.audit import Audit
from napari_wbc.model.prediction_sets import calibrated
from napari_wbc.model.table import CellTable
from napari_wbc.model.words import counted as words


def doubtful(table: CellTable, audit: Audit | None) -> Iterator[str]:
    """How many cells that only the model labelled may be of another class, in words.

    Nothing is said before 20 cells are reviewed at random, or where each cell has one possible
    class; see :mod:`napari_wbc.model.prediction_sets`.
    """
    calibration = calibrated(table, audit)
    if calibration is None:
        return
    by_model = (cell for cell in table.values() if cell.label_source == "prediction")
    predicted = [cell.prediction for cell in by_model if cell.prediction is not None]
    several = sum(len(calibration.possible(prediction)) > 1 for prediction in predicted)
    if several:
        yield (
            f"Of {words(len(predicted))} that only the model labelled, {several} may be of another "
            f"class too, by {words(calibration.cells)} reviewed at random (95 % prediction sets)."
        )
