"""Cost of a scanned film against its area, its cells, its tiles and the workers; memory, faults.

    python benchmarks/scaling.py [--parts area tiles workers real whole-network faults]
        [--sides 20000 60000] [--small 4000] [--glass 0.9] [--detector auto] [--keep DIR]

Films of our own making, see ``tests/slides.py``, named as of a scanner so that small ones are read
by region too, are analyzed by ``napari-wbc analyze``, each in a process of its own whose highest
memory the system tells. Seconds of the processors count what else the machine does less than those
of the clock. Films are removed as soon as they are measured; with all parts it takes some 20 minutes
on two idle cores and 2 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from public_sets import DATA
from record import record

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.slides import real_scene, synthetic_scene, write_pages

from napari_wbc.detect.finders import make_detector
from napari_wbc.imaging.pyramid.base import Region
from napari_wbc.imaging.pyramid.opening import open_pyramid
from napari_wbc.model.geometry import BBox, iou_matrix

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


def _shell(folder: Path, side: int) -> list[str]:
    """The shell, with tiles of a side."""
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    return [sys.executable, str(program), str(side)]


def run(film: Path, detector: str, *, side: int = 2048, workers: int = 1) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        command = [*_shell(Path(folder), side), "analyze", str(film)]
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


def area(folder: Path, options: argparse.Namespace) -> pd.DataFrame:
    """Films of growing area, most of them glass, as scans are; and one that is all film."""
    rows = []
    for side, glass in [(options.small, 0.0), *((side, options.glass) for side in options.sides)]:
        scene = synthetic_scene(side, n_fields=16, per_field=(0, 1), glass=glass)
        film = write_pages(folder / f"{side}.svs", scene, levels=6, compression="jpeg")
        done = run(film, options.detector)
        shown = side * side / 1e6 * (1 - glass)
        rows.append(
            {
                "side, px": side,
                "glass, %": round(100 * glass),
                "file, MB": round(film.stat().st_size / 1e6),
                "cells": len(scene.cells()),
                "found, %": round(100 * share_found(scene.cells(), done.cells), 1),
                "memory, MB": round(done.peak_mb),
                "seconds": round(done.seconds),
                "processor seconds": round(done.cpu),
                "of them a million pixels of film": round(done.cpu / shown, 2),
            }
        )
        print(rows[-1], flush=True)
        film.unlink()
    return pd.DataFrame(rows)


def small_films(folder: Path, options: argparse.Namespace, n: int) -> list[Path]:
    """``n`` films of the small side, each of its own."""
    films = []
    for seed in range(n):
        scene = synthetic_scene(options.small, seed=seed, n_fields=16, per_field=(0, 1))
        films.append(write_pages(folder / f"s{seed}.svs", scene, levels=6, compression="jpeg"))
    return films


def tiles(folder: Path, options: argparse.Namespace) -> pd.DataFrame:
    """The same cells for tiles of any size."""
    (film,) = small_films(folder, options, 1)
    runs = {side: run(film, options.detector, side=side) for side in (512, 1024, 2048)}
    rows = []
    for side, done in runs.items():
        alike = same(runs[2048].cells, done.cells)
        rows.append({"tile, px": side, "cells": len(done.cells), "same cells": alike})
    return pd.DataFrame(rows)


def workers(folder: Path, options: argparse.Namespace) -> pd.DataFrame:
    """One and two workers, on one film and on four."""
    films = small_films(folder, options, 4)
    rows = []
    for n in (1, 4):
        took = {}
        for crew in (1, 2):
            with tempfile.TemporaryDirectory() as out:
                command = [*_shell(folder, 2048), "batch", *map(str, films[:n])]
                command += ["--out", out, "--detector", options.detector, "--device", "cpu"]
                command += ["--workers", str(crew), "--quiet"]
                start = time.perf_counter()
                subprocess.run(command, check=True)
                took[crew] = time.perf_counter() - start
            times = round(took[1] / took[crew], 2)
            rows.append({"films": n, "workers": crew, "seconds": round(took[crew]), "times": times})
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def whole_network(folder: Path, options: argparse.Namespace) -> pd.DataFrame:
    """Ours against torchvision's own Mask R-CNN with ResNet-50 on a sample of the same tiles.

    Its weights do not matter for what it costs; its tiles are those of its usual 800 pixels.
    """
    import torch
    from torchvision.models.detection import maskrcnn_resnet50_fpn_v2

    (film,) = small_films(folder, options, 1)
    ours = run(film, options.detector)
    torch.set_num_threads(1)
    network = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).eval()
    with open_pyramid(film) as pyramid:
        places = np.random.default_rng(0).integers(0, options.small - 800, (6, 2)).tolist()
        images = [pyramid.read(0, Region(y, x, y + 800, x + 800)) for y, x in places]
    seconds = []
    for image in images:
        pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
        start = time.process_time()
        with torch.inference_mode():
            network([pixels])
        seconds.append(time.process_time() - start)
    n = (options.small / 800) ** 2
    # The first one warms up.
    theirs = float(np.median(seconds[1:])) * n
    return pd.DataFrame(
        [
            {
                "ours, processor seconds": round(ours.cpu),
                "Mask R-CNN on every tile, estimated": round(theirs),
                "tiles": round(n),
                "times": round(theirs / ours.cpu, 1),
            }
        ]
    )


def faults(folder: Path, options: argparse.Namespace) -> pd.DataFrame:
    """Workers that are killed through some 200 tiles, and a run that is killed again and again."""
    side = options.faults_side
    scene = synthetic_scene(side, n_fields=16, per_field=(0, 1))
    film = write_pages(folder / "faults.svs", scene, levels=4, compression="jpeg")
    rows = []
    alone = None
    for what in ("single run", "workers killed", "run killed"):
        out = folder / what.replace(" ", "_")
        kills = 0
        code = None
        while code != 0:
            process = subprocess.Popen(_command(folder, film, out, what, options))
            before = len(list(out.glob(".tiles/*")))
            code = None
            while code is None:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(None if what == "single run" else options.kill_every)
                if code is not None:
                    break
                if what == "workers killed":
                    victims = _workers_of(process.pid)
                else:
                    # Where loading takes longer than the time between kills, it would never end.
                    went_on = len(list(out.glob(".tiles/*"))) > before
                    victims = [process.pid] if went_on else []
                if victims:
                    os.kill(random.choice(victims), signal.SIGKILL)
                    kills += 1
            if code not in (0, -signal.SIGKILL):
                raise SystemExit(f"{what}: the analysis ended with {code}")
        cells = pd.read_csv(out / "cells.csv").drop(columns="cell_id")
        alone = cells if alone is None else alone
        equal = cells.equals(alone)
        tiles_of_film = (-(-side // 512)) ** 2
        rows.append(
            {
                "run": what,
                "tiles": tiles_of_film,
                "kills": kills,
                "cells": len(cells),
                "equal": equal,
            }
        )
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def _command(
    folder: Path, film: Path, out: Path, what: str, options: argparse.Namespace
) -> list[str]:
    command = [*_shell(folder, 512), "analyze", str(film), "--out", str(out)]
    command += ["--detector", options.detector, "--device", "cpu", "--quiet"]
    return [*command, "--workers", "2"] if what == "workers killed" else command


def _workers_of(pid: int) -> list[int]:
    """Worker processes of a run, as Linux tells them."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    pids: list[int] = []
    # A process may be gone by now.
    with suppress(OSError):
        pids += [int(child) for child in children.read_text().split() if _is_worker(child)]
    return pids


