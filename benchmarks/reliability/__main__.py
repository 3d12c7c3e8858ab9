"""How often anything is lost, mixed, half made or silently another: kills, races, faults, flips.

    python benchmarks/reliability [--share 0.1] [--only "the disk is full"]

Each row is one trial with its tries and failures; every row shall have 0. The trials are those of
``tests/reliability.py``, ``tests/faults.py``, ``tests/calls.py``, ``tests/storage/kill.py``, ``tests/train/kill.py`` and
``tests/storage/workspace/crash.py``, of which ``make test`` runs a sample.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from tests.calls import counted, why_not  # noqa: E402
from tests.faults import OUTCOMES, WRONG  # noqa: E402
from tests.reliability import TRIALS, tried  # noqa: E402

from record import record  # noqa: E402, beside this folder

TIMES = {
    "a model is saved, killed": 300,
    "results are replaced, killed": 200,
    "a set is imported, killed": 100,
    "two make one project": 100,
    "two import into one project": 100,
    "two write into one folder": 100,
    "a bit of a project is flipped": 1200,
    "a bit of a model is flipped": 600,
    "the disk is full": 130,
}
"""Tries of each trial."""
FAULTS = 400
"""Cases of each work at most."""


def told(module: str, *options: str) -> object:
    """What a module of the tests counts, in a process of its own, since it forks."""
    done = subprocess.run(
        [sys.executable, "-m", module, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return json.loads(done.stdout)


def killed(module: str, times: int, wrong: tuple[str, ...]) -> tuple[int, int, str]:
    """Tries, failures and a remark of a module that kills."""
    counts = told(module, f"--times={times}")
    rest = ", ".join(f"{n} {name}" for name, n in counts.items() if name not in wrong)
    return times, sum(counts[name] for name in wrong), rest


def faults(most: int) -> tuple[int, int, str]:
    """Tries, failures and a remark of a disk of which one call fails."""
    found = pd.DataFrame(told("tests.faults", f"--most={most}"))
    counts = found[list(OUTCOMES)].sum()
    remark = f"{counts['told']} told, {counts['gone on']} gone on"
    return int(counts.sum()), int(counts[list(WRONG)].sum()), remark


def calls(most: int) -> tuple[int, int, str]:
    """Tries, failures and a remark of a disk of which one call below Python fails."""
    if reason := why_not():
        return 0, 0, f"left out: {reason}"
    found = counted(most)
    counts = found["counts"]
    remark = f"{counts['told']} told, {counts['gone on']} gone on"
    return (
        sum(counts.values()),
        len(found["failures"]),
        "; ".join([remark, *found["failures"]])[:200],
    )


def trials(share: float) -> dict[str, Callable[[], tuple[int, int, str]]]:
    """All rows by name."""

    def times(n: int) -> int:
        return max(1, round(n * share))

    def trial(name: str) -> tuple[int, int, str]:
        n = times(TIMES[name])
        failures = tried({name: n})[name]
        return n, len(failures), "; ".join(failures)[:200]

    every: dict[str, Callable[[], tuple[int, int, str]]] = {
        "a project is edited, killed": lambda: killed(
            "tests.storage.workspace.crash",
            times(1000),
            ("acknowledged steps lost", "cells that journal and state disagree on"),
        ),
        "a set is exported, killed": lambda: killed(
            "tests.storage.kill", times(100), ("broken rounds",)
        ),
        "a network is trained, killed": lambda: killed(
            "tests.train.kill", times(100), ("not old nor new", "other than straight")
        ),
        "a call of the disk fails": lambda: faults(times(FAULTS)),
        "a call below Python fails": lambda: calls(times(FAULTS)),
    }
    for name in TRIALS:
        every[name] = lambda name=name: trial(name)
    return every


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="Of the tries of each row.")
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    rows = []
    for name, trial in trials(asked.share).items():
        if asked.only in ("", name):
            start = time.perf_counter()
            tries, failures, remark = trial()
            seconds = round(time.perf_counter() - start)
            rows.append((name, tries, failures, 0, seconds, remark))
            print(*rows[-1], file=sys.stderr)
    columns = ["trial", "tries", "failures", "target", "seconds", "remark"]
    table = pd.DataFrame(rows, columns=columns)
    record(
        "reliability",
        "Kills, races, faults and flips",
        table,
        notes=(
            f"Every row 0: {'met' if not table['failures'].any() else 'MISSED'}.",
            "Killed is the process (SIGKILL at a random moment), not the machine.",
            "A call of the disk fails: each open, write, sync, rename, lock and close of a work, by "
            "Python or SQLite, with ENOSPC, EIO and EACCES. A call below Python fails: each open to "
            "write, write (half of it is done), sync, truncate, rename, link, unlink and mkdir that "
            "SQLite, Pillow and Python ask of the C library, with ENOSPC and EIO. The disk is full: "
            "a tmpfs that is filled up but for 0 to 1,048,576 bytes.",
            "The planted name of a patient is looked for in tests/test_planted.py, in the sets of six "
            "formats and the output of nine commands.",
        ),
    )


if __name__ == "__main__":
    main()
