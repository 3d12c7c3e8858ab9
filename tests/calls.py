"""Let one call below Python fail after another: those of SQLite, of Pillow and of Python itself.

    python -m tests.calls [--most 1000]

A small library in C (``benchmarks/reliability/failing_calls.c``) stands before the C library's own
functions. It is loaded when a process starts, so this one starts itself anew with it. The works and
what is right are those of ``tests/faults.py``; of a write that fails, half is on the disk.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from tests.faults import OUTCOMES, WORKS, Disk, faults, prepared

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "benchmarks" / "reliability" / "failing_calls.c"
LIBRARY = "FAILING_CALLS"
"""Of the environment: where the compiled library is."""
ERRORS = (errno.ENOSPC, errno.EIO)
KINDS = {
    "o": "open",
    "w": "write",
    "s": "sync",
    "t": "truncate",
    "r": "rename",
    "l": "link",
    "u": "unlink",
    "m": "mkdir",
}


def why_not() -> str:
    """Why there is nothing to compile with here; empty where there is."""
    if sys.platform != "linux":
        return "stands before the C library of Linux only"
    return "" if shutil.which("cc") else "there is no C compiler (cc)"


class CallsBelow(Disk):
    """The calls below a folder, as the library counts them."""

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Count the calls, and let one of them fail."""
        library = ctypes.CDLL(os.environ[LIBRARY])
        library.kinds_of_calls.restype = ctypes.c_char_p
        library.fail_at.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int)
        # What is written to a temporary folder can fail too.
        with patch.object(tempfile, "tempdir", str(self.folder / "tmp")):
            library.fail_at(os.fsencode(self.folder.resolve()), self.at, self.code)
            try:
                yield
            finally:
                n = library.stop_counting()
                self.calls = [KINDS[kind] for kind in library.kinds_of_calls()[:n].decode()]


def counted(most: int, seed: int = 0, only: str = "", kind: str = "") -> dict[str, Any]:
    """Outcomes of all works with a library that is compiled for it: counts, and what went wrong."""
    with TemporaryDirectory() as name:
        library = Path(name) / "failing_calls.so"
        compiler = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(compiler, check=True)
        command = [sys.executable, "-m", "tests.calls", "--inside", f"--most={most}"]
        done = subprocess.run(
            [*command, f"--seed={seed}", f"--only={only}", f"--kind={kind}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "LD_PRELOAD": str(library),
                LIBRARY: str(library),
            },
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _inside(most: int, seed: int, only: str, kind: str) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    failures: list[str] = []
    with TemporaryDirectory() as name:
        base = Path(name)
        prepared(base)
        for work in WORKS:
            if only in ("", work.__name__):
                found, wrong = faults(
                    work, base, most=most, seed=seed, make=CallsBelow, errors=ERRORS, kind=kind
                )
                for (_kind, result), n in found.items():
                    counts[result] += n
                failures += wrong
    return {"counts": {result: counts[result] for result in OUTCOMES}, "failures": failures}


def main(arguments: Sequence[str] | None = None) -> None:
    """Count the outcomes of every work, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=1_000_000, help="Cases of each work.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", choices=["", *(work.__name__ for work in WORKS)])
    parser.add_argument("--kind", default="", choices=["", *KINDS.values()])
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    made = _inside if asked.inside else counted
    print(json.dumps(made(asked.most, asked.seed, asked.only, asked.kind)))


if __name__ == "__main__":
    main()
