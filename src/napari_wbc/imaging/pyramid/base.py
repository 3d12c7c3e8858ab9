"""What a whole slide is to the rest of the program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError

MAX_REGION = 100_000_000
"""Pixels that are read at once."""
_SIZES = (0.01, 20.0)
"""Micrometres a pixel between which a microscope's pixel lies."""


@dataclass(frozen=True, slots=True)
class Region:
    """A half-open rectangle in pixels of a level."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide.

    Parameters
    ----------
    height, width : int
        In pixels.
    downsample : float
        Pixels of the first level a pixel of this one, 1 or more.
    """

    height: int
    width: int
    downsample: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width


class Pyramid(Protocol):
    """A whole slide, of which regions are read.

    Attributes
    ----------
    path : Path
    levels : tuple of Level
        The finest first; its downsample is 1.
    pixel_size : float or None
        Micrometres a pixel of the first level; None where the file does not say.
    vendor : str
        Who made the scanner or the format, by our own names and not by a text of the file.
    has_profile : bool
        Whether the file holds an ICC profile. It is not applied: light and stain are balanced by
        what the slide shows.
    """

    path: Path
    levels: tuple[Level, ...]
    pixel_size: float | None
    vendor: str
    has_profile: bool

    def read(self, level: int, region: Region) -> npt.NDArray[np.uint8]:
        """Pixels of a region of a level.

        Returns
        -------
        ndarray, shape (height, width, 3), uint8
            RGB, 0 to 255.

        Raises
        ------
        ReadError
            If the region cannot be read, is empty, lies outside the level or is too large.
        """

    def close(self) -> None:
        """Let go of the file."""


def check_region(path: Path, level: Level, region: Region) -> None:
    """Refuse a region that is empty, lies outside its level or is too large.

    Raises
    ------
    ReadError
    """
    inside = 0 <= region.top < region.bottom <= level.height
    inside &= 0 <= region.left < region.right <= level.width
    if not inside:
        raise ReadError(
            f"{path}: the region {region.top}, {region.left} to {region.bottom}, {region.right} is "
            f"not inside the slide of {level.width} x {level.height} pixels; choose another."
        )
    height, width = region.shape
    if height * width > MAX_REGION:
        raise ReadError(
            f"{path}: a region of {width} x {height} pixels is too large to be read at once; read "
            "it in parts."
        )


def plausible_size(micrometres: float | None) -> float | None:
    """A pixel size that a microscope can have, else None: many files say that of a screen."""
    if micrometres is None or not _SIZES[0] <= micrometres <= _SIZES[1]:
        return None
    return float(micrometres)


def rgb(path: Path, pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Pixels of 8 bits, shape (height, width, samples), as RGB.

    Raises
    ------
    ReadError
        If they have other depths or samples.
    """
    if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3, 4):
        raise ReadError(
            f"{path}: pixels of {pixels.dtype} with {pixels.shape[2]} samples; save the slide as "
            "RGB of 8 bits."
        )
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2).astype(np.uint8, copy=False)
    return np.ascontiguousarray(pixels[..., :3], np.uint8)
