"""Fingerprints of training sets: whether one is still what it was."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from napari_wbc.errors import ReadError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import IMAGE_SUFFIXES
from napari_wbc.storage.formats.csv_set import images_named
from napari_wbc.storage.sets import newest_round, set_folder

LABEL_FILES = frozenset(
    {".csv", ".data", ".geojson", ".json", ".names", ".tsv", ".txt", ".xml", ".yaml", ".yml"}
)
"""Suffixes of files that say what the images of a set show."""


def fingerprint_steps(path: Path) -> Steps[str]:
    """What tells a training set as it is now from the same one changed, without reading its images.

    Parameters
    ----------
    path : Path
        Of the set, as :func:`~napari_wbc.storage.sets.read_set` takes it. Of a CSV file the images
        are those that it names; else all that lie in the folder.

    Returns
    -------
    str
        Over names and contents of the files that hold labels, and names, sizes and times of images.

    Raises
    ------
    WbcError
        If a file that holds labels cannot be read.
    """
    digest = hashlib.sha256()
    suffix = "" if path.is_dir() else path.suffix.lower()
    root = path.parent
    if not path.exists() or (suffix and suffix not in LABEL_FILES):
        # No training set, which whoever reads it says.
        files = [path]
    elif suffix == ".csv":
        files = [path, *images_named(path)]
    else:
        root = set_folder(path)
        # A file that is named is read itself, whatever rounds lie beside it.
        root = (newest_round(root) if path.is_dir() else None) or root
        files = yield from _files_steps(root)
    for done, file in enumerate(files, start=1):
        yield Progress("reading labels", done, len(files))
        # A name that is no valid text on the disk has surrogates in Python.
        line = f"{os.path.relpath(file, root)}\n{_state(file)}\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _files_steps(root: Path) -> Steps[list[Path]]:
    """Labels and images in a folder and those below it, in order; hidden ones are left out."""
    files: list[Path] = []
    for folder, below, names in os.walk(root):
        # In place, since os.walk goes on with what is left here.
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and file.suffix.lower() in {*LABEL_FILES, *IMAGE_SUFFIXES}:
                files.append(file)
        yield Progress("reading labels", 0, 0)
    return files


def _state(file: Path) -> str:
    """What changes when a file does: its content where it holds labels, else size and time."""
    try:
        if file.suffix.lower() in LABEL_FILES:
            return sha256_of(file)
        status = file.stat()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise ReadError(
            f"{file}: cannot be read ({error.strerror or error}); check the path."
        ) from error
    return f"{status.st_size} {status.st_mtime_ns}"
