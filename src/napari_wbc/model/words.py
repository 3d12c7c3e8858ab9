"""Numbers as people read them."""

from __future__ import annotations


def counted(n: int, what: str = "cell") -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1), counted(20, "field")
    ('1 cell', '20 fields')
    """
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
