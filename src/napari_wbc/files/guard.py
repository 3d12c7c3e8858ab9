"""Strangers' files are read through here: small enough, inside their folder, what they claim to be.

Invariant: nothing is read whole before its size is known, and no name leads out of its folder.
A file that is missing or refused raises a :class:`~napari_wbc.errors.ReadError` that names it.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import MAX_NAME
from napari_wbc.files.image_header import KINDS, size_of
from napari_wbc.model.slide import MAX_PIXELS
from napari_wbc.model.words import is_line

MAX_BYTES = 100_000_000
"""Largest text that is read; 100,000 cells with outlines take as much as COCO."""
MAX_YAML = 100_000
"""Largest YAML that is read, which is slow; 1,200 classes take 30,000."""
MAX_DEPTH = 50
"""Of brackets in a YAML text."""
MAX_MEMORY = 700_000_000
"""Bytes that the values of a JSON text may take in memory, as :data:`_COSTS` reckons."""
_COSTS = {",": 40, ":": 150, "[": 80, "{": 240}
"""Most bytes of memory that a number, a field, a list and an object take, by their marks."""
_DECLARED = re.compile(
    rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']((?:utf-?(?:8|16)|iso|latin|windows|cp\d|gb|big5"""
    rb"""|shift|euc|koi|mac|us-|ascii)[\w.-]{0,40})""",
    re.IGNORECASE,
)
"""An XML declaration that names an encoding of a language, and none of Python's others."""


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """All bytes of a file, which must not be more than a limit."""
    check_plain(path)
    try:
        with path.open("rb") as file:
            # One byte more than allowed: the size on the disk may change.
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise ReadError(f"{path}: the file cannot be read; check the path.") from error
    if len(data) > max_bytes:
        raise ReadError(
            f"{path}: larger than {max_bytes / 1e6:g} MB; check that it is the right file, "
            "or split it."
        )
    return data


def check_plain(path: Path) -> None:
    """Refuse a pipe or a device, which may wait for ever or never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ReadError(f"{path}: this is no file but a pipe or a device; choose a file.")


def read_text(path: Path, *, max_bytes: int = MAX_BYTES, any_encoding: bool = False) -> str:
    """A text file as UTF-8, or as UTF-16 where it begins as such.

    Parameters
    ----------
    any_encoding : bool
        Whether the text may also be in the encoding that its XML declaration names, in GB2312 or in
        Windows-1252, as older programs write it.
    """
    data = read_bytes(path, max_bytes)
    reason = ""
    for encoding in _encodings(data, any_encoding=any_encoding):
        try:
            return data.decode(encoding)
        # An XML declaration may name an encoding that is none.
        except (UnicodeDecodeError, LookupError) as error:
            reason = reason or getattr(error, "reason", str(error))
    raise ReadError(f"{path}: not text in UTF-8 ({reason}); save it as UTF-8.")


def _encodings(data: bytes, *, any_encoding: bool) -> tuple[str, ...]:
    """The encodings that a text may be in, the likeliest first."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    if not any_encoding:
        return ("utf-8-sig",)
    # Without a mark, every other byte of the first letters is null.
    if 0 in data[:2]:
        return ("utf-16-le",) if data[0] else ("utf-16-be",)
    # GB2312 before Windows-1252: it takes pairs of high bytes only, which no European text has.
    usual = ("utf-8-sig", "gb2312", "cp1252", "latin-1")
    declared = _DECLARED.match(data)
    if declared is None:
        return usual
    name = declared[1].decode().lower()
    # GB 18030 has the letters of the two older ones, and those that programs write beside them.
    return ("gb18030" if name in ("gb2312", "gbk") else name, *usual)


def read_json(path: Path, *, max_bytes: int = MAX_BYTES, foreign: bool = False) -> Any:
    """A JSON file, in which no field stands twice and every number is finite.

    Parameters
    ----------
    foreign : bool
        Whether it may be another program's, in any encoding, and with NaN for what is not known.
    """
    text = read_text(path, max_bytes=max_bytes, any_encoding=foreign)
    # Before it is parsed: a list takes thirty times the two characters that it is written in.
    if sum(bytes_each * text.count(mark) for mark, bytes_each in _COSTS.items()) > MAX_MEMORY:
        raise ReadError(f"{path}: holds too much to be read at once; part it into smaller files.")
    try:
        return json.loads(
            text,
            # Python reads NaN, Infinity and a second field of one name without a word.
            parse_constant=float if foreign else _no_number,
            parse_float=float if foreign else _finite,
            object_pairs_hook=_once,
        )
    except (ValueError, RecursionError) as error:
        raise ReadError(
            f"{path}: not readable JSON ({one_line(error)}); export it again."
        ) from error


