"""What a comparison of two classifiers shows: pictures as PNG, and its table in words.

Figures are drawn without a window, in any thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc.measure.comparison import ClassRow, Comparison, Outcome
from napari_wbc.measure.metrics import measure, reliability
from napari_wbc.measure.plots import png_of, shade_matrix
from napari_wbc.measure.verdict import Standing, Verdict
from napari_wbc.model.limits import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OLD, NEW = "#5f6b76", "#0072b2"
GAIN, LOSS = "#009e73", "#d55e00"
"""Distinct for colour-blind people (Okabe and Ito 2008); a sign or a word always says the same."""
MAX_SHOWN = 60
"""Changed cells of a kind on the contact sheet."""
CELLS_A_ROW = 10
ROW_HEIGHT = 1.4
"""Of the contact sheet, in widths of a crop: a crop and two lines of text."""
SIGNS = {
    Verdict.ADOPT: ("✔ Adopt the new model", "#006b4b"),
    Verdict.KEEP: ("✘ Keep the old model", "#a63c00"),
    Verdict.UNDECIDED: ("? Undecided", OLD),
}
"""Words, and a colour that white can be read on."""
COLUMNS = (
    "source",
    "cells",
    "balanced accuracy: old",
    "new",
    "difference",
    "95 % limits",
    "fixed",
    "broken",
    "p",
)
"""Of :func:`table_rows`, whose measure is balanced accuracy; p is McNemar's."""


def percent(value: float) -> str:
    """A share, 0 to 1, as per cent; a dash where there is none."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else "–"


def limited(share: Estimate) -> str:
    """A share, 0 to 1, with its limits, as per cent."""
    return f"{percent(share.value)} ({100 * share.low:.1f} – {100 * share.high:.1f})"


def table_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Balanced accuracy by source, and of all sources last: one text for each of :data:`COLUMNS`.

    Differences are in percentage points.
    """
    measures = comparison.measures
    rows = [_table_row(source, standing) for source, standing in measures.by_source.items()]
    # Of a single source the mean would say the same again.
    if len(rows) > 1:
        rows.append(_table_row("mean of sources", measures.overall))
    return rows


def _table_row(name: str, standing: Standing) -> tuple[str, ...]:
    value, low, high = (f"{100 * share:+.1f}" for share in standing.balanced_accuracy)
    return (
        name,
        str(standing.n),
        percent(standing.old.balanced_accuracy.value),
        percent(standing.new.balanced_accuracy.value),
        value,
        f"{low} to {high}",
        str(standing.fixed),
        str(standing.broken),
        f"{standing.p_value:.2g}",
    )


