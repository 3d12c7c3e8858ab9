"""Keys bound while the workbench is open; a plugin's manifest cannot bind any in napari."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent

__all__ = ["Key", "Modifier", "bind_keys", "key_name"]

Key = Qt.Key
Modifier = Qt.KeyboardModifier
PLAIN = {Key.Key_Delete: "Delete", Key.Key_Backspace: "Backspace", Key.Key_Space: "Space"}


def bind_keys(target: Any, actions: Mapping[str, Callable[[], Any]]) -> Callable[[], None]:
    """Bind keys on a viewer or a layer.

    Parameters
    ----------
    target : viewer or layer
        The keys of the active layer come before those of the viewer.
    actions : mapping
        From key, as napari names it, to what is done.

    Returns
    -------
    callable
        Binds the keys as they were before.
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


def key_name(event: QKeyEvent) -> str:
    """A plain key as napari names it, empty for any other.

    Plain are letters, digits (on some keyboards with Shift), Delete, Backspace, Space, and the keys
    that undo and redo.
    """
    key, modifiers = event.key(), event.modifiers() & ~Modifier.KeypadModifier
    if key == Key.Key_Z and modifiers == Modifier.ControlModifier:
        return "Control-Z"
    if key == Key.Key_Z and modifiers == Modifier.ControlModifier | Modifier.ShiftModifier:
        return "Control-Shift-Z"
    plain = modifiers == Modifier.NoModifier
    # A French keyboard has digits with Shift only.
    if Key.Key_0 <= key <= Key.Key_9 and (plain or modifiers == Modifier.ShiftModifier):
        return chr(key)
    if not plain:
        return ""
    return chr(key) if Key.Key_A <= key <= Key.Key_Z else PLAIN.get(key, "")
