"""Locks that keep other programs out; a lock that fails leaves no file behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from napari_wbc.files.atomic import remove_made


def locked(path: Path, wait: float = 0) -> BaseFileLock:
    """A lock that is held, on a file that is made where it is missing.

    Parameters
    ----------
    wait : float
        Seconds that another program may take to let go of it.

    Raises
    ------
    Timeout
        If another program still holds it.
    OSError
        If it cannot be locked; a file that was not there is gone then.
    """
    new = not path.exists()
    lock = FileLock(path, timeout=wait)
    try:
        lock.acquire()
    except Timeout:
        raise
    except OSError:
        if new:
            remove_made([path])
        raise
    return lock


@contextmanager
def held(path: Path, wait: float = 0, *, passing: bool = False) -> Iterator[None]:
    """Hold a lock as :func:`locked` takes it; if what is done fails, a new file of it is gone.

    With ``passing`` the file is gone in any case, so that none is left among a person's results.
    """
    new = not path.exists()
    lock = locked(path, wait)
    while passing and not path.exists():
        # The program that held it before has removed the file that this one waited for.
        unlocked(lock)
        lock = locked(path, wait)
    try:
        yield
    except BaseException:
        if new:
            remove_made([path])
        raise
    finally:
        if passing:
            remove_made([path])
        unlocked(lock)


def unlocked(lock: BaseFileLock) -> None:
    """Let go of a lock."""
    # The system lets go of it at the latest when the program ends.
    with suppress(OSError):
        lock.release()
