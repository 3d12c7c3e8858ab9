"""An order of cells that has nothing to do with what they are."""

from __future__ import annotations

import functools
import hashlib


@functools.lru_cache(maxsize=200_000)
def chance(cell_id: str) -> int:
    """A number that has nothing to do with the cell, the same each time."""
    digest = hashlib.sha256(cell_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")
