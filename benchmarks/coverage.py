"""How often the limits that a report prints hold the truth, by simulation.

    python benchmarks/coverage.py [--slides 20000] [--part slides|lines|kappa]

Blood of known composition is drawn onto slides of n leukocytes; a model with the errors of its own
laboratory, or of another, labels them. Of each interval: the percent of slides on which it holds the
truth of the blood, for the class for which it holds least often. Then many slides against an
analyser that counts the same blood without any bias: bias, slope and intercept. Then two examiners
of the same cells, who err alike: kappa.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from napari_wbc.measure import methods as counting
from napari_wbc.measure.agreement import kappa_limits
from napari_wbc.measure.methods import FEWEST_CELLS, FEWEST_SLIDES, Methods, Pair, methods
from napari_wbc.model.audit import allocation, stratified
from napari_wbc.model.blood_count import WbcCount, absolute_counts, corrected_wbc
from napari_wbc.model.differential import Beside, Differential, Share
from napari_wbc.model.limits import ratio, share, simultaneous_level
from napari_wbc.model.policy import Policy
from record import record

CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil", "immature granulocyte")
BLOODS = {
    "ordinary": np.array([0.60, 0.28, 0.06, 0.04, 0.01, 0.01]),
    "many rare": np.array([0.44, 0.38, 0.08, 0.05, 0.02, 0.03]),
}
LABORATORIES = {
    # Rows: truth, columns: what the model says, in the order of the classes.
    "home": [
        [0.975, 0.005, 0.005, 0.005, 0.000, 0.010],
        [0.005, 0.970, 0.020, 0.000, 0.003, 0.002],
        [0.010, 0.030, 0.940, 0.000, 0.000, 0.020],
        [0.025, 0.003, 0.002, 0.965, 0.000, 0.005],
        [0.030, 0.060, 0.000, 0.010, 0.890, 0.010],
        [0.080, 0.020, 0.060, 0.010, 0.000, 0.830],
    ],
    "abroad": [
        [0.880, 0.020, 0.030, 0.040, 0.000, 0.030],
        [0.030, 0.850, 0.100, 0.000, 0.010, 0.010],
        [0.150, 0.200, 0.550, 0.000, 0.000, 0.100],
        [0.150, 0.020, 0.020, 0.800, 0.000, 0.010],
        [0.200, 0.250, 0.020, 0.030, 0.450, 0.050],
        [0.300, 0.050, 0.150, 0.020, 0.000, 0.480],
    ],
}
SIZES = (50, 100, 200, 400)
WBC = 10.0
"""Nucleated cells, 10^9/L, that an uncorrected analyser counts."""
ERYTHROBLASTS = 0.08
"""For each leukocyte."""
UNSURE = 0.05
"""Share of cells that nobody identifies, more often of the last classes."""
NO_LEUKOCYTE = 0.04
"""For each leukocyte, what a cell finder takes for one; the model gives it any class."""
BANDS = 0.05
"""Share of the neutrophils."""
TARGET = 94.0
COMPARED = (20, 40)
"""Slides of a comparison with an analyser."""
OURS = 200
"""Cells counted of each of them."""
THEIRS = (200, 250, 8000)
"""Cells that the other method counts."""
VARIETY = 50.0
"""Of the bloods of a comparison: the sum of their Dirichlet distribution's parameters."""
DRAWS = 20
"""Comparisons drawn for each that is judged: of a rare class few have the cells for a line."""
EXAMINED = (200, 400)
"""Cells that two examiners label."""
KAPPAS = (0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
BLOOD = (
    f"Blood: ordinary {BLOODS['ordinary'].tolist()}, many rare {BLOODS['many rare'].tolist()} of "
    f"{', '.join(CLASSES)}."
)

# The same few counts come again and again.
share = counting.share = cache(share)
ratio = cache(ratio)


def counted(counts: np.ndarray, erythroblasts: int) -> Differential:
    """A differential of plain counts, as the functions of absolute counts take it."""
    shares = tuple(Share(name, int(n), 0, 0, 100) for name, n in zip(CLASSES, counts, strict=True))
    beside = (Beside("erythroblast", erythroblasts, 0, 0, 0),)
    return Differential("s", shares, beside, int(counts.sum()) + erythroblasts)


def holds(limits: Iterable[tuple[float, float, float]], truth: Iterable[float]) -> list[bool]:
    """Which limits hold their truth."""
    return [low <= true <= high for (_, low, high), true in zip(limits, truth, strict=True)]


def reviewed(rng: np.random.Generator, blood: np.ndarray, n: int) -> dict[str, list[bool]]:
    """One slide that a person has reviewed as a whole; each interval that the report prints."""
    counts = rng.multinomial(n, blood).tolist()
    level = simultaneous_level(0.95, len(counts))
    alone = [share(k, n) for k in counts]
    together = holds([share(k, n, level) for k in counts], blood)
    # Erythroblasts lie among the leukocytes: until n leukocytes are met, so many are.
    red = int(rng.negative_binomial(n, 1 / (1 + ERYTHROBLASTS)))
    slide = counted(np.array(counts), red)
    absolute = absolute_counts(WbcCount(WBC), slide, Policy())
    corrected = WBC / (1 + ERYTHROBLASTS)
    held = {
        "percent": holds(alone, blood),
        "percent, all classes at once, simultaneous": [all(together)],
        "erythroblasts per 100 WBC": holds([ratio(red, n)], [ERYTHROBLASTS]),
        "corrected WBC": holds([corrected_wbc(WbcCount(WBC), slide, Policy())], [corrected]),
        "absolute count": holds(absolute.values(), blood * corrected),
        "immature granulocytes": holds([share(counts[5], n)], blood[5:]),
    }
    held["each by itself, all at once"] = [all(held["percent"])]
    if counts[1]:
        held["neutrophils per lymphocyte"] = holds(
            [ratio(counts[0], counts[1])], [blood[0] / blood[1]]
        )
    bands = int(rng.binomial(counts[0], BANDS))
    shifted = blood[0] * BANDS + blood[5]
    held["left shift"] = holds(
        [share(bands + counts[5], counts[0] + counts[5])], [shifted / (blood[0] + blood[5])]
    )
    seen = [int(rng.binomial(k, 1 - UNSURE * (1 + i) / 3)) for i, k in enumerate(counts)]
    unsure = n - sum(seen)
    worst = [(0.0, share(k, n).low, share(k + unsure, n).high) for k in seen]
    held["worst case of unidentified cells"] = holds(worst, blood)
    return held


def predicted(
    rng: np.random.Generator, blood: np.ndarray, n: int, laboratory: str, audit: int = 0
) -> dict[str, list[bool]]:
    """One slide that a model has labelled: not reviewed, or audited."""
    truth = [*rng.multinomial(n, blood), round(NO_LEUKOCYTE * n)]
    anything = np.full(len(blood), 1 / len(blood))
    rows = zip(truth, (*LABORATORIES[laboratory], anything), strict=True)
    pairs = np.stack([rng.multinomial(k, row) for k, row in rows])
    sizes = pairs.sum(axis=0)
    if not audit:
        limits = [share(int(k), int(sizes.sum())) for k in sizes]
        return {f"percent, not reviewed, {laboratory}": holds(limits, blood)}
    strata = np.flatnonzero(sizes)
    drawn = allocation(sizes[strata], audit)
    counts = [
        rng.multivariate_hypergeometric(pairs[:, h], k) for h, k in zip(strata, drawn, strict=True)
    ]
    limits = stratified(sizes[strata], np.stack(counts))
    return {f"percent, audit of {audit}, {laboratory}": holds(limits, blood)}


def comparison(ours: np.ndarray, other: np.ndarray, theirs: int) -> Methods:
    """Cells of one class on slides, by our count and by the other method's."""
    counts = zip(ours.tolist(), other.tolist(), strict=True)
    pairs = [Pair("", "", k, OURS, 100 * m / theirs, theirs) for k, m in counts]
    (each,) = methods(pairs)
    return each


def compared(
    rng: np.random.Generator, part: float, slides: int, theirs: int, comparisons: int
) -> dict[str, float]:
    """Percent of comparisons with an analyser on which each interval of one class holds.

    Bloods vary as Dirichlet has it, of which one class is a beta distribution.
    """
    shape = comparisons * DRAWS, slides
    bloods = rng.beta(VARIETY * part, VARIETY * (1 - part), size=shape)
    ours = rng.binomial(OURS, bloods)
    other = rng.binomial(theirs, bloods)
    cells = OURS * ((ours + other) / (OURS + theirs)).sum(axis=1)
    # Only with so many cells has a line limits; a bias always has.
    lined = np.flatnonzero(cells >= FEWEST_CELLS)[:comparisons]
    held: dict[str, list[bool]] = {"bias": [], "slope": [], "intercept": []}

    def judge(name: str, limits: Sequence[float], truth: float) -> None:
        low, high = limits[1:]
        if np.isfinite(low):
            held[name].append(low <= truth <= high)

    for place in range(comparisons):
        judge("bias", comparison(ours[place], other[place], theirs).bias, 0.0)
    for place in lined:
        slope, intercept = comparison(ours[place], other[place], theirs).line
        judge("slope", slope, 1.0)
        judge("intercept", intercept, 0.0)
    return {
        f"{name}, the other counts {theirs:,}": 100 * float(np.mean(each))
        for name, each in held.items()
        if len(each) >= comparisons / 2
    }


def kappa_of(shares: np.ndarray) -> float:
    """Kappa of the shares of both examiners' labels."""
    chance = shares.sum(axis=0) @ shares.sum(axis=1)
    return float((shares.trace() - chance) / (1 - chance))


def examined(blood: np.ndarray, errors: float) -> np.ndarray:
    """Shares of both examiners' labels; each errs so many times as often as the model abroad."""
    matrix = (1 - errors) * np.eye(len(blood)) + errors * np.array(LABORATORIES["abroad"])
    return np.einsum("c,ci,cj->ij", blood, matrix, matrix)


def agreeing(blood: np.ndarray, kappa: float) -> np.ndarray:
    """Shares of the labels of two examiners whose kappa is known."""
    return examined(blood, brentq(lambda errors: kappa_of(examined(blood, errors)) - kappa, 0, 2))


def row(
    simulate: Callable[[np.random.Generator], dict[str, list[bool]]], slides: int, seed: int
) -> dict[str, float]:
    """Percent of slides on which each interval holds, of the class for which it is fewest."""
    rng = np.random.default_rng(seed)
    held: dict[str, np.ndarray] = {}
    times: dict[str, int] = {}
    for _ in range(slides):
        for name, each in simulate(rng).items():
            held[name] = held.get(name, 0) + np.array(each, float)
            times[name] = times.get(name, 0) + 1
    return {name: float(100 * each.min() / times[name]) for name, each in held.items()}


def framed(
    columns: dict[str, dict[str, float]], names: Iterable[str], *, digits: int = 1
) -> pd.DataFrame:
    """A row an interval."""
    return pd.DataFrame(
        [{"interval": name, **{c: columns[c].get(name) for c in columns}} for name in names]
    ).round(digits)


def of_slides(slides: int) -> None:
    """Simulate reports of slides, and record how often their limits hold."""
    start = time.perf_counter()
    columns: dict[str, dict[str, float]] = {}
    for title, blood in BLOODS.items():
        for n in SIZES:
            held = row(lambda rng, n=n, blood=blood: reviewed(rng, blood, n), slides, n)
            for laboratory in LABORATORIES:
                for audit in (0, 25, 50, 100):
                    # An audit of a slide is less than the slide.
                    if audit < n:
                        held |= row(
                            lambda rng, n=n, blood=blood, laboratory=laboratory, audit=audit: (
                                predicted(rng, blood, n, laboratory, audit)
                            ),
                            slides,
                            n + audit,
                        )
            columns[f"{title}, n = {n}"] = held
            print(title, n, round(time.perf_counter() - start), "s", flush=True)
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    left_out = [name for name in names if "not reviewed" in name or name.startswith("each by")]
    record(
        "coverage",
        "How often 95 % limits hold the truth",
        framed(columns, [name for name in names if name not in left_out]),
        tables={"What is not printed, and why": framed(columns, left_out)},
        notes=(
            f"Percent of {slides:,} simulated slides a row, of the class for which it is fewest. Target: {TARGET:.0f} or more for every interval that is printed.",
            "Empty: the slide has no more cells than the audit.",
            "Not reviewed: limits of counting, of labels that only the model gave. They leave out its errors, so a report has none before all cells, or an audit, are reviewed. Each by itself, all at once: why there is a choice of limits for all classes at once.",
            BLOOD,
            f"{100 * ERYTHROBLASTS:.0f} erythroblasts per 100 WBC; {100 * UNSURE:.0f} % and more of the cells unidentified, more of rare classes. For each 100 leukocytes a model labels {100 * NO_LEUKOCYTE:.0f} cells that are none.",
        ),
        extra={"seconds": round(time.perf_counter() - start)},
    )


def of_lines(comparisons: int) -> None:
    """Simulate comparisons with an analyser, and record how often their limits hold."""
    start = time.perf_counter()
    lines: dict[str, dict[str, float]] = {}
    for title, blood in BLOODS.items():
        for n in COMPARED:
            held: dict[str, float] = {}
            for theirs in THEIRS:
                rng = np.random.default_rng(n + theirs)
                for part in blood:
                    for name, percent in compared(rng, part, n, theirs, comparisons).items():
                        held[name] = min(percent, held.get(name, 100.0))
            lines[f"{title}, {n} slides"] = held
            print(title, n, "compared", round(time.perf_counter() - start), "s", flush=True)
    record(
        "coverage_lines",
        "How often 95 % limits of a comparison with an analyser hold the truth",
        framed(lines, dict.fromkeys(name for column in lines.values() for name in column)),
        notes=(
            f"Percent of {comparisons:,} simulated comparisons a class of slides of {OURS} cells, whose bloods vary, of the class for which it is fewest; of the comparisons that have limits. Those of a line need {FEWEST_SLIDES} slides and {FEWEST_CELLS} cells of the class by both counts; of a rare class {DRAWS} times as many comparisons are drawn, and those with the cells are judged. Classes of which less than half as many have limits are left out: too few to tell.",
            f"By chance alone a percentage is {100 * (0.05 * 0.95 / comparisons) ** 0.5:.1f} off, and that of the worst of six classes lower.",
            BLOOD,
        ),
        extra={"seconds": round(time.perf_counter() - start)},
    )


def of_kappa(draws: int) -> None:
    """Simulate two examiners, and record how often the limits of kappa hold."""
    start = time.perf_counter()
    columns: dict[str, dict[str, float]] = {}
    widths: dict[str, dict[str, float]] = {}
    for title, blood in BLOODS.items():
        for n in EXAMINED:
            column = f"{title}, {n} cells"
            columns[column] = {}
            widths[column] = {}
            rng = np.random.default_rng(n)
            for kappa in KAPPAS:
                shares = agreeing(blood, kappa)
                counts = rng.multinomial(n, shares.ravel(), size=draws)
                limits = [kappa_limits(each.reshape(shares.shape))[1:] for each in counts]
                held = [low <= kappa <= high for low, high in limits]
                columns[column][f"kappa {kappa:g}"] = 100 * float(np.mean(held))
                widths[column][f"kappa {kappa:g}"] = float(np.mean(np.diff(limits)))
            print(column, round(time.perf_counter() - start), "s", flush=True)
    names = [f"kappa {kappa:g}" for kappa in KAPPAS]
    record(
        "coverage_kappa",
        "How often 95 % limits of kappa hold the truth",
        framed(columns, names),
        tables={"Their width, mean": framed(widths, names, digits=3)},
        notes=(
            f"Percent of {draws:,} simulated pairs of examiners a row. Target: {TARGET:.0f} or more.",
            "Both examiners err at random with the confusion of the model abroad (see coverage.md), but less often: as often as gives this kappa.",
            BLOOD,
        ),
        extra={"seconds": round(time.perf_counter() - start)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=20_000)
    parser.add_argument(
        "--part", choices=("slides", "lines", "kappa"), help="only one of the tables"
    )
    chosen = parser.parse_args()
    if chosen.part in (None, "slides"):
        of_slides(chosen.slides)
    if chosen.part in (None, "lines"):
        of_lines(chosen.slides // 8)
    if chosen.part in (None, "kappa"):
        of_kappa(chosen.slides)


if __name__ == "__main__":
    main()
