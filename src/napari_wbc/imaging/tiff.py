"""The field in a TIFF file, as pixels."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_wbc.errors import ReadError
from napari_wbc.files.tiff_header import TiffField, open_tiff, tiff_field
from napari_wbc.imaging.intact import check_jpeg
from napari_wbc.imaging.rgb import Stored, depth_of, stored

if TYPE_CHECKING:
    import tifffile

_ASSOCIATED, _UNASSOCIATED = 1, 2
"""Values of ExtraSamples that say alpha: colours times it, or as they are."""
_MAX_BYTES = 8
"""A pixel of the largest field: RGB with alpha, of 16 bits each."""
_SCANR = "National Instruments IMAQ"
"""What ScanR writes as its software; Bio-Formats knows it by this too."""


def read_tiff(path: Path, check_size: Callable[[int, int], None], max_pixels: int) -> Stored:
    """The field in a TIFF, see :func:`~napari_wbc.files.tiff_header.tiff_field`.

    Parameters
    ----------
    check_size : callable
        Called with height and width before anything is decoded, to refuse them.
    max_pixels : int
        Of a strip or tile.
    """
    with open_tiff(path) as tiff:
        field = tiff_field(tiff, path)
        check_size(field.height, field.width)
        _check_bytes(path, field.series, max_pixels)
        _check_segments(path, field.series, max_pixels)
        _check_jpegs(tiff, field.series)
        pixels = _unsigned(tiff, _planes(field))
        return _bright(path, pixels, field).turned(field.orientation)


def _planes(field: TiffField) -> npt.NDArray[Any]:
    """Pixels with their samples last, if they have more than one, in the order of the file."""
    pixels = field.series.asarray()
    axes = field.series.axes
    kept = [n for axis, n in zip(axes, pixels.shape, strict=True) if n > 1 or axis in "YX"]
    pixels = pixels.reshape(kept)
    # Samples that are stored apart come first.
    if field.samples and axes.index(field.samples) < axes.index("Y"):
        pixels = np.moveaxis(pixels, 0, -1)
    return np.asarray(pixels[..., list(field.rgb)] if field.rgb else pixels)


def _check_bytes(path: Path, series: tifffile.TiffPageSeries, max_pixels: int) -> None:
    """Refuse more bytes than RGB of 16 bits may have, as 64-bit pixels of a large field do."""
    if series.nbytes > _MAX_BYTES * max_pixels:
        raise ReadError(
            f"{path}: {series.nbytes / 1e9:.1f} GB of pixels of the type {series.dtype}; "
            "save it with 8 or 16 bits."
        )


def _check_segments(path: Path, series: tifffile.TiffPageSeries, max_pixels: int) -> None:
    """Refuse strips and tiles that lie outside the file, or are larger than a field."""
    size = path.stat().st_size
    for page in series.pages:
        if page is None:
            continue
        ends = map(operator.add, page.dataoffsets, page.databytecounts)
        # Four samples a pixel at most; a damaged header may ask for a buffer of any size.
        if math.prod(page.keyframe.chunks) > 4 * max_pixels or max(ends, default=0) > size:
            raise ReadError(f"{path}: the TIFF is damaged or truncated; export or copy it again.")


def _check_jpegs(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Refuse damaged JPEGs, of which the strips or tiles of a TIFF may be made."""
    import tifffile

    page = series.keyframe
    # Others than 8 bits are of a kind of JPEG that has checks of its own, or none.
    if page.compression != tifffile.COMPRESSION.JPEG or page.bitspersample != 8:
        return
    # The tables that all have in common stand once, between a start and an end of their own.
    tables = page.jpegtables[:-2] if page.jpegtables else b""
    for each in filter(None, series.pages):
        offsets = each.dataoffsets, each.databytecounts
        for data, _index in tiff.filehandle.read_segments(*offsets):
            if data:
                check_jpeg(tables + data[2:] if tables else data)


