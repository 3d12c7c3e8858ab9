"""Slides and their fields of view: names and paths, never pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FieldOfView", "Slide"]


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """One camera frame.

    Parameters
    ----------
    fov_id : str
        Path relative to the parent of the slide, with ``/``; unique in an analysis.
    path : Path
        Where the pixels are.
    """

    fov_id: str
    path: Path


@dataclass(frozen=True, slots=True)
class Slide:
    """One smear: a name and its fields in order."""

    name: str
    fields: tuple[FieldOfView, ...]
