"""How often a project loses anything when the program that edits it is killed.

    python benchmarks/durability.py [--times 1000]

A process edits a project file and says which steps it was told are saved; it is killed (SIGKILL) up
to 50 ms after the first of them, the project is opened again, and the next process goes on with the
same file. Shares the crashes among four seeds, each with a project of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from record import record

ROOT = Path(__file__).parents[1]
SEEDS = (0, 1, 2, 3)
TARGET = "target"
WRONG = ("acknowledged steps lost", "cells that journal and state disagree on")
"""What shall not happen even once."""


def crashes(times: int, seed: int) -> dict[str, float]:
    """Crash many times on one project; in a process of its own, since it forks."""
    command = [
        sys.executable,
        "-m",
        "tests.storage.workspace.crash",
        f"--times={times}",
        f"--seed={seed}",
    ]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return {**json.loads(done.stdout), "seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=1000)
    arguments = parser.parse_args()
    shares = [len(range(seed, arguments.times, len(SEEDS))) for seed in SEEDS]
    load = os.getloadavg()[0]
    found = pd.DataFrame([crashes(n, seed) for seed, n in zip(SEEDS, shares, strict=True) if n])
    total = found.sum().round(1).to_dict()
    rows = [
        {"seed": str(seed), **row}
        for seed, row in zip(SEEDS, found.to_dict("records"), strict=False)
    ]
    rows += [{"seed": "all", **total}, {"seed": TARGET, **dict.fromkeys(WRONG, 0)}]
    table = pd.DataFrame(rows)
    counts = [name for name in found.columns if name != "seconds"]
    table[counts] = table[counts].astype("Int64")
    kept = not any(total[name] for name in WRONG)
    record(
        "durability",
        "A project whose program is killed, again and again",
        table,
        notes=(
            f"Nothing that was acknowledged was lost: {'met' if kept else 'MISSED'}.",
            "Each crash was followed by an opening, which fails on a file that is damaged; none failed.",
            "Killed is the process, not the machine: that a disk keeps its promise at a loss of power is "
            "not measured here.",
            f"Load of the machine at the start: {load:.1f}.",
        ),
        seed=SEEDS[0],
    )


if __name__ == "__main__":
    main()
