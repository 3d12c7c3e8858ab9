"""Numbers and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence


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
