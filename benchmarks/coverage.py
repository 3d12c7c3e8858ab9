"""How often the limits that a report prints hold the truth, by simulation.

    python benchmarks/coverage.py [--slides 20000]

Blood of known composition is drawn onto slides of n leukocytes; a model with the errors of its own
laboratory, or of another, labels them. Of each interval: the percent of slides on which it holds the
truth of the blood, for the class for which it holds least often.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import pandas as pd

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
TARGET = 94.0

share = cache(share)
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
        "percent, all classes at once, each by itself": [all(holds(alone, blood))],
        "percent, all classes at once, simultaneous": [all(together)],
        "erythroblasts per 100 WBC": holds([ratio(red, n)], [ERYTHROBLASTS]),
        "corrected WBC": holds([corrected_wbc(WbcCount(WBC), slide, Policy())], [corrected]),
        "absolute count": holds(absolute.values(), blood * corrected),
        "immature granulocytes": holds([share(counts[5], n)], blood[5:]),
    }
    if counts[1]:
        held["neutrophils per lymphocyte"] = holds(
            [ratio(counts[0], counts[1])], [blood[0] / blood[1]]
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
    truth = rng.multinomial(n, blood)
    pairs = np.stack(
        [rng.multinomial(k, row) for k, row in zip(truth, LABORATORIES[laboratory], strict=True)]
    )
    sizes = pairs.sum(axis=0)
    if not audit:
        limits = [share(int(k), n) for k in sizes]
        return {f"percent, not reviewed, {laboratory}": holds(limits, blood)}
    strata = np.flatnonzero(sizes)
    drawn = allocation(sizes[strata], audit)
    counts = [
        rng.multivariate_hypergeometric(pairs[:, h], k) for h, k in zip(strata, drawn, strict=True)
    ]
    limits = stratified(sizes[strata], np.column_stack([counts, np.zeros(len(counts), np.int64)]))
    return {f"percent, audit of {audit}, {laboratory}": holds(limits, blood)}


def row(
    simulate: Callable[[np.random.Generator], dict[str, list[bool]]], slides: int, seed: int
) -> dict[str, float]:
    """Percent of slides on which each interval holds, of the class for which it is fewest."""
    rng = np.random.default_rng(seed)
    held: dict[str, np.ndarray] = {}
    times: dict[str, int] = {}
    for _ in range(slides):
        for name, each in simulate(rng).items():
            held[name] = held.get(name, 0) + np.array(each)
            times[name] = times.get(name, 0) + 1
    return {name: float(100 * (each / times[name]).min()) for name, each in held.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=20_000)
    slides = parser.parse_args().slides
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
    names = dict.fromkeys(name for column in columns.values() for name in column)
    table = pd.DataFrame(
        [{"interval": name, **{c: columns[c].get(name) for c in columns}} for name in names]
    )
    record(
        "coverage",
        "How often 95 % limits hold the truth",
        table.round(1),
        notes=(
            f"Percent of {slides:,} simulated slides a row, of the class for which it is fewest. Target: {TARGET:.0f} or more for every interval that the report calls limits.",
            "Empty: the slide has no more cells than the audit.",
            "Not reviewed: the report prints these limits marked 'not reviewed'; they tell the chance of which cells were met, not the model's errors. So they miss the target, and so do the limits of each class by itself if all have to hold at once.",
            f"Blood: ordinary {BLOODS['ordinary'].tolist()}, many rare {BLOODS['many rare'].tolist()} of {', '.join(CLASSES)}.",
            f"{100 * ERYTHROBLASTS:.0f} erythroblasts per 100 WBC; {100 * UNSURE:.0f} % and more of the cells unidentified, more of rare classes.",
        ),
        extra={"seconds": round(time.perf_counter() - start)},
    )


if __name__ == "__main__":
    main()
