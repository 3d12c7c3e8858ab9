"""Keys bound while the workbench is open, as a plugin's manifest cannot, and keys of a widget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent

Key = Qt.Key
Modifier = Qt.KeyboardModifier
Action = Callable[[], object]
ARROWS = {Key.Key_Left: (-1, 0), Key.Key_Right: (1, 0), Key.Key_Up: (0, -1), Key.Key_Down: (0, 1)}
"""Steps ``(x, y)`` of the arrow keys; y points down."""
PLAIN = {Key.Key_Delete: "Delete", Key.Key_Backspace: "Backspace", Key.Key_Space: "Space"}


def bind_keys(target: Any, actions: Mapping[str, Action]) -> Callable[[], None]:
    """Bind keys on a viewer or a layer; returns what binds the keys as they were before.

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


def _handler(action: Action) -> Callable[[Any], None]:
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


class KeyTaker:
    """Takes keys before a shortcut of napari's window does; to be mixed in before a Qt class.

    The class has a signal ``key_pressed``, for plain keys that do nothing in the widget itself.
    """

    key_pressed: Any

    def _action(self, event: QKeyEvent) -> Action | None:
        """What a key does in the widget itself, None for any other key."""
        raise NotImplementedError

    def event(self, event: Any) -> bool:
        """Accept the keys that the widget takes."""
        # Qt asks by this event; a key that is not accepted would go to the shortcut.
        override = event.type() == QEvent.Type.ShortcutOverride
        if override and (self._action(event) or key_name(event)):
            event.accept()
            return True
        return bool(super().event(event))  # type: ignore[misc]

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 (Qt's name)
        """Do what the key does here; hand on any other plain key."""
        if action := self._action(event):
            action()
        elif name := key_name(event):
            self.key_pressed.emit(name)
        else:
            event.ignore()