def _unsigned(tiff: tifffile.TiffFile, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Pixels from 0 on, where a program adds 32768 to them and says who it is."""
    if pixels.dtype.kind not in "iu" or pixels.dtype.itemsize != 2:
        return pixels
    scanr = str(tiff.pages.first.software).strip(" \0") == _SCANR
    # ImageJ stores pixels with a sign so.
    if not scanr and (tiff.imagej_metadata or {}).get("c0") != -32768:
        return pixels
    whole = pixels.view(f"{pixels.dtype.byteorder}u2")
    return whole - np.uint16(0x8000) if int(whole.min()) >= 0x8000 else pixels


def _bright(path: Path, pixels: npt.NDArray[Any], field: TiffField) -> Stored:
    """Grey or RGB, bright where the image is bright, of what a TIFF stores, and its alpha."""
    import tifffile

    page = field.series.keyframe
    color = page.photometric
    kinds = tifffile.PHOTOMETRIC
    # tifffile turns YCbCr into RGB where JPEG stores it, and nowhere else.
    jpeg = color == kinds.YCBCR and page.compression == tifffile.COMPRESSION.JPEG
    if color == kinds.PALETTE:
        # Colour maps of TIFF have 16 bits an entry, whatever the depth of the pixels.
        colors = np.moveaxis(page.colormap, 0, -1)[pixels] >> 8
        return Stored(colors.astype(np.uint8))
    if color == kinds.SEPARATED:
        return Stored(_from_cmyk(path, pixels, page))
    if not (jpeg or color in {kinds.MINISWHITE, kinds.MINISBLACK, kinds.RGB}):
        raise ReadError(
            f"{path}: a TIFF with colours stored as {getattr(color, 'name', color)}; "
            "save it as RGB."
        )
    colors, alpha, premultiplied = _parts(pixels, page)
    bits = field.bits
    if color == kinds.MINISWHITE:
        colors = _inverted(colors, page.bitspersample, bits)
    # Pixels of 2 or 4 bits come as bytes, of which the brightest is not 255.
    if 1 < page.bitspersample < 8:
        colors = colors / ((1 << page.bitspersample) - 1)
    return Stored(stored(colors, str(path)).colors, alpha, premultiplied, bits)


def _inverted(colors: npt.NDArray[Any], bits: int, said: int | None) -> npt.NDArray[Any]:
    """Bright where the pixels are low."""
    if colors.dtype == bool:
        return ~colors
    # A camera of 12 bits may count from the top of its own range, or of the 16 that are stored.
    if bits == 16:
        bits = depth_of(Stored(colors, bits=said))
    highest = (1 << bits) - 1
    return np.asarray(highest - np.minimum(colors, highest))


def _parts(
    pixels: npt.NDArray[Any], page: tifffile.TiffPage
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None, bool]:
    """Colours, alpha or None, and whether the colours are multiplied by it."""
    if pixels.ndim == 2:
        return pixels, None, False
    n_colors = 3 if pixels.shape[-1] >= 3 else 1
    colors = pixels[..., :3] if n_colors == 3 else pixels[..., 0]
    extras = tuple(map(int, page.extrasamples))
    n_extras = pixels.shape[-1] - n_colors
    # Of RGB that is called grey, the first extra samples are colours; the rest are what is left.
    for i, kind in enumerate(extras[len(extras) - n_extras :] if n_extras else ()):
        if kind in {_ASSOCIATED, _UNASSOCIATED}:
            return colors, pixels[..., n_colors + i], kind == _ASSOCIATED
    return colors, None, False


def _from_cmyk(
    path: Path, pixels: npt.NDArray[Any], page: tifffile.TiffPage
) -> npt.NDArray[np.uint8]:
    """RGB of cyan, magenta, yellow and black, as of a JPEG of these."""
    cmyk = page.tags.valueof("InkSet", default=1) == 1 and pixels.shape[2:] >= (4,)
    if not cmyk or pixels.dtype not in (np.uint8, np.uint16):
        raise ReadError(f"{path}: a TIFF with inks that are no CMYK; save it as RGB.")
    inks = pixels[..., :4]
    if inks.dtype == np.uint16:
        inks = np.round(inks / 257).astype(np.uint8)
    height, width = inks.shape[:2]
    image = Image.frombytes("CMYK", (width, height), np.ascontiguousarray(inks).tobytes())
    return np.asarray(image.convert("RGB"))
