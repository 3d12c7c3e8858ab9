"""Numbers, names and lists as people read them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of control characters, halves of characters and line breaks."""
OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make a text look like another one, by turning the direction of writing."""


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
    r"""A text whose control characters are written out, so that it cannot steer what shows it.

    Examples
    --------
    >>> printable("slide \x1b[2J1"), printable("two\nlines")
    ('slide \\x1b[2J1', 'two\nlines')
    """
    if text.isprintable():
        return text
    letters: list[str] = []
    for letter in text:
        steers = unicodedata.category(letter) in CONTROLS or letter in OVERRIDES
        harmless = letter == "\n" or not steers
        letters.append(letter if harmless else letter.encode("unicode_escape").decode())
    return "".join(letters)
