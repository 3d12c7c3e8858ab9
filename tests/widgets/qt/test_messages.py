"""Messages in their line, in napari's notifications, and in the history."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPlainTextEdit

from napari_wbc.widgets.qt.messages import Messages


@pytest.fixture
def messages(qtbot):
    messages = Messages()
    qtbot.addWidget(messages)
    notification_manager.records.clear()
    return messages


def notified():
    return [(record.message, str(record.severity)) for record in notification_manager.records]


def test_results_and_errors_are_notified_and_feedback_is_not(messages):
    messages.say("1 cell: lymphocyte")
    messages.tell("24 cells in 6 fields")
    messages.warn("No such model.")
    assert notified() == [("24 cells in 6 fields", "info"), ("No such model.", "warning")]
    assert messages.text() == "No such model."


def test_what_was_covered_is_in_the_history(messages, qtbot):
    messages.warn("field-3.png: cannot be read.")
    messages.say("1 cell: lymphocyte")
    messages.say("")
    messages.show()
    qtbot.mouseClick(messages.open, Qt.MouseButton.LeftButton)
    text = messages._dialog.findChild(QPlainTextEdit).toPlainText()
    assert [line.split("  ", 1)[1] for line in text.splitlines()] == [
        "⚠ field-3.png: cannot be read.",
        "1 cell: lymphocyte",
    ]
    messages.tell("Later")
    assert messages._dialog.findChild(QPlainTextEdit).toPlainText().endswith("Later")


def test_a_message_that_is_too_long_to_show_can_be_read_in_full(messages):
    messages.tell("short")
    messages.warn("long " * 70)
    first, second = notification_manager.records
    assert not first.actions
    ((name, read),) = second.actions
    assert name == "Read all"
    read(None)
    assert messages._dialog.isVisible()


def test_a_long_message_is_whole_and_stays_as_long_as_it_takes_to_read(
    make_napari_viewer, messages, qtbot, monkeypatch
):
    from napari._qt.dialogs.qt_notification import NapariQtNotification

    # napari keeps those of windows that are gone, here of the tests before.
    monkeypatch.setattr(NapariQtNotification, "_instances", [])
    viewer = make_napari_viewer(show=True)
    # napari asks OpenGL what it can do at the first image, and needs a live canvas for that.
    viewer.add_image(np.zeros((8, 8)))
    qtbot.waitExposed(viewer.window._qt_window)
    messages.warn("letters " * 20)
    try:
        (shown,) = NapariQtNotification._instances
        assert shown.timer.interval() == 160 * 60
        lines = shown.height() // shown.message.fontMetrics().height()
        assert lines > 4
        assert shown.geometry().bottom() < viewer.window._qt_viewer.canvas.native.height()
        # The same again, as by a key that is held, adds no second one.
        messages.warn("letters " * 20)
        assert len(NapariQtNotification._instances) == 1
        messages.warn("another")
        assert len(NapariQtNotification._instances) == 2
    finally:
        for dialog in list(NapariQtNotification._instances):
            dialog.close()
            dialog.deleteLater()
