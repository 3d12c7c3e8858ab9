"""Nothing that is seen is clipped, overlapped or outside its dock, at either size of window."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QStyle,
    QStyleOptionComboBox,
    QTabBar,
    QWidget,
)

from napari_wbc.widgets.steps import StepTabs

CONTROLS = (
    QPushButton,
    QCheckBox,
    QComboBox,
    QAbstractSpinBox,
    QLineEdit,
    QLabel,
    QProgressBar,
    QTabBar,
)


def controls(root):
    """Controls that can be seen and are no part of another control."""
    for widget in root.findChildren(QWidget):
        inside = isinstance(widget.parent(), (QComboBox, QAbstractSpinBox, QAbstractScrollArea))
        seen = widget.isVisible() and widget.width() > 0 and not widget.visibleRegion().isEmpty()
        if isinstance(widget, CONTROLS) and seen and not inside:
            yield widget


def area(widget, root):
    return QRect(widget.mapTo(root, QPoint(0, 0)), widget.size())


def scroller(widget):
    """The scroll area that a widget lies in, None where it lies in none."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QScrollArea):
        parent = parent.parentWidget()
    return parent


def name(widget):
    text = widget.text() if isinstance(widget, (QAbstractButton, QLabel)) else ""
    return f"{type(widget).__name__} {text or widget.toolTip()[:40]!r}"


def faults(bench):
    """What is wrong with the controls that are seen now, in words."""
    found = []
    seen = list(controls(bench))
    for widget in seen:
        at = area(widget, bench)
        least = widget.minimumSizeHint()
        if widget.width() < least.width() - 1 or widget.height() < least.height() - 1:
            found.append(f"{name(widget)} is {widget.size()}, needs {least}")
        if at.left() < 0 or at.right() > bench.width():
            found.append(f"{name(widget)} reaches over the dock's side: {at}")
        if scroller(widget) is None and (at.top() < 0 or at.bottom() > bench.height()):
            found.append(f"{name(widget)} reaches over the dock's edge: {at}")
    for i, one in enumerate(seen):
        for other in seen[i + 1 :]:
            nested = one.isAncestorOf(other) or other.isAncestorOf(one)
            both = area(one, bench) & area(other, bench)
            # What lies in another scroll area is cut where that ends.
            together = scroller(one) is scroller(other)
            if together and not nested and both.width() > 1 and both.height() > 1:
                found.append(f"{name(one)} and {name(other)} overlap: {both}")
        if isinstance(one, QComboBox):
            option = QStyleOptionComboBox()
            one.initStyleOption(option)
            part = QStyle.SubControl.SC_ComboBoxEditField
            of = QStyle.ComplexControl.CC_ComboBox
            room = one.style().subControlRect(of, option, part, one).width()
            if one.fontMetrics().horizontalAdvance(one.currentText()) > room:
                found.append(f"{name(one)} cuts its text {one.currentText()!r}")
    pages = [page for page in bench.findChildren(QScrollArea) if page.isVisible()]
    sideways = [page for page in pages if page.horizontalScrollBar().maximum() > 0]
    return found + [f"{page} scrolls sideways" for page in sideways]


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [(1366, 768), (1920, 1080)])
def test_controls_of_all_pages_are_whole(analyzed, qtbot, size, theme):
    bench = analyzed
    window = bench.window()
    window.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    bench.viewer.theme = theme
    window.resize(*size)
    window.show()
    qtbot.wait(100)
    assert (window.width(), window.height()) == size
    assert window.statusBar().isVisible()
    wrong = {}
    bench.queue_panel.start()
    qtbot.waitUntil(lambda: not bench.busy)
    for tabs in (bench.tabs, bench.improve):
        for i in range(tabs.count()):
            bench.tabs.bring(bench.improve) if tabs is bench.improve else None
            tabs.setCurrentIndex(i)
            qtbot.wait(50)
            if isinstance(tabs.currentWidget(), StepTabs):
                continue
            if page := faults(bench):
                wrong[tabs.tabText(i)] = page
    if page := faults(bench.docks.gallery):
        wrong["gallery"] = page
    dock = bench.parentWidget()
    assert dock.rect().contains(area(bench, dock)), (dock.rect(), area(bench, dock))
    assert not wrong, wrong