def read_yaml(path: Path, *, any_encoding: bool = False) -> Any:
    """A YAML file, in which no alias stands and no field stands twice."""
    try:
        text = read_text(path, max_bytes=MAX_YAML, any_encoding=any_encoding)
        _check_depth(text)
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        # Before it is built: aliases could make a small file fill the memory.
        _check_yaml(root)
        return None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ReadError(f"{path}: not readable YAML ({one_line(error)}); correct it.") from error


def one_line(error: Exception) -> str:
    """The start of an error's message, without line breaks."""
    return " ".join(str(error).split())[:200]


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large for a number")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the field {name[:60]!r} stands twice in one object")
    return record


def inside(root: Path, name: object) -> Path:
    """A file of a data set, by a name that the set says.

    Parameters
    ----------
    root : Path
        Folder of the set.
    name : object
        Relative, with ``/``.

    Raises
    ------
    WbcError
        If it is no text, is absolute, has a drive letter or a backslash, or leads out, also through
        a link.
    """
    if not isinstance(name, str) or not name or not is_line(name):
        raise WbcError(
            f"{root}: {str(name)[:80]!r} is no name of a file; give a path inside the set."
        )
    place = f"{root}: the name {name[:80]!r}"
    # A backslash and a drive letter lead elsewhere on Windows, where the same set must be safe.
    parts = name.split("/")
    if len(name) > 1000 or max(len(os.fsencode(part)) for part in parts) > MAX_NAME:
        raise WbcError(f"{place} and so on is too long for the name of a file; correct it.")
    if name.startswith("/") or "\\" in name or ":" in parts[0] or ".." in parts:
        raise WbcError(f"{place} leads out of the set; give a path inside it.")
    path = root / name
    try:
        resolved = path.resolve()
    # Links that lead in a circle
    except (OSError, RuntimeError) as error:
        raise WbcError(f"{place} leads nowhere; copy the file into it.") from error
    if not resolved.is_relative_to(root.resolve()):
        raise WbcError(f"{place} leads out of the set by a link; copy the file into it.")
    return path


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image file of at most :data:`MAX_PIXELS`, in pixels.

    They are those of what :func:`~napari_wbc.imaging.read.read_image` gives: turned as Exif says,
    and of a TIFF those of the image in it that is no thumbnail.
    """
    check_plain(path)
    try:
        height, width = size_of(path)
    except ReadError:
        raise
    except FileNotFoundError as error:
        raise ReadError(
            f"{path}: no such image; put it there, or take it out of the set."
        ) from error
    except Image.DecompressionBombError as error:
        raise ReadError(
            f"{path}: larger than a field of view ({MAX_PIXELS:,} pixels); cut it into fields."
        ) from error
    # Headers of damaged files raise some ten types.
    except Exception as error:
        raise ReadError(f"{path}: not a readable {KINDS} image; export it again.") from error
    if height * width > MAX_PIXELS:
        raise ReadError(
            f"{path}: {width} x {height} pixels is more than a field of view "
            f"({MAX_PIXELS:,} pixels); cut it into fields."
        )
    if not height * width:
        raise ReadError(f"{path}: the image has no pixels; export it again.")
    return height, width


def _check_depth(text: str) -> None:
    """Refuse brackets in brackets in brackets, for each of which YAML takes longer."""
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"it has more than {MAX_DEPTH} brackets in one another")


def _check_yaml(root: yaml.Node | None) -> None:
    """Refuse what YAML would expand (an alias) or drop (the first of two fields of one name)."""
    waiting = [root] if root else []
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        # An alias is the same node met again; nested aliases grow without bounds.
        if id(node) in seen:
            raise ValueError("it uses an alias (*name); write out what it stands for")
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            fields = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(fields)) < len(fields):
                line = node.start_mark.line + 1
                raise ValueError(f"the entry that begins in line {line} has a field twice")
            waiting += chain.from_iterable(node.value)
