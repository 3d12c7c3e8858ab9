"""Slides and their fields of view: names and paths, never pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from napari_wbc.model.words import listed

_READ = ".bmp .gif .j2k .jfif .jp2 .jpe .jpeg .jpg .pgm .png .pnm .ppm .tif .tiff .webp"
_MICROSCOPES = ".czi .dcm .ims .lif .mrxs .nd2 .ndpi .oib .oif .oir .scn .svs .vms .vsi .zvi"
_CAMERAS = ".arw .avif .cr2 .cr3 .dng .heic .heif .jxl .jxr .nef .orf .psd .raf .raw .rw2 .wdp"
_NOTES = (
    ".csv .db .doc .docx .geojson .htm .html .ini .json .log .md .pdf .txt .wbc .xls .xlsx .xml"
)

IMAGE_SUFFIXES = frozenset(_READ.split())
"""Suffixes of the files that a folder's fields are read from, in lower case."""
UNREAD_SUFFIXES = frozenset(f"{_MICROSCOPES} {_CAMERAS}".split())
"""Suffixes of images that are not read from a folder, also where they begin as a TIFF does."""
NOTE_SUFFIXES = frozenset(_NOTES.split())
"""Suffixes of files that lie beside images and are none."""
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
    left_out: tuple[str, ...] = field(default=(), compare=False)
    """Names of files in its folder that seem to be images and cannot be read."""

    @property
    def left_out_note(self) -> str:
        """What is left out, in words; empty if nothing is.

        Examples
        --------
        >>> Slide("s", (), ("a.heic", "b.nd2")).left_out_note
        'left out, as they cannot be read: a.heic, b.nd2. Save them as PNG or TIFF.'
        """
        if not self.left_out:
            return ""
        return (
            f"left out, as they cannot be read: {listed(self.left_out)}. Save them as PNG or TIFF."
        )
