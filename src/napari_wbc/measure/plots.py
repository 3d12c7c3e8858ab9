"""What an evaluation shows: confusion matrices, ROC curves and calibration, one panel a source."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import write_bytes
from napari_wbc.measure.metrics import Floats, Ints, Texts, auc, measure, reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

PANEL_SIDE = 5.0
"""In inches."""


def write_evaluation(
    folder: Path, truth: Ints, probabilities: Floats, sources: Texts, classes: Sequence[str]
) -> tuple[Path, ...]:
    """Write ``confusion.png``, ``roc.png`` and ``calibration.png``.

    Parameters
    ----------
    truth : ndarray, shape (N,), int
        Indices of ``classes``.
    probabilities : ndarray, shape (N, classes), float
        0 to 1, each row summing to 1.
    sources : ndarray, shape (N,), str
        Laboratory of each cell.

    Raises
    ------
    WbcError
        If there is no cell, or a file cannot be written.
    """
    names = np.unique(sources).tolist()
    if not names:
        raise WbcError("There is no cell to draw an evaluation of; choose another split.")
    guess = probabilities.argmax(axis=1)
    confusion, roc, calibration = (panels(len(names)) for _ in range(3))
    for i, name in enumerate(names):
        chosen = sources == name
        matrix = measure(truth[chosen], guess[chosen], tuple(classes)).confusion
        draw_confusion(confusion[1][i], matrix, classes, title=name)
        draw_roc(roc[1][i], truth[chosen], probabilities[chosen], classes, title=name)
        draw_calibration(calibration[1][i], truth[chosen], probabilities[chosen], title=name)
    return (
        write_figure(folder / "confusion.png", confusion[0]),
        write_figure(folder / "roc.png", roc[0]),
        write_figure(folder / "calibration.png", calibration[0]),
    )


def panels(n: int) -> tuple[Figure, list[Axes]]:
    """A figure of n square panels, at most three in a row, and their axes."""
    # A figure of its own and not one of pyplot, which keeps figures and wants the main thread.
    from matplotlib.figure import Figure

    columns = min(n, 3)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(PANEL_SIDE * columns, PANEL_SIDE * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[n:]:
        axis.set_axis_off()
    return figure, axes[:n]


def write_figure(path: Path, figure: Figure) -> Path:
    """Write a figure as PNG, whole or not at all."""
    write_bytes(path, png_of(figure, dpi=90))
    return path


def png_of(figure: Figure, *, dpi: int) -> bytes:
    """A figure as PNG, with so many pixels an inch."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=dpi)
    return picture.getvalue()


def draw_confusion(
    axis: Axes, confusion: npt.ArrayLike, classes: Sequence[str], *, title: str
) -> None:
    """Draw a confusion matrix: cells as numbers, the share of each true class as shade.

    Its rows are true ``classes`` and its columns predicted ones, by their names or shorts.
    """
    matrix = np.asarray(confusion)
    shade_matrix(axis, matrix, "{}")
    axis.set(title=f"{title}, {matrix.sum():,} cells", xlabel="predicted", ylabel="true")
    # Short names fit side by side, long ones only upright.
    upright = max(map(len, classes)) > 4
    axis.set_xticks(range(len(classes)), classes, rotation=90 if upright else 0)
    axis.set_yticks(range(len(classes)), classes)


def shade_matrix(axis: Axes, matrix: Ints, text: str) -> AxesImage:
    """Draw a confusion matrix as the share of each row, with ``text`` of count and share."""
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shade = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, col in np.argwhere(matrix):
        label = text.format(matrix[row, col], share[row, col])
        ink = "white" if share[row, col] > 0.5 else "black"
        axis.text(col, row, label, ha="center", va="center", fontsize=8, color=ink)
    return shade


def draw_roc(
    axis: Axes, truth: Ints, probabilities: Floats, classes: Sequence[str], *, title: str
) -> None:
    """Draw the ROC of each class against the rest, where some cells are of the class and some not.

    Shapes are as in :func:`write_evaluation`.
    """
    from matplotlib import colormaps
    from sklearn.metrics import roc_curve

    axis.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    colors = colormaps["tab10" if len(classes) <= 10 else "tab20"]
    for k, name in enumerate(classes):
        of_class = truth == k
        chance = probabilities[:, k]
        if of_class.any() and not of_class.all():
            false, true, _thresholds = roc_curve(of_class, chance)
            area = auc(chance[~of_class], chance[of_class])
            axis.plot(false, true, color=colors(k % colors.N), label=f"{name} {area:.3f}")
    axis.set(title=title, xlabel="false positive rate", ylabel="true positive rate")
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(title="area under the curve", fontsize="small", loc="lower right")


def draw_calibration(axis: Axes, truth: Ints, probabilities: Floats, *, title: str) -> None:
    """Draw accuracy over confidence, and in gray the part of the cells that each bin holds.

    Shapes are as in :func:`write_evaluation`.
    """
    result = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth)
    counts = np.array(result.counts)
    bins = len(counts)
    # Empty bins have no accuracy, and would break the line.
    filled = counts > 0
    axis.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    middles = (np.arange(bins) + 0.5) / bins
    axis.bar(middles, counts / counts.sum(), width=1 / bins, color="0.85", label="part of cells")
    confidence = np.array(result.confidence)[filled]
    accuracy = np.array(result.accuracy)[filled]
    axis.plot(confidence, accuracy, marker="o", markersize=4, label="accuracy")
    axis.set(title=f"{title}, calibration error {result.error:.3f}", xlabel="confidence")
    axis.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    axis.legend(fontsize="small", loc="upper left")
