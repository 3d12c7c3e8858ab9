"""Which files are whole slides, and how each is opened."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.image_header import is_tiff, size_of
from napari_wbc.imaging.pyramid.base import Pyramid
from napari_wbc.imaging.pyramid.ome_zarr import MARKS, ZarrPyramid, is_zarr
from napari_wbc.imaging.pyramid.scanners import SUFFIXES, OpenSlidePyramid
from napari_wbc.imaging.pyramid.tiff import TiffPyramid
from napari_wbc.model.slide import MAX_PIXELS

TIFFS = (".tif", ".tiff", ".btf")
FILM_SUFFIXES = (*TIFFS, *sorted(SUFFIXES))
"""Of the files that may be a whole slide."""
_ENDS = 1 << 20
"""Bytes at either end of a file that its fingerprint reads."""


def is_whole_slide(path: Path) -> bool:
    """Whether a file or folder is read by region.

    A scanner's own format is, an OME-Zarr, and a TIFF larger than a field of view.
    """
    if path.is_dir():
        return is_zarr(path)
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        if not is_tiff(path):
            return False
        height, width = size_of(path)
    # Whoever reads the file says what is wrong with it.
    except Exception:  # noqa: BLE001
        return False
    return height * width > MAX_PIXELS


@contextmanager
def open_pyramid(path: str | Path) -> Iterator[Pyramid]:
    """Open a whole slide.

    Parameters
    ----------
    path : str or Path
        A tiled TIFF of any size, a slide of a scanner's own format, or the folder of an OME-Zarr.

    Raises
    ------
    ReadError
        If it is missing, damaged or of no such kind, or what reads it is not installed.
    """
    path = Path(path)
    pyramid = _opened(path)
    try:
        yield pyramid
    finally:
        pyramid.close()


def _opened(path: Path) -> Pyramid:
    if not path.exists():
        raise ReadError(f"{path}: no such slide; check the path.")
    try:
        with warnings.catch_warnings():
            # What a library finds odd is either legible or an error below.
            warnings.simplefilter("ignore")
            return _opener(path)(path)
    except ReadError:
        raise
    except WbcError as error:
        raise ReadError(f"{path}: {error}") from error
    except ImportError as error:
        extra = "zarr" if path.is_dir() else "openslide"
        raise ReadError(
            f"{path}: this kind of slide needs the extra {extra!r}; install it with "
            f'pip install "napari-wbc[{extra}]".'
        ) from error
    # Readers of damaged headers raise some twenty types.
    except Exception as error:
        raise ReadError(
            f"{path}: the slide cannot be read, it may be damaged, truncated or of another kind "
            f"than its name says ({type(error).__name__}); export or copy it again."
        ) from error


def _opener(path: Path) -> Callable[[Path], Pyramid]:
    if path.is_dir():
        if not is_zarr(path):
            raise ReadError(f"{path}: this folder is no OME-Zarr; choose a slide.")
        return ZarrPyramid
    if path.suffix.lower() not in SUFFIXES:
        return TiffPyramid
    # What is a tiled TIFF inside is read without OpenSlide too, if need be.
    return OpenSlidePyramid if _has_openslide() or not is_tiff(path) else TiffPyramid


def _has_openslide() -> bool:
    try:
        import openslide  # noqa: F401
    # A library that does not load raises others than ImportError.
    except (ImportError, OSError):
        return False
    return True


def fingerprint(path: Path, *, times: bool = True) -> str:
    """What tells a slide from the same one changed, as hexadecimal digits.

    It is over size, time of the last change unless ``times`` is false, and the first and last MiB
    of the file (of an OME-Zarr over its metadata), since to read all of a slide takes minutes.

    Raises
    ------
    ReadError
        If the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            for file in sorted(_metadata(path)):
                digest.update(file.relative_to(path).as_posix().encode())
                _add_file(digest, file, times=times)
        else:
            _add_file(digest, path, times=times)
            for file in _beside(path):
                state = file.stat()
                changed = state.st_mtime_ns if times else ""
                digest.update(f"{file.name} {state.st_size} {changed}\n".encode())
    except OSError as error:
        raise ReadError(
            f"{path}: the slide cannot be read ({error.strerror or error}); check the path."
        ) from error
    return digest.hexdigest()


def _beside(path: Path) -> list[Path]:
    """Files that hold the pixels of a slide which is named by another file: MIRAX, DICOM."""
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        return sorted(file for file in path.with_suffix("").glob("*") if file.is_file())
    if suffix == ".dcm":
        return sorted(path.parent.glob(f"*{path.suffix}"))
    return []


def _add_file(digest: hashlib._Hash, path: Path, *, times: bool) -> None:
    state = path.stat()
    digest.update(f"{state.st_size} {state.st_mtime_ns if times else ''}\n".encode())
    with path.open("rb") as file:
        digest.update(file.read(_ENDS))
        file.seek(max(0, state.st_size - _ENDS))
        digest.update(file.read(_ENDS))


def _metadata(folder: Path) -> Iterator[Path]:
    """Files of a Zarr that say what its arrays are; the pixels' lie beside them."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name in (*MARKS, ".zarray", ".zattrs"):
                yield Path(place, name)
