"""Kill a program that edits a project, again and again, and see that nothing acknowledged was lost.

python -m tests.storage.workspace.crash --times 100
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import create_workspace, open_workspace

SLIDE = Slide("s", (FieldOfView("s/0.png", Path("s/0.png")),))


def edit(path: Path, acknowledge: int, seed: int) -> None:
    """Edit until killed; each step that the session calls saved is acknowledged."""
    rng, session = random.Random(seed), Session()
    session.open(SLIDE, open_workspace(path))
    while True:
        table = session.table
        keys = rng.sample(list(table), min(len(table), rng.choice([1, 1, 5, 300])))
        if rng.random() < 0.3 and session.undo():
            pass
        elif len(table) < 400 or not keys:
            n = rng.choice([1, 200])
            cells = [Cell.new("s/0.png", Detection(BBox(0, 0, 1 + i, 9))) for i in range(n)]
            session.commit(table.with_cells(cells), "draw")
        elif rng.random() < 0.2:
            session.commit(table.without(keys), "delete")
        else:
            said = Annotation(rng.choice(EIGHT_CLASSES.names), "me", str(rng.random()))
            session.commit(table.with_cells(table[key].annotated(said) for key in keys), "label")
        if session.flush() and session.workspace is not None:
            last = session.last_step.to_bytes(4, "big")
            os.write(acknowledge, last)


def crash(path: Path, rng: random.Random) -> int:
    """Kill one editing program at a random moment; the last step that it acknowledged."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(read)
            edit(path, write, rng.randrange(1 << 30))
        finally:
            os._exit(1)
    os.close(write)
    first = os.read(read, 4)
    time.sleep(rng.random() * 0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    told = first
    while more := os.read(read, 4):
        told = more
    os.close(read)
    if len(told) != 4:
        sys.exit("the editing program ended by itself")
    return int.from_bytes(told, "big")


def crashes(path: Path, times: int, seed: int) -> dict[str, int]:
    """Crash many times on one project; counts of what went wrong and of what was done."""
    rng = random.Random(seed)
    create_workspace(path, EIGHT_CLASSES).close()
    lost = rolled_back = 0
    for _ in range(times):
        acknowledged = crash(path, rng)
        journal = path.with_name(path.name + "-journal")
        rolled_back += journal.exists()
        workspace = open_workspace(path)  # an error here is a file that does not open
        lost += workspace.last < acknowledged
        table = workspace.table("s")
        steps = workspace.last
        workspace.close()
    workspace = open_workspace(path)
    replayed = CellTable()
    for seq in range(1, steps + 1):
        replayed = workspace.stepped(replayed, seq, back=False)
    workspace.close()
    return {
        "crashes": times,
        "steps": steps,
        "in the middle of a transaction": rolled_back,
        "acknowledged steps lost": lost,
        "cells that journal and state disagree on": len(set(replayed.items()) ^ set(table.items())),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        print(json.dumps(crashes(Path(folder) / "p.wbc", asked.times, asked.seed)))
