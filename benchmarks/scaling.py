"""Cost of a scanned film against its area, its cells, its tiles and the workers; and its memory.

    python benchmarks/scaling.py [--sides 4000 8000] [--detector auto] [--workers 1 2] [--keep DIR]

Films of our own making, see ``tests/slides.py``, named as of a scanner so that small ones are read by
region too, are analyzed by ``napari-wbc analyze``, each in a process
of its own whose highest memory the system tells. Seconds of the processors count what else the machine
does less than those of the clock.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from public_sets import DATA
from record import record

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.slides import Scene, real_scene, synthetic_scene, write_pages

from napari_wbc.detect.finders import make_detector
from napari_wbc.model.geometry import BBox, iou_matrix
from napari_wbc.pipeline.film.analyze import FilmOptions

_PROGRAM = """
import sys
if __name__ == "__main__":
    from napari_wbc.cli import main
    from napari_wbc.pipeline.film.analyze import FilmOptions
    init = FilmOptions.__init__
    init.__defaults__ = (int(sys.argv.pop(1)), *init.__defaults__[1:])
    main()
"""
"""The shell with another side of tiles, which nobody has to choose and so is no option."""


@dataclass(frozen=True)
class Run:
    """One analysis: what it took and what it found."""

    seconds: float
    cpu: float
    peak_mb: float
    cells: list[BBox]


def run(film: Path, detector: str, *, side: int = 2048, workers: int = 1) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program.py")
        program.write_text(_PROGRAM)
        command = [sys.executable, str(program), str(side), "analyze", str(film)]
        command += ["--out", f"{folder}/out", "--detector", detector, "--device", "cpu"]
        command += ["--workers", str(workers), "--quiet"]
        start = time.perf_counter()
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            raise SystemExit(f"{film}: the analysis failed")
        cells = pd.read_csv(Path(folder, "out", "cells.csv"))
    cells = cells[cells["label"] != "candidate"]
    edges = cells[["top", "left", "bottom", "right"]].to_numpy().tolist()
    boxes = [BBox(*edge) for edge in edges]
    # The workers' own memory is not in it: it is that of the process that holds the results.
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, boxes)


def share_found(truth: list[BBox], cells: list[BBox], iou: float = 0.5) -> float:
    """Share of cells that are found; by strips, since all pairs of a large film do not fit."""
    if not truth:
        return float("nan")
    found = 0
    cells = sorted(cells, key=lambda box: box.top)
    tops = np.array([box.top for box in cells])
    for box in truth:
        low, high = np.searchsorted(tops, [box.top - 200, box.bottom + 200])
        found += bool(iou_matrix([box], cells[low:high]).max(initial=0) >= iou)
    return found / len(truth)


def same(first: list[BBox], second: list[BBox]) -> bool:
    """Whether two runs found the same cells, one to one, with an IoU of 0.9 or more."""
    return (
        len(first) == len(second)
        and share_found(first, second, 0.9) == 1
        and share_found(second, first, 0.9) == 1
    )


def against_fields(folder: Path, side: int, detector: str) -> dict[str, object]:
    """Real fields on a film, across its seams, against each of them alone."""
    scene = real_scene(side, DATA)
    film = write_pages(folder / "real.svs", scene, levels=5)
    done = run(film, detector)
    finder = make_detector(detector, device="cpu")
    alone = {}
    for number in np.unique(scene.grid).tolist():
        cells = [cell.bbox for cell in finder.detect(scene.fields[number]) if not cell.candidate]
        # As in a table of a run: none where there is none.
        alone[number] = [share_found([box], cells) for box in scene.boxes[number]]
    shares = [share for number in scene.grid.ravel().tolist() for share in alone[number]]
    truth = scene.cells()
    return {
        "cells": len(truth),
        "found on the film, %": round(100 * share_found(truth, done.cells), 1),
        "found in fields alone, %": round(100 * float(np.mean(shares)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[4000, 8000])
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--keep", type=Path, help="Folder for the films, which are large.")
    parser.add_argument("--name", default="scaling")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    sizes, tiles, crews = [], [], []
    first: Run | None = None
    for side in options.sides:
        scene: Scene = synthetic_scene(side, n_fields=16, per_field=(0, 1))
        film = write_pages(folder / f"{side}.svs", scene, levels=6, compression="jpeg")
        done = run(film, options.detector)
        first = first or done
        sizes.append(
            {
                "side, px": side,
                "file, MB": round(film.stat().st_size / 1e6),
                "cells": len(scene.cells()),
                "found, %": round(100 * share_found(scene.cells(), done.cells), 1),
                "memory, MB": round(done.peak_mb),
                "seconds": round(done.seconds),
                "processor seconds": round(done.cpu),
                "of them a million pixels": round(done.cpu / (side * side / 1e6), 2),
            }
        )
        print(sizes[-1], flush=True)
    smallest = folder / f"{options.sides[0]}.svs"
    assert first is not None
    for side in (512, 1024, 2048):
        done = first if side == FilmOptions().side else run(smallest, options.detector, side=side)
        alike = same(first.cells, done.cells)
        tiles.append({"tile, px": side, "cells": len(done.cells), "same cells": alike})
        print(tiles[-1], flush=True)
    for workers in options.workers:
        done = first if workers == 1 else run(smallest, options.detector, workers=workers)
        crews.append({"workers": workers, "seconds": round(done.seconds), "cells": len(done.cells)})
        print(crews[-1], flush=True)
    further = {"Tiles of other sizes": pd.DataFrame(tiles), "Workers": pd.DataFrame(crews)}
    if DATA.is_dir():
        real = against_fields(folder, options.sides[0], options.detector)
        further["Real fields (Chula, test slides)"] = pd.DataFrame([real])
    record(
        options.name,
        "Scanned films",
        pd.DataFrame(sizes),
        notes=[f"Cell finder: {options.detector}; load of the machine: {os.getloadavg()[1]:.1f}."],
        tables=further,
    )
    if options.keep is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
