"""What damaged and hostile files do to their readers.

    python benchmarks/fuzz.py [--times 10000] [--images 2000] [--minutes 60]

Mutants of a small valid file of each kind are read in processes with limits of time and memory; see
tests/fuzz.py. The seed alone decides which mutants these are.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import pandas as pd

from record import record

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.fuzz import FAULTS, IMAGES, LIMIT_BYTES, LIMIT_S, TARGETS, fuzz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    examples: list[str] = []
    asked = Counter[str]()
    for name in TARGETS:
        asked[name] = arguments.images if name in IMAGES else arguments.times
    left = 60 * arguments.minutes
    for name, times in asked.items():
        # What one target does not need of its share is the next ones'.
        share = left * times / sum(list(asked.values())[len(rows) :])
        fuzzed = fuzz([name], times, arguments.seed, share)
        left -= fuzzed.seconds
        found = Counter(fault["fault"] for fault in fuzzed.faults)
        counts = {fault: found[fault] for fault in FAULTS}
        seconds = round(fuzzed.seconds)
        rows.append({"file": name, "mutants": fuzzed.times[name], **counts, "seconds": seconds})
        for fault in fuzzed.faults[:3]:
            what = " ".join(str(fault["what"]).split())[-160:]
            examples.append(f"{name}, mutant {fault['mutant']}, {fault['fault']}: {what}")
    table = pd.DataFrame(rows)
    total = {"file": "all", **table.drop(columns="file").sum().to_dict()}
    table = pd.DataFrame([*rows, total, {"file": "target", **dict.fromkeys(FAULTS, 0)}])
    counts = [column for column in table.columns if column != "file"]
    table[counts] = table[counts].astype("Int64")
    met = not any(total[fault] for fault in FAULTS)
    asked_for = f"{arguments.times} mutants a kind and {arguments.images} an image"
    record(
        "fuzz",
        "Mutants of files",
        table,
        notes=(
            f"Every mutant is read, or refused in one line: {'met' if met else 'MISSED'}.",
            f"Asked for were {asked_for}, in {arguments.minutes:g} minutes.",
            f"A hang takes more than {LIMIT_S} s, memory is {LIMIT_BYTES / 1e9:g} GB; written is "
            "anything that was not there before.",
            *examples,
        ),
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
