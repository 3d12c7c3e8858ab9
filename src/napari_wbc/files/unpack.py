"""Unpacking a zip from a stranger, member by member, into a folder that is deleted afterwards.

Invariant: nothing is written before every name is known to be safe and every declared size to be
small, no more is written than :data:`MAX_BYTES`, and a name is refused, never changed.
"""

from __future__ import annotations

import io
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import MAX_NAME
from napari_wbc.files.guard import one_line
from napari_wbc.files.leftovers import folder_prefix, sweep_folders
from napari_wbc.files.visible import is_of_a_system
from napari_wbc.model.words import is_line

MAX_BYTES = 4_000_000_000
"""Of all members together, unpacked."""
MAX_RATIO = 200
"""Of unpacked to packed bytes, of a member and of all together; smaller ones may exceed it."""
RATIO_FROM = 1_000_000
MAX_MEMBERS = 100_000
MAX_DIRECTORY = 32_000_000
"""Bytes of the list of members, which is read whole."""
MAX_DEPTH = 16
MAX_PATH = 1000
"""Bytes of a name, folders included."""
CHUNK = 1 << 20
LOCAL_HEADER = struct.Struct("<4s22xHH")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(ValueError, NotImplementedError, RuntimeError, OverflowError),
)
"""What reading a damaged zip may raise."""


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """A new folder with what a zip holds; it is deleted in the end.

    Raises
    ------
    WbcError
        If it is no whole zip, or holds anything but plain files and folders with safe names and of
        a reasonable size.

    Examples
    --------
    >>> with unpacked(Path("set.zip")) as folder:  # doctest: +SKIP
    ...     content = read_set(folder)
    """
    with _temporary(archive) as folder:
        try:
            with _Directory(archive) as file, zipfile.ZipFile(cast("BinaryIO", file)) as packed:
                members = [item for item in packed.infolist() if not _of_a_system(item)]
                _check_names(archive, members)
                _check_sizes(archive, members)
                _check_places(archive, packed, file)
                _extract(archive, packed, members, folder)
        except DAMAGED as error:
            raise ReadError(
                f"{archive}: cannot be unpacked ({one_line(error)}); pack or download it again as "
                "a plain zip."
            ) from error
        yield folder


@contextmanager
def _temporary(archive: Path) -> Iterator[Path]:
    try:
        sweep_folders()
        folder = Path(tempfile.mkdtemp(prefix=folder_prefix()))
    except OSError as error:
        raise ReadError(
            f"{archive}: cannot be unpacked in {tempfile.gettempdir()} "
            f"({error.strerror or error}); make room there."
        ) from error
    try:
        yield folder
    finally:
        # Scanners hold new files open for a moment, so what is left is tried once more.
        for _ in range(2):
            shutil.rmtree(folder, ignore_errors=True)


