"""Unpacking a zip from a stranger, member by member, into a folder that is deleted afterwards.

Invariant: nothing is written before every name is known to be safe and every declared size to be
small, no more is written than :data:`MAX_BYTES`, and a name is refused, never changed.
"""

from __future__ import annotations

import io
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from napari_wbc.errors import ReadError, WbcError

__all__ = ["unpacked"]

MAX_BYTES = 4_000_000_000
"""Of all members together, unpacked."""
MAX_RATIO = 200
"""Unpacked bytes a packed one, of a member and of all together, from :data:`RATIO_FROM` bytes on."""
RATIO_FROM = 1_000_000
MAX_MEMBERS = 100_000
MAX_DIRECTORY = 32_000_000
"""Bytes of the list of members, which is read whole."""
MAX_DEPTH = 16
MAX_NAME = 240
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

    Parameters
    ----------
    archive : Path

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
    with tempfile.TemporaryDirectory(prefix="napari-wbc-") as name:
        folder = Path(name)
        try:
            with _Directory(archive) as file, zipfile.ZipFile(cast("BinaryIO", file)) as packed:
                members = packed.infolist()
                _check_names(archive, members)
                _check_sizes(archive, members)
                _check_places(archive, packed, file)
                _extract(archive, packed, folder)
        except DAMAGED as error:
            said = " ".join(str(error).split())[:200]
            raise ReadError(
                f"{archive}: cannot be unpacked ({said}); pack or download it again as a plain zip."
            ) from error
        yield folder


class _Directory(io.FileIO):
    """A file of which no more is read at once than a list of members may take."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise ValueError(f"the list of members takes {size:,} bytes")
        return super().read(-1 if size is None else size)


def _refuse(archive: Path, member: str, said: str) -> WbcError:
    return WbcError(f"{archive}: the member {member[:80]!r} {said}; leave it out of the zip.")


def _check_names(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise WbcError(
            f"{archive}: {len(members):,} members; part it into zips of at most {MAX_MEMBERS:,}."
        )
    files, folders, spelled = set[str](), set[str](), dict[str, str]()
    for member in members:
        name = member.orig_filename
        if (
            said := _fault_of_name(name)
            or _fault_of_name(member.filename)
            or _fault_of_kind(member)
        ):
            raise _refuse(archive, name, said)
        parts = member.filename.rstrip("/").split("/")
        above = ["/".join(parts[:i]) for i in range(1, len(parts))]
        whole = "/".join(parts)
        # What one file system takes for two names is one on another.
        keys = {path: _folded(path) for path in (*above, whole)}
        if keys[whole] in files or (not member.is_dir() and keys[whole] in folders):
            raise _refuse(archive, name, "has the name of another")
        if any(keys[path] in files for path in above):
            raise _refuse(archive, name, "lies in what is a file")
        if any(spelled.setdefault(key, path) != path for path, key in keys.items()):
            raise _refuse(
                archive, name, "differs from another in the case or the accents of its name only"
            )
        (folders if member.is_dir() else files).add(keys[whole])
        folders.update(keys[path] for path in above)


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _fault_of_name(name: str) -> str:
    """What is wrong with the name of a member; empty if nothing is."""
    parts = name.removesuffix("/").split("/")
    if not name.isprintable() or "\\" in name or ":" in name:
        return "has a character in its name that no file should have"
    if any(
        part != part.rstrip(". ") or not part for part in parts
    ):  # also "..", and what Windows cuts off
        return "has a name that leads elsewhere"
    if len(name.encode()) > MAX_NAME or len(parts) > MAX_DEPTH:
        return f"has a name of more than {MAX_NAME} bytes or {MAX_DEPTH} levels"
    return ""


def _fault_of_kind(member: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
        return "is a link or another special file"
    if member.flag_bits & 0x2041:
        return "is encrypted"
    if member.compress_type not in METHODS:
        return "is packed by a method other than stored or deflated"
    if member.is_dir() and member.file_size:
        return "is a folder with bytes of its own"
    return ""


def _check_sizes(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise WbcError(
            f"{archive}: {total / 1e9:.1f} GB unpacked; part it into zips of {MAX_BYTES / 1e9:g} GB."
        )
    for member in members:
        if _swollen(member.file_size, member.compress_size):
            raise _refuse(
                archive, member.filename, f"grows more than {MAX_RATIO}-fold when unpacked"
            )
    if _swollen(total, archive.stat().st_size):
        raise WbcError(
            f"{archive}: grows more than {MAX_RATIO}-fold when unpacked; check where it is from."
        )


def _swollen(size: int, packed: int) -> bool:
    return size > RATIO_FROM and size > MAX_RATIO * packed


def _check_places(archive: Path, packed: zipfile.ZipFile, file: io.FileIO) -> None:
    """Refuse members that share bytes, by which a small zip unpacks to a huge one."""
    end, before = 0, ""
    for member in sorted(packed.infolist(), key=lambda one: one.header_offset):
        if member.header_offset < end:
            raise _refuse(archive, member.filename, f"overlaps {before[:80]!r}")
        file.seek(member.header_offset)
        _, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        end = member.header_offset + LOCAL_HEADER.size + name + extra + member.compress_size
        before = member.filename
    if end > packed.start_dir:
        raise _refuse(archive, before, "overlaps the list of members")


def _extract(archive: Path, packed: zipfile.ZipFile, folder: Path) -> None:
    total = 0
    for member in packed.infolist():
        target = folder / member.filename
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        try:
            with packed.open(member) as source, target.open("xb") as file:
                while chunk := source.read(CHUNK):
                    size, total = size + len(chunk), total + len(chunk)
                    if total > MAX_BYTES or _swollen(size, member.compress_size):
                        raise _refuse(archive, member.filename, "is larger than the zip says")
                    file.write(chunk)
        except DAMAGED as error:
            said = " ".join(str(error).split())[:200]
            raise _refuse(archive, member.filename, f"cannot be unpacked ({said})") from error
        if size != member.file_size:
            raise _refuse(archive, member.filename, "is shorter than the zip says")
