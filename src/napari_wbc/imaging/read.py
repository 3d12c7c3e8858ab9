"""The one reader of image files, and of folders as slides.

Invariant: whatever is wrong with a file, :func:`read_image` raises one
:class:`~napari_wbc.errors.ReadError` that names it; nothing else leaves this module.
"""

from __future__ import annotations

import logging
import math
import operator
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.slide import IMAGE_SUFFIXES, MAX_PIXELS, FieldOfView, Slide

if TYPE_CHECKING:
    import tifffile

_BIT_DEPTHS = (8, 10, 12, 14, 16)
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW_FORMATS = ("PNG", "JPEG", "BMP")
_TIFF_COLORS = ("MINISWHITE", "MINISBLACK", "RGB", "PALETTE")
"""Photometric interpretations that are read, by tifffile's names."""

# tifffile logs what is odd about a file, which Python prints to stderr where nobody listens.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Read one field of view.

    PNG, JPEG, BMP and TIFF, told apart by content; grey, RGB, RGBA (over white) and palette.
    Images of more than 8 bits are scaled by the smallest usual camera depth (10, 12, 14, 16)
    that holds them.

    Parameters
    ----------
    path : str or Path
    max_pixels : int
        Height x width above which the file is refused before it is decoded.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        RGB, 0 to 255.

    Raises
    ------
    ReadError
        If the file is missing, empty, truncated, too large or not an image.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ReadError(f"{path}: no such image file; check the path.")
        with path.open("rb") as file:
            magic = file.read(4)
        if not magic:
            raise ReadError(f"{path}: the file is empty; export or copy it again.")
        read = _read_tiff if magic in _TIFF_MAGIC else _read_other
        with warnings.catch_warnings():
            # What Pillow finds odd is either legible or an error below.
            warnings.simplefilter("ignore")
            pixels = read(path, max_pixels)
        return np.ascontiguousarray(as_rgb8(pixels, str(path)))
    except ReadError:
        raise
    except UnidentifiedImageError:
        raise ReadError(f"{path}: not a PNG, JPEG, BMP or TIFF image; convert it first.") from None
    # Decoders of damaged files raise some twenty types.
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or "no reason given"
        raise ReadError(
            f"{path}: the image cannot be read, it may be damaged or truncated "
            f"({type(error).__name__}: {reason}); export or copy it again."
        ) from error


def read_field(field: FieldOfView) -> npt.NDArray[np.uint8]:
    """The pixels of a field from its file, see :func:`read_image`."""
    return read_image(field.path)


def _check_size(path: Path, height: int, width: int, max_pixels: int) -> None:
    if height < 1 or width < 1:
        raise ReadError(f"{path}: the image has no pixels ({width} x {height}); export it again.")
    if height * width > max_pixels:
        raise ReadError(
            f"{path}: {width} x {height} pixels is more than a field of view "
            f"({max_pixels:,} pixels); cut it into fields first."
        )


def _read_other(path: Path, max_pixels: int) -> npt.NDArray[Any]:
    try:
        with Image.open(path, formats=_PILLOW_FORMATS) as image:
            _check_size(path, image.height, image.width, max_pixels)
            # load() empties the list of tiles, so it is asked before.
            wide = any(";16B" in str(part) for part in image.tile)
            image.load()
            # Of 16-bit colours Pillow keeps the upper byte alone.
            if wide and image.mode in {"RGB", "RGBA"}:
                return _wide_png(path)
            if image.mode.startswith("I"):
                return np.asarray(image)
            if image.mode in {"P", "PA", "LA"} or "transparency" in image.info:
                return np.asarray(image.convert("RGBA"))
            return np.asarray(image if image.mode in {"RGB", "RGBA", "L"} else image.convert("RGB"))
    except Image.DecompressionBombError:
        raise ReadError(
            f"{path}: larger than a field of view ({max_pixels:,} pixels); "
            "cut it into fields first."
        ) from None


def _wide_png(path: Path) -> npt.NDArray[np.uint16]:
    # Not cv2.imread, which cannot open paths with umlauts on Windows.
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise ReadError(f"{path}: a 16-bit PNG that cannot be decoded; save it as TIFF.")
    order = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(pixels, order), dtype=np.uint16)


def _read_tiff(path: Path, max_pixels: int) -> npt.NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        if not tiff.series:
            raise ReadError(f"{path}: the TIFF holds no image; export it again.")
        # The first series is the image; others are usually its thumbnail or label.
        series = tiff.series[0]
        axes = zip(series.axes, series.shape, strict=True)
        sizes = {axis: n for axis, n in axes if n > 1 or axis in "YX"}
        _check_size(path, sizes.get("Y", 0), sizes.get("X", 0), max_pixels)
        samples = [axis for axis in sizes if axis not in "YX"]
        # tifffile names colours S (samples of a pixel) or C (channels, as in ImageJ and OME).
        colors = len(samples) == 1 and samples[0] in "SC" and sizes[samples[0]] in {3, 4}
        if samples and not colors:
            raise ReadError(
                f"{path}: a stack with axes {series.axes} {series.shape}, not one field; "
                "save each field as a file of its own."
            )
        _check_segments(path, series, max_pixels)
        pixels = series.asarray().reshape(tuple(sizes.values()))
        # Planes that are stored apart come first.
        if samples and next(iter(sizes)) == samples[0]:
            pixels = np.moveaxis(pixels, 0, -1)
        return _brightness(path, pixels, series.keyframe)


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


