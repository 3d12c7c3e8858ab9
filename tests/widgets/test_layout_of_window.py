"""Nothing that is seen is clipped, overlapped or outside its dock or dialog.

At both sizes of the window, in both themes, at 100 and at 200 % of the screen.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

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

from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.import_set import Incoming
from napari_wbc.storage.sets import SetContent
from napari_wbc.widgets.loop.mapping import MappingDialog
from napari_wbc.widgets.review.key_choice import KeysDialog
from napari_wbc.widgets.steps import StepTabs

SCALE = "QT_SCALE_FACTOR"
SIZES = pytest.mark.parametrize("size", [(1366, 768), (1920, 1080)])
THEMES = pytest.mark.parametrize("theme", ["dark", "light"])

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


def cut(widget, root):
    """Where a control is smaller than it must be, or reaches out of its dock, in words."""
    at = area(widget, root)
    least = widget.minimumSizeHint()
    if widget.width() < least.width() - 1 or widget.height() < least.height() - 1:
        yield f"{name(widget)} is {widget.size()}, needs {least}"
    if isinstance(widget, QLabel) and widget.wordWrap():
        needed = widget.heightForWidth(widget.width())
        if needed > widget.height() + 1:
            yield f"{name(widget)} is {widget.height()} high, needs {needed}"
    if at.left() < 0 or at.right() > root.width():
        yield f"{name(widget)} reaches over the side: {at}"
    if scroller(widget) is None and (at.top() < 0 or at.bottom() > root.height()):
        yield f"{name(widget)} reaches over the edge: {at}"
    if isinstance(widget, QComboBox):
        option = QStyleOptionComboBox()
        widget.initStyleOption(option)
        part = QStyle.SubControl.SC_ComboBoxEditField
        of = QStyle.ComplexControl.CC_ComboBox
        room = widget.style().subControlRect(of, option, part, widget).width()
        if widget.fontMetrics().horizontalAdvance(widget.currentText()) > room:
            yield f"{name(widget)} cuts its text {widget.currentText()!r}"


def overlaps(one, others, root):
    """Which controls a control lies over, in words."""
    for other in others:
        nested = one.isAncestorOf(other) or other.isAncestorOf(one)
        both = area(one, root) & area(other, root)
        # What lies in another scroll area is cut where that ends.
        together = scroller(one) is scroller(other)
        if together and not nested and both.width() > 1 and both.height() > 1:
            yield f"{name(one)} and {name(other)} overlap: {both}"


def faults(root):
    """What is wrong with the controls that are seen now, in words."""
    found = []
    seen = list(controls(root))
    for i, widget in enumerate(seen):
        found += cut(widget, root)
        found += overlaps(widget, seen[i + 1 :], root)
    pages = [page for page in root.findChildren(QScrollArea) if page.isVisible()]
    sideways = [page for page in pages if page.horizontalScrollBar().maximum() > 0]
    return found + [f"{page} scrolls sideways" for page in sideways]


def show(bench, qtbot, size, theme):
    """Show the workbench with a queue in a window of a size and a theme."""
    window = bench.window()
    window.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    bench.viewer.theme = theme
    window.resize(*size)
    window.show()
    qtbot.wait(100)
    assert (window.width(), window.height()) == size
    assert window.statusBar().isVisible()
    bench.queue_panel.start()
    qtbot.waitUntil(lambda: not bench.busy)


@THEMES
@SIZES
def test_controls_of_all_pages_are_whole(analyzed, qtbot, size, theme):
    bench = analyzed
    show(bench, qtbot, size, theme)
    wrong = {}
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
    if size[1] > 1000:
        assert not bench.differential.counts.verticalScrollBar().maximum()
    dock = bench.parentWidget()
    assert dock.rect().contains(area(bench, dock)), (dock.rect(), area(bench, dock))
    assert not wrong, wrong


@THEMES
@SIZES
def test_the_map_and_all_dialogs_are_whole(analyzed, qtbot, size, theme):
    bench = analyzed
    show(bench, qtbot, size, theme)
    wrong = {}
    bench.docks.open_map()
    # The first map loads torch.
    qtbot.waitUntil(lambda: not bench.busy, timeout=60_000)
    qtbot.wait(100)
    window = bench.window()
    assert (window.width(), window.height()) == size
    if page := faults(bench.docks.map):
        wrong["map"] = page
    bench.train.tuning.show_library()
    bench.status.show_history()
    bench.model.show_card()
    labels = {"NEU": "neutrophil", "a label of many words, as some sets have them": None}
    counts = Counter(dict.fromkeys(labels, 3))
    content = SetContent("their set", "coco", (), tuple(labels), {})
    dialogs = {
        "models": bench.train.tuning._dialogs["library"],
        "messages": bench.status._dialog,
        "card": bench.model.dialog,
        "classes": KeysDialog(EIGHT_CLASSES, bench),
        "labels": MappingDialog(Incoming(content, counts, labels), EIGHT_CLASSES, bench),
    }
    for name, dialog in dialogs.items():
        dialog.show()
        qtbot.wait(100)
        if page := faults(dialog):
            wrong[name] = page
        screen = QRect(0, 0, *size)
        assert screen.contains(QRect(QPoint(0, 0), dialog.size())), (name, dialog.size())
        dialog.close()
    assert not wrong, wrong


@pytest.mark.skipif(SCALE in os.environ, reason="this is the process that the test starts")
def test_all_is_whole_at_twice_the_scale():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    # Qt reads the scale when it starts.
    done = subprocess.run(
        command,
        env=os.environ | {SCALE: "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "8 passed" in done.stdout, done.stdout[-600:]
