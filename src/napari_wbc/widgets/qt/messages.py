"""What is said to a person: feedback in a line, results and errors in napari's notifications.

Invariant: every message is kept in the history, whatever takes its place on screen.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any

from napari.utils.notifications import (
    Notification,
    NotificationSeverity,
    notification_manager,
)
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDialog, QPlainTextEdit, QWidget

from napari_wbc.widgets.qt.layout import TextLines, bring_up, button, column, row

KEPT = 500
"""Messages of the history."""
WHOLE = 300
"""Letters of a message that a notification shows as a whole; of a longer one it shows the start."""
MS_A_LETTER = 60
LEAST_MS = 4000
"""Time for which napari shows any notification."""
WARNING_SIGN = "\N{WARNING SIGN}"


class Messages(QWidget):
    """The last message, and a button for all earlier ones.

    Feedback to a key or a click is only shown here; results and errors also in a notification of
    napari's, which no later message covers for good.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: deque[str] = deque(maxlen=KEPT)
        self.line = TextLines(2)
        self.open = button("Messages…", "All messages since the start", self.show_history)
        self._dialog: QDialog | None = None
        self._all = QPlainTextEdit()
        self._all.setReadOnly(True)
        self._all.setAccessibleName("Messages since the start")
        column(self, row(self.line, self.open, stretch=self.line))

    def text(self) -> str:
        """The last message."""
        return self.line.text()

    def say(self, text: str) -> None:
        """Show feedback to what a person did just now; an empty text empties the line."""
        self._keep(text)

    def tell(self, text: str) -> None:
        """Show a result."""
        self._keep(text)
        self._notify(text, NotificationSeverity.INFO)

    def warn(self, text: str) -> None:
        """Show what went wrong or cannot be done."""
        self._keep(text, f"{WARNING_SIGN} ")
        self._notify(text, NotificationSeverity.WARNING)

    def show_history(self) -> None:
        """Open the list of all messages, the last one at its end."""
        if self._dialog is None:
            self._dialog = QDialog(self)
            self._dialog.setWindowTitle("Messages")
            column(self._dialog, self._all, margin=6)
            self._dialog.resize(620, 320)
        self._all.setPlainText("\n".join(self.history))
        self._all.verticalScrollBar().setValue(self._all.verticalScrollBar().maximum())
        bring_up(self._dialog)

    def _keep(self, text: str, sign: str = "") -> None:
        if text:
            self.history.append(f"{datetime.now():%H:%M:%S}  {sign}{text}")
            if self._dialog is not None and self._dialog.isVisible():
                self._all.appendPlainText(self.history[-1])
        self.line.setText(text)

    def _notify(self, text: str, severity: NotificationSeverity) -> None:
        for dialog in _notifications():
            # A key that is pressed again and again would pile them up.
            if dialog.message.text() == text and dialog.isVisible():
                dialog.timer.start()
                return
        actions = (("Read all", self._read_all),) if len(text) > WHOLE else ()
        notification_manager.dispatch(Notification(text, severity, actions))
        for dialog in _notifications():
            if dialog.message.text() == text:
                # It would name a part of napari.
                dialog.source_label.hide()
                if not actions:
                    _unfold(dialog)
                dialog.timer.setInterval(max(LEAST_MS, MS_A_LETTER * len(text)))
            elif dialog.isVisible() and not dialog.timer.isActive():
                # napari stops it where a newer one comes, and then leaves it on screen for good.
                dialog.timer.start()

    def _read_all(self, _notification: object = None) -> None:
        self.show_history()


def _unfold(dialog: Any) -> None:
    """Show all of a notification's message, of which napari shows one line until it is unfolded."""
    # It slides in, and would go on to its folded size.
    dialog.geom_anim.stop()
    dialog.layout().activate()
    dialog.row1.activate()
    margins = dialog.row1.contentsMargins()
    message = dialog.message
    needed = message.fontMetrics().boundingRect(
        0, 0, message.width(), 0, int(Qt.TextFlag.TextWordWrap), message.text()
    )
    height = needed.height() + message.fontMetrics().height() + margins.top() + margins.bottom()
    dialog.resize(dialog.width(), max(dialog.minimumHeight(), height))
    dialog.setProperty("expanded", True)
    dialog.style().polish(dialog.expand_button)
    dialog.move_to_bottom_right()


def _notifications() -> list[Any]:
    """The notifications of napari that are on screen."""
    dialogs = []
    for window in QApplication.topLevelWidgets():
        dialogs += window.findChildren(QDialog)
    return [dialog for dialog in dialogs if hasattr(dialog, "toggle_expansion")]
