"""Kill, race, fill and flip: how often is anything lost, mixed, or silently another.

    python -m tests.reliability "results are replaced, killed=100" "two make one project=20"

What failed is printed as JSON, by trial. ``benchmarks/reliability`` runs all of them with more
tries; ``tests/test_reliability.py`` runs a few.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults import WORKS, WRONG, Disk, outcome, prepared, state
from tests.pipeline.projects import export, make_project
from tests.storage.kill import killed

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.pipeline.import_set import import_set_steps
from napari_wbc.pipeline.project import export_project_steps, project_analysis, save_project
from napari_wbc.storage.workspace import open_workspace
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import load_weights, save_weights

Failures = list[str]
DONE, REFUSED = 0, 2
"""Exit codes of a program that did its work, and of one that was refused it in one line."""
TMPFS_BYTES = 96 << 20


def weights_killed(folder: Path, times: int, rng: random.Random) -> Failures:
    """Save one model again and again: always whole, and nothing is left beside it."""
    tensors, card = load_weights(find_weights("cdnn"))
    path = folder / "m.safetensors"
    save_weights(path, tensors, card)

    def save() -> None:
        while True:
            save_weights(path, tensors, card)

    failures: Failures = []
    for i in range(times):
        killed(save, rng.random() * 0.2)
        try:
            load_weights(path)
        except WbcError as error:
            failures.append(f"{i}: {error}")
    # The next program to write there sweeps what the killed ones left.
    raced(lambda: save_weights(path, tensors, card))
    left = [file.name for file in folder.glob(".*")]
    if left:
        failures.append(f"left: {left}")
    return failures


def two_projects(folder: Path) -> tuple[Path, Path]:
    """Two projects of other cells, and of slides with one name."""
    made: list[Path] = []
    for name, labels in (
        ("a", {"1.png": ["neutrophil", "monocyte"], "2.png": ["basophil"]}),
        ("b", {"1.png": ["eosinophil"]}),
    ):
        (folder / name).mkdir()
        made.append(make_project(folder / name, labels=labels))
    return made[0], made[1]


def rows(out: Path) -> tuple[int, int, int]:
    """Cells by three of the files of results; -1 where one is not there."""
    try:
        table = len((out / "cells.csv").read_text().splitlines()) - 1
        counted = sum(
            slide["leukocytes"] for slide in json.loads((out / "differential.json").read_text())
        )
        drawn = json.loads((out / "cells.geojson").read_text())
    except FileNotFoundError:
        return (-1, -1, -1)
    collections = [drawn] if isinstance(drawn, dict) else drawn
    return table, counted, sum(len(each["features"]) for each in collections)


def mixed(out: Path) -> str:
    """What is wrong with results: tables of two runs, or overlays of another run than these."""
    counts = rows(out)
    overlays = len(list((out / "overlays").rglob("*.png")))
    if len(set(counts)) > 1:
        return f"tables of two runs: {counts}"
    if counts[0] == 1 and overlays > 1:
        return f"{overlays} overlays beside the tables of one field"
    return ""


def results_killed(folder: Path, times: int, rng: random.Random) -> Failures:
    """Replace results: all tables are of one run, and no overlay is of another."""
    first, second = two_projects(folder)
    out = folder / "out"
    failures: Failures = []
    for i in range(times):
        shutil.rmtree(out, ignore_errors=True)
        run(export_project_steps(first, out))
        killed(lambda: run(export_project_steps(second, out)), rng.random() * 0.25)
        if wrong := mixed(out):
            failures.append(f"{i}: {wrong}")
        # In a process of its own, as the next program is: each sweeps a folder once.
        raced(lambda: run(export_project_steps(second, out)))
        left = [file.name for file in out.glob(".*")]
        if rows(out) != (1, 1, 1) or mixed(out) or left:
            failures.append(f"{i}: not whole after the next run: {rows(out)} {left}")
    return failures


def import_killed(folder: Path, times: int, rng: random.Random) -> Failures:
    """Import into a new project: it is whole with its images, or not there; then it is again."""
    first, _second = two_projects(folder)
    export(first, folder / "set")
    packed = shutil.make_archive(str(folder / "packed"), "zip", folder / "set" / "round-1")
    failures: Failures = []
    for i in range(times):
        project = folder / "new" / "p.wbc"
        shutil.rmtree(project.parent, ignore_errors=True)
        killed(lambda project=project: run(import_set_steps(packed, project)), rng.random() * 0.5)
        cells = 0
        try:
            # A project that is there, but without a slide, is as empty as one that is not there.
            with closing(open_workspace(project, read_only=True)) as workspace:
                for slide in workspace.slides():
                    cells += len(workspace.table(slide.name))
        except WbcError as error:
            if project.exists():
                failures.append(f"{i}: {error}")
        if cells not in (0, 3):
            failures.append(f"{i}: {cells} of 3 cells")
        run(import_set_steps(packed, project))
        if gone := missing(project):
            failures.append(f"{i}: {gone} images missing after the next import")
    return failures


def missing(project: Path) -> int:
    """Images of a project that are not there."""
    slides = project_analysis(project).slides
    return sum(not field.path.exists() for each in slides for field in each.slide.fields)


def raced(*works: Callable[[], object]) -> list[int]:
    """Exit codes of works that begin at one moment, in a process each."""
    start, go = os.pipe()
    children: list[int] = []
    for work in works:
        child = os.fork()
        if not child:
            os.close(go)
            os.read(start, 1)
            code = 1
            try:
                work()
                code = DONE
            except WbcError as error:
                code = REFUSED if "\n" not in str(error) else 1
            finally:
                os._exit(code)
        children.append(child)
    os.close(start)
    os.close(go)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def projects_raced(folder: Path, times: int, _rng: random.Random) -> Failures:
    """Keep two analyses as one new project: one does, the other is refused."""
    analyses = [project_analysis(path) for path in two_projects(folder)]
    failures: Failures = []
    for i in range(times):
        path = folder / f"{i}.wbc"
        codes = raced(*(partial(save_project, analysis, path) for analysis in analyses))
        cells = len(project_analysis(path).cells)
        if sorted(codes) != [DONE, REFUSED] or cells != (3, 1)[codes.index(DONE)]:
            failures.append(f"{i}: exit codes {codes}, {cells} cells")
    return failures


def imports_raced(folder: Path, times: int, _rng: random.Random) -> Failures:
    """Import two sets into one new project: no image of the one that did it is gone."""
    sets: list[str] = []
    for i, path in enumerate(two_projects(folder)):
        export(path, folder / f"set-{i}")
        base = str(folder / f"packed-{i}")
        sets.append(shutil.make_archive(base, "zip", folder / f"set-{i}" / "round-1"))

    def work(packed: str, project: Path) -> None:
        run(import_set_steps(packed, project))

    failures: Failures = []
    for i in range(times):
        project = folder / f"{i}" / "p.wbc"
        codes = raced(*(partial(work, packed, project) for packed in sets))
        if DONE not in codes or set(codes) > {DONE, REFUSED} or missing(project):
            failures.append(f"{i}: exit codes {codes}")
    return failures


def results_raced(folder: Path, times: int, _rng: random.Random) -> Failures:
    """Write two analyses into one folder: it is of one of them."""
    projects = two_projects(folder)

    def work(project: Path, out: Path) -> None:
        run(export_project_steps(project, out))

    failures: Failures = []
    for i in range(times):
        out = folder / f"out-{i}"
        codes = raced(*(partial(work, project, out) for project in projects))
        if DONE not in codes or mixed(out) or rows(out)[0] not in (1, 3):
            failures.append(f"{i}: exit codes {codes}, {rows(out)} {mixed(out)}")
    return failures


def project_flipped(folder: Path, times: int, rng: random.Random) -> Failures:
    """Flip a bit of a project: it says the same, or is refused."""
    path = make_project(folder, labels={"1.png": ["neutrophil"] * 20, "2.png": ["basophil"] * 9})
    copy = path.with_name("copy.wbc")

    def said(project: Path) -> str:
        with closing(open_workspace(project, read_only=True)) as workspace:
            slides = workspace.slides()
            tables = [dict(workspace.table(slide.name)) for slide in slides]
            histories = [workspace.history(slide.name) for slide in slides]
            return repr([workspace.taxonomy, slides, tables, histories])

    return _flipped(path, copy, said, times, rng)


def model_flipped(folder: Path, times: int, rng: random.Random) -> Failures:
    """Flip a bit of a model, half of them in its card: it is the same, or refused."""
    path = find_weights("cdnn")

    def said(model: Path) -> str:
        tensors, card = load_weights(model)
        return repr([card, sorted(tensors), sum(float(t.double().sum()) for t in tensors.values())])

    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    half = times // 2
    return [
        *_flipped(path, folder / "m.safetensors", said, half, rng, end=header),
        *_flipped(path, folder / "m.safetensors", said, times - half, rng),
    ]


def _flipped(
    path: Path,
    copy: Path,
    said: Callable[[Path], str],
    times: int,
    rng: random.Random,
    end: int | None = None,
) -> Failures:
    """Flips of bits that neither changed nothing nor were refused."""
    whole = said(path)
    data = path.read_bytes()
    failures: Failures = []
    for _ in range(times):
        place = rng.randrange(end or len(data))
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.randrange(8)
        copy.write_bytes(flipped)
        try:
            if said(copy) != whole:
                failures.append(f"byte {place}: silently another")
        except WbcError:
            continue
    return failures


def disk_full(folder: Path, times: int, rng: random.Random) -> Failures:
    """Fill a small disk up to a few bytes, then work: it is told, and nothing is half made.

    In a mount of its own, which a user may make in a namespace of their own.
    """
    inner = [sys.executable, "-m", "tests.reliability", "--inside", str(folder)]
    inner += [f"--times={times}", f"--seed={rng.randrange(1 << 30)}"]
    mount = f'mount -t tmpfs -o size={TMPFS_BYTES} tmpfs "{folder}" && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", *inner]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    failures: Failures = json.loads(done.stdout)
    return failures


def _inside(folder: Path, times: int, rng: random.Random) -> Failures:
    """:func:`disk_full` on a mount that is there."""
    base = folder / "base"
    base.mkdir()
    prepared(base)
    disk = Disk(folder / "disk")
    failures: Failures = []
    filler = folder / "filler"
    for i in range(times):
        work = WORKS[i % len(WORKS)]
        shutil.copytree(base, disk.folder)
        before = state(disk.folder)
        work(disk.folder)
        done = state(disk.folder)
        shutil.rmtree(disk.folder)
        shutil.copytree(base, disk.folder)
        room = rng.choice([0, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20])
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(folder).free - room))
        result, text = outcome(work, disk, before, done)
        if result in WRONG:
            failures.append(f"{work.__name__}, room for {room} bytes: {result}: {text}")
        filler.unlink()
        shutil.rmtree(disk.folder)
    return failures


Trial = Callable[[Path, int, random.Random], Failures]
TRIALS: dict[str, Trial] = {
    "a model is saved, killed": weights_killed,
    "results are replaced, killed": results_killed,
    "a set is imported, killed": import_killed,
    "two make one project": projects_raced,
    "two import into one project": imports_raced,
    "two write into one folder": results_raced,
    "a bit of a project is flipped": project_flipped,
    "a bit of a model is flipped": model_flipped,
    "the disk is full": disk_full,
}


def tried(times: Mapping[str, int], seed: int = 0) -> dict[str, Failures]:
    """What failed of some trials, in a process of its own since they fork."""
    command = [sys.executable, "-m", "tests.reliability", f"--seed={seed}"]
    command += [f"{name}={n}" for name, n in times.items()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[1]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"{', '.join(times)}: {done.stderr[-2000:]}")
    failures: dict[str, Failures] = json.loads(done.stdout)
    return failures


def main(arguments: Sequence[str] | None = None) -> None:
    """Run trials, and print what failed as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("trials", nargs="*", metavar="NAME=TIMES", help=f"Names: {list(TRIALS)}.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.inside is not None:
        print(json.dumps(_inside(asked.inside, asked.times, random.Random(asked.seed))))
        return
    failures: dict[str, Failures] = {}
    for trial in asked.trials:
        name, _, times = trial.rpartition("=")
        with TemporaryDirectory() as folder:
            failures[name] = TRIALS[name](Path(folder), int(times), random.Random(asked.seed))
    print(json.dumps(failures))


if __name__ == "__main__":
    main()