def _is_worker(pid: str) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def real(folder: Path, options: argparse.Namespace) -> pd.DataFrame:
    """Fields of Chula's test slides on a film; empty where they are not at hand."""
    if not DATA.is_dir():
        return pd.DataFrame()
    return pd.DataFrame([against_fields(folder, options.small, options.detector)])


PARTS: dict[str, tuple[str, Callable[[Path, argparse.Namespace], pd.DataFrame]]] = {
    "area": ("Area", area),
    "tiles": ("Tiles of other sizes", tiles),
    "workers": ("Workers", workers),
    "real": ("Real fields (Chula, test slides)", real),
    "whole-network": ("Against Mask R-CNN on every tile", whole_network),
    "faults": ("Faults", faults),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--sides", type=int, nargs="+", default=[20_000, 60_000])
    parser.add_argument("--small", type=int, default=4000, help="Side of the film of most parts.")
    parser.add_argument("--glass", type=float, default=0.9, help="Share of the large films.")
    parser.add_argument("--faults-side", type=int, default=7168, help="196 tiles of 512 pixels.")
    parser.add_argument("--kill-every", type=float, default=10.0, help="Seconds.")
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--keep", type=Path, help="Folder for the films, which are large.")
    parser.add_argument("--name", default="scaling")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    try:
        for name in options.parts:
            title, part = PARTS[name]
            start = time.perf_counter()
            results[title] = part(folder, options)
            took = time.perf_counter() - start
            print(f"{title}, {took:.0f} s\n{results[title].to_string(index=False)}\n", flush=True)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    first, *others = results
    record(
        options.name,
        "Scanned films",
        results[first],
        notes=[
            f"First table: {first}. Cell finder: {options.detector}; "
            f"load of the machine: {os.getloadavg()[1]:.1f}."
        ],
        tables={title: results[title] for title in others if len(results[title])},
    )


if __name__ == "__main__":
    main()
