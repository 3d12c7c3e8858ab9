"""Who reads: a code or a name that a person chooses, kept between starts."""

from __future__ import annotations

from qtpy.QtWidgets import QLineEdit

from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.settings import settings

READER_KEY = "reader"
MAX_LETTERS = 80
TIP = (
    "Who labels, as it stands in projects and reports: a code or initials. Empty: not named. A "
    "blind reading is named by its own."
)


class ReaderName(QLineEdit):
    """The name of who is at the screen; it is empty until a person gives one.

    The name of the login is not taken for it: projects and reports are handed on.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._own = session.reader or str(settings().value(READER_KEY, "") or "")
        self.setMaxLength(MAX_LETTERS)
        self.setPlaceholderText("reader: code or initials")
        self.setAccessibleName("Reader")
        self.setToolTip(TIP)
        self.textEdited.connect(self._on_edited)
        self.read_as("")

    def read_as(self, reading: str) -> None:
        """Show who reads: the person of a blind reading, or else whom a person named before."""
        self._session.reader = reading or self._own
        self.setText(self._session.reader)
        self.setEnabled(not reading)

    def _on_edited(self, text: str) -> None:
        # At each letter: the next label may be given by a click, and the window be closed, before
        # the field is left.
        self._own = self._session.reader = text.strip()
        settings().setValue(READER_KEY, self._own)
