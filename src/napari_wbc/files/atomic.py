"""Writing a file whole or not at all.

What cannot be written raises a :class:`~napari_wbc.errors.WbcError`, and by :func:`copied` and
:func:`replace_file` an OSError; the old file is then as it was.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_wbc.errors import WbcError
from napari_wbc.files.leftovers import part_name, sweep_once

MAX_NAME = 255
"""Bytes of a file's name that most file systems take."""


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary file to be made beside another, whose place it may take; else it is deleted."""
    sweep_once(path.parent)
    # In the same folder, since a rename is atomic within one file system only. The name is short
    # and its own: a long name plus a suffix can pass the 255 bytes that most file systems allow.
    part = path.with_name(part_name())
    try:
        yield part
    finally:
        # Of two errors, the one that stopped the work is the one to tell.
        remove_made([part])


def copied(source: Path, target: Path) -> None:
    """Copy a file; the target is whole whenever it is there, and on the disk."""
    with all_or_nothing() as made, beside(target) as part:
        shutil.copyfile(source, part)
        _put_synced(part, target, made)


def replace_file(path: Path, data: bytes) -> None:
    """Write through a temporary file beside the target, synced before it takes its place."""
    with all_or_nothing() as made, beside(path) as part:
        part.write_bytes(data)
        _put_synced(part, path, made)


def _put_synced(part: Path, path: Path, made: list[Path]) -> None:
    # Else a power cut after the rename can leave an empty file under the new name.
    sync(part)
    new = not path.exists()
    part.replace(path)
    if new:
        made.append(path)
    sync(path.parent)


def put_new(part: Path, path: Path) -> None:
    """Give a whole file a name that no file has; of two programs one does.

    Raises
    ------
    FileExistsError
        If the name is taken.
    """
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        # A disk without links: the name is taken by an empty file first, which one program can.
        with all_or_nothing() as made:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            made.append(path)
            part.replace(path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as :func:`replace_file` does, in a folder that is made where it is missing."""
    try:
        with all_or_nothing() as made:
            made.extend(missing_folders(path.parent))
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
    except OSError as error:
        raise WbcError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8; characters of odd file names that UTF-8 lacks are escaped."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def short_name(name: str) -> str:
    """The name of a file, cut to the 255 bytes that file systems take, and told apart by a digest.

    Examples
    --------
    >>> short_name("a.png"), len(short_name("a" * 300 + ".png"))
    ('a.png', 255)
    """
    data = os.fsencode(name)
    if len(data) <= MAX_NAME:
        return name
    suffix = os.fsencode(Path(name).suffix)[:20]
    end = b"-" + hashlib.sha256(data).hexdigest()[:8].encode() + suffix
    # A letter that is cut in the middle is left out.
    return data[: MAX_NAME - len(end)].decode(errors="ignore") + os.fsdecode(end)


def within(folder: Path, name: str) -> Path:
    """A file in a folder, by a name that is cut where it is too long.

    Raises
    ------
    WbcError
        If the name leads out of the folder.
    """
    path = folder / name
    path = path.with_name(short_name(path.name))
    # Resolved on both sides: the folder itself may be reached by a link.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise WbcError(f"{name}: this name leads out of {folder}; rename the field.")
    return path


def missing_folders(folder: Path) -> list[Path]:
    """The folders that are made together with one, the outermost first; none if it is there."""
    return [path for path in (*reversed(folder.parents), folder) if not path.exists()]


def remove_made(paths: Sequence[Path]) -> None:
    """Remove files and folders in the reverse of the order in which they were made.

    A folder stays if something else was put into it meanwhile.
    """
    for path in reversed(paths):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