def side_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Measures of both models on all cells: name, old, new, as texts."""
    old, new = comparison.measures.overall.old, comparison.measures.overall.new
    heat = comparison.heat or (math.nan, math.nan)
    return [
        ("accuracy", limited(old.accuracy), limited(new.accuracy)),
        ("balanced accuracy", limited(old.balanced_accuracy), limited(new.balanced_accuracy)),
        ("unidentified", percent(old.unidentified), percent(new.unidentified)),
        ("errors among the identified", percent(old.errors), percent(new.errors)),
        ("calibration error", f"{old.calibration_error:.3f}", f"{new.calibration_error:.3f}"),
        ("log loss, nats", f"{old.log_loss:.3f}", f"{new.log_loss:.3f}"),
        ("heat inside the cell", percent(heat[0]), percent(heat[1])),
    ]


def draw_pictures(comparison: Comparison) -> dict[str, bytes]:
    """All pictures of a comparison, PNG by name.

    ``confusion`` has both matrices, ``difference`` recall by class and balanced accuracy by source,
    ``calibration`` both curves, and ``changed`` fixed and broken cells, 60 of each at most.
    """
    figures = {
        "confusion": _confusion(comparison),
        "difference": _difference(comparison),
        "calibration": _calibration(comparison),
        "changed": _changed(comparison),
    }
    return {name: png_of(figure, dpi=110) for name, figure in figures.items()}


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _plain(names: Iterable[str]) -> list[str]:
    """Names as matplotlib shows them."""
    # It takes what stands between two dollar signs for a formula.
    return [name.replace("$", r"\$") for name in names]


def _confusion(comparison: Comparison) -> Figure:
    """Both matrices in one scale: cells, and which part they are of their true class."""
    names = tuple(_plain(comparison.taxonomy.names))
    models = {"old": comparison.old, "new": comparison.new}
    results = [measure(comparison.truth, answers.predicted, names) for answers in models.values()]
    matrices = np.array([result.confusion for result in results])
    # Classes that neither occur nor are predicted would leave empty rows.
    both = matrices.sum(axis=0)
    used = np.flatnonzero(both.sum(axis=0) + both.sum(axis=1))
    side = max(3.2, 0.75 * len(used))
    figure = _figure(2 * side + 2.4, side + 1.3)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, title, matrix in zip(axes, models, matrices, strict=True):
        scale = shade_matrix(axis, matrix[np.ix_(used, used)], "{}\n{:.0%}")
        axis.set_xticks(range(len(used)), np.array(names)[used], rotation=45, ha="right")
        axis.set_yticks(range(len(used)), np.array(names)[used])
        axis.set(title=": ".join(_plain((title, models[title].model_id))), xlabel="predicted")
        axis.title.set_fontsize(10)
        # Minor ticks lie between the cells of the matrix, where the grid belongs.
        axis.set_xticks(np.arange(len(used) - 1) + 0.5, minor=True)
        axis.set_yticks(np.arange(len(used) - 1) + 0.5, minor=True)
        axis.grid(which="minor", color="0.88", linewidth=0.8)
        axis.tick_params(which="minor", length=0)
    axes[0].set_ylabel("true")
    figure.colorbar(scale, ax=axes, shrink=0.8, format="{x:.0%}", label="part of the true class")
    return figure


def _difference(comparison: Comparison) -> Figure:
    """Recall by class, old to new, and the difference of balanced accuracy by source."""
    measures = comparison.measures
    standings = dict(measures.by_source)
    if len(standings) > 1:
        standings["mean"] = measures.overall
    figure = _figure(11, 1.6 + 0.5 * max(len(measures.by_class), len(standings)))
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    _draw_recalls(left, measures.by_class)
    _draw_differences(right, standings)
    for axis in (left, right):
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(left=False)
        axis.grid(axis="x", color="0.92")
        axis.set_axisbelow(True)
    return figure


def _draw_recalls(axis: Axes, rows: Sequence[ClassRow]) -> None:
    """A bar from the old recall to the new one, a row for each class."""
    for y, row in enumerate(rows):
        tone = GAIN if row.new.value > row.old.value else LOSS
        ends = [row.old.value, row.new.value]
        axis.plot(ends, [y, y], color=tone, linewidth=4, alpha=0.45, zorder=1)
        # Limits lie above and below the bar, since they overlap. One label each for the legend.
        for share, shift, color, marker, label in (
            (row.old, -0.14, OLD, "o", "old"),
            (row.new, 0.14, NEW, "D", "new"),
        ):
            limits = [share.low, share.high]
            axis.plot(limits, [y + shift] * 2, color=color, linewidth=1, alpha=0.8)
            once = None if y else label
            axis.plot(share.value, y, marker, color=color, markersize=7, label=once, zorder=2)
    names = [f"{row.name} ({row.n})\n+{row.fixed} -{row.broken}" for row in rows]
    axis.set_yticks(range(len(rows)), _plain(names))
    axis.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel="recall")
    axis.set_title("Recall by class (cells, + fixed, - broken)", loc="left", fontsize=10)
    axis.xaxis.set_major_formatter("{x:.0%}")
    axis.legend(loc="lower right", frameon=False, ncols=2, bbox_to_anchor=(1, 1), borderaxespad=0)


def _draw_differences(axis: Axes, standings: Mapping[str, Standing]) -> None:
    """The difference of balanced accuracy with its limits, a row for each source."""
    for y, standing in enumerate(standings.values()):
        value, low, high = 100 * np.array(standing.balanced_accuracy)
        # In colour only where the limits leave out zero.
        color = GAIN if low > 0 else LOSS if high < 0 else OLD
        axis.plot([low, high], [y, y], color=color, linewidth=2)
        axis.plot(value, y, "s", color=color, markersize=7)
        axis.annotate(f"{value:+.1f}", (value, y), (0, 7), textcoords="offset points", ha="center")
    axis.axvline(0, color="0.6", linewidth=1, zorder=0)
    names = [f"{name} ({standing.n})" for name, standing in standings.items()]
    axis.set_yticks(range(len(standings)), _plain(names))
    axis.set(ylim=(len(standings) - 0.5, -0.7), xlabel="percentage points")
    axis.set_title("Balanced accuracy, new less old (cells)", loc="left", fontsize=10)


def _calibration(comparison: Comparison) -> Figure:
    """Accuracy over confidence of both, and which part of the cells each bin holds."""
    figure = _figure(5.4, 5.8)
    axis, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    axis.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    models = (("old", comparison.old, OLD, "o"), ("new", comparison.new, NEW, "D"))
    for k, (name, answers, color, marker) in enumerate(models):
        sureness = answers.probabilities.max(axis=1)
        result = reliability(sureness, answers.predicted == comparison.truth)
        counts = np.array(result.counts)
        # Empty bins have no accuracy, and would break the line.
        filled = counts > 0
        confidence = np.array(result.confidence)[filled]
        accuracy = np.array(result.accuracy)[filled]
        axis.plot(confidence, accuracy, color=color, linewidth=1, alpha=0.5)
        shares = counts / counts.sum()
        axis.scatter(
            confidence,
            accuracy,
            s=12 + 200 * shares[filled],
            marker=marker,
            color=color,
            label=f"{name}, calibration error {result.error:.3f}",
            clip_on=False,
        )
        width = 1 / len(counts)
        # Bars of both models stand side by side in each bin.
        middles = (np.arange(len(counts)) + 0.3 + 0.4 * k) * width
        below.bar(middles, shares, width=0.4 * width, color=color)
    axis.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy", title="Calibration")
    axis.legend(loc="upper left", frameon=False)
    below.set(xlabel="confidence", ylabel="part of cells")
    for panel in (axis, below):
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _changed(comparison: Comparison) -> Figure:
    """Contact sheet of what is fixed and what is broken."""
    kinds: tuple[tuple[Outcome, str, str], ...] = (
        ("fixed", GAIN, "only the new model is right"),
        ("broken", LOSS, "only the old model is right"),
    )
    cells = [comparison.changed(kind) for kind, _color, _meaning in kinds]
    rows = [max(1, math.ceil(min(len(some), MAX_SHOWN) / CELLS_A_ROW)) for some in cells]
    figure = _figure(1.2 * CELLS_A_ROW, 1.6 * sum(rows) + 1.5)
    axes = figure.subplots(2, 1, height_ratios=rows)
    for axis, (kind, color, meaning), some, n_rows in zip(axes, kinds, cells, rows, strict=True):
        n_shown = min(len(some), MAX_SHOWN)
        axis.set_axis_off()
        title = f"{kind.capitalize()}: {meaning}, {n_shown} of {len(some)} shown"
        axis.set_title(title, loc="left", fontsize=12, color=color, fontweight="bold")
        if not some:
            axis.text(0.05, 0.5, f"No cell is {kind}.")
        # Evenly from all, since cells stand by source and slide.
        picked = np.unique(np.linspace(0, len(some) - 1, n_shown).round().astype(int))
        for place, at in enumerate(picked):
            i, crop = some[at]
            corner = (place % CELLS_A_ROW, ROW_HEIGHT * (place // CELLS_A_ROW))
            _thumbnail(axis, comparison, i, crop, corner)
        # Last, since pictures move the limits.
        axis.set(xlim=(0, CELLS_A_ROW), ylim=(ROW_HEIGHT * n_rows, 0), aspect="equal")
    shorts = comparison.taxonomy.shorts
    key = ",  ".join(_plain(f"{shorts[name]} {name}" for name in comparison.taxonomy.names))
    figure.supxlabel(f"true class above old → new and their confidence;  {key}", fontsize=8)
    return figure


def _thumbnail(
    axis: Axes,
    comparison: Comparison,
    i: int,
    crop: npt.NDArray[np.uint8],
    corner: tuple[float, float],
) -> None:
    """One crop, its true class, and the predictions of both models."""
    left, top = corner
    middle = left + 0.5
    extent = (left + 0.03, left + 0.97, top + 0.97, top + 0.03)
    axis.imshow(crop, extent=extent, interpolation="lanczos")
    # The shorts of the classes come first, in the order of their indices.
    shorts = _plain(comparison.taxonomy.shorts.values())
    truth = shorts[comparison.truth[i]]
    axis.text(middle, top + 1.0, truth, ha="center", va="top", fontsize=8, weight="bold")
    predictions: list[str] = []
    for answers in (comparison.old, comparison.new):
        predicted = shorts[answers.predicted[i]]
        predictions.append(f"{predicted} {answers.probabilities[i].max():.2f}")
    axis.text(middle, top + 1.16, " → ".join(predictions), ha="center", va="top", fontsize=7)