def _brightness(path: Path, pixels: npt.NDArray[Any], page: tifffile.TiffPage) -> npt.NDArray[Any]:
    """Grey or RGB, bright where the page is bright, of what a TIFF page stores."""
    import tifffile

    color = page.photometric
    bits = page.bitspersample
    # tifffile turns YCbCr into RGB where JPEG stores it, and nowhere else.
    jpeg = color == tifffile.PHOTOMETRIC.YCBCR and page.compression == tifffile.COMPRESSION.JPEG
    if not (jpeg or getattr(color, "name", "") in _TIFF_COLORS):
        raise ReadError(f"{path}: a TIFF with colours stored as {color!s}; save it as RGB.")
    if color == tifffile.PHOTOMETRIC.PALETTE:
        # Colour maps of TIFF have 16 bits an entry, whatever the depth of the pixels.
        return np.asarray((np.moveaxis(page.colormap, 0, -1)[pixels] >> 8).astype(np.uint8))
    if color == tifffile.PHOTOMETRIC.MINISWHITE:
        pixels = ~pixels if pixels.dtype == bool else (1 << bits) - 1 - pixels
    # Pixels of 2 or 4 bits come as bytes, of which the brightest is not 255.
    if 1 < bits < 8:
        pixels = pixels / ((1 << bits) - 1)
    return pixels


def as_rgb8(pixels: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    """Pixels of any depth as 8-bit RGB, as :func:`read_image` gives them.

    Parameters
    ----------
    pixels : ndarray, shape (height, width) or (height, width, 3 or 4)
        Boolean, integer, or floating point from 0 to 1.
    name : str
        File or layer, for the message.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8

    Raises
    ------
    ReadError
        If the values have no meaning as brightness.
    """
    kind = pixels.dtype.kind
    if kind not in "biuf":
        raise ReadError(f"{name}: pixels of the type {pixels.dtype}; save it with 8 or 16 bits.")
    if kind == "b":
        pixels = pixels.astype(np.uint8) * 255
    elif kind == "f":
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
            raise ReadError(
                f"{name}: floating-point pixels outside 0 to 1; save it with 8 or 16 bits."
            )
        pixels = np.round(pixels * 255).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        low = int(pixels.min())
        high = int(pixels.max())
        if low < 0 or high > 0xFFFF:
            raise ReadError(f"{name}: pixels from {low} to {high}; save it with 8 or 16 bits.")
        # Cameras of 10 to 14 bits write files of 16, so the brightest pixel tells the depth.
        depth = next(bits for bits in _BIT_DEPTHS if high < 1 << bits)
        pixels = np.round(pixels * (255 / ((1 << depth) - 1))).astype(np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        return np.round(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return pixels


def find_slides(paths: Sequence[str | Path], *, skip: Path | None = None) -> tuple[Slide, ...]:
    """Slides of image files and folders, without reading a pixel.

    A folder is one slide, its image files (not those of its subfolders) its fields in natural
    order. An image file is a slide of one field.

    Parameters
    ----------
    skip : Path, optional
        Folder whose files are never taken as fields (where results are written).

    Returns
    -------
    tuple of Slide
        In the order of the paths.

    Raises
    ------
    WbcError
        If there is no path, a path is missing, a folder holds no image, or two slides would
        have one name.
    """
    if not paths:
        raise WbcError("No image given; name at least one image file or folder.")
    slides = tuple(open_slide(path, skip=skip) for path in paths)
    names = [slide.name for slide in slides]
    for name in names:
        if names.count(name) > 1:
            raise WbcError(
                f"Two of the paths are named {name!r}, their results would be mixed; "
                "rename one or analyze them one by one."
            )
    return slides


def open_slide(path: str | Path, *, skip: Path | None = None) -> Slide:
    """One image file or folder as a slide; see :func:`find_slides`."""
    path = Path(path)
    if path.is_dir():
        # "." and ".." have no name of their own.
        name = path.resolve().name
        try:
            files = sorted(filter(_is_image, path.iterdir()), key=_natural)
        except OSError as error:
            raise WbcError(
                f"{path}: this folder cannot be read ({error.strerror or error}); "
                "check its permissions."
            ) from error
        if skip is not None:
            files = [file for file in files if skip.resolve() not in file.resolve().parents]
        if not files:
            raise WbcError(
                f"{path}: no PNG, JPEG, BMP or TIFF file directly inside this folder; "
                "a folder is one slide, so give each slide's own folder."
            )
        return Slide(name, tuple(FieldOfView(f"{name}/{file.name}", file) for file in files))
    if not path.exists():
        raise WbcError(f"{path}: no such file or folder; check the path.")
    return Slide(path.stem, (FieldOfView(path.name, path),))


def _is_image(file: Path) -> bool:
    # macOS writes a hidden "._x.png", which is no image, beside each file of a foreign disk.
    visible = not file.name.startswith(".")
    return visible and file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()


def _natural(path: Path) -> tuple[tuple[float, str], ...]:
    # 2 before 10, and numbers before letters; pairs, since numbers and text do not compare.
    parts = re.split(r"(\d+)", path.name.lower())
    return tuple((int(part), "") if part.isdecimal() else (math.inf, part) for part in parts)