@contextmanager
def all_or_nothing() -> Iterator[list[Path]]:
    """A list for the paths that are made; what is in it is removed if not all is done."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        remove_made(made)
        raise


@contextmanager
def put_together(folder: Path, names: Sequence[str], gone: Sequence[str] = ()) -> Iterator[Path]:
    """A new folder for files that take their places in another one together.

    What had their names before, and what is ``gone``, is out of the way first. So whenever a
    program is killed, the folder never holds files of two times: they are old, or new, or for the
    moment of the renames some of one of these. If anything fails, all are as they were.

    Parameters
    ----------
    names, gone : sequence of str
        Files, relative to the folder.
    """
    sweep_once(folder)
    new = folder / part_name()
    old = folder / part_name()
    moved: list[tuple[Path, Path]] = []
    try:
        new.mkdir()
        yield new
        for name in names:
            sync(new / name)
        old.mkdir()
        with put_back(moved):
            for name in (*names, *gone):
                if (folder / name).exists():
                    _move(folder / name, old / name, moved)
            for name in names:
                _move(new / name, folder / name, moved)
            sync(folder)
    except BaseException:
        # What could not be put back stays, under a name that no later run takes for its own.
        if any(path.is_file() for path in old.rglob("*")):
            with suppress(OSError):
                old.rename(old.with_name(f"{old.name}.kept"))
        raise
    finally:
        for left in (new, old):
            remove_folder(left)
    # The folders of what is gone too, where nothing else is in them.
    folders = {above for name in gone for above in Path(name).parents} - {Path()}
    remove_made(sorted(map(folder.joinpath, folders)))


def _move(source: Path, target: Path, moved: list[tuple[Path, Path]]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    moved.append((source, target))


@contextmanager
def put_back(moved: Sequence[tuple[Path, Path]]) -> Iterator[None]:
    """Undo renames, the last one first, if not all can be made."""
    try:
        yield
    except BaseException:
        for source, target in reversed(moved):
            with suppress(OSError):
                target.replace(source)
        raise


def remove_folder(path: Path) -> None:
    """Remove a folder of ours and all in it; what cannot be removed, a later run sweeps."""
    shutil.rmtree(path, ignore_errors=True)
    # One call may fail and the next not.
    shutil.rmtree(path, ignore_errors=True)


def make_folder(path: Path) -> Path:
    """Make a folder for results, before the work that leads to them."""
    _made_folders(path)
    return path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder for results, which is gone again if the work fails, unless it has something."""
    with all_or_nothing() as made:
        made.extend(_made_folders(path))
        yield path


@contextmanager
def no_empty_folder(path: Path) -> Iterator[None]:
    """Remove the folders on the way to a path that a command made before it was refused."""
    missing: list[Path] = []
    # A path that cannot be is told by what makes it.
    with suppress(OSError):
        missing = missing_folders(path)
    try:
        yield
    except WbcError:
        remove_made([each for each in missing if each.is_dir()])
        raise


def _made_folders(path: Path) -> list[Path]:
    """Make a folder and those on the way to it, which are returned."""
    try:
        with all_or_nothing() as made:
            made.extend(missing_folders(path))
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WbcError(
            f"{path}: cannot be a folder ({error.strerror}); choose another place."
        ) from error
    # Known before hours of work, not when its results are to be written.
    if not os.access(path, os.W_OK):
        raise WbcError(f"{path}: this folder cannot be written to; choose another place.")
    return made


def sync(path: Path) -> None:
    """Have the disk keep a file, or a folder with the renames in it, through a power cut."""
    folder = path.is_dir()
    # Windows cannot open folders, and keeps their renames without.
    if os.name == "posix" or not folder:
        file = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def sha256_of(path: Path) -> str:
    """Of a file's bytes, as hexadecimal digits; of a folder, over names and bytes of its files."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for inner in _files_in(path):
        name = os.fsencode(inner.relative_to(path).as_posix())
        digest.update(b"%s\0%s\n" % (name, sha256_of(inner).encode()))
    return digest.hexdigest()


def size_and_time(path: Path) -> tuple[int, int]:
    """Bytes of a file and when it changed, in ns; of a folder, those of all its files together."""
    if not path.is_dir():
        state = path.stat()
        return state.st_size, state.st_mtime_ns
    states = [inner.stat() for inner in _files_in(path)]
    newest = max((state.st_mtime_ns for state in states), default=0)
    return sum(state.st_size for state in states), newest


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
