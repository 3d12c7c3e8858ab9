"""Slides of scanners' own formats, by OpenSlide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError
from napari_wbc.imaging.pyramid.base import Level, Region, check_region, plausible_size

_SUFFIXES = ".bif .czi .dcm .mrxs .ndpi .scn .svs .svslide .vms .vmu"
SUFFIXES = frozenset(_SUFFIXES.split())
"""Suffixes of the files that OpenSlide reads, in lower case."""
_VENDORS = {
    "aperio": "Aperio",
    "dicom": "DICOM",
    "generic-tiff": "TIFF",
    "hamamatsu": "Hamamatsu",
    "leica": "Leica",
    "mirax": "3DHISTECH",
    "philips": "Philips",
    "sakura": "Sakura",
    "trestle": "Trestle",
    "ventana": "Ventana",
    "zeiss": "Zeiss",
}


class OpenSlidePyramid:
    """A slide that OpenSlide reads; see :class:`Pyramid`.

    It raises ImportError where OpenSlide is not installed.
    """

    def __init__(self, path: Path) -> None:
        import openslide

        self.path = path
        self._slide = openslide.OpenSlide(path)
        sizes = zip(self._slide.level_dimensions, self._slide.level_downsamples, strict=True)
        # The first is 1 but for rounding.
        self.levels = tuple(Level(h, w, max(1.0, float(down))) for (w, h), down in sizes)
        said = self._slide.properties.get(openslide.PROPERTY_NAME_MPP_X)
        self.pixel_size = plausible_size(float(said) if said else None)
        vendor = self._slide.properties.get(openslide.PROPERTY_NAME_VENDOR, "")
        self.vendor = _VENDORS.get(vendor, "OpenSlide")
        self.has_profile = "openslide.icc-size" in self._slide.properties

    def read(self, level: int, region: Region) -> npt.NDArray[np.uint8]:
        """See :meth:`Pyramid.read`; what was not scanned is white."""
        import openslide

        check_region(self.path, self.levels[level], region)
        down = self.levels[level].downsample
        corner = (round(region.left * down), round(region.top * down))
        try:
            image = self._slide.read_region(corner, level, region.shape[::-1])
        except openslide.OpenSlideError as error:
            raise ReadError(
                f"{self.path}: a region of the slide cannot be read, it may be damaged; export or "
                "copy it again."
            ) from error
        pixels = np.asarray(image)
        alpha = pixels[..., 3:]
        # Nearly all tiles are whole.
        if alpha.min() == 255:
            return np.ascontiguousarray(pixels[..., :3])
        share = alpha.astype(np.float32) / 255
        over = pixels[..., :3] * share + 255 * (1 - share)
        return np.asarray(over.round().astype(np.uint8))

    def close(self) -> None:
        """Let go of the file."""
        self._slide.close()
