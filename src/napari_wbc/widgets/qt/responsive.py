"""Keeps full garbage collections and the loading of torch from freezing the window.

With torch, scikit-learn and matplotlib loaded, one full collection stops every thread for 0.2 s or
longer, and loading a library or reading a large table starts several. So none runs while a job
does. After a job that loaded a library, all objects alive then are left out of later collections.
Those of them that die later in a cycle keep their memory, once for each large library.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

NEVER = 1_000_000_000
MIN_LIBRARY_MODULES = 50
"""New modules after which a large library counts as loaded."""


class _Collector:
    """Counts the jobs that run, and remembers the thresholds from before the first."""

    def __init__(self) -> None:
        self.modules = 0
        self._lock = threading.Lock()
        self._running = 0
        self._before = gc.get_threshold()

    def begin(self) -> None:
        """Suspend full collections."""
        with self._lock:
            if not self._running:
                self._before = gc.get_threshold()
                gc.set_threshold(*self._before[:2], NEVER)
            self._running += 1

    def end(self) -> None:
        """Exclude the objects of a new library, and resume collections after the last job."""
        with self._lock:
            self._running -= 1
            if len(sys.modules) >= self.modules + MIN_LIBRARY_MODULES:
                if not self.modules:
                    # Libraries clean up at exit, and need their objects collected then.
                    atexit.register(gc.unfreeze)
                self.modules = len(sys.modules)
                gc.freeze()
            if not self._running:
                gc.set_threshold(*self._before)


_collector = _Collector()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Suspend full garbage collections in all threads; several jobs may do so at once."""
    _collector.begin()
    try:
        yield
    finally:
        _collector.end()


def open_torch() -> None:
    """Have Linux open torch's library in a thread; see :func:`open_library`."""
    if "torch" not in sys.modules:
        arguments = ("torch", "lib/libtorch_python.so")
        threading.Thread(target=open_library, args=arguments, daemon=True).start()


def open_library(package: str, pattern: str) -> None:
    """Open a library outside Python's lock, which an import would hold; on Linux only.

    Parameters
    ----------
    package : str
        Name of the package; where it is imported or missing, nothing is done.
    pattern : str
        Path of the library from the folder of the package.
    """
    # Nested, so that mypy checks it for Linux alone: dlopen's flags are not on every system.
    spec = None if package in sys.modules else find_spec(package)
    if sys.platform.startswith("linux") and spec is not None and spec.origin:
        dlopen = ctypes.CDLL(None).dlopen
        dlopen.restype = ctypes.c_void_p
        dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
        for library in Path(spec.origin).parent.glob(pattern):
            # It is never closed, so that the import finds it in memory.
            dlopen(os.fsencode(library), os.RTLD_LAZY)
