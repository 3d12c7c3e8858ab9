"""A file that could not be worked on, while the rest went on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be analyzed: what is wrong and what to do, in one line."""

    path: Path
    message: str
