"""Buttons, choices, rows and columns, and text and progress that do not hold up the window."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import (
    QBoxLayout,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

FOLDED = "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
UNFOLDED = "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"
RING = "#2f7fe8"
"""Colour of the line around the control that has the keys: 3:1 on napari's light and dark theme."""
FOCUS_RINGS = f"""
QPushButton:focus, QToolButton:focus {{ border: 2px solid {RING}; padding: 2px }}
QComboBox:focus, QLineEdit:focus, QAbstractSpinBox:focus, QCheckBox:focus, QSlider:focus,
QListView:focus, QTableView:focus, QTreeView:focus {{ border: 2px solid {RING} }}
QTabBar::tab:selected:focus {{ border: 2px solid {RING} }}
"""


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
            self.setToolTip(plain(text))
            self.setAccessibleName(text)
            self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for the lines."""
        return QSize(100, self._lines * self.fontMetrics().lineSpacing() + 2)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw the text, wrapped."""
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        text = self._text
        if self._lines == 1:
            text = self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, self.width())
        # Never the upper edge of a line for which there is no room.
        area = QRect(0, 0, self.width(), self._lines * self.fontMetrics().lineSpacing())
        painter.setClipRect(area)
        painter.drawText(area, int(Qt.AlignmentFlag.AlignTop) | int(Qt.TextFlag.TextWordWrap), text)


def text_label(text: str = "", *, wrap: bool = False) -> QLabel:
    """A label of plain text: names of slides, classes and files are no markup in it."""
    made = QLabel()
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(wrap)
    made.setText(text)
    return made


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


def button(text: str, tip: str = "", action: Callable[[], object] | None = None) -> QPushButton:
    """A button that calls an action, if any, when it is clicked."""
    made = QPushButton(text)
    made.setToolTip(tip)
    if action is not None:
        # Qt sends along whether the button is checked.
        made.clicked.connect(lambda _checked=False: action())
    return made


def primary(push: QPushButton) -> QPushButton:
    """The one button of a page that goes on with the work, made to be seen first."""
    push.setStyleSheet(
        "QPushButton:enabled { background: #2467c9; color: white; font-weight: 600 }"
        "QPushButton:focus { border: 2px solid white; padding: 2px }"
    )
    return push


def allow(push: QWidget, tip: str, reason: str = "") -> None:
    """Enable a button, or else disable it with the reason in place of its tooltip."""
    # Each key calls this for many buttons, and Qt lays out anew what is set again.
    if push.isEnabled() == bool(reason):
        push.setEnabled(not reason)
    if push.toolTip() != plain(reason or tip):
        push.setToolTip(plain(reason or tip))


def choice(texts: Iterable[str], tip: str = "", *, least: int = 0) -> QComboBox:
    """A combo box; with ``least`` it may be as narrow as so many letters, whatever its texts."""
    box = QComboBox()
    if least:
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(least)
    box.addItems(list(texts))
    box.setToolTip(tip)
    return box


def row(*widgets: QWidget, stretch: QWidget | None = None) -> QWidget:
    """Widgets side by side; one of them may take all room that the others leave."""
    line = QWidget()
    _fill(QHBoxLayout(line), widgets, stretch)
    return line


def column(
    parent: QWidget,
    *widgets: QWidget,
    stretch: QWidget | None = None,
    margin: int = 0,
    spacing: int = 3,
) -> QVBoxLayout:
    """Lay widgets out in their parent, one below the other; margin and spacing are in pixels."""
    layout = QVBoxLayout(parent)
    _fill(layout, widgets, stretch, margin)
    layout.setSpacing(spacing)
    return layout


def _fill(
    layout: QBoxLayout, widgets: Iterable[QWidget], stretch: QWidget | None, margin: int = 0
) -> None:
    layout.setContentsMargins(margin, margin, margin, margin)
    for widget in widgets:
        layout.addWidget(widget, stretch=1 if widget is stretch else 0)


def group(title: str, *widgets: QWidget) -> QGroupBox:
    """Widgets one below the other, under a title."""
    box = QGroupBox(title)
    column(box, *widgets, margin=6)
    return box


def folded(title: str, *widgets: QWidget) -> QCollapsible:
    """Widgets one below the other, hidden until a person clicks the title."""
    fold = QCollapsible()
    fold.layout().setContentsMargins(0, 0, 0, 0)
    # Its own arrows are pictures in the colour of a light theme; letters follow any theme.
    fold.setCollapsedIcon(QIcon())
    fold.setExpandedIcon(QIcon())

    def show_title(unfolded: bool) -> None:
        fold.setText(f"{UNFOLDED if unfolded else FOLDED} {title}")

    show_title(False)
    fold.toggled.connect(show_title)
    # Napari colours a switch that is on, as if it were the button to press.
    fold.toggleButton().setStyleSheet("text-align: left; border: none; background: none")
    for widget in widgets:
        fold.addWidget(widget)
    return fold


def ok_cancel(dialog: QDialog) -> QDialogButtonBox:
    """The buttons OK and Cancel of a dialog."""
    both = QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
    buttons = QDialogButtonBox(both)
    buttons.accepted.connect(dialog.accept)
    buttons.rejected.connect(dialog.reject)
    return buttons


def confirmed(parent: QWidget, title: str, question: str) -> bool:
    """Whether a person answers a question with yes."""
    answer = QMessageBox.question(parent, title, no_markup(question))
    return bool(answer == QMessageBox.StandardButton.Yes)


def bring_up(dialog: QDialog) -> None:
    """Show a dialog in front of all other windows."""
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()


def plain(text: str) -> str:
    """A text for a tooltip, in which names of foreign files are no markup."""
    lines = escape(text).replace("\n", "<br>")
    return f"<qt>{lines}</qt>" if text else ""


def no_markup(text: str) -> str:
    """A text for a dialog of Qt's own, in which a foreign name may look like markup."""
    return plain(text) if Qt.mightBeRichText(text) else text


def scrolled(inside: QWidget) -> QScrollArea:
    """A widget that can be scrolled up and down where the screen is too small for it."""
    scroll = _Scrolled()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    # It scrolls to whatever inside it has the keys, and needs none itself.
    scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
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


def on_color(color: str) -> str:
    """Black or white, whichever is easier to read on a colour.

    Examples
    --------
    >>> on_color("#f5e53b"), on_color("#277257")
    ('black', 'white')
    """
    parts = QColor(color).getRgbF()[:3]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    # Black and white have the same contrast with a luminance of 0.179 (WCAG 2).
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if light > 0.179 else "white"
