"""What a panel takes hold of is let go of once, last first."""

from __future__ import annotations

import pytest
from napari.utils.events import EmitterGroup
from psygnal import Signal
from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_wbc.errors import WbcError
from napari_wbc.widgets.qt.panel import DockPanel, Panel, guarded


class Sender(QObject):
    by_psygnal = Signal(object)
    by_qt = QtSignal(object)

    def __init__(self):
        super().__init__()
        self.events = EmitterGroup(by_napari=None)

    def send(self):
        self.by_psygnal.emit(1)
        self.by_qt.emit(1)
        self.events.by_napari(value=1)


class Listener(Panel, QWidget):
    def __init__(self, sender):
        super().__init__()
        self.heard = []
        self.listen(self.hear, sender.by_psygnal, sender.by_qt, sender.events.by_napari)

    def hear(self, what):
        self.heard.append(what)


def test_signals_of_all_three_kinds_are_heard_until_the_release(qtbot):
    sender = Sender()
    listener = Listener(sender)
    qtbot.addWidget(listener)
    sender.send()
    assert len(listener.heard) == 3
    listener.release()
    sender.send()
    assert len(listener.heard) == 3


def test_release_goes_from_last_to_first_and_once():
    steps = []
    panel, child = Panel(), Panel()
    panel.at_release(lambda: steps.append("first"))
    assert panel.own(child) is child
    child.at_release(lambda: steps.append("child"))
    panel.at_release(lambda: steps.append("last"))
    panel.release()
    panel.release()
    assert steps == ["last", "child", "first"]


def test_a_step_that_fails_keeps_no_other_from_being_taken():
    steps = []
    panel = Panel()
    panel.at_release(lambda: steps.append("first"))
    panel.at_release(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        panel.release()
    assert steps == ["first"]


def test_a_panel_taken_out_of_its_dock_is_released(qtbot):
    window, steps = QMainWindow(), []
    qtbot.addWidget(window)
    panel = DockPanel(window)
    panel.at_release(lambda: steps.append("released"))
    with qtbot.waitSignal(panel.destroyed):
        panel.setParent(None)
    assert steps == ["released"]


def test_a_panel_that_is_closed_is_released(qtbot):
    panel, steps = DockPanel(), []
    qtbot.addWidget(panel)
    panel.at_release(lambda: steps.append("released"))
    panel.close()
    assert steps == ["released"]


def test_an_error_is_said_and_other_faults_are_raised():
    lines = []

    def fail(error):
        raise error

    guarded(lines.append, fail)(WbcError("No slide is open."), False)
    assert lines == ["No slide is open."]
    with pytest.raises(KeyError):
        guarded(lines.append, fail)(KeyError("x"))
