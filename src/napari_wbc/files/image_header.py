"""What the header of an image file says: its kind, and its size as a viewer shows it.

Invariant: height and width are those of what ``imaging.read`` gives, turned as the file says.
"""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageFile, UnidentifiedImageError

from napari_wbc.errors import ReadError
from napari_wbc.files.tiff_header import ORIENTATION, TIFF_MAGIC, open_tiff, tiff_field

# Only these: some other readers of Pillow run programs, or are rarely tested.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
KINDS = "PNG, JPEG, BMP, GIF, WebP, JPEG 2000, PPM or TIFF"
"""The kinds of image files that are read, for messages."""
_SIDEWAYS = range(5, 9)
"""Orientations of Exif that turn rows into columns."""


def is_tiff(path: Path) -> bool:
    """Whether a file begins as a TIFF does."""
    with path.open("rb") as file:
        return file.read(4) in TIFF_MAGIC


def is_image(path: Path) -> bool:
    """Whether a file is of a kind that is read, by its content; it may be damaged all the same."""
    try:
        if is_tiff(path):
            return True
        with open_image(path):
            return True
    except UnidentifiedImageError:
        return False
    except (ReadError, Image.DecompressionBombError):
        return True
    # What a header can be wrong in; such a file has nothing else that says it is an image.
    except Exception:  # noqa: BLE001
        return False


@contextmanager
def open_image(path: Path) -> Iterator[ImageFile.ImageFile]:
    """An image file that is no TIFF, whose pixels are not yet read.

    Raises
    ------
    ReadError
        If it is an animation.
    UnidentifiedImageError
        If it is of no kind that is read.
    """
    with warnings.catch_warnings():
        # Pillow warns of large images, which whoever opens one measures.
        warnings.simplefilter("ignore")
        with Image.open(path, formats=_FORMATS) as image:
            # A phone's JPEG may hold a second picture, of depth or for the eye on a screen.
            if image.format != "MPO" and getattr(image, "is_animated", False):
                raise ReadError(
                    f"{path}: an animation, not one field; save each frame as a file of its own."
                )
            yield image


def orientation_of(image: ImageFile.ImageFile) -> int:
    """How pixels are to be turned, 1 to 8 as Exif numbers it; 1 is as they are stored."""
    # Pillow would decode a whole PNG to find this at its end, where it seldom is.
    late = image.format == "PNG" and _has_late_exif(Path(str(image.filename)))
    exif = image.getexif() if late else Image.Image.getexif(image)
    orientation = exif.get(ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def _has_late_exif(path: Path) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = [data.rfind(mark) for mark in (b"eXIf", b"Raw profile type exif")]
        return max(found) > data.find(b"IDAT")


def orientation_at(path: Path) -> int:
    """Orientation of the field in an image file, 1 to 8; it raises what the libraries raise."""
    if is_tiff(path):
        with open_tiff(path) as tiff:
            return tiff_field(tiff, path).orientation
    with open_image(path) as image:
        return orientation_of(image)


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of the field in an image file, in pixels, turned as the file says.

    It raises whatever the libraries raise for a damaged file.
    """
    if is_tiff(path):
        with open_tiff(path) as tiff:
            field = tiff_field(tiff, path)
            height = field.height
            width = field.width
            orientation = field.orientation
    else:
        with open_image(path) as image:
            height = image.height
            width = image.width
            orientation = orientation_of(image)
    return (width, height) if orientation in _SIDEWAYS else (height, width)
