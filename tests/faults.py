"""Let the disk fail at one call after another: is it told, and is nothing left half made.

python -m tests.faults [--most 1000]

Every open, write, fsync, rename, lock, close and new folder below one folder is counted, by Python
or by SQLite; then the work is done again for each of them, which fails as a disk does that is full,
broken or not ours.
"""

from __future__ import annotations

import argparse
import builtins
import errno
import fcntl
import io
import json
import os
import random
import re
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from tests.pipeline.projects import export, make_project

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation
from napari_wbc.model.progress import run
from napari_wbc.pipeline.import_set import import_set_steps
from napari_wbc.pipeline.project import export_project_steps, project_analysis, save_project
from napari_wbc.pipeline.report import TABLES
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import open_workspace
from napari_wbc.weights.library import Library
from napari_wbc.weights.model import model_at
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import export_model, load_weights, save_weights

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
KINDS = ("open", "write", "fsync", "rename", "lock", "close", "mkdir")
SQLITE = {
    errno.ENOSPC: "database or disk is full",
    errno.EIO: "disk I/O error",
    errno.EACCES: "attempt to write a readonly database",
}
"""What SQLite says of the same errors of the disk."""
WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|ALTER|CREATE|PRAGMA .*=)")
WHEN = re.compile(r"when='[^']*'")
TIME = re.compile(rb'"when": "[^"]*"')
OUTCOMES = ("told", "gone on", "uncaught", "half made", "silent")
WRONG = ("uncaught", "half made", "silent")
"""What shall not happen even once."""
SWEPT = re.compile(r"(^|/)(\.([^/]*\.)?lock|[^/]*\.part(-journal|\.lock)?|[^/]*\.wbc-journal)$")
"""What may stay where it cannot be removed: the next program that writes there removes it."""


def file_of(number: int) -> Path:
    """The file of a descriptor; some other path if that is closed already."""
    link = Path(f"/proc/self/fd/{number}")
    return link.readlink() if link.is_symlink() else link


@dataclass
class Disk:
    """The calls below a folder, of which one fails."""

    folder: Path
    at: int = -1
    code: int = errno.EIO
    calls: list[str] = field(default_factory=list)

    def call(self, kind: str, place: object, *, database: bool = False) -> None:
        """Count a call, and let it fail if it is the one."""
        if isinstance(place, int):
            place = file_of(place)
        name = os.fsdecode(place) if isinstance(place, (str, bytes, os.PathLike)) else ""
        if str(self.folder) not in name:
            return
        self.calls.append(kind)
        if len(self.calls) - 1 != self.at:
            return
        if database:
            raise sqlite3.OperationalError(SQLITE[self.code])
        # With EACCES some systems say that another program holds a lock, which is no fault.
        code = errno.ENOLCK if (kind, self.code) == ("lock", errno.EACCES) else self.code
        raise OSError(code, os.strerror(code), name)

    def failing(self) -> AbstractContextManager[None]:
        """Count the calls, and let one of them fail."""
        return failing(self)


class File:
    """A file whose writes and whose closing may fail."""

    def __init__(self, file: Any, disk: Disk, path: object) -> None:
        self._file = file
        self._disk = disk
        self._path = path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def write(self, data: Any) -> Any:
        self._disk.call("write", self._path)
        return self._file.write(data)

    def close(self) -> None:
        if not self._file.closed:
            self._file.close()
            self._disk.call("close", self._path)


def ran(disk: Disk, path: str, statement: str) -> None:
    """Count a statement that takes a lock or writes."""
    if statement == "BEGIN IMMEDIATE":
        disk.call("lock", path, database=True)
    # Triggers are the connection's own, and go to no disk.
    elif WRITES.match(statement) and "TEMP" not in statement:
        disk.call("write", path, database=True)


def database(disk: Disk, path: str) -> type[sqlite3.Connection]:
    """Connections whose statements may fail."""

    class Cursor(sqlite3.Cursor):
        def execute(self, statement: str, *values: Any) -> Any:
            ran(disk, path, statement)
            return super().execute(statement, *values)

        def executemany(self, statement: str, *values: Any) -> Any:
            ran(disk, path, statement)
            return super().executemany(statement, *values)

    class Connection(sqlite3.Connection):
        def cursor(self, *_: Any) -> Any:
            return super().cursor(Cursor)

        def execute(self, statement: str, *values: Any) -> Any:
            ran(disk, path, statement)
            return super().execute(statement, *values)

        def commit(self) -> None:
            if self.in_transaction:
                disk.call("fsync", path, database=True)
            super().commit()

        def backup(self, target: Any, **options: Any) -> None:
            disk.call("write", path, database=True)
            super().backup(target, **options)

    return Connection


