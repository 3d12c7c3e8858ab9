"""What a comparison of two classifiers shows: pictures as PNG, and its table in words.

Figures are drawn without a window, in any thread.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc.measure.comparison import Comparison, Outcome
from napari_wbc.measure.metrics import measure, reliability
from napari_wbc.measure.verdict import Estimate, Standing, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLUMNS", "SIGNS", "draw_pictures", "limited", "percent", "side_rows", "table_rows"]

OLD, NEW = "#5f6b76", "#0072b2"
GAIN, LOSS = "#009e73", "#d55e00"
"""Told apart by colour-blind people (Okabe and Ito 2008); a sign or a word always says the same."""
SHOWN = 60
"""Changed cells of a kind on the contact sheet."""
ACROSS = 10
SIGNS = {
    Verdict.ADOPT: ("✔ Adopt the new model", "#006b4b"),
    Verdict.KEEP: ("✘ Keep the old model", "#a63c00"),
    Verdict.UNDECIDED: ("? Undecided", OLD),
}
"""Words, and a colour that white can be read on."""
COLUMNS = ("source", "cells", "old", "new", "difference", "95 % limits", "fixed", "broken", "p")
"""Of :func:`table_rows`, whose measure is balanced accuracy; p is McNemar's."""


def percent(value: float) -> str:
    """A share, 0 to 1, as per cent; a dash where there is none."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else "–"


def limited(share: Estimate) -> str:
    """A share, 0 to 1, with its limits, as per cent."""
    return f"{percent(share.value)} ({100 * share.low:.1f} – {100 * share.high:.1f})"


def table_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Balanced accuracy by source, and over all sources last: texts, one a column of :data:`COLUMNS`.

    Differences are in percentage points.
    """

    def row(name: str, one: Standing) -> tuple[str, ...]:
        sides = (percent(side.balanced_accuracy.value) for side in (one.old, one.new))
        value, low, high = (f"{100 * v:+.1f}" for v in one.balanced_accuracy)
        changed = (str(one.fixed), str(one.broken), f"{one.p_value:.2g}")
        return name, str(one.n), *sides, value, f"{low} to {high}", *changed

    measures = comparison.measures
    rows = [row(source, one) for source, one in measures.by_source.items()]
    return [*rows, row("mean of sources", measures.overall)] if len(rows) > 1 else rows


def side_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """What either model does on all cells: measure, old, new, as texts."""
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
    """All pictures of a comparison.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    dict of str to bytes
        PNG by name: ``confusion`` (both matrices), ``difference`` (recall by class, balanced
        accuracy by source), ``calibration`` (both curves) and ``changed`` (fixed and broken cells,
        60 of each at most).
    """
    ways = {
        "confusion": _confusion,
        "difference": _difference,
        "calibration": _calibration,
        "changed": _changed,
    }
    return {name: _png(draw(comparison)) for name, draw in ways.items()}


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _plain(names: Iterable[str]) -> list[str]:
    """Names that matplotlib takes for no formula."""
    return [name.replace("$", r"\$") for name in names]


def _bare(axis: Axes) -> None:
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(left=False)


def _confusion(comparison: Comparison) -> Figure:
    """Both matrices in one scale: cells, and which part they are of their true class."""
    names = tuple(_plain(comparison.taxonomy.names))
    said = {"old": comparison.old, "new": comparison.new}
    full = {
        k: np.array(measure(comparison.truth, a.predicted, names).confusion)
        for k, a in said.items()
    }
    used = np.flatnonzero(sum(m.sum(axis=0) + m.sum(axis=1) for m in full.values()))
    side = max(3.2, 0.75 * len(used))
    figure = _figure(2 * side + 2.4, side + 1.3)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (title, matrix) in zip(axes, full.items(), strict=True):
        shown = matrix[np.ix_(used, used)]
        share = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
        scale = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for row, col in np.argwhere(shown):
            text = f"{shown[row, col]}\n{share[row, col]:.0%}"
            ink = "white" if share[row, col] > 0.5 else "black"
            axis.text(col, row, text, ha="center", va="center", fontsize=8, color=ink)
        axis.set_xticks(range(len(used)), [names[k] for k in used], rotation=45, ha="right")
        axis.set_yticks(range(len(used)), [names[k] for k in used])
        axis.set(title=": ".join(_plain((title, said[title].model_id))), xlabel="predicted")
        axis.title.set_fontsize(10)
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
    rows = measures.by_class
    standings = dict(measures.by_source)
    if len(standings) > 1:
        standings["mean"] = measures.overall
    figure = _figure(11, 1.6 + 0.5 * max(len(rows), len(standings)))
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    for y, row in enumerate(rows):
        tone = GAIN if row.new.value > row.old.value else LOSS
        left.plot(
            [row.old.value, row.new.value], [y, y], color=tone, linewidth=4, alpha=0.45, zorder=1
        )
        for one, color, mark, shift in ((row.old, OLD, "o", -0.14), (row.new, NEW, "D", 0.14)):
            left.plot([one.low, one.high], [y + shift] * 2, color=color, linewidth=1, alpha=0.8)
            label = ("old", "new")[color == NEW] if not y else None
            left.plot(one.value, y, mark, color=color, markersize=7, label=label, zorder=2)
    left.set_yticks(
        range(len(rows)),
        _plain(f"{row.name} ({row.n})\n+{row.fixed} -{row.broken}" for row in rows),
    )
    left.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel="recall")
    left.set_title("Recall by class (cells, + fixed, - broken)", loc="left", fontsize=10)
    left.xaxis.set_major_formatter("{x:.0%}")
    left.legend(loc="lower right", frameon=False, ncols=2, bbox_to_anchor=(1, 1), borderaxespad=0)
    for y, standing in enumerate(standings.values()):
        value, low, high = (100 * v for v in standing.balanced_accuracy)
        tone = GAIN if low > 0 else LOSS if high < 0 else OLD
        right.plot([low, high], [y, y], color=tone, linewidth=2)
        right.plot(value, y, "s", color=tone, markersize=7)
        right.annotate(f"{value:+.1f}", (value, y), (0, 7), textcoords="offset points", ha="center")
    right.axvline(0, color="0.6", linewidth=1, zorder=0)
    right.set_yticks(
        range(len(standings)), _plain(f"{name} ({one.n})" for name, one in standings.items())
    )
    right.set(ylim=(len(standings) - 0.5, -0.7), xlabel="percentage points")
    right.set_title("Balanced accuracy, new less old (cells)", loc="left", fontsize=10)
    for axis in (left, right):
        _bare(axis)
        axis.grid(axis="x", color="0.92")
        axis.set_axisbelow(True)
    return figure


