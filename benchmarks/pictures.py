"""Contact sheets of many confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_wbc.measure.metrics import Metrics
from napari_wbc.measure.plots import draw_confusion, panels, write_figure
from napari_wbc.model.taxonomy import Taxonomy


def confusion_sheet(path: Path, found: Mapping[str, tuple[Metrics, Taxonomy]]) -> Path:
    """Draw the confusion matrix of each set under its title, three in a row.

    Each matrix stands with the taxonomy of its classes, whose shorts name rows and columns.
    """
    figure, axes = panels(len(found))
    for axis, (title, (metrics, taxonomy)) in zip(axes, found.items(), strict=True):
        names = [taxonomy.shorts[name] for name in taxonomy.names]
        draw_confusion(
            axis, metrics.confusion, names, title=f"{title}\naccuracy {metrics.accuracy:.3f}"
        )
    return write_figure(path, figure)
