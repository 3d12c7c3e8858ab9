"""The one reader of image files, and of folders as slides.

Invariant: whatever is wrong with a file, :func:`read_image` raises one
:class:`~napari_wbc.errors.ReadError` that names it; nothing else leaves this module.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.image_header import (
    KINDS,
    is_image,
    is_tiff,
    open_image,
    orientation_at,
    orientation_of,
)
from napari_wbc.imaging.intact import check_jpeg, check_png
from napari_wbc.imaging.pyramid.opening import is_whole_slide, open_pyramid
from napari_wbc.imaging.rgb import Stored, as_rgb8, depth_of, rgb8, stored, turned
from napari_wbc.imaging.tiff import read_tiff
from napari_wbc.model.slide import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    NOTE_SUFFIXES,
    UNREAD_SUFFIXES,
    FieldOfView,
    Slide,
)
from napari_wbc.model.words import listed

Kind: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and type of the colours of a field."""
_COMPARED = 8
"""Fields of a folder that tell the depth of its camera."""


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Read one field of view.

    PNG, JPEG, BMP, GIF, WebP, JPEG 2000, PPM and TIFF, told apart by content; grey, RGB, RGBA
    (over white), palette and CMYK, turned as Exif says. Images of more than 8 bits are scaled by
    the depth that the file says, else by the smallest usual camera depth (10, 12, 14, 16) that
    holds them and the fields beside them.

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
        If the file is missing, empty, truncated, too large, not an image or not one.
    """
    path = Path(path)
    pixels = _read_stored(path, max_pixels)
    kind = pixels.colors.shape, pixels.colors.dtype
    depth = _depth_beside(path, kind) if pixels.deep and pixels.bits is None else 8
    return np.ascontiguousarray(rgb8(pixels, depth=depth))


def read_field(field: FieldOfView) -> npt.NDArray[np.uint8]:
    """The pixels of a field from its file, see :func:`read_image`."""
    return read_image(field.path)


def check_readable(field: FieldOfView) -> None:
    """Read a field, or open a whole slide, and let go of it again.

    Raises
    ------
    ReadError
        If it cannot be read.
    """
    if is_whole_slide(field.path):
        with open_pyramid(field.path):
            return
    read_field(field)


def as_file_shows(pixels: npt.NDArray[Any], path: Path) -> tuple[npt.NDArray[Any], int]:
    """Pixels that another program read from a file, turned as the file says if it did not do so.

    Parameters
    ----------
    pixels : ndarray, shape (height, width) or (height, width, 3 or 4)
    path : Path

    Returns
    -------
    ndarray
        The same object if nothing was to be turned.
    int
        Bits of the camera, for :func:`~napari_wbc.imaging.rgb.as_rgb8`.
    """
    try:
        orientation = orientation_at(path)
        if orientation != 1:
            shown = read_image(path).astype(np.int16)
            both = pixels, turned(pixels, orientation)
            fits = [one for one in both if one.shape[:2] == shown.shape[:2]]
            # By content, since a square or mirrored image has the same shape either way.
            pixels = min(
                fits, key=lambda one: np.abs(as_rgb8(one, "") - shown).mean(), default=pixels
            )
        known = _depth_at(path) if pixels.dtype.itemsize > 1 else None
    # What this program cannot read, another may; its pixels are as they are then.
    except Exception:  # noqa: BLE001
        return pixels, 8
    return pixels, 8 if known is None else max(known[1], _depth_beside(path, known[0]))


def _depth_beside(path: Path, kind: Kind) -> int:
    """The bits of the camera, by fields in the folder of a file that are stored as its pixels are.

    They are the same ones whichever field is asked for, so that all are scaled alike, and a dark
    field is not taken for one of fewer bits.
    """
    alike = [8]
    for file in _compared(path.parent, path.suffix):
        # Its own depth is known to whoever asks, who has its pixels.
        known = None if file == path else _depth_at(file)
        if known is not None and known[0] == kind:
            alike.append(known[1])
    return max(alike)


def _compared(folder: Path, suffix: str) -> list[Path]:
    """Some files of one suffix in a folder, from its first to its last."""
    try:
        files = [file for file in folder.iterdir() if file.suffix.lower() == suffix.lower()]
    # What lies beside a file that can be read is no reason to refuse it.
    except OSError:
        return []
    files.sort(key=_natural)
    places = np.linspace(0, len(files) - 1, min(_COMPARED, len(files))).round()
    return [files[int(place)] for place in places]


def _depth_at(file: Path) -> tuple[Kind, int] | None:
    """Kind and depth of the pixels of a file; None if they have 8 bits or cannot be read."""
    try:
        state = file.stat()
    except OSError:
        return None
    return _depth_then(file, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _depth_then(file: Path, _size: int, _modified: int) -> tuple[Kind, int] | None:
    # Size and time make a file that was changed another one.
    try:
        pixels = _read_stored(file, MAX_PIXELS)
    except ReadError:
        return None
    kind = pixels.colors.shape, pixels.colors.dtype
    return (kind, depth_of(pixels)) if pixels.deep else None


def _read_stored(path: Path, max_pixels: int) -> Stored:
    try:
        if not path.is_file():
            raise ReadError(f"{path}: no such image file; check the path.")
        if not path.stat().st_size:
            raise ReadError(f"{path}: the file is empty; export or copy it again.")
        check_size = partial(_check_size, path, max_pixels)
        with warnings.catch_warnings():
            # What Pillow finds odd is either legible or an error below.
            warnings.simplefilter("ignore")
            if is_tiff(path):
                return read_tiff(path, check_size, max_pixels)
            return _read_other(path, max_pixels)
    except ReadError:
        raise
    except UnidentifiedImageError:
        raise ReadError(f"{path}: not a {KINDS} image; convert it first.") from None
    # Decoders of damaged files raise some twenty types.
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or "no reason given"
        raise ReadError(
            f"{path}: the image cannot be read, it may be damaged or truncated "
            f"({type(error).__name__}: {reason}); export or copy it again."
        ) from error


def _check_size(path: Path, max_pixels: int, height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ReadError(f"{path}: the image has no pixels ({width} x {height}); export it again.")
    if height * width > max_pixels:
        raise ReadError(
            f"{path}: {width} x {height} pixels is more than a field of view "
            f"({max_pixels:,} pixels); cut it into fields first."
        )


def _read_other(path: Path, max_pixels: int) -> Stored:
    try:
        with open_image(path) as image:
            _check_size(path, max_pixels, image.height, image.width)
            # load() empties the list of tiles, so it is asked before.
            wide = any(";16B" in str(part) for part in image.tile)
            if image.format in {"JPEG", "MPO"}:
                check_jpeg(path.read_bytes())
            elif image.format == "PNG":
                check_png(path)
            # These two fill all 16 bits, whatever the depth of the camera was.
            bits = 16 if image.format in {"JPEG2000", "PPM"} else None
            pixels = _wide_png(path) if wide else None
            # Not both, since a large field may take half a gigabyte.
            if pixels is None:
                image.load()
                pixels = _pixels(image)
            orientation = orientation_of(image)
            return replace(stored(pixels, str(path)), bits=bits).turned(orientation)
    except Image.DecompressionBombError:
        raise ReadError(
            f"{path}: larger than a field of view ({max_pixels:,} pixels); "
            "cut it into fields first."
        ) from None


def _pixels(image: Image.Image) -> npt.NDArray[Any]:
    """Grey, RGB or RGBA."""
    if image.mode.startswith("I"):
        return np.asarray(image)
    if image.mode in {"PA", "LA"} or "transparency" in image.info:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image if image.mode in {"RGB", "RGBA", "L"} else image.convert("RGB"))


def _wide_png(path: Path) -> npt.NDArray[np.uint16] | None:
    """Colours of 16 bits, of which Pillow keeps the upper byte alone; None if it has none."""
    # Not cv2.imread, which cannot open paths with umlauts on Windows.
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ReadError(f"{path}: a 16-bit PNG that cannot be decoded; save it as TIFF.")
    if pixels.ndim == 2:
        return None
    # Not by cvtColor, which copies a large field.
    if pixels.shape[2] == 4:
        return np.asarray(pixels[..., [2, 1, 0, 3]], dtype=np.uint16)
    return np.asarray(pixels[..., ::-1], dtype=np.uint16)


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
    if path.is_dir() and not is_whole_slide(path):
        # "." and ".." have no name of their own.
        name = path.resolve().name
        files, left_out = _files_in(path)
        if skip is not None:
            files = [file for file in files if skip.resolve() not in file.resolve().parents]
        if not files:
            others = f" that can be read, only {listed(left_out)}" if left_out else ""
            raise WbcError(
                f"{path}: no {KINDS} file directly inside this folder{others}; "
                "a folder is one slide, so give each slide's own folder."
            )
        fields = tuple(FieldOfView(f"{name}/{file.name}", file) for file in files)
        return Slide(name, fields, tuple(left_out))
    if not path.exists():
        raise WbcError(f"{path}: no such file or folder; check the path.")
    return Slide(path.stem, (FieldOfView(path.name, path),))


def _files_in(folder: Path) -> tuple[list[Path], list[str]]:
    """The image files in a folder, and names of what seems to be one but cannot be read."""
    files: list[Path] = []
    left_out: list[str] = []
    try:
        for file in sorted(folder.iterdir(), key=_natural):
            suffix = file.suffix.lower()
            # macOS writes a hidden "._x.png", no image, beside each file of a foreign disk.
            if file.name.startswith(".") or suffix in NOTE_SUFFIXES or file.is_dir():
                continue
            if suffix in UNREAD_SUFFIXES or not file.is_file():
                left_out.append(file.name)
            elif suffix in IMAGE_SUFFIXES or is_image(file):
                files.append(file)
    except OSError as error:
        raise WbcError(
            f"{folder}: this folder cannot be read ({error.strerror or error}); "
            "check its permissions."
        ) from error
    return files, left_out


def _natural(path: Path) -> tuple[tuple[float, str], ...]:
    # 2 before 10, and numbers before letters; pairs, since numbers and text do not compare.
    parts = re.split(r"(\d+)", path.name.lower())
    return tuple((int(part), "") if part.isdecimal() else (math.inf, part) for part in parts)
