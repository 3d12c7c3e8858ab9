"""Writing a file whole or not at all.

What cannot be written raises a :class:`~napari_wbc.errors.WbcError`, and by :func:`copied` and
:func:`replace_file` an OSError; the old file is then as it was.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_wbc.errors import WbcError

MAX_NAME = 255
"""Bytes of a file's name that most file systems take."""


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary file to be made beside another, whose place it may take; else it is deleted."""
    # In the same folder, since a rename is atomic within one file system only. The name is short
    # and its own: a long name plus a suffix can pass the 255 bytes that most file systems allow.
    part = path.with_name(f".{uuid.uuid4().hex[:12]}.part")
    try:
        yield part
    finally:
        # Of two errors, the one that stopped the work is the one to tell.
        remove_made([part])


def copied(source: Path, target: Path) -> None:
    """Copy a file; the target is whole whenever it is there."""
    with beside(target) as part:
        shutil.copyfile(source, part)
        part.replace(target)


def replace_file(path: Path, data: bytes) -> None:
    """Write through a temporary file beside the target, synced before it takes its place."""
    with all_or_nothing() as made, beside(path) as part:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            # Else a power cut after the rename can leave an empty file under the new name.
            os.fsync(file.fileno())
        new = not path.exists()
        part.replace(path)
        if new:
            made.append(path)
        sync(path.parent)


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
    # Windows cannot open folders, and keeps their renames without.
    if os.name == "posix":
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def sha256_of(path: Path) -> str:
    """Of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
