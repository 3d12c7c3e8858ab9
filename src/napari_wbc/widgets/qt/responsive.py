"""What else would stop the window for 0.2 s and more: full garbage collections, and the loading of torch.

With torch, scikit-learn and matplotlib loaded, one full collection stops every thread for 0.2 s and
more, and loading a library or reading a large table starts several. While long functions run there
are none, young objects apart; where they loaded libraries, what is alive then is left out of all
later collections. What of that dies later in a cycle keeps its memory: once for each large library,
no more.
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

__all__ = ["open_library", "open_torch", "undisturbed"]

NEVER = 1_000_000_000
LIBRARY = 50
"""Modules from which something large was loaded."""


class _Collector:
    """How many functions run, and what was set before the first."""

    def __init__(self) -> None:
        self.modules = 0
        self._lock = threading.Lock()
        self._running = 0
        self._before = gc.get_threshold()

    def begin(self) -> None:
        """Hold full collections back."""
        with self._lock:
            if not self._running:
                self._before = gc.get_threshold()
                gc.set_threshold(*self._before[:2], NEVER)
            self._running += 1

    def end(self) -> None:
        """Leave out what a library brought, and let them be after the last function."""
        with self._lock:
            self._running -= 1
            if len(sys.modules) >= self.modules + LIBRARY:
                if not self.modules:
                    atexit.register(
                        gc.unfreeze
                    )  # libraries clear up after themselves at the very end
                self.modules = len(sys.modules)
                gc.freeze()
            if not self._running:
                gc.set_threshold(*self._before)


_collector = _Collector()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Do without full collections until this ends, in all threads; several may run at once."""
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
    """Have Linux open a library without Python's lock, which an import holds meanwhile; others do nothing.

    Parameters
    ----------
    package : str
        That the library belongs to; where it is imported or missing, nothing is done.
    pattern : str
        Of the library's path, from the folder of the package.
    """
    spec = None if package in sys.modules else find_spec(package)
    if sys.platform.startswith("linux") and spec is not None and spec.origin:
        opened = ctypes.CDLL(None).dlopen
        opened.restype, opened.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
        for library in Path(spec.origin).parent.glob(pattern):
            opened(os.fsencode(library), os.RTLD_LAZY)  # left open: the import finds it there
