"""Slides and their fields of view: names and paths, never pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})
"""Suffixes of the files that a folder's fields are read from, in lower case."""
MAX_PIXELS = 80_000_000
"""Largest field that is read whole; a camera frame has 20 million pixels at most."""


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """One camera frame; its id is its path from the parent of the slide, with ``/``."""

    fov_id: str
    path: Path


@dataclass(frozen=True, slots=True)
class Slide:
    """One smear: a name and its fields in order."""

    name: str
    fields: tuple[FieldOfView, ...]
