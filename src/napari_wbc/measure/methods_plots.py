"""The picture of two methods that count the same blood: error against count, and class by class.

Figures are drawn without a window, in any thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from napari_wbc.measure.methods import LEVEL, TENTH, Methods, Pair
from napari_wbc.measure.plots import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5f6b76")
"""Distinct for colour-blind people (Okabe and Ito 2008)."""
MARKS = ("o", "^", "v", "D", "P", "X", "*")
MOST = 150.0
"""Percent of error that is drawn; what is farther stands at the edge."""


def draw_methods(pairs: Sequence[Pair], methods: Sequence[Methods]) -> Figure:
    """Draw the error of each slide against the cells counted, then a panel a class.

    "Within 10 %" is drawn only where counting without a mistake keeps it: for totals of all slides
    and common classes. All others are held against our exact limits (Ruemke's).

    Returns
    -------
    Figure
        At least one panel.
    """
    figure, axes = panels(1 + len(methods))
    _draw_errors(axes[0], pairs, methods)
    by_label: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_label.setdefault(pair.label, []).append(pair)
    for place, each in enumerate(methods):
        _draw_class(axes[1 + place], by_label[each.label], each, COLORS[place % len(COLORS)])
    return figure


def _draw_errors(axis: Axes, pairs: Sequence[Pair], methods: Sequence[Methods]) -> None:
    drawn = [*pairs, *(each.total for each in methods)]
    expected = [pair.expected for pair in drawn if pair.expected]
    span = min(expected, default=1.0), max(expected, default=10.0)
    counts = np.geomspace(span[0] / 1.5, span[1] * 1.5, 200)
    # Poisson's: of a common class it is a little less.
    reach = 100 * norm.ppf((1 + LEVEL) / 2) / np.sqrt(counts)
    low = -np.minimum(reach, 100.0)
    axis.fill_between(counts, low, reach, color="#dfe8f2", label="counting alone, 95 of 100")
    for place, each in enumerate(methods):
        color = COLORS[place % len(COLORS)]
        mark = MARKS[place % len(MARKS)]
        own = [pair for pair in pairs if pair.label == each.label and pair.other]
        errors = [_clipped(pair.error) for pair in own]
        x = [pair.expected for pair in own]
        axis.scatter(x, errors, 16, color=color, marker=mark, alpha=0.7, label=each.label)
        if each.total.other:
            at = [each.total.expected], [_clipped(each.total.error)]
            axis.scatter(*at, 70, facecolor="none", edgecolor=color, marker=mark, linewidth=1.6)
    asked = [pair.expected for pair in drawn if pair.may_be_asked_a_tenth]
    if asked:
        for sign in (-1, 1):
            ends = min(asked), max(asked) * 1.5
            axis.plot(ends, [sign * 100 * TENTH] * 2, color="#1d3557", linestyle="--")
    axis.axhline(0, color="#6b7a8f", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_ylim(-105, MOST + 5)
    axis.set_xlabel("cells of the class expected by the other method")
    axis.set_ylabel("our percent less the other\u2019s, % of the other\u2019s")
    axis.set_title(
        "Error against count; large marks: all slides together; dashed: 10 %", fontsize=9
    )
    axis.legend(fontsize=7, loc="upper right")


def _draw_class(axis: Axes, pairs: Sequence[Pair], compared: Methods, color: str) -> None:
    other = np.array([pair.other for pair in pairs])
    ours = np.array([pair.ours for pair in pairs])
    value, low, high = ours.T
    inside = np.array([pair.is_within for pair in pairs])
    for chosen, fill in ((inside, color), (~inside, "white")):
        bars = value[chosen] - low[chosen], high[chosen] - value[chosen]
        axis.errorbar(
            other[chosen],
            value[chosen],
            bars,
            fmt="o",
            color=color,
            markerfacecolor=fill,
            markersize=4,
            elinewidth=0.7,
        )
    most = max(float(other.max()), float(value.max())) * 1.1 or 1.0
    axis.plot([0, most], [0, most], color="#6b7a8f", linewidth=0.8)
    slope, intercept = compared.line
    if math.isfinite(slope.value):
        ends = np.array([0.0, most])
        line = slope.value * ends + intercept.value
        name = "Passing and Bablok" if compared.is_robust else "Deming"
        axis.plot(ends, line, color="#1d3557", linestyle="--", label=name)
        axis.legend(fontsize=7, loc="upper left")
    axis.set_xlim(0, most)
    axis.set_ylim(0, max(most, min(100.0, float(high.max()) * 1.02)))
    axis.set_xlabel("the other method, %")
    axis.set_ylabel("ours with R\u00fcmke\u2019s limits, %")
    lines = [
        f"{compared.label}: {compared.within} of {compared.slides} within R\u00fcmke\u2019s limits"
    ]
    if compared.total.may_be_asked_a_tenth:
        verdict = "within" if compared.total.is_within_a_tenth else "not within"
        lines.append(f"all slides: {100 * compared.total.error:+.1f} %, {verdict} 10 %")
    axis.set_title("\n".join(lines), fontsize=9)


def _clipped(error: float) -> float:
    return min(100 * error, MOST)
