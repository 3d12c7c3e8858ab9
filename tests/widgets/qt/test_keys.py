"""Keys as napari names them, and their binding while the workbench is open."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent
from qtpy.QtGui import QKeyEvent

from napari_wbc.widgets.qt.keys import Key, Modifier, bind_keys, key_name


@pytest.mark.parametrize(
    ("key", "modifier", "name"),
    [
        (Key.Key_A, Modifier.NoModifier, "A"),
        (Key.Key_1, Modifier.NoModifier, "1"),
        (Key.Key_1, Modifier.ShiftModifier, "1"),
        (Key.Key_1, Modifier.KeypadModifier, "1"),
        (Key.Key_Delete, Modifier.NoModifier, "Delete"),
        (Key.Key_Z, Modifier.ControlModifier, "Control-Z"),
        (Key.Key_Z, Modifier.ControlModifier | Modifier.ShiftModifier, "Control-Shift-Z"),
        (Key.Key_A, Modifier.ShiftModifier, ""),
        (Key.Key_F5, Modifier.NoModifier, ""),
    ],
)
def test_name_of_a_key(key, modifier, name):
    assert key_name(QKeyEvent(QEvent.Type.KeyPress, key, modifier)) == name


def test_keys_are_as_before_after_the_unbinding():
    viewer, pressed = ViewerModel(), []
    viewer.bind_key("1", lambda _viewer: pressed.append("before"))
    keymap = dict(viewer.keymap)
    unbind = bind_keys(viewer, {"1": lambda: pressed.append("ours"), "K": lambda: None})
    (key,) = keymap
    viewer.keymap[key](viewer)
    assert pressed == ["ours"]
    unbind()
    assert viewer.keymap == keymap
