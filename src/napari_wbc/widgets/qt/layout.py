"""Rows, groups, lines of text, and a progress bar that does not hold up the window."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import (
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QProgressBar,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

__all__ = ["TextLines", "group", "row", "scrolled", "show_progress"]


class TextLines(QWidget):
    """Plain text of a fixed number of lines.

    A label lays the whole window out anew whenever its text changes, which takes longer than all
    else that a key does.

    Parameters
    ----------
    lines : int
        Text that does not fit is in the tooltip.
    """

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._text, self._lines = "", lines
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def text(self) -> str:
        """What is shown."""
        return self._text

    def setText(self, text: str) -> None:  # noqa: N802 (as a label's)
        """Show a text."""
        if text != self._text:
            self._text = text
            self.setToolTip(f"<qt>{escape(text)}</qt>")  # names of foreign files are no markup
            self.setAccessibleName(text)
            self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for the lines."""
        return QSize(100, self._lines * self.fontMetrics().lineSpacing() + 2)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw the text, wrapped."""
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        painter.drawText(
            self.rect(), int(Qt.AlignmentFlag.AlignTop) | int(Qt.TextFlag.TextWordWrap), self._text
        )


def show_progress(bar: QProgressBar, done: int, total: int) -> None:
    """Set a progress bar, without the immediate repaint of the whole window by its own setters.

    Parameters
    ----------
    done, total : int
        With a total of 0 the bar only shows that work is going on; below 0 done it is empty.
    """
    bar.setUpdatesEnabled(False)
    bar.setMaximum(total)
    if done < 0:
        # setValue ignores a value below the minimum.
        bar.reset()
    else:
        bar.setValue(done)
    bar.setUpdatesEnabled(True)


def row(*widgets: QWidget) -> QWidget:
    """Widgets side by side."""
    line = QWidget()
    layout = QHBoxLayout(line)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return line


def group(title: str, *widgets: QWidget) -> QGroupBox:
    """Widgets one below the other, under a title."""
    box = QGroupBox(title)
    layout = QVBoxLayout(box)
    layout.setContentsMargins(6, 6, 6, 6)
    layout.setSpacing(3)
    for widget in widgets:
        layout.addWidget(widget)
    return box


def scrolled(inside: QWidget) -> QScrollArea:
    """A widget that can be scrolled up and down where the screen is too small for it."""
    scroll = _Scrolled()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(inside)
    return scroll


class _Scrolled(QScrollArea):
    """As wide as its content and the scroll bar need, also after a change of style or font."""

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for the whole width of the content; its height may be cut."""
        bar = self.verticalScrollBar().sizeHint().width()
        inside = self.widget().minimumSizeHint().width() if self.widget() else 0
        return QSize(inside + bar, super().minimumSizeHint().height())


def swatch(color: str) -> QIcon:
    """A small square of a colour."""
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)
