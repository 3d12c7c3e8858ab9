"""Files of several folders that are written beside, and then take their places together.

Invariant: a folder never shows files of two ages. The old ones are out of the way before the first
new one is in place, so a program that is killed meanwhile leaves some of one age at most; the next
run clears up after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import Timeout

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import new_folder, put_back, remove_folder, remove_made, sync
from napari_wbc.files.locks import held

_PART = ".wbc-part"
_OLD = ".wbc-old"
_LOCK = ".wbc-lock"


def part_of(folder: Path) -> Path:
    """Where the new files of a folder are written until they take their places."""
    return folder / _PART


@contextmanager
def staged(folders: Sequence[Path], is_ours: Callable[[str], bool]) -> Iterator[Callable[[], None]]:
    """Make folders whose new files are written to :func:`part_of` each; the function places them.

    What is not placed at the end is removed, and so are the folders that were made for it.

    Parameters
    ----------
    is_ours : callable
        Whether a file of this name is replaced by the new ones; all others stay.

    Raises
    ------
    WbcError
        If a folder cannot be made, another program writes to it, or the files cannot take their
        places; the folders are then as they were.
    """
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(new_folder(folder))
            stack.enter_context(_alone(folder))
        yield lambda: _place(folders, is_ours)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other programs from writing to a folder, and make room for its new files."""
    lock = folder / _LOCK
    part = part_of(folder)
    try:
        with held(lock):
            # Of a program that was killed.
            remove_folder(part)
            part.mkdir()
            try:
                yield
            finally:
                remove_folder(part)
                # Nobody waits for it, so it may go while it is held.
                remove_made([lock])
    except Timeout as error:
        raise WbcError(
            f"{folder}: another program writes to this folder; wait for it, or choose another."
        ) from error
    except WbcError as error:
        # Nobody knows that folder.
        raise WbcError(str(error).replace(str(part), str(folder))) from error
    except OSError as error:
        raise WbcError(
            f"{folder}: cannot be written to ({error.strerror or error}); choose another place."
        ) from error


def _place(folders: Sequence[Path], is_ours: Callable[[str], bool]) -> None:
    away: list[tuple[Path, Path]] = []
    into: list[tuple[Path, Path]] = []
    for folder in folders:
        old = [path for path in sorted(folder.iterdir()) if is_ours(path.name)]
        # A folder of that name is not ours; no file can take its place, which is told.
        away += ((path, folder / _OLD / path.name) for path in old if not path.is_dir())
        into += ((path, folder / path.name) for path in sorted(part_of(folder).iterdir()))
    with _moved_back(folders) as moved:
        for folder in folders:
            (folder / _OLD).mkdir(exist_ok=True)
        for source, target in (*away, *into):
            source.replace(target)
            moved.append((source, target))
        for folder in folders:
            sync(folder)
    for folder in folders:
        remove_folder(folder / _OLD)


@contextmanager
def _moved_back(folders: Sequence[Path]) -> Iterator[list[tuple[Path, Path]]]:
    """A list for the moves that are made; they are taken back if not all are made."""
    moved: list[tuple[Path, Path]] = []
    try:
        with put_back(moved):
            yield moved
    except BaseException as error:
        remove_made([folder / _OLD for folder in folders])
        if not isinstance(error, OSError):
            raise
        raise WbcError(
            f"{error.filename2 or error.filename}: cannot be put in place "
            f"({error.strerror or error}); the files that were there are as they were. Make room "
            "for it, or choose another folder."
        ) from error
