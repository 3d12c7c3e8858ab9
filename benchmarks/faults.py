"""What is told and what is left when the disk fails at one call.

    python benchmarks/faults.py [--most 1000]

Every open, write, fsync, rename, lock, close and new folder of a work, by Python or SQLite, fails once
with each of ENOSPC, EIO and EACCES (of a lock ENOLCK, as EACCES may say that another holds it): of an
analysis kept as a project, an edit, imports, exports, models and results. ``tests/faults.py`` does it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from record import record

ROOT = Path(__file__).parents[1]
WRONG = ["uncaught", "half made", "silent"]
"""What shall not happen even once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=1_000_000)
    most = parser.parse_args().most
    command = [sys.executable, "-m", "tests.faults", f"--most={most}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found = pd.DataFrame(json.loads(done.stdout))
    works = found.drop(columns="call").groupby("work", sort=False).sum().reset_index()
    calls = found.drop(columns="work").groupby("call", sort=False).sum().reset_index()
    kept = not works[WRONG].to_numpy().any()
    record(
        "faults",
        "A disk that fails at one call",
        works,
        tables={"By the call that failed": calls},
        notes=(
            f"Nothing uncaught, half made or silent: {'met' if kept else 'MISSED'}.",
            "told: one line says it, and what was new is gone; what was there is whole, old or new.",
            "gone on: the work ended as it should, or named the image that it left out.",
            "Of results, the tables are new together or not at all; an overlay that cannot be written "
            "costs no table.",
            "SQLite's errors are raised in its place, at each statement that locks or writes and at "
            "each commit.",
        ),
    )


if __name__ == "__main__":
    main()
