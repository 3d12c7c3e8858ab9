"""The files of a folder that are a person's, and not an operating system's own."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

SYSTEM_NAMES = frozenset(
    {
        *("__macosx", ".ds_store", "icon\r"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir"),
    }
)
"""In lower case."""


def is_of_a_system(name: str) -> bool:
    """Whether a system keeps a file or folder of this name beside a person's: ``._a.png``.

    Examples
    --------
    >>> is_of_a_system("__MACOSX"), is_of_a_system(".."), is_of_a_system("a.png")
    (True, False, False)
    """
    return name.startswith("._") or name.casefold() in SYSTEM_NAMES


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or a system's own."""
    return name.startswith(".") or is_of_a_system(name)


def visible(folder: Path, *patterns: str) -> list[Path]:
    """What matches a glob pattern in a folder, sorted, without a system's own.

    The last name of a pattern matches in capitals too, as suffixes come from Windows.
    """
    found: set[Path] = set()
    for pattern in patterns:
        above, slash, last = pattern.rpartition("/")
        for path in folder.glob(f"{above}{slash}*"):
            hidden = any(map(is_hidden, path.relative_to(folder).parts))
            if not hidden and fnmatchcase(path.name.lower(), last.lower()):
                found.add(path)
    return sorted(found)


def with_suffix(paths: Iterable[Path], *suffixes: str) -> list[Path]:
    """The files among some paths that have one of some suffixes, in capitals or not."""
    return [path for path in paths if path.suffix.lower() in suffixes and path.is_file()]
