"""White blood cells in napari, Python and the shell.

Importing this package loads neither torch nor napari; each name below loads what it needs
when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["analyze", "classify_images"]

# A name here must not be that of a room: importing the room would put the module in its place.
_HOMES = {"analyze": "analyze", "classify_images": "classify"}

if TYPE_CHECKING:
    from napari_wbc.pipeline.analyze import analyze
    from napari_wbc.pipeline.classify import classify_images


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.pipeline.{_HOMES[name]}"), name)
