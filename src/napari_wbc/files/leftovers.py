"""Names of files that are not whole yet, which tell whose they are, and what killed programs left.

Invariant: nothing of a program that still runs is removed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
import uuid
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

FOLDER = "napari-wbc-"
"""How names of temporary folders begin."""
_MARK = re.compile(r"(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}")
_PART = re.compile(rf"\.+(?:{_MARK.pattern}|[0-9a-f]{{12}})\.part(-journal|\.lock)?")
"""Files that are not whole, and what SQLite and the lock of one add. Older versions did not say
whose they were."""
_OLD_S = 86_400
"""Seconds after which nobody still writes one."""


def _mark() -> str:
    return f"{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@lru_cache(maxsize=1)
def _host() -> str:
    # A digest, since results may be handed on with what is left in their folder.
    return hashlib.sha256(platform.node().encode(errors="replace")).hexdigest()[:8]


def part_name() -> str:
    """A name for a file that is not whole yet."""
    return f".{_mark()}.part"


def folder_prefix() -> str:
    """How the name of a temporary folder of this process begins."""
    return f"{FOLDER}{_mark()}-"


def sweep_once(folder: Path) -> None:
    """Once in a process, remove what killed programs left in a folder."""
    _swept(folder.absolute(), os.getpid())


@lru_cache(maxsize=4096)
def _swept(folder: Path, _process: int) -> None:
    sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what killed programs left unfinished in a folder; what cannot be removed stays."""
    with suppress(OSError):
        for path in folder.iterdir():
            match = _PART.fullmatch(path.name)
            if match and _is_left(path, match):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def sweep_folders() -> None:
    """Remove temporary folders that killed programs left."""
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
            match = _MARK.match(path.name.removeprefix(FOLDER))
            if match and _is_left(path, match):
                shutil.rmtree(path, ignore_errors=True)


def _is_left(path: Path, match: re.Match[str]) -> bool:
    if match["host"] == _host() and os.name == "posix":
        return not _runs(int(match["process"]))
    return time.time() - path.lstat().st_mtime > _OLD_S


def _runs(process: int) -> bool:
    """Whether there is such a process; taken for granted where to ask would end it."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
