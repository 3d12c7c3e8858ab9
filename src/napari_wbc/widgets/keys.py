"""Keys that are bound while the workbench is open: napari takes none from a plugin's manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["bind_keys"]


def bind_keys(target: Any, actions: Mapping[str, Callable[[], Any]]) -> Callable[[], None]:
    """Bind keys on a viewer or a layer; call what comes back to put them as they were.

    Parameters
    ----------
    target : viewer or layer
        The keys of the active layer come before those of the viewer.
    actions : mapping
        From key, as napari names it, to what is done.
    """
    before = {
        key: target.bind_key(key, _handler(action), overwrite=True)
        for key, action in actions.items()
    }

    def unbind() -> None:
        for key, handler in before.items():
            target.bind_key(key, handler, overwrite=True)

    return unbind


def _handler(action: Callable[[], Any]) -> Callable[[Any], None]:
    def handle(_target: Any) -> None:
        action()

    return handle
