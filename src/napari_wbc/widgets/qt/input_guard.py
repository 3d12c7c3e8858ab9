"""Keeps the wheel and stray keys from changing a choice, and keys for a text field from napari.

Qt's combo boxes and sliders follow the wheel while the mouse only passes over them, combo boxes
take letters for a search, and what a text field does not want goes on to napari's window, where S,
R or 1 have a meaning.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QLineEdit,
    QScrollBar,
    QSlider,
    QTabBar,
    QWidget,
)

from napari_wbc.widgets.qt.panel import single_shot

Event, Key = QEvent.Type, Qt.Key
WHEELED = (QComboBox, QAbstractSpinBox, QSlider, QTabBar)
"""Controls that Qt changes by the wheel, apart from scroll bars."""
TYPED = (QComboBox, QAbstractSpinBox, QLineEdit)
"""Controls whose keys go nowhere else."""
OPENS = {Key.Key_Space, Key.Key_F4, Key.Key_Tab, Key.Key_Backtab, Key.Key_Escape}
"""Keys that a closed combo box takes; with Alt also the arrows. All others would choose."""
LEAVES = {Key.Key_Return, Key.Key_Enter, Key.Key_Escape}
"""Keys that end the typing in a text field."""


def guard_inputs(root: QWidget) -> None:
    """Guard all controls inside a widget; call it again after some were added.

    - The wheel changes no combo box or tab, and a slider or number only where it has the focus.
    - Letters, digits and arrows choose nothing in a closed combo box.
    - Keys for a text field, number or combo box reach nothing else.
    - After a choice the canvas has the focus again, so that keys are for the selected cells.
    """
    guard = _Guard.of(root)
    for widget in root.findChildren(QWidget):
        if widget.property("wbc_guarded"):
            continue
        widget.setProperty("wbc_guarded", True)
        guard.take(widget)


def canvas_of(widget: QWidget) -> QWidget | None:
    """The canvas of the window that a widget is docked to, if it is napari's."""
    parent: QWidget | None = widget
    # A dock that floats is a window of its own, inside the window that it belongs to.
    while parent is not None and not hasattr(parent, "centralWidget"):
        parent = parent.parentWidget()
    central = None if parent is None else parent.centralWidget()
    if central is None:
        return None
    canvases = [child for child in central.findChildren(QWidget) if child.inherits("QOpenGLWidget")]
    return canvases[0] if canvases else central


def focus_canvas(widget: QWidget) -> None:
    """Give the focus to the canvas of the window that a widget is in, if it is napari's."""
    canvas = canvas_of(widget)
    if canvas is not None:
        canvas.setFocus(Qt.FocusReason.OtherFocusReason)


def order_tabs(canvas: QWidget, first: QWidget, root: QWidget) -> None:
    """Let Tab lead from the canvas to one control of a panel, and then through the others.

    Otherwise all of napari's own controls come in between. The others come as they are laid out.
    """
    before = canvas
    controls = [child for child in root.findChildren(QWidget) if child is not first]
    for control in (first, *controls):
        # Dialogs are children of a panel too, in windows of their own.
        here = control.window() is root.window()
        if here and control.focusPolicy() & Qt.FocusPolicy.TabFocus:
            QWidget.setTabOrder(before, control)
            before = control


class _Guard(QObject):
    """Filters the events of the controls inside one widget."""

    @classmethod
    def of(cls, root: QWidget) -> _Guard:
        """The guard of a widget, made where it has none."""
        for child in root.children():
            if isinstance(child, cls):
                return child
        return cls(root)

    def __init__(self, root: QWidget) -> None:
        super().__init__(root)
        self._finished: QWidget | None = None
        # Not at once: Qt goes on with the choice after the signal, and would take the focus again.
        self._soon = single_shot(self, self._give_focus_back)

    def take(self, widget: QWidget) -> None:
        """Guard one control."""
        if isinstance(widget, QScrollBar):
            return
        if isinstance(widget, WHEELED + TYPED + (QAbstractItemView,)):
            widget.installEventFilter(self)
        if isinstance(widget, (QComboBox, QAbstractSpinBox, QSlider)):
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        if isinstance(widget, QComboBox):
            widget.activated.connect(lambda _i, widget=widget: self._leave(widget))
            widget.view().window().installEventFilter(self)
            widget.view().window().setProperty("wbc_combo", widget)
        elif isinstance(widget, QSlider):
            widget.sliderReleased.connect(lambda widget=widget: self._leave(widget))
        elif isinstance(widget, QAbstractButton):
            # A click leaves the focus with the canvas, and with it the keys.
            widget.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        elif isinstance(widget, QAbstractItemView) and not isinstance(widget.window(), QDialog):
            widget.clicked.connect(lambda _index, widget=widget: self._leave(widget))

    def eventFilter(self, widget: Any, event: Any) -> bool:  # noqa: N802 (Qt's name)
        """Whether an event ends here."""
        kind = event.type()
        if kind == Event.Wheel:
            return self._wheel(widget, event)
        if kind in (Event.KeyPress, Event.KeyRelease):
            return self._key(widget, event)
        if kind == Event.Hide and widget.property("wbc_combo") is not None:
            self._leave(widget.property("wbc_combo"))
        return False

    def _leave(self, widget: QWidget) -> None:
        """Give the focus back to the canvas after this event."""
        self._finished = widget
        self._soon.start()

    def _give_focus_back(self) -> None:
        widget, self._finished = self._finished, None
        focused = QApplication.focusWidget()
        if widget is not None and (
            focused is None or focused is widget or widget.isAncestorOf(focused)
        ):
            focus_canvas(widget)

    def _wheel(self, widget: Any, event: Any) -> bool:
        if not isinstance(widget, WHEELED):
            return False
        if not isinstance(widget, (QComboBox, QTabBar)) and widget.hasFocus():
            return False
        # Qt then offers the wheel to the parent, which scrolls.
        event.ignore()
        return True

    def _key(self, widget: Any, event: Any) -> bool:
        if isinstance(widget, QAbstractItemView):
            letter = event.text() and event.text().isprintable()
            if not letter or isinstance(widget.window(), QDialog):
                return False
            # A letter labels the selected cells, and searches no list.
            event.ignore()
            return True
        if not isinstance(widget, TYPED) or isinstance(widget.window(), QDialog):
            return False
        closed_combo = isinstance(widget, QComboBox) and not widget.isEditable()
        by_alt = bool(event.modifiers() & Qt.KeyboardModifier.AltModifier)
        if not closed_combo or event.key() in OPENS or by_alt:
            widget.event(event)
        event.accept()
        if event.type() == Event.KeyPress and event.key() in LEAVES:
            self._leave(widget)
        return True