def _calibration(comparison: Comparison) -> Figure:
    """Accuracy over confidence of both, and which part of the cells each bin holds."""
    figure = _figure(5.4, 5.8)
    axis, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    axis.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    said = (("old", comparison.old, OLD, "o"), ("new", comparison.new, NEW, "D"))
    for k, (name, answers, color, mark) in enumerate(said):
        chances = answers.probabilities
        found = reliability(chances.max(axis=1), answers.predicted == comparison.truth)
        counts, sure, hit = map(np.array, (found.counts, found.confidence, found.accuracy))
        some, width = counts > 0, 1 / len(counts)
        label = f"{name}, calibration error {found.error:.3f}"
        axis.plot(sure[some], hit[some], color=color, linewidth=1, alpha=0.5)
        part = counts[some] / counts.sum()
        axis.scatter(
            sure[some],
            hit[some],
            s=12 + 200 * part,
            marker=mark,
            color=color,
            label=label,
            clip_on=False,
        )
        middles = (np.arange(len(counts)) + 0.3 + 0.4 * k) * width
        below.bar(middles, counts / counts.sum(), width=0.4 * width, color=color)
    axis.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy", title="Calibration")
    axis.legend(loc="upper left", frameon=False)
    below.set(xlabel="confidence", ylabel="part of cells")
    for one in (axis, below):
        one.spines[["top", "right"]].set_visible(False)
    return figure


def _changed(comparison: Comparison) -> Figure:
    """Contact sheet of what is fixed and what is broken."""
    kinds: tuple[tuple[Outcome, str], ...] = (("fixed", GAIN), ("broken", LOSS))
    found = {kind: comparison.changed(kind) for kind, _color in kinds}
    lines = [max(1, math.ceil(min(len(some), SHOWN) / ACROSS)) for some in found.values()]
    figure = _figure(1.2 * ACROSS, 1.6 * sum(lines) + 1.5)
    axes = figure.subplots(2, 1, height_ratios=lines)
    for axis, (kind, color), rows in zip(axes, kinds, lines, strict=True):
        some = found[kind]
        axis.set_axis_off()
        told = {"fixed": "only the new model is right", "broken": "only the old model is right"}[
            kind
        ]
        title = f"{kind.capitalize()}: {told}, {min(len(some), SHOWN)} of {len(some)} shown"
        axis.set_title(title, loc="left", fontsize=12, color=color, fontweight="bold")
        if not some:
            axis.text(0.05, 0.5, f"No cell is {kind}.")
        picked = np.unique(np.linspace(0, len(some) - 1, min(len(some), SHOWN)).round().astype(int))
        for place, at in enumerate(picked):
            i, crop = some[at]
            _thumbnail(axis, comparison, i, crop, (place % ACROSS, 1.4 * (place // ACROSS)))
        axis.set(
            xlim=(0, ACROSS), ylim=(1.4 * rows, 0), aspect="equal"
        )  # last, since pictures move them
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
    """One crop, its true class, and what both models say of it."""
    left, top = corner
    axis.imshow(
        crop, extent=(left + 0.03, left + 0.97, top + 0.97, top + 0.03), interpolation="lanczos"
    )
    shorts = _plain(comparison.taxonomy.shorts[name] for name in comparison.taxonomy.names)
    said = [
        f"{shorts[one.predicted[i]]} {one.probabilities[i].max():.2f}"
        for one in (comparison.old, comparison.new)
    ]
    axis.text(
        left + 0.5,
        top + 1.0,
        shorts[comparison.truth[i]],
        ha="center",
        va="top",
        fontsize=8,
        weight="bold",
    )
    axis.text(left + 0.5, top + 1.16, " → ".join(said), ha="center", va="top", fontsize=7)
