"""Slides in tiled TIFF files: OME-TIFF, SVS and others, with levels as pages or SubIFDs."""

from __future__ import annotations

import math
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError
from napari_wbc.files.tiff_header import ome_pixels, open_tiff, tiff_field
from napari_wbc.imaging.pyramid.base import Level, Region, check_region, plausible_size, rgb

if TYPE_CHECKING:
    import tifffile

_MAX_SEGMENT = 64_000_000
"""Bytes of a tile or strip; a damaged header may ask for a buffer of any size."""
_ASPECT = 0.02
"""By how much the sides of a level may differ from those of the first, for rounding."""
_UNITS = {2: 25_400.0, 3: 10_000.0}
"""Micrometres of an inch and of a centimetre, by their number in TIFF."""
_OME_UNITS = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3}
_VENDORS = {"svs": "Aperio", "ndpi": "Hamamatsu", "scn": "Leica", "bif": "Ventana", "ome": "OME"}


class TiffPyramid:
    """A TIFF whose tiles or strips are read one by one; see :class:`Pyramid`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with ExitStack() as stack:
            tiff = stack.enter_context(open_tiff(path))
            field = tiff_field(tiff, path)
            if field.samples not in ("", "S") or field.orientation != 1:
                raise ReadError(
                    f"{path}: its colours are stored as pages, or it is to be turned; save it as "
                    "an upright tiled RGB TIFF."
                )
            self._pages = [page.keyframe for page in _pages(tiff, field.series)]
            first = self._pages[0]
            for page in self._pages:
                _check(path, page)
            self.levels = tuple(
                Level(page.imagelength, page.imagewidth, first.imagewidth / page.imagewidth)
                for page in self._pages
            )
            self.pixel_size = plausible_size(_pixel_size(tiff, first))
            flags = [name for kind, name in _VENDORS.items() if getattr(tiff, f"is_{kind}")]
            self.vendor = flags[0] if flags else "TIFF"
            self.has_profile = first.iccprofile is not None
            # Open until :meth:`close`, now that nothing can fail any more.
            self._stack = stack.pop_all()

    def read(self, level: int, region: Region) -> npt.NDArray[np.uint8]:
        """See :meth:`Pyramid.read`."""
        check_region(self.path, self.levels[level], region)
        page = self._pages[level]
        pixels = np.empty((*region.shape, page.samplesperpixel), page.dtype)
        rows, cols = page.chunks[:2]
        across = -(-page.imagewidth // cols)
        decoding = {}
        if page.jpegtables is not None or page.jpegheader is not None:
            decoding = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        file = page.parent.filehandle
        for row in range(region.top // rows, -(-region.bottom // rows)):
            for col in range(region.left // cols, -(-region.right // cols)):
                index = row * across + col
                file.seek(page.dataoffsets[index])
                data = file.read(page.databytecounts[index])
                part = self._decoded(page, data, index, decoding)
                _put(pixels, part, row * rows - region.top, col * cols - region.left)
        return rgb(self.path, pixels)

    def _decoded(
        self, page: tifffile.TiffPage, data: bytes, index: int, decoding: dict[str, Any]
    ) -> npt.NDArray[Any]:
        try:
            part: npt.NDArray[Any] = page.decode(data, index, **decoding)[0][0]
        # Decoders of damaged tiles raise some twenty types.
        except Exception as error:
            raise ReadError(
                f"{self.path}: tile {index} of the slide cannot be read, it may be damaged "
                f"({type(error).__name__}); export or copy it again."
            ) from error
        return part

    def close(self) -> None:
        """Let go of the file."""
        self._stack.close()


def _put(pixels: npt.NDArray[Any], part: npt.NDArray[Any], top: int, left: int) -> None:
    """Copy what of a tile lies inside a region, whose corner is ``top``, ``left`` away."""
    inside = part[max(-top, 0) :, max(-left, 0) :]
    target = pixels[max(top, 0) :, max(left, 0) :]
    height = min(inside.shape[0], target.shape[0])
    width = min(inside.shape[1], target.shape[1])
    target[:height, :width] = inside[:height, :width]


def _pages(
    tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> list[tifffile.TiffPageSeries]:
    """The field and its smaller copies, the finest first."""
    levels = list(series.levels)
    if len(levels) == 1:
        # Plain pages are no levels to tifffile. Thumbnails, labels and macros are not tiled.
        levels += [one for one in tiff.series if one is not series and _is_copy(one, series)]
    levels.sort(key=lambda one: -one.keyframe.imagewidth)
    return levels


def _is_copy(one: tifffile.TiffPageSeries, series: tifffile.TiffPageSeries) -> bool:
    """Whether an image is a level of another: tiled, stored alike, of the same shape, smaller."""
    page, first = one.keyframe, series.keyframe
    kind = (page.dtype, page.samplesperpixel, page.is_tiled)
    if not page.is_tiled or kind != (first.dtype, first.samplesperpixel, first.is_tiled):
        return False
    factor = first.imagewidth / page.imagewidth
    return factor > 1 and math.isclose(
        factor, first.imagelength / page.imagelength, rel_tol=_ASPECT
    )


def _check(path: Path, page: tifffile.TiffPage) -> None:
    """Refuse pages that could not be read by region, or whose tiles lie outside the file."""
    apart = int(page.planarconfig) != 1 and page.samplesperpixel > 1
    if apart or page.dtype != np.uint8 or page.samplesperpixel not in (1, 3, 4):
        raise ReadError(
            f"{path}: a slide of {page.samplesperpixel} samples of {page.bitspersample} bits a "
            "pixel; save it as tiled RGB of 8 bits."
        )
    if math.prod(page.chunks) > _MAX_SEGMENT:
        raise ReadError(
            f"{path}: stored in one piece of {page.imagewidth} x {page.imagelength} pixels; save "
            "it as a tiled or pyramidal TIFF."
        )
    offsets = np.asarray(page.dataoffsets, np.int64)
    counts = np.asarray(page.databytecounts, np.int64)
    rows, cols = page.chunks[:2]
    wanted = -(-page.imagelength // rows) * -(-page.imagewidth // cols)
    if len(offsets) != wanted or len(counts) != wanted:
        raise ReadError(f"{path}: the TIFF is damaged or truncated; export or copy it again.")
    if int((offsets + counts).max()) > path.stat().st_size:
        raise ReadError(f"{path}: the TIFF is damaged or truncated; export or copy it again.")
    missing = int(np.count_nonzero(counts == 0))
    if missing:
        raise ReadError(
            f"{path}: {missing} of {wanted} tiles of the slide are missing; export or copy "
            "it again."
        )


def _pixel_size(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> float | None:
    """Micrometres a pixel, as OME, Aperio or the resolution of TIFF say."""
    ome = ome_pixels(tiff)
    if ome is not None and ome.get("PhysicalSizeX"):
        unit = _OME_UNITS.get(ome.get("PhysicalSizeXUnit", "µm"))
        return None if unit is None else float(ome.get("PhysicalSizeX")) * unit
    aperio = re.search(r"\|\s*MPP\s*=\s*([0-9.]{1,12})", page.description or "")
    if aperio and tiff.is_svs:
        return float(aperio[1])
    pixels, per = page.tags.valueof("XResolution", default=(0, 1))
    unit = _UNITS.get(int(page.tags.valueof("ResolutionUnit", default=2)))
    return unit * per / pixels if unit and pixels else None
