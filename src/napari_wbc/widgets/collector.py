"""Full garbage collections, kept from stopping the window.

With torch, scikit-learn and matplotlib loaded, one full collection stops every thread for 0.2 s and more, and
loading a library or reading a large table starts several. While long functions run there are none, young
objects apart; where they loaded libraries, what is alive then is left out of all later collections. What of
that dies later in a cycle keeps its memory: once for each large library, no more.
"""

from __future__ import annotations

import atexit
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["undisturbed"]

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
                    atexit.register(gc.unfreeze)  # libraries clear up after themselves at the very end
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
