"""How often the limits that a report prints hold the truth, by simulation.

    python benchmarks/coverage.py [--slides 20000]

Blood of known composition is drawn onto slides of n leukocytes; a model with the errors of its own
laboratory, or of another, labels them. Of each interval: the percent of slides on which it holds the
truth of the blood, for the class for which it holds least often. Then many slides against an
analyser that counts the same blood without any bias: bias, slope and intercept.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import pandas as pd

from napari_wbc.measure import methods as counting
from napari_wbc.measure.methods import FEWEST_CELLS, FEWEST_SLIDES, Pair, methods
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
FEWEST = 100
"""Comparisons with limits, for a class to be judged by."""
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


def compared(
    rng: np.random.Generator, blood: np.ndarray, slides: int, theirs: int
) -> dict[str, list[float]]:
    """A comparison with an analyser, by class; NaN where there are no limits."""
    bloods = rng.dirichlet(VARIETY * blood, size=slides)
    ours = rng.multinomial(OURS, bloods)
    other = 100 * rng.multinomial(theirs, bloods) / theirs
    pairs = [
        Pair(str(slide), name, int(ours[slide, k]), OURS, float(other[slide, k]), theirs)
        for k, name in enumerate(CLASSES)
        for slide in range(slides)
    ]
    held: dict[str, list[float]] = {"bias": [], "slope": [], "intercept": []}
    for each in methods(pairs):
        slope, intercept = each.line
        for name, (_, low, high), truth in (
            ("bias", each.bias, 0.0),
            ("slope", slope, 1.0),
            ("intercept", intercept, 0.0),
        ):
            held[name].append(float(low <= truth <= high) if np.isfinite(low) else np.nan)
    return {f"{name}, the other counts {theirs:,}": each for name, each in held.items()}


def row(
    simulate: Callable[[np.random.Generator], dict[str, list[bool]] | dict[str, list[float]]],
    slides: int,
    seed: int,
    fewest: int = 1,
) -> dict[str, float]:
    """Percent of slides on which each interval holds, of the class for which it is fewest."""
    rng = np.random.default_rng(seed)
    held: dict[str, np.ndarray] = {}
    times: dict[str, np.ndarray] = {}
    for _ in range(slides):
        for name, each in simulate(rng).items():
            values = np.array(each, float)
            held[name] = held.get(name, 0) + np.nan_to_num(values)
            times[name] = times.get(name, 0) + np.isfinite(values)
    least: dict[str, float] = {}
    for name, each in held.items():
        judged = times[name] >= fewest
        if judged.any():
            least[name] = float(100 * (each[judged] / times[name][judged]).min())
    return least


def framed(columns: dict[str, dict[str, float]], names: Iterable[str]) -> pd.DataFrame:
    """A row an interval."""
    return pd.DataFrame(
        [{"interval": name, **{c: columns[c].get(name) for c in columns}} for name in names]
    ).round(1)


def of_slides(slides: int) -> None:
    """Simulate reports of slides, and record how often their limits hold."""
    start = time.perf_counter()
    columns: dict[str, dict[str, float]] = {}
    for title, blood in BLOODS.items():
        for n in SIZES:
            held = row(lambda rng, n=n, blood=blood: reviewed(rng, blood, n), slides, n)
            for laboratory in LABORATORIES:
                for audit in (0, 50, 100):
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
            held = {}
            for theirs in THEIRS:
                held |= row(
                    lambda rng, n=n, blood=blood, theirs=theirs: compared(rng, blood, n, theirs),
                    comparisons,
                    n + theirs,
                    FEWEST,
                )
            lines[f"{title}, {n} slides"] = held
            print(title, n, "compared", round(time.perf_counter() - start), "s", flush=True)
    record(
        "coverage_lines",
        "How often 95 % limits of a comparison with an analyser hold the truth",
        framed(lines, dict.fromkeys(name for column in lines.values() for name in column)),
        notes=(
            f"Percent of {comparisons:,} simulated comparisons a row of slides of {OURS} cells, whose bloods vary, of the class for which it is fewest; of the comparisons that have limits. Those of a line need {FEWEST_SLIDES} slides and {FEWEST_CELLS} cells of the class by both counts; classes with limits in fewer than {FEWEST} comparisons are left out.",
            BLOOD,
        ),
        extra={"seconds": round(time.perf_counter() - start)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=20_000)
    parser.add_argument("--part", choices=("slides", "lines"), help="only one of the tables")
    chosen = parser.parse_args()
    if chosen.part != "lines":
        of_slides(chosen.slides)
    if chosen.part != "slides":
        of_lines(chosen.slides // 8)


if __name__ == "__main__":
    main()