@contextmanager
def failing(disk: Disk) -> Iterator[None]:
    """Count the calls of a disk, and let one of them fail."""

    def before(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(place: Any, *values: Any, **options: Any) -> Any:
            disk.call(kind, place)
            return call(place, *values, **options)

        return made

    open_file = io.open
    connect = sqlite3.connect
    close = os.close

    def opened(path: Any, *values: Any, **options: Any) -> Any:
        disk.call("open", path)
        file = open_file(path, *values, **options)
        return file if isinstance(path, int) else File(file, disk, path)

    def closed(number: int) -> None:
        place = file_of(number)
        folder = place.is_dir()
        close(number)
        # Nothing is written to a folder by its number, so its closing fails nowhere.
        if not folder:
            disk.call("close", place)

    def connected(path: Any, **options: Any) -> Any:
        disk.call("open", path, database=True)
        return connect(path, factory=database(disk, str(path)), **options)

    temporary = disk.folder / "tmp"
    with ExitStack() as patches:
        patches.enter_context(patch.object(tempfile, "tempdir", str(temporary)))
        for owner, name, call in (
            (builtins, "open", opened),
            (io, "open", opened),
            (os, "open", before("open", os.open)),
            (os, "write", before("write", os.write)),
            (os, "sendfile", before("write", os.sendfile)),
            (os, "fsync", before("fsync", os.fsync)),
            (os, "rename", before("rename", os.rename)),
            (os, "replace", before("rename", os.replace)),
            (os, "link", before("rename", os.link)),
            (os, "mkdir", before("mkdir", os.mkdir)),
            (os, "close", closed),
            (fcntl, "flock", before("lock", fcntl.flock)),
            (sqlite3, "connect", connected),
        ):
            patches.enter_context(patch.object(owner, name, call))
        yield


def prepared(folder: Path) -> None:
    """What the works start from: a project, sets of it, and a library of models."""
    (folder / "tmp").mkdir()
    labels = {"1.png": ["neutrophil", "monocyte"], "2.png": ["basophil"]}
    project = make_project(folder, labels=labels)
    export(project, folder / "set")
    shutil.make_archive(str(folder / "packed"), "zip", folder / "set" / "round-1")
    coco = folder / "coco"
    export(project, coco, written_as="coco")
    weights = find_weights("cdnn")
    shutil.copy(weights, folder / "mine.safetensors")
    library = Library(folder / "models")
    library.adopt(library.add(folder / "mine.safetensors"))
    shutil.copy(weights, folder / "models" / "mine-2.safetensors")


def create(folder: Path) -> None:
    save_project(project_analysis(folder / "slide.wbc"), folder / "new" / "p.wbc")


def edit(folder: Path) -> None:
    """Label a cell; the session shows what could not be saved, and tries again."""
    session = Session()
    with closing(open_workspace(folder / "slide.wbc")) as workspace:
        if workspace.read_only:
            raise WbcError(workspace.read_only)
        session.open(workspace.slides()[0], workspace)
        cell = session.table["slide-1.png-0"].annotated(Annotation("eosinophil"))
        session.commit(session.table.with_cells([cell]), "label")
        if not session.close():
            raise WbcError(session.saved.sentence)


def import_new(folder: Path) -> object:
    return run(import_set_steps(folder / "coco" / "round-1", folder / "new" / "p.wbc"))


def import_zip(folder: Path) -> object:
    return run(import_set_steps(folder / "packed.zip", folder / "new" / "p.wbc"))


def import_more(folder: Path) -> object:
    return run(import_set_steps(folder / "coco" / "round-1", folder / "slide.wbc"))


def export_new(folder: Path) -> object:
    return export(folder / "slide.wbc", folder / "new" / "set", written_as="voc")


def export_more(folder: Path) -> object:
    return export(folder / "slide.wbc", folder / "set")


def export_crops(folder: Path) -> object:
    return export(folder / "slide.wbc", folder / "new", written_as="image-folder")


def weights(folder: Path) -> None:
    export_model(folder / "mine.safetensors", folder / "new" / "mine.wbcmodel")


def save(folder: Path) -> None:
    """Save a model over another of the same name."""
    path = folder / "mine.safetensors"
    tensors, card = load_weights(path)
    save_weights(path, tensors, replace(card, version="another"))


def roll_back(folder: Path) -> None:
    Library(folder / "models").roll_back("classifier")


def add(folder: Path) -> None:
    Library(folder / "new" / "models").add(folder / "mine.safetensors")


def remove(folder: Path) -> None:
    Library(folder / "models").remove(model_at(folder / "models" / "mine-2.safetensors"))


def results(folder: Path) -> object:
    return run(export_project_steps(folder / "slide.wbc", folder / "new" / "out"))


WORKS: tuple[Callable[[Path], object], ...] = (
    create,
    edit,
    import_new,
    import_zip,
    import_more,
    export_new,
    export_more,
    export_crops,
    weights,
    save,
    add,
    roll_back,
    remove,
    results,
)


def state(folder: Path) -> dict[str, str]:
    """What every file says; of a project its cells, since SQLite may write the same otherwise."""
    told: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        told[name] = ""
        if path.suffix == ".wbc" and not path.name.endswith(".backup.wbc"):
            with closing(open_workspace(path, read_only=True)) as opened:
                slides = opened.slides()
                tables = [dict(opened.table(each.name)) for each in slides]
                told[name] = WHEN.sub("", repr([slides, tables]))
        elif path.is_file():
            told[name] = sha256(TIME.sub(b"", path.read_bytes())).hexdigest()
    return told


def without_swept(files: dict[str, str]) -> dict[str, str]:
    """Files but for those that the next program removes, and folders that have others."""
    kept = {name: text for name, text in files.items() if not SWEPT.search(name)}
    holding = {str(above) for name in kept for above in Path(name).parents}
    emptied = {str(above) for name in files.keys() - kept.keys() for above in Path(name).parents}
    return {name: text for name, text in kept.items() if name not in emptied - holding}


def left(before: dict[str, str], after: dict[str, str], done: dict[str, str]) -> list[str]:
    """What a work that failed has left: files that were not there, or neither old nor new whole."""
    wrong: list[str] = []
    # An overlay that cannot be written costs no table, if all tables are there.
    tables = [name for name in done if Path(name).name in TABLES and name not in before]
    if tables and all(after.get(name) == done[name] for name in tables):
        before = before | {name: text for name, text in after.items() if done.get(name) == text}
    for name in sorted(before.keys() | after.keys()):
        beside_old = name.endswith(".backup.wbc") and name in done
        if before.get(name) != after.get(name) and not beside_old:
            replaced = name in before and name in after and done.get(name) == after[name]
            if not replaced:
                wrong.append(name)
    return wrong


def outcome(
    work: Callable[[Path], object], disk: Disk, before: dict[str, str], done: dict[str, str]
) -> tuple[str, str]:
    """What became of a work whose disk failed once, and what to look at."""
    said = ""
    result = None
    try:
        with disk.failing():
            result = work(disk.folder)
    except WbcError as error:
        said = str(error)
    except Exception as error:  # noqa: BLE001, that there is none is what is asked
        return "uncaught", f"{type(error).__name__}: {error}"
    if "\n" in said:
        return "uncaught", said
    after = state(disk.folder)
    if 0 <= disk.at < len(disk.calls) and disk.calls[disk.at] == "unlink":
        before, after, done = map(without_swept, (before, after, done))
    if said:
        wrong = left(before, after, done)
        return ("half made", f"{wrong} {said}") if wrong else ("told", said)
    # What is noted as left out is not silent.
    if noted := getattr(result, "failures", ()) or getattr(result, "left_out", ()):
        return "gone on", str(noted)
    if after.keys() != done.keys():
        return "silent", f"{sorted(after.keys() ^ done.keys())}"
    lost = [name for name in before if name.endswith(".wbc") and after.get(name) != done.get(name)]
    return ("silent", f"{lost} not as promised") if lost else ("gone on", "")


def faults(
    work: Callable[[Path], object],
    base: Path,
    *,
    most: int,
    seed: int = 0,
    make: type[Disk] = Disk,
    errors: Sequence[int] = ERRORS,
    kind: str = "",
) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Outcomes of a work by kind of call, of so many cases at most; and what went wrong.

    With ``kind`` only such calls fail.
    """
    rng = random.Random(seed)
    counts: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    with TemporaryDirectory() as name:
        folder = Path(name) / "disk"
        shutil.copytree(base, folder)
        before = state(folder)
        whole = make(folder)
        with whole.failing():
            work(folder)
        done = state(folder)
        shutil.rmtree(folder)
        chosen = [i for i, called in enumerate(whole.calls) if kind in ("", called)]
        cases = [(i, code) for i in chosen for code in errors]
        for at, code in rng.sample(cases, min(most, len(cases))):
            shutil.copytree(base, folder)
            result, text = outcome(work, make(folder, at, code), before, done)
            counts[whole.calls[at], result] += 1
            if result in WRONG:
                error = errno.errorcode[code]
                wrong.append(f"{work.__name__}, {whole.calls[at]} {at}, {error}: {result}: {text}")
            shutil.rmtree(folder)
    return counts, wrong


def main() -> None:
    """Count the outcomes of every work, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as name:
        base = Path(name)
        prepared(base)
        for work in WORKS:
            if arguments.only not in ("", work.__name__):
                continue
            counts, wrong = faults(work, base, most=arguments.most, seed=arguments.seed)
            for kind in KINDS:
                by_outcome = {result: counts[kind, result] for result in OUTCOMES}
                rows.append({"work": work.__name__, "call": kind, **by_outcome})
            for line in wrong:
                print(line, file=sys.stderr)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