class _Directory(io.FileIO):
    """A file of which no more is read at once than a list of members may take."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise ValueError(f"the list of members takes {size:,} bytes")
        return super().read(-1 if size is None else size)


def _of_a_system(member: zipfile.ZipInfo) -> bool:
    """Whether a Mac or Windows put a member there that is no part of what was zipped."""
    return any(map(is_of_a_system, member.filename.split("/")))


def _refused(archive: Path, member: str, fault: str) -> WbcError:
    return WbcError(f"{archive}: the member {member[:80]!r} {fault}; leave it out of the zip.")


def _check_names(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise WbcError(
            f"{archive}: {len(members):,} members; part it into zips of at most {MAX_MEMBERS:,}."
        )
    files: set[str] = set()
    folders: set[str] = set()
    spellings: dict[str, str] = {}
    for member in members:
        # Both names: zipfile cuts the second one at a null byte.
        name = member.orig_filename
        fault = _fault_of_name(name) or _fault_of_name(member.filename) or _fault_of_kind(member)
        if fault:
            raise _refused(archive, name, fault)
        path = member.filename.rstrip("/")
        above = list(map(PurePosixPath.as_posix, PurePosixPath(path).parents))[:-1]
        # What one file system takes for two names is one on another.
        keys = {spelling: _folded(spelling) for spelling in (*above, path)}
        if keys[path] in files or (not member.is_dir() and keys[path] in folders):
            raise _refused(archive, name, "has the name of another")
        if any(keys[folder] in files for folder in above):
            raise _refused(archive, name, "lies in what is a file")
        for spelling, key in keys.items():
            if spellings.setdefault(key, spelling) != spelling:
                fault = "differs from another in the case or the accents of its name only"
                raise _refused(archive, name, fault)
        (folders if member.is_dir() else files).add(keys[path])
        folders.update(keys[folder] for folder in above)


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _fault_of_name(name: str) -> str:
    """What is wrong with the name of a member; empty if nothing is."""
    parts = name.removesuffix("/").split("/")
    if not is_line(name) or "\\" in name or ":" in name:
        return "has a character in its name that no file should have"
    # Also "..", and the dots and blanks at the end that Windows cuts off.
    if any(not part or part != part.rstrip(". ") for part in parts):
        return "has a name that leads elsewhere"
    longest = max(len(part.encode()) for part in parts)
    if longest > MAX_NAME or len(name.encode()) > MAX_PATH or len(parts) > MAX_DEPTH:
        return f"has a name of more than {MAX_NAME} bytes or {MAX_DEPTH} levels"
    return ""


def _fault_of_kind(member: zipfile.ZipInfo) -> str:
    # The upper half is the mode of a Unix file; it is 0 where the zip was made elsewhere.
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
        return "is a link or another special file"
    # Bits 0, 6 and 13: encrypted, strongly encrypted, encrypted list (APPNOTE.TXT, 4.4.4).
    if member.flag_bits & 0x2041:
        return "is encrypted"
    if member.compress_type not in METHODS:
        return "is packed by a method other than stored or deflated"
    if member.is_dir() and member.file_size:
        return "is a folder with bytes of its own"
    return ""


def _check_sizes(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    total = sum(map(attrgetter("file_size"), members))
    if total > MAX_BYTES:
        raise WbcError(
            f"{archive}: {total / 1e9:.1f} GB unpacked; part it into zips of "
            f"{MAX_BYTES / 1e9:g} GB."
        )
    growth = f"grows more than {MAX_RATIO}-fold when unpacked"
    for member in members:
        if _swollen(member.file_size, member.compress_size):
            raise _refused(archive, member.filename, growth)
    if _swollen(total, archive.stat().st_size):
        raise WbcError(f"{archive}: {growth}; check where it is from.")


def _swollen(size: int, packed: int) -> bool:
    return size > RATIO_FROM and size > MAX_RATIO * packed


def _check_places(archive: Path, packed: zipfile.ZipFile, file: io.FileIO) -> None:
    """Refuse members that share bytes, by which a small zip unpacks to a huge one."""
    end = 0
    before = ""
    for member in sorted(packed.infolist(), key=attrgetter("header_offset")):
        if member.header_offset < end:
            raise _refused(archive, member.filename, f"overlaps {before[:80]!r}")
        # The lengths of name and extra field may differ from those in the list of members.
        file.seek(member.header_offset)
        _, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        end = member.header_offset + LOCAL_HEADER.size + name + extra + member.compress_size
        before = member.filename
    if end > packed.start_dir:
        raise _refused(archive, before, "overlaps the list of members")


def _extract(
    archive: Path, packed: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], folder: Path
) -> None:
    total = 0
    for member in members:
        target = folder / member.filename
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        try:
            with packed.open(member) as source, target.open("xb") as file:
                while chunk := source.read(CHUNK):
                    # The sizes that a zip says need not be true.
                    size += len(chunk)
                    total += len(chunk)
                    if total > MAX_BYTES or _swollen(size, member.compress_size):
                        raise _refused(archive, member.filename, "is larger than the zip says")
                    file.write(chunk)
        except DAMAGED as error:
            fault = f"cannot be unpacked ({one_line(error)})"
            raise _refused(archive, member.filename, fault) from error
        if size != member.file_size:
            raise _refused(archive, member.filename, "is shorter than the zip says")
