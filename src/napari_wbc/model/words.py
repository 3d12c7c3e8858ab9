"""Numbers, names and lists as people read them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of control characters, halves of characters and line breaks."""
OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make a text look like another one, by turning the direction of writing."""


_PORTS = (*map("com{}".format, range(10)), *map("lpt{}".format, range(10)))
RESERVED = frozenset({"con", "prn", "aux", "nul", *_PORTS})
"""Names that Windows keeps for devices, with any suffix, in lower case."""


def counted(n: int, what: str = "cell") -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1), counted(20, "field")
    ('1 cell', '20 fields')
    """
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in a line; the first of many.

    Examples
    --------
    >>> listed(["a", "b"]), listed("abcdefgh", most=3)
    ('a, b', 'a, b, c and 5 more')
    """
    line = ", ".join(names[:most])
    more = len(names) - most
    return f"{line} and {more} more" if more > 0 else line


def is_line(text: str) -> bool:
    r"""Whether a text is one line without control characters, as names of files and classes are.

    Unlike ``str.isprintable`` it takes every kind of blank, soft hyphens and joiners, which people
    have in names: macOS puts a narrow blank (U+202F) into those of its screenshots.

    Examples
    --------
    >>> is_line("9.41\u202fAM"), is_line("a\nb")
    (True, False)
    """
    if text.isprintable():
        return True
    return not any(
        unicodedata.category(letter) in CONTROLS or letter in OVERRIDES for letter in text
    )


def printable(text: str) -> str:
    r"""A text whose control characters, but for line breaks, are codes.

    Examples
    --------
    >>> printable("a\x1b[2J")
    'a\\x1b[2J'
    """
    if is_line(text):
        return text
    return "".join(c if c == "\n" or is_line(c) else repr(c)[1:-1] for c in text)


def is_file_name(text: str) -> bool:
    r"""Whether any system takes a text for the name of a file or folder, with room for a suffix.

    Examples
    --------
    >>> is_file_name("cdnn 3"), is_file_name("a/b"), is_file_name("CON"), is_file_name("a\0")
    (True, False, False, False)
    """
    odd = not is_line(text) or set(text) & {*'/\\:*?"<>|'} or len(text.encode()) > 200
    reserved = text.casefold().split(".")[0] in RESERVED
    return bool(text) and not odd and not reserved and text == text.strip(". ")
