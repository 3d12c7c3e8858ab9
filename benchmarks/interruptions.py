"""What is left when the program that exports or trains is killed.

    python benchmarks/interruptions.py [--times 100]

Exports (every format in turn) and training runs are killed with SIGKILL at a random moment; then
the set and the weights are read, and the work goes on in the same folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from record import record

ROOT = Path(__file__).parents[1]
WRONG = {"export": ("broken rounds",), "training": ("not old nor new", "other than straight")}
"""What shall not happen even once."""


def kills(module: str, times: int) -> dict[str, int]:
    """Counts of one program, in a process of its own since it forks."""
    done = subprocess.run(
        [sys.executable, "-m", module, f"--times={times}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=100)
    times = parser.parse_args().times
    found = {
        "export": kills("tests.storage.kill", times),
        "training": kills("tests.train.kill", times),
    }
    rows = [
        {"what": what, "counted": name, "times": n, "target": 0 if name in WRONG[what] else None}
        for what, counts in found.items()
        for name, n in counts.items()
    ]
    table = pd.DataFrame(rows).astype({"target": "Int64"})
    kept = not any(found[what][name] for what, names in WRONG.items() for name in names)
    record(
        "interruptions",
        "Exports and training that are killed, again and again",
        table,
        notes=(
            f"Old-complete or new-complete, and resumed to the same end: {'met' if kept else 'MISSED'}.",
            "Killed is the process, not the machine.",
        ),
    )


if __name__ == "__main__":
    main()
