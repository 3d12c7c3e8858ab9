"""Hands that are elsewhere change no choice: the wheel, letters, keys that go on to napari."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QKeyEvent, QWheelEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QLineEdit,
    QListWidget,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QSlider,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_wbc.widgets.qt.input_guard import _Guard, guard_inputs


class Window(QMainWindow):
    """As napari's: what no widget takes is a key for the cells."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def keyPressEvent(self, event):
        self.heard.append(event.text() or event.key())
        event.accept()


@pytest.fixture
def window(qtbot):
    window = Window()
    inside = QWidget()
    layout = QVBoxLayout(inside)
    window.combo, window.spin, window.slider = (
        QComboBox(),
        QDoubleSpinBox(),
        QSlider(Qt.Orientation.Horizontal),
    )
    window.combo.addItems(["neutrophil", "monocyte", "lymphocyte"])
    window.labeled = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    window.labeled.setRange(0, 1)
    window.labeled.setValue(0.5)
    window.spin.setValue(5)
    window.slider.setValue(50)
    window.line, window.list, window.button = QLineEdit(), QListWidget(), QPushButton("Go")
    window.list.addItems(["1", "nine"])
    window.tabs = QTabWidget()
    window.tabs.addTab(QWidget(), "a")
    window.tabs.addTab(QWidget(), "b")
    for widget in (
        window.combo,
        window.spin,
        window.slider,
        window.labeled,
        window.line,
        window.list,
    ):
        layout.addWidget(widget)
    layout.addWidget(window.button)
    layout.addWidget(window.tabs)
    area = QScrollArea()
    area.setWidget(inside)
    window.canvas = QOpenGLWidget()
    window.canvas.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    central = QWidget()
    side = QVBoxLayout(central)
    side.addWidget(window.canvas)
    side.addWidget(area)
    window.setCentralWidget(central)
    qtbot.addWidget(window)
    guard_inputs(inside)
    window.show()
    qtbot.waitExposed(window)
    window.activateWindow()
    return window


def values(window):
    return (
        window.combo.currentIndex(),
        window.spin.value(),
        window.slider.value(),
        window.labeled.value(),
        window.tabs.currentIndex(),
    )


def wheel(widget):
    place = QPointF(widget.rect().center())
    event = QWheelEvent(
        place,
        QPointF(widget.mapToGlobal(place.toPoint())),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def key(widget, code, text=""):
    for kind in (QKeyEvent.Type.KeyPress, QKeyEvent.Type.KeyRelease):
        QApplication.sendEvent(widget, QKeyEvent(kind, code, Qt.KeyboardModifier.NoModifier, text))


def test_the_wheel_changes_nothing_without_focus(window):
    before = values(window)
    for widget in (window.combo, window.spin, window.slider, window.tabs.tabBar()):
        wheel(widget)
    for widget in window.labeled.findChildren(QWidget):
        wheel(widget)
    assert values(window) == before


def test_the_wheel_changes_a_combo_box_or_tab_not_even_with_focus(window, qtbot):
    before = values(window)
    for widget in (window.combo, window.tabs.tabBar()):
        widget.setFocus()
        wheel(widget)
    assert values(window) == before


def test_a_number_that_has_the_focus_follows_the_wheel(window, qtbot):
    window.spin.setFocus()
    qtbot.waitUntil(window.spin.hasFocus)
    wheel(window.spin)
    assert window.spin.value() == 4


@pytest.mark.parametrize("name", ["M", "1", "Down", "PageDown", "End"])
def test_keys_choose_nothing_in_a_closed_combo_box_and_go_nowhere(window, name):
    code = getattr(Qt.Key, f"Key_{name}")
    chosen = []
    window.combo.activated.connect(chosen.append)
    window.combo.setFocus()
    key(window.combo, code, name.lower() if len(name) == 1 else "")
    assert window.combo.currentIndex() == 0
    assert chosen == []
    assert window.heard == []


def test_what_is_typed_into_a_field_stays_there(window):
    key(window.line, Qt.Key.Key_S, "s")
    key(window.line, Qt.Key.Key_F5, "")
    key(window.spin, Qt.Key.Key_R, "r")
    assert window.line.text() == "s"
    assert window.heard == []


def test_a_key_on_a_list_is_for_the_cells_and_searches_nothing(window):
    window.list.setCurrentRow(0)
    key(window.list, Qt.Key.Key_N, "n")
    assert window.list.currentRow() == 0
    assert window.heard == ["n"]
    key(window.list, Qt.Key.Key_Down)
    assert window.list.currentRow() == 1


def test_after_a_choice_the_canvas_has_the_focus(window, qtbot):
    for widget, end in (
        (window.combo, lambda: window.combo.activated.emit(1)),
        (window.line, lambda: key(window.line, Qt.Key.Key_Return)),
        (window.spin, lambda: key(window.spin, Qt.Key.Key_Escape)),
        (window.slider, window.slider.sliderReleased.emit),
    ):
        widget.setFocus()
        qtbot.waitUntil(widget.hasFocus, timeout=2000)
        end()
        qtbot.waitUntil(window.canvas.hasFocus, timeout=2000)
    assert window.heard == []


def test_a_click_on_a_button_takes_no_focus(window, qtbot):
    window.canvas.setFocus()
    qtbot.waitUntil(window.canvas.hasFocus)
    qtbot.mouseClick(window.button, Qt.MouseButton.LeftButton)
    assert window.canvas.hasFocus()


def test_return_in_a_field_of_a_dialog_is_the_dialogs(qtbot):
    dialog = QDialog()
    layout = QVBoxLayout(dialog)
    line, ok = QLineEdit(), QPushButton("OK")
    ok.setDefault(True)
    layout.addWidget(line)
    layout.addWidget(ok)
    qtbot.addWidget(dialog)
    guard_inputs(dialog)
    dialog.show()
    with qtbot.waitSignal(ok.clicked, timeout=2000):
        key(line, Qt.Key.Key_Return, "\r")


def test_guarding_twice_is_as_once(window):
    left = []
    for guard in window.findChildren(_Guard):
        guard._leave = left.append
    inside = window.combo.parentWidget()
    guard_inputs(inside)
    guard_inputs(inside)
    assert len(window.findChildren(_Guard)) == 1
    window.combo.activated.emit(1)
    assert left == [window.combo]
